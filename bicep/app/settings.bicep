// The app settings of the deployed app, all of them: a test compares them with shared/settings.py and
// local.settings.sample.json. Nothing here is secret.

@description('Required. Client id of the identity of the app.')
param identityClientId string

@description('Required. URL of the blob service of the Functions host.')
param hostBlobUrl string

@description('Required. URL of the queue service of the Functions host.')
param hostQueueUrl string

@description('Required. URL of the table service of the Functions host.')
param hostTableUrl string

@description('Required. Where telemetry goes.')
param insightsConnectionString string

@description('Required. URL of the blob service of DICOM data.')
param blobUrl string

@description('Required. URL of the table service of DICOM data.')
param tableUrl string

@description('Required. Container of DICOM data.')
param container string

@description('Required. SQLAlchemy URL of the index.')
param sqlUrl string

@description('Required. Whether paths carry /partitions/{name}.')
param dataPartitions bool

@description('Required. Base of the URLs in answers, or nothing.')
param publicUrl string

@description('Required. Issuers of tokens, blanks between.')
param authIssuers string

@description('Required. Audiences that tokens must be for, blanks between.')
param authAudiences string

@description('Required. Where events go, or nothing.')
param eventGridUrl string

@description('Required. Values in place of those below, by name.')
param others object

// What the Functions host and its Python worker read.
var host = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: hostBlobUrl
  AzureWebJobsStorage__queueServiceUri: hostQueueUrl
  AzureWebJobsStorage__tableServiceUri: hostTableUrl
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '4362076160'
  PYTHON_ENABLE_INIT_INDEXING: '1'
  // A timer of every five seconds costs money for as long as it runs.
  'AzureWebJobs.publish_events.Disabled': empty(eventGridUrl) ? 'true' : 'false'
}

// Where the service keeps and sends what: the same names as in shared/settings.py.
var places = {
  DICOM_BLOB_URL: blobUrl
  DICOM_TABLE_URL: tableUrl
  DICOM_IDENTITY_CLIENT_ID: identityClientId
  DICOM_CONTAINER: container
  DICOM_SQL_URL: sqlUrl
  METRICS_TO: 'azure'
}

var service = {
  DATA_PARTITIONS: dataPartitions ? 'true' : 'false'
  PUBLIC_URL: publicUrl
  AUTH_ISSUERS: authIssuers
  AUTH_AUDIENCES: authAudiences
  EVENT_GRID_URL: eventGridUrl
  EVENT_WEBHOOK_URL: ''
  EVENT_TOPIC: ''
  EVENT_VERSION: 'v1'
  AUTH_CLOCK_SKEW_S: '60'
  ACCESS_POLICY: ''
  AUDIT_STRICT: 'false'
  CORS_ORIGINS: ''
  CORS_HEADERS: '*'
  CORS_METHODS: '*'
  CORS_MAX_AGE_S: '1440'
  CORS_CREDENTIALS: 'false'
  TRUSTED_PROXIES: ''
  MAX_URL_CHARACTERS: '8192'
  MAX_HEADER_FIELDS: '250'
  MAX_HEADER_BYTES: '65536'
  MAX_QUERY_PARAMETERS: '250'
  MAX_INCLUDE_FIELDS: '250'
  MAX_FRAMES: '2000'
  MAX_PARTS: '20000'
  DECODING_AT_ONCE: '2'
  DECODING_QUEUE: '32'
  ANSWER_WITHIN_S: '220'
  CALLER_REQUESTS_PER_S: '0'
  CALLER_BURST: '100'
  MAX_REQUEST_BYTES: '4294967296'
  MAX_INSTANCE_BYTES: '4294967296'
  MAX_COMPOSED_BYTES: '67108864'
  BATCH_BYTES: '8388608'
  BLOB_CONCURRENCY: '8'
  READ_AHEAD: '4'
  DELETE_AFTER_S: '259200'
  RESERVATION_EXPIRES_S: '86400'
}

@description('Every app setting by name.')
output values object = union(host, service, others, places)
