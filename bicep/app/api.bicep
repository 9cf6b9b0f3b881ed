@description('Required. Token that makes names unique.')
param name string

@description('Required. Region of the resources.')
param location string

@description('Required. Tags of the resources.')
param tags object

@description('Required. App settings by name.')
param settings object

@description('Required. Resource id of the identity that the app runs as.')
param identityId string

@description('Required. URL of the container of the package that the app runs from.')
param packageContainerUrl string

@description('Required. Python that runs the app.')
param pythonVersion string

@description('Required. Memory of an instance in MB.')
param instanceMemoryMB int

@description('Required. HTTP requests that one instance works on at a time.')
param perInstanceConcurrency int

@description('Required. Instances that are kept ready for HTTP requests.')
param alwaysReadyInstances int

@description('Required. Most instances at a time.')
param maximumInstanceCount int

@description('Required. Networks that may send requests, with commas between; * for everyone.')
param allowedAddresses string

@description('Conditional. Resource id of the subnet that the app reaches a private network through. Needed for a private network.')
param subnetId string

var networks = filter(map(split(allowedAddresses, ','), network => trim(network)), network => !empty(network))
var isOpen = contains(networks, '*')

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${name}'
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
        triggers: {
          http: {
            perInstanceConcurrency: perInstanceConcurrency
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      appSettings: [
        for setting in items(settings): {
          name: setting.key
          value: string(setting.value)
        }
      ]
      // A private endpoint goes past these rules. Deployment has rules of its own: it asks for a login in any case.
      ipSecurityRestrictionsDefaultAction: isOpen ? 'Allow' : 'Deny'
      ipSecurityRestrictions: [
        for (network, index) in filter(networks, network => network != '*'): {
          name: 'allowed-${index}'
          action: 'Allow'
          priority: 100 + index
          ipAddress: network
        }
      ]
      scmIpSecurityRestrictionsUseMain: false
      scmIpSecurityRestrictionsDefaultAction: 'Allow'
    }
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: {
      allow: false
    }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: {
      allow: false
    }
  }
}

@description('Resource id of the app.')
output appId string = app.id

@description('Name of the app.')
output appName string = app.name

@description('Address of the app.')
output url string = 'https://${app.properties.defaultHostName}'
