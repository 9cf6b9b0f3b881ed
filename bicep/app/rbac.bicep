// Every role that this deployment gives. Each is given on a single resource, never on the resource group.

@description('Conditional. Object id of the identity of the app. Needed for its roles.')
param appPrincipalId string = ''

@description('Conditional. Name of the account of DICOM data. Needed for the roles of the app.')
param dataStorageName string = ''

@description('Conditional. Name of the account of the Functions host. Needed for the roles of the app.')
param hostStorageName string = ''

@description('Conditional. Name of the event topic. Needed for the roles of the app.')
param topicName string = ''

@description('Conditional. Name of the Application Insights component. Needed for the roles of the app.')
param insightsName string = ''

@description('Optional. Object id of who may read and write DICOM data beside the app.')
param personId string = ''

@description('Optional. Kind of that principal.')
param personType string = 'User'

@description('Conditional. Name of the key vault. Needed for keys of our own.')
param vaultName string = ''

@description('Conditional. Object id of the identity that uses the keys. Needed for keys of our own.')
param encryptionPrincipalId string = ''

// The names are those of Azure; a test compares each with its GUID.
var roles = {
  'Storage Blob Data Owner': 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'Storage Blob Data Contributor': 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  'Storage Queue Data Contributor': '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  'Monitoring Metrics Publisher': '3913510d-42f4-4e42-8a64-420c390055eb'
  'EventGrid Data Sender': 'd5a91429-5739-47e2-a06b-3470a27159e7'
  'Key Vault Crypto Service Encryption User': 'e147488a-f6f5-4113-8e2d-b22465e65bf6'
}

// What the host keeps: package, keys and locks are blobs, operations and their poison are queues, diagnostics a table.
var hostRoles = [
  'Storage Blob Data Owner'
  'Storage Queue Data Contributor'
  'Storage Table Data Contributor'
]

var dataRoles = [
  'Storage Blob Data Contributor'
  'Storage Table Data Contributor'
]

// Azure reads the scope of a role even where its condition is false, and a scope without a name is an error.
var absent = 'absent'

resource host 'Microsoft.Storage/storageAccounts@2025-01-01' existing = if (!empty(hostStorageName)) {
  name: empty(hostStorageName) ? absent : hostStorageName
}

resource data 'Microsoft.Storage/storageAccounts@2025-01-01' existing = if (!empty(dataStorageName)) {
  name: empty(dataStorageName) ? absent : dataStorageName
}

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = if (!empty(topicName)) {
  name: empty(topicName) ? absent : topicName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = if (!empty(insightsName)) {
  name: empty(insightsName) ? absent : insightsName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = if (!empty(vaultName)) {
  name: empty(vaultName) ? absent : vaultName
}

resource appOnHost 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in hostRoles: if (!empty(hostStorageName)) {
    scope: host
    name: guid(host.id, appPrincipalId, roles[role])
    properties: {
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[role])
    }
  }
]

resource appOnData 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in dataRoles: if (!empty(dataStorageName)) {
    scope: data
    name: guid(data.id, appPrincipalId, roles[role])
    properties: {
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[role])
    }
  }
]

resource appOnTopic 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(topicName)) {
  scope: topic
  name: guid(topic.id, appPrincipalId, roles['EventGrid Data Sender'])
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['EventGrid Data Sender'])
  }
}

resource appOnInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(insightsName)) {
  scope: insights
  name: guid(insights.id, appPrincipalId, roles['Monitoring Metrics Publisher'])
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles['Monitoring Metrics Publisher']
    )
  }
}

resource personOnData 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in dataRoles: if (!empty(dataStorageName) && !empty(personId)) {
    scope: data
    name: guid(data.id, personId, roles[role])
    properties: {
      principalId: personId
      principalType: personType
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[role])
    }
  }
]

resource encryptionOnVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(vaultName)) {
  scope: vault
  name: guid(vault.id, encryptionPrincipalId, roles['Key Vault Crypto Service Encryption User'])
  properties: {
    principalId: encryptionPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles['Key Vault Crypto Service Encryption User']
    )
  }
}
