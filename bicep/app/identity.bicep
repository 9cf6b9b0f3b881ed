@description('Required. Token that makes names unique.')
param name string

@description('Required. Region of the resources.')
param location string

@description('Required. Tags of the resources.')
param tags object

@description('Required. Whether an identity that uses keys for encryption is needed.')
param customerManagedKeys bool

resource app 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-${name}'
  location: location
  tags: tags
}

// Apart from the app's: who runs the app must not be able to use the keys.
resource encryption 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = if (customerManagedKeys) {
  name: 'id-${name}-encryption'
  location: location
  tags: tags
}

@description('Resource id of the identity of the app.')
output appIdentityId string = app.id

@description('Name of the identity of the app.')
output appIdentityName string = app.name

@description('Object id of the identity of the app: what roles are given to.')
output appPrincipalId string = app.properties.principalId

@description('Client id of the identity of the app: what it asks for tokens as.')
output DICOM_IDENTITY_CLIENT_ID string = app.properties.clientId

@description('Resource id of the identity that uses keys, or nothing.')
output encryptionIdentityId string = customerManagedKeys ? encryption.id : ''

@description('Object id of the identity that uses keys, or nothing.')
output encryptionPrincipalId string = customerManagedKeys ? encryption!.properties.principalId : ''
