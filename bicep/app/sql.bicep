@description('Required. Token that makes names unique.')
param name string

@description('Required. Region of the resources.')
param location string

@description('Required. Tags of the resources.')
param tags object

@description('Required. Object id of the administrator.')
param administratorId string

@description('Required. What the administrator is called.')
param administratorName string

@description('Required. Kind of the administrator.')
@allowed([
  'User'
  'Group'
  'Application'
])
param administratorType string

@description('Required. serverless, provisioned, or a service objective of DTUs.')
param compute string

@description('Required. Most vCores of a serverless database, all those of a provisioned one.')
param vCores int

@description('Required. Fewest vCores of a serverless database that is awake, as a decimal number.')
param minVCores string

@description('Required. Idle minutes after which a serverless database pauses; -1 for never.')
param autoPauseMinutes int

@description('Required. Largest size in GB, where vCores are paid for.')
param maxSizeGB int

@description('Required. Where backups are kept.')
param backupRedundancy string

@description('Required. Whether a serverless database takes the free monthly amount of the subscription first.')
param freeOffer bool

@description('Required. Whether the server is reached from outside a private network.')
param publicAccess bool

@description('Required. Resource id of the workspace that takes the logs.')
param workspaceId string

@description('Conditional. Resource id of the identity that uses the key. Needed for a key of our own.')
param encryptionIdentityId string

@description('Conditional. Address of the key with its version. Needed for a key of our own.')
param keyUri string

@description('Conditional. What the server calls the key: vault_key_version. Needed for a key of our own.')
param serverKeyName string

var hasOwnKey = !empty(keyUri)
var isServerless = compute == 'serverless'
var hasVCores = isServerless || compute == 'provisioned'

var skus = {
  serverless: { name: 'GP_S_Gen5', tier: 'GeneralPurpose', family: 'Gen5', capacity: vCores }
  provisioned: { name: 'GP_Gen5', tier: 'GeneralPurpose', family: 'Gen5', capacity: vCores }
  S0: { name: 'S0', tier: 'Standard', capacity: 10 }
  S1: { name: 'S1', tier: 'Standard', capacity: 20 }
  S2: { name: 'S2', tier: 'Standard', capacity: 50 }
  S3: { name: 'S3', tier: 'Standard', capacity: 100 }
}

var onlyServerless = isServerless
  ? {
      autoPauseDelay: autoPauseMinutes
      minCapacity: json(minVCores)
    }
  : {}

var onlyFree = isServerless && freeOffer
  ? {
      useFreeLimit: true
      freeLimitExhaustionBehavior: 'BillOverUsage'
    }
  : {}

resource server 'Microsoft.Sql/servers@2023-08-01' = {
  name: 'sql-${name}'
  location: location
  tags: tags
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
  properties: {
    version: '12.0'
    minimalTlsVersion: '1.2'
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    administrators: {
      administratorType: 'ActiveDirectory'
      azureADOnlyAuthentication: true
      principalType: administratorType
      login: administratorName
      sid: administratorId
      tenantId: tenant().tenantId
    }
    primaryUserAssignedIdentityId: hasOwnKey ? encryptionIdentityId : null
    keyId: hasOwnKey ? keyUri : null
  }
}

// Admits addresses inside Azure: instances of the app have no address of their own. Who comes in still needs a token.
resource azureServices 'Microsoft.Sql/servers/firewallRules@2023-08-01' = if (publicAccess) {
  parent: server
  name: 'AllowAllWindowsAzureIps'
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
  }
}

resource protector 'Microsoft.Sql/servers/encryptionProtector@2023-08-01' = if (hasOwnKey) {
  parent: server
  name: 'current'
  properties: {
    serverKeyType: 'AzureKeyVault'
    serverKeyName: serverKeyName
    autoRotationEnabled: true
  }
}

resource index 'Microsoft.Sql/servers/databases@2023-08-01' = {
  parent: server
  name: 'dicom'
  location: location
  tags: tags
  sku: skus[compute]
  properties: union(
    {
      // With DTUs only certain sizes are taken; 250 GB are in their price.
      maxSizeBytes: (hasVCores ? maxSizeGB : 250) * 1073741824
      requestedBackupStorageRedundancy: backupRedundancy
    },
    onlyServerless,
    onlyFree
  )
}

resource auditing 'Microsoft.Sql/servers/auditingSettings@2023-08-01' = {
  parent: server
  name: 'default'
  properties: {
    state: 'Enabled'
    isAzureMonitorTargetEnabled: true
    // Who logged in, and changes of schema, users and rights. Statements are left out: they hold names of patients.
    auditActionsAndGroups: [
      'SUCCESSFUL_DATABASE_AUTHENTICATION_GROUP'
      'FAILED_DATABASE_AUTHENTICATION_GROUP'
      'DATABASE_PRINCIPAL_CHANGE_GROUP'
      'DATABASE_ROLE_MEMBER_CHANGE_GROUP'
      'DATABASE_PERMISSION_CHANGE_GROUP'
      'DATABASE_OBJECT_CHANGE_GROUP'
      'SCHEMA_OBJECT_CHANGE_GROUP'
    ]
  }
}

// Azure SQL sends the audit records of all databases of a server through this one.
resource master 'Microsoft.Sql/servers/databases@2023-08-01' existing = {
  parent: server
  name: 'master'
}

resource auditLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: master
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'SQLSecurityAuditEvents'
        enabled: true
      }
    ]
  }
  dependsOn: [
    auditing
    index
  ]
}

resource indexLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: index
  name: 'health'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'Errors'
        enabled: true
      }
      {
        category: 'Deadlocks'
        enabled: true
      }
      {
        category: 'Timeouts'
        enabled: true
      }
      {
        category: 'Blocks'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the server.')
output serverId string = server.id

@description('Name of the server.')
output serverName string = server.name

@description('SQLAlchemy URL of the database. It holds no secret: who connects brings a token.')
output DICOM_SQL_URL string = 'mssql+pyodbc://@${server.properties.fullyQualifiedDomainName}:1433/${index.name}?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes&TrustServerCertificate=no'
