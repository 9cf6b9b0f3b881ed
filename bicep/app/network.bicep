@description('Required. Token that makes names unique.')
param name string

@description('Required. Region of the resources.')
param location string

@description('Required. Tags of the resources.')
param tags object

@description('Required. Address space; each subnet takes half.')
param addressPrefix string

@description('Required. Whether a zone for the key vault is needed.')
param customerManagedKeys bool

var subnetPrefixLength = int(last(split(addressPrefix, '/'))) + 1

var zoneNames = union(
  {
    blob: 'privatelink.blob.${environment().suffixes.storage}'
    queue: 'privatelink.queue.${environment().suffixes.storage}'
    table: 'privatelink.table.${environment().suffixes.storage}'
    sqlServer: 'privatelink${environment().suffixes.sqlServerHostname}' // the suffix begins with a dot
    topic: 'privatelink.eventgrid.azure.net'
    sites: 'privatelink.azurewebsites.net'
  },
  customerManagedKeys ? { vault: 'privatelink.vaultcore.azure.net' } : {}
)

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    // Here and not as resources of their own: a second deployment would take those for removed.
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, subnetPrefixLength, 0)
          delegations: [
            {
              name: 'functions'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, subnetPrefixLength, 1)
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }

  resource app 'subnets' existing = {
    name: 'app'
  }

  resource endpoints 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in items(zoneNames): {
    name: zone.value
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, index) in items(zoneNames): {
    parent: zones[index]
    name: 'link-${name}-${zone.key}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: network.id
      }
    }
  }
]

@description('Resource id of the subnet that the app reaches the network through.')
output appSubnetId string = network::app.id

@description('Resource id of the subnet of the private endpoints.')
output endpointSubnetId string = network::endpoints.id

@description('Resource ids of the private DNS zones by group.')
output zoneIds object = toObject(
  items(zoneNames),
  zone => zone.key,
  zone => resourceId('Microsoft.Network/privateDnsZones', zone.value)
)
