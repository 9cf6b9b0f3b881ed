@description('Required. Token that makes names unique.')
param name string

@description('Required. Region of the resources.')
param location string

@description('Required. Tags of the resources.')
param tags object

@description('Required. Replication of DICOM data.')
param sku string

@description('Required. Days in which a deleted blob can be restored; 0 for none.')
param softDeleteDays int

@description('Required. Whether earlier versions of overwritten blobs are kept.')
param versioning bool

@description('Required. Days after which instances move to the cool tier; 0 for never.')
param coolAfterDays int

@description('Required. Days after which instances move to the cold tier; 0 for never.')
param coldAfterDays int

@description('Required. Whether the accounts are reached from outside a private network.')
param publicAccess bool

@description('Required. Whether each read of a blob is recorded too.')
param auditReads bool

@description('Required. Resource id of the workspace that takes the logs.')
param workspaceId string

@description('Conditional. Resource id of the identity that uses the key. Needed for a key of our own.')
param encryptionIdentityId string

@description('Conditional. Address of the key vault. Needed for a key of our own.')
param vaultUri string

@description('Conditional. Name of the key. Needed for a key of our own.')
param keyName string

var containerName = 'dicom'
var hasOwnKey = !empty(keyName)

var common = {
  allowBlobPublicAccess: false
  allowSharedKeyAccess: false
  defaultToOAuthAuthentication: true
  allowCrossTenantReplication: false
  minimumTlsVersion: 'TLS1_2'
  supportsHttpsTrafficOnly: true
  publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
  networkAcls: {
    defaultAction: publicAccess ? 'Allow' : 'Deny'
    bypass: 'AzureServices'
  }
}

// The key has no version here: storage takes the newest within a day.
// Records (tables) are covered because their key is the account's, which can only be said when the account is made.
var encryption = {
  keySource: hasOwnKey ? 'Microsoft.Keyvault' : 'Microsoft.Storage'
  identity: hasOwnKey ? { userAssignedIdentity: encryptionIdentityId } : null
  keyvaultproperties: hasOwnKey ? { keyname: keyName, keyvaulturi: vaultUri } : null
  services: {
    blob: { enabled: true, keyType: 'Account' }
    table: { enabled: true, keyType: hasOwnKey ? 'Account' : 'Service' }
    queue: { enabled: true, keyType: hasOwnKey ? 'Account' : 'Service' }
  }
}

var tiers = union(
  coolAfterDays > 0 ? { tierToCool: { daysAfterModificationGreaterThan: coolAfterDays } } : {},
  coldAfterDays > 0 ? { tierToCold: { daysAfterModificationGreaterThan: coldAfterDays } } : {}
)

var tierRule = {
  name: 'tiers'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: {
      blobTypes: [
        'blockBlob'
      ]
      // Metadata and series documents stay hot: they are small, and read often.
      prefixMatch: [
        '${containerName}/instances/'
      ]
    }
    actions: {
      baseBlob: tiers
    }
  }
}

var versionRule = {
  name: 'versions'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: {
      blobTypes: [
        'blockBlob'
      ]
    }
    actions: {
      version: {
        delete: {
          daysAfterCreationGreaterThan: max(softDeleteDays, 1)
        }
      }
    }
  }
}

var rules = concat(empty(tiers) ? [] : [tierRule], versioning ? [versionRule] : [])

resource data 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'stdata${name}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  identity: hasOwnKey
    ? {
        type: 'UserAssigned'
        userAssignedIdentities: {
          '${encryptionIdentityId}': {}
        }
      }
    : {
        type: 'None'
      }
  properties: union(common, {
    accessTier: 'Hot'
    encryption: encryption
  })

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      isVersioningEnabled: versioning
      deleteRetentionPolicy: softDeleteDays > 0 ? { enabled: true, days: softDeleteDays } : { enabled: false }
      containerDeleteRetentionPolicy: softDeleteDays > 0 ? { enabled: true, days: softDeleteDays } : { enabled: false }
    }

    resource container 'containers' = {
      name: containerName
      properties: {
        publicAccess: 'None'
      }
    }
  }

  resource tables 'tableServices' = {
    name: 'default'
  }

  resource lifecycle 'managementPolicies' = if (!empty(rules)) {
    name: 'default'
    properties: {
      policy: {
        rules: rules
      }
    }
    dependsOn: [
      blobs
    ]
  }
}

// The host's keys, locks, queues and the package. Apart from DICOM data, so that who deploys need not reach those.
resource host 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'sthost${name}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: common

  resource blobs 'blobServices' = {
    name: 'default'

    resource packages 'containers' = {
      name: 'packages'
      properties: {
        publicAccess: 'None'
      }
    }
  }
}

resource blobLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: data::blobs
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
      {
        category: 'StorageRead'
        enabled: auditReads
      }
    ]
  }
}

resource tableLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: data::tables
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the account of DICOM data.')
output dataStorageId string = data.id

@description('Name of the account of DICOM data.')
output dataStorageName string = data.name

@description('Resource id of the account of the Functions host.')
output hostStorageId string = host.id

@description('Name of the account of the Functions host.')
output hostStorageName string = host.name

@description('URL of the blob service of DICOM data.')
output DICOM_BLOB_URL string = data.properties.primaryEndpoints.blob

@description('URL of the table service of DICOM data.')
output DICOM_TABLE_URL string = data.properties.primaryEndpoints.table

@description('Container of DICOM data.')
output DICOM_CONTAINER string = data::blobs::container.name

@description('URL of the blob service of the Functions host.')
output hostBlobUrl string = host.properties.primaryEndpoints.blob

@description('URL of the queue service of the Functions host.')
output hostQueueUrl string = host.properties.primaryEndpoints.queue

@description('URL of the table service of the Functions host.')
output hostTableUrl string = host.properties.primaryEndpoints.table

@description('URL of the container of the package that the app runs from.')
output packageContainerUrl string = '${host.properties.primaryEndpoints.blob}${host::blobs::packages.name}'
