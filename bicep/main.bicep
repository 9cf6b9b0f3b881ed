targetScope = 'resourceGroup'

// Names and places

@description('Required. Name of the environment: the tag azd-env-name, and a part of what makes names unique.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Optional. Region of all resources.')
@metadata({ azd: { type: 'location' } })
param location string = resourceGroup().location

// Who may administer the database

@description('Optional. Object id of the person, group or service principal that administers the database and migrates its schema; empty: who deploys.')
param administratorId string = ''

@description('Optional. What that administrator is called in the database; Azure SQL does not look it up.')
param administratorName string = 'deployer'

@description('Optional. Kind of that administrator.')
@allowed([
  'User'
  'Group'
  'ServicePrincipal'
])
param administratorType string = 'User'

@description('Optional. Whether that administrator may also read and write DICOM data: to move files in, or to run shared.check.')
param administratorDataAccess bool = false

// Who may reach the service

@description('Optional. Networks that may send requests, as CIDR blocks with commas between; * for everyone, empty for nobody but a private network.')
param allowedAddresses string = ''

@description('Optional. Whether storage, database and topic are reached by a private network only.')
param vnetEnabled bool = false

@description('Optional. Address space of that network: a /16 to /24, which is divided into two subnets.')
param vnetAddressPrefix string = '10.64.0.0/22'

// The function app

@description('Optional. Python that runs the app.')
@allowed([
  '3.11'
  '3.12'
  '3.13'
])
param pythonVersion string = '3.13'

@description('Optional. Memory of an instance in MB; 2048 comes with one core, 4096 with two.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int = 2048

@description('Optional. HTTP requests that one instance works on at a time. Azure takes 1 for Python when it is not set.')
@minValue(1)
@maxValue(1000)
param perInstanceConcurrency int = 16

@description('Optional. Instances that are kept ready for HTTP requests, and paid for, all the time.')
@minValue(0)
@maxValue(1000)
param alwaysReadyInstances int = 0

@description('Optional. Most instances at a time.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Optional. Whether paths carry /partitions/{name}.')
param dataPartitions bool = false

@description('Optional. Base of the URLs in answers when the service stands behind another name; empty: as the request was addressed.')
param publicUrl string = ''

@description('Optional. Issuers of tokens, blanks between; empty: the tenant of the deployment.')
param authIssuers string = ''

@description('Required. Audiences that tokens must be for, blanks between: the client id of the app registration.')
param authAudiences string

@description('Optional. Further app settings by name, in place of the defaults in app/settings.bicep. No secrets.')
param appSettings object = {}

// DICOM data

@description('Optional. Replication of DICOM data.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_RAGRS'
  'Standard_GZRS'
  'Standard_RAGZRS'
])
param storageSku string = 'Standard_LRS'

@description('Optional. Days in which a deleted blob can be restored; 0 for none.')
@minValue(0)
@maxValue(365)
param softDeleteDays int = 7

@description('Optional. Whether earlier versions of overwritten blobs are kept, for softDeleteDays days.')
param blobVersioning bool = false

@description('Optional. Days after which instances move to the cool tier; 0 for never.')
@minValue(0)
param coolAfterDays int = 0

@description('Optional. Days after which instances move to the cold tier; 0 for never.')
@minValue(0)
param coldAfterDays int = 0

@description('Optional. Whether keys of our own, which Key Vault changes every year, encrypt DICOM data and database. Fixed when the storage is made.')
param customerManagedKeys bool = false

// Database

@description('Optional. Compute of the database: serverless and provisioned are vCores, S0 to S3 are DTUs.')
@allowed([
  'serverless'
  'provisioned'
  'S0'
  'S1'
  'S2'
  'S3'
])
param sqlCompute string = 'serverless'

@description('Optional. Most vCores of a serverless database, all those of a provisioned one.')
@minValue(1)
@maxValue(80)
param sqlVCores int = 2

@description('Optional. Fewest vCores of a serverless database that is awake, as a decimal number.')
param sqlMinVCores string = '0.5'

@description('Optional. Idle minutes after which a serverless database pauses; -1 for never.')
@minValue(-1)
@maxValue(10080)
param sqlAutoPauseMinutes int = 60

@description('Optional. Largest size of a database with vCores, in GB; one with DTUs has 250.')
@minValue(1)
@maxValue(4096)
param sqlMaxSizeGB int = 32

@description('Optional. Where backups of the database are kept.')
@allowed([
  'Local'
  'Zone'
  'Geo'
  'GeoZone'
])
param sqlBackupRedundancy string = 'Local'

@description('Optional. Whether a serverless database takes the free monthly amount of the subscription first.')
param sqlFreeOffer bool = false

// Logs

@description('Optional. Days that logs and audit records are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Optional. Whether each read of a blob is recorded too; writes and deletes always are.')
param auditBlobReads bool = false

var token = toLower(uniqueString(resourceGroup().id, environmentName, location))
var administrator = empty(administratorId) ? deployer().objectId : administratorId
var tags = { 'azd-env-name': environmentName }

module monitoring 'app/monitoring.bicep' = {
  params: {
    name: token
    location: location
    tags: tags
    retentionDays: logRetentionDays
  }
}

module identity 'app/identity.bicep' = {
  params: {
    name: token
    location: location
    tags: tags
    customerManagedKeys: customerManagedKeys
  }
}

module network 'app/network.bicep' = if (vnetEnabled) {
  params: {
    name: token
    location: location
    tags: tags
    addressPrefix: vnetAddressPrefix
    customerManagedKeys: customerManagedKeys
  }
}

module keys 'app/keys.bicep' = if (customerManagedKeys) {
  params: {
    name: token
    location: location
    tags: tags
    publicAccess: !vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
  }
}

module rolesOfKeys 'app/rbac.bicep' = if (customerManagedKeys) {
  params: {
    vaultName: customerManagedKeys ? keys!.outputs.vaultName : ''
    encryptionPrincipalId: identity.outputs.encryptionPrincipalId
  }
}

module storage 'app/storage.bicep' = {
  params: {
    name: token
    location: location
    tags: tags
    sku: storageSku
    softDeleteDays: softDeleteDays
    versioning: blobVersioning
    coolAfterDays: coolAfterDays
    coldAfterDays: coldAfterDays
    publicAccess: !vnetEnabled
    auditReads: auditBlobReads
    workspaceId: monitoring.outputs.workspaceId
    encryptionIdentityId: identity.outputs.encryptionIdentityId
    vaultUri: customerManagedKeys ? keys!.outputs.vaultUri : ''
    keyName: customerManagedKeys ? keys!.outputs.storageKeyName : ''
  }
  dependsOn: [
    rolesOfKeys
  ]
}

module sql 'app/sql.bicep' = {
  params: {
    name: token
    location: location
    tags: tags
    administratorId: administrator
    administratorName: administratorName
    administratorType: administratorType == 'ServicePrincipal' ? 'Application' : administratorType
    compute: sqlCompute
    vCores: sqlVCores
    minVCores: sqlMinVCores
    autoPauseMinutes: sqlAutoPauseMinutes
    maxSizeGB: sqlMaxSizeGB
    backupRedundancy: sqlBackupRedundancy
    freeOffer: sqlFreeOffer
    publicAccess: !vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
    encryptionIdentityId: identity.outputs.encryptionIdentityId
    keyUri: customerManagedKeys ? keys!.outputs.sqlKeyUri : ''
    serverKeyName: customerManagedKeys ? keys!.outputs.sqlServerKeyName : ''
  }
  dependsOn: [
    rolesOfKeys
  ]
}

module events 'app/events.bicep' = {
  params: {
    name: token
    location: location
    tags: tags
    publicAccess: !vnetEnabled
    workspaceId: monitoring.outputs.workspaceId
  }
}

module roles 'app/rbac.bicep' = {
  params: {
    appPrincipalId: identity.outputs.appPrincipalId
    dataStorageName: storage.outputs.dataStorageName
    hostStorageName: storage.outputs.hostStorageName
    topicName: events.outputs.topicName
    insightsName: monitoring.outputs.insightsName
    personId: administratorDataAccess ? administrator : ''
    personType: administratorType
  }
}

module settings 'app/settings.bicep' = {
  params: {
    identityClientId: identity.outputs.DICOM_IDENTITY_CLIENT_ID
    hostBlobUrl: storage.outputs.hostBlobUrl
    hostQueueUrl: storage.outputs.hostQueueUrl
    hostTableUrl: storage.outputs.hostTableUrl
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    blobUrl: storage.outputs.DICOM_BLOB_URL
    tableUrl: storage.outputs.DICOM_TABLE_URL
    container: storage.outputs.DICOM_CONTAINER
    sqlUrl: sql.outputs.DICOM_SQL_URL
    dataPartitions: dataPartitions
    publicUrl: publicUrl
    authIssuers: empty(authIssuers) ? '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0' : authIssuers
    authAudiences: authAudiences
    // Events name the service by its public URL.
    eventGridUrl: empty(publicUrl) ? '' : events.outputs.topicUrl
    others: appSettings
  }
}

module api 'app/api.bicep' = {
  params: {
    name: token
    location: location
    tags: tags
    settings: settings.outputs.values
    identityId: identity.outputs.appIdentityId
    packageContainerUrl: storage.outputs.packageContainerUrl
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    perInstanceConcurrency: perInstanceConcurrency
    alwaysReadyInstances: alwaysReadyInstances
    maximumInstanceCount: maximumInstanceCount
    allowedAddresses: allowedAddresses
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
  }
  dependsOn: [
    roles
  ]
}

module endpoints 'app/endpoints.bicep' = if (vnetEnabled) {
  params: {
    name: token
    location: location
    tags: tags
    subnetId: vnetEnabled ? network!.outputs.endpointSubnetId : ''
    zoneIds: vnetEnabled ? network!.outputs.zoneIds : {}
    targets: concat(
      [
        { name: 'data-blob', group: 'blob', id: storage.outputs.dataStorageId }
        { name: 'data-table', group: 'table', id: storage.outputs.dataStorageId }
        { name: 'host-blob', group: 'blob', id: storage.outputs.hostStorageId }
        { name: 'host-queue', group: 'queue', id: storage.outputs.hostStorageId }
        { name: 'host-table', group: 'table', id: storage.outputs.hostStorageId }
        { name: 'sql', group: 'sqlServer', id: sql.outputs.serverId }
        { name: 'events', group: 'topic', id: events.outputs.topicId }
        { name: 'api', group: 'sites', id: api.outputs.appId }
      ],
      customerManagedKeys ? [{ name: 'keys', group: 'vault', id: keys!.outputs.vaultId }] : []
    )
  }
}

@description('Address of the service.')
output SERVICE_API_URL string = api.outputs.url

@description('Name of the function app.')
output SERVICE_API_NAME string = api.outputs.appName

@description('Name of the identity that the app runs as, and of its user in the database.')
output APP_IDENTITY_NAME string = identity.outputs.appIdentityName

@description('Client id of that identity.')
output APP_IDENTITY_CLIENT_ID string = identity.outputs.DICOM_IDENTITY_CLIENT_ID

@description('SQLAlchemy URL of the index; it holds no secret.')
output DICOM_SQL_URL string = sql.outputs.DICOM_SQL_URL

@description('Name of the database server.')
output SQL_SERVER_NAME string = sql.outputs.serverName

@description('URL of the blob service of DICOM data.')
output DICOM_BLOB_URL string = storage.outputs.DICOM_BLOB_URL

@description('URL of the table service of DICOM data.')
output DICOM_TABLE_URL string = storage.outputs.DICOM_TABLE_URL

@description('Container of DICOM data.')
output DICOM_CONTAINER string = storage.outputs.DICOM_CONTAINER

@description('Address to which events are published.')
output EVENT_TOPIC_URL string = events.outputs.topicUrl
