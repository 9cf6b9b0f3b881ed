@description('Required. Token that makes names unique.')
param name string

@description('Required. Region of the resources.')
param location string

@description('Required. Tags of the resources.')
param tags object

@description('Required. Whether the vault is reached from outside a private network; Azure services that may use the keys always reach it.')
param publicAccess bool

@description('Required. Resource id of the workspace that takes the logs.')
param workspaceId string

// A new version ninety days before the old one expires; storage and database take the newest by themselves.
var rotationPolicy = {
  attributes: {
    expiryTime: 'P1Y'
  }
  lifetimeActions: [
    {
      action: {
        type: 'rotate'
      }
      trigger: {
        timeBeforeExpiry: 'P90D'
      }
    }
    {
      action: {
        type: 'notify'
      }
      trigger: {
        timeBeforeExpiry: 'P30D'
      }
    }
  ]
}

// Without purge protection nothing takes its keys for encryption: who purges a key destroys the data.
resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'kv-${name}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: publicAccess ? 'Allow' : 'Deny'
    }
  }
}

resource storageKey 'Microsoft.KeyVault/vaults/keys@2024-11-01' = {
  parent: vault
  name: 'storage'
  properties: {
    kty: 'RSA'
    keySize: 3072
    rotationPolicy: rotationPolicy
  }
}

resource sqlKey 'Microsoft.KeyVault/vaults/keys@2024-11-01' = {
  parent: vault
  name: 'sql'
  properties: {
    kty: 'RSA'
    keySize: 3072
    rotationPolicy: rotationPolicy
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the vault.')
output vaultId string = vault.id

@description('Name of the vault.')
output vaultName string = vault.name

@description('Address of the vault.')
output vaultUri string = vault.properties.vaultUri

@description('Name of the key of the storage account.')
output storageKeyName string = storageKey.name

@description('Address of the key of the database server, with its version.')
output sqlKeyUri string = sqlKey.properties.keyUriWithVersion

@description('What the database server calls that key: vault, key and version.')
output sqlServerKeyName string = '${vault.name}_${sqlKey.name}_${last(split(sqlKey.properties.keyUriWithVersion, '/'))}'
