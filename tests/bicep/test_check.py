"""The deployment has no fault that the checker sees, and the checker sees faults."""

import shutil
from pathlib import Path

import pytest

from tests.bicep.check import check

_ROOT = Path(__file__).parents[2]

_OF_TYPES = {"property", "value", "required", "type"}
"""Rules that need Azure's resource types."""


def broken(folder: Path, name: str, before: str, after: str) -> Path:
    """Copy the deployment to *folder* with the first *before* in one file made *after*."""
    copy = folder / "bicep"
    shutil.copytree(_ROOT / "bicep", copy)
    source = (copy / name).read_text()
    assert before in source, f"{name} has no {before!r} any more; adapt the test"
    (copy / name).write_text(source.replace(before, after, 1))
    return copy


def needs(types: Path | None) -> Path:
    if types is None:
        pytest.skip("Azure's resource types are not there: ../shared/data/bicep-resource-types.json")
    return types


def test_deployment() -> None:
    """The Bicep files and their parameters have no fault that is seen without Azure's resource types."""
    assert [str(one) for one in check(_ROOT / "bicep")] == []


def test_resources(types: Path | None) -> None:
    """What the Bicep files say of each resource is what its type takes."""
    types = needs(types)

    assert [str(one) for one in check(_ROOT / "bicep", types)] == []


@pytest.mark.parametrize(
    ("name", "before", "after", "rule", "said"),
    [
        pytest.param("app/sql.bicep", "  }\n}\n", "  }\n", "syntax", "cannot be read", id="brace dropped"),
        pytest.param("app/api.bicep", "'FC1'", "'FC1", "syntax", "cannot be read", id="string open"),
        pytest.param("main.bicep", "var tags = {", "var tags {", "syntax", "cannot be read", id="equals sign dropped"),
        pytest.param("main.bicep", "targetScope", "import * as x from 'y.bicep'\ntargetScope", "syntax", "import",
                     id="statement not followed"),
        pytest.param("app/api.bicep", "instanceMemoryMB: i", "instanceMemoryMb: i", "property", "'instanceMemoryMB'",
                     id="property in wrong case"),
        pytest.param("app/api.bicep", "httpsOnly", "httpOnly", "property", "'httpOnly' is unknown", id="misspelt"),
        pytest.param("app/api.bicep", "instanceCount:", "count:", "property", "'count'", id="in array in condition"),
        pytest.param("app/storage.bicep", "allowSharedKeyAccess", "allowSharedKeys", "property", "'allowSharedKeys'",
                     id="in variable in union"),
        pytest.param("app/storage.bicep", "keyType: 'Account' }", "keytype: 'Account' }", "property", "'keytype'",
                     id="in variable in object"),
        pytest.param("app/storage.bicep", "tierToCool: {", "tierToCoool: {", "property", "'tierToCoool'",
                     id="in ternary in union in variables"),
        pytest.param("app/sql.bicep", "family: 'Gen5', capacity", "famly: 'Gen5', capacity", "property", "'famly'",
                     id="in table"),
        pytest.param("app/network.bicep", "addressPrefixes: [", "addressPrefixs: [", "property", "'addressPrefixs'",
                     id="deep"),
        pytest.param("app/endpoints.bicep", "groupIds: [", "groupIDs: [", "property", "'groupIds' is meant", id="loop"),
        pytest.param("app/storage.bicep", "publicAccess: 'None'", "publicaccess: 'None'", "property", "containers",
                     id="nested resource"),
        pytest.param("app/keys.bicep", "enableSoftDelete: true", "createdBy: 'me'", "property", "'createdBy'",
                     id="made up"),
        pytest.param("app/api.bicep", "httpsOnly: true", "httpsOnly: true\n    state: 'Running'", "property",
                     "read only", id="read only"),
        pytest.param("app/storage.bicep", "'TLS1_2'", "'TLS1_9'", "value", "TLS1_9", id="value"),
        pytest.param("app/storage.bicep", "kind: 'StorageV2'", "kind: 'StorageV3'", "value", "StorageV3", id="kind"),
        pytest.param("app/storage.bicep", "'Microsoft.Keyvault'", "'Microsoft.KeyVaults'", "value", "KeyVaults",
                     id="value in ternary"),
        pytest.param("app/api.bicep", "type: 'UserAssignedIdentity'", "type: 'UserIdentity'", "value", "UserIdentity",
                     id="authentication"),
        pytest.param("app/rbac.bicep", "principalType: 'ServicePrincipal'", "principalType: 'Service'", "value",
                     "'Service'", id="principal"),
        pytest.param("app/sql.bicep", "  'Application'\n", "  'App'\n", "value", "'App'", id="allowed value"),
        pytest.param("app/keys.bicep", "type: 'rotate'", "type: 'renew'", "value", "'renew'", id="type of our own"),
        pytest.param("app/storage.bicep", "defaultAction: publicAccess ? 'Allow' : 'Deny'\n", "", "required",
                     "'defaultAction'", id="required"),
        pytest.param("app/monitoring.bicep", "    Application_Type: 'web'\n", "", "required", "'Application_Type'",
                     id="required of component"),
        pytest.param("app/sql.bicep", "  location: location\n", "", "required", "'location'", id="no location"),
        pytest.param("app/api.bicep", "httpsOnly: true", "httpsOnly: 'true'", "type", "string where bool", id="bool"),
        pytest.param("app/sql.bicep", "autoPauseDelay: autoPauseMinutes", "autoPauseDelay: minVCores", "type",
                     "string where int", id="type of parameter"),
        pytest.param("app/events.bicep", "topics@2025-02-15", "topics@2025-02-16", "type", "not a known", id="version"),
        pytest.param("app/events.bicep", "EventGrid/topics", "EventGrid/topic", "type", "not a known", id="type"),
        pytest.param("app/events.bicep", "workspaceId: workspaceId", "workspaceId: workspace", "undefined",
                     "'workspace'", id="symbol"),
        pytest.param("app/network.bicep", "parent: zones[index]", "parent: zones[position]", "undefined", "'position'",
                     id="loop variable"),
        pytest.param("app/api.bicep", "trim(network)", "trim(net)", "undefined", "'net'", id="lambda parameter"),
        pytest.param("main.bicep", "uniqueString(", "uniqString(", "undefined", "uniqString", id="function"),
        pytest.param("main.bicep", "@minLength", "@minLen", "undefined", "'minLen'", id="decorator"),
        pytest.param("app/storage.bicep", "host::blobs::packages.name", "host::blobs::package.name", "undefined",
                     "package", id="nested symbol"),
        pytest.param("app/rbac.bicep", "  'Storage Queue Data Contributor'\n", "  'Storage Queues'\n", "undefined",
                     "no 'Storage Queues'", id="entry of table by loop"),
        pytest.param("app/rbac.bicep", "roles['EventGrid Data Sender']", "roles['EventGrid Sender']", "undefined",
                     "EventGrid Sender", id="entry of table"),
        pytest.param("app/events.bicep", "topic.properties.endpoint", "topic.properties.endPoint", "property",
                     "'endPoint'", id="property of resource"),
        pytest.param("main.bicep", "monitoring.outputs.workspaceId", "monitoring.outputs.workspace", "undefined",
                     "no output 'workspace'", id="output"),
        pytest.param("main.bicep", "network!.outputs.appSubnetId", "network!.outputs.subnetId", "undefined",
                     "no output 'subnetId'", id="output of conditional module"),
        pytest.param("main.bicep", "api.outputs.url", "api.url", "undefined", "only outputs", id="not an output"),
        pytest.param("main.bicep", "output SERVICE_API_NAME", "output SERVICE_API_URL", "undefined", "twice",
                     id="output twice"),
        pytest.param("main.bicep", "    others: appSettings\n", "", "module", "needs parameter 'others'",
                     id="argument missing"),
        pytest.param("main.bicep", "    others: appSettings\n", "    rest: {}\n    others: appSettings\n", "module",
                     "no parameter 'rest'", id="argument unknown"),
        pytest.param("main.bicep", "    maximumInstanceCount: maximumInstanceCount\n",
                     "    maximumInstanceCount: publicUrl\n", "module", "string where int", id="argument's type"),
        pytest.param("main.bicep", "'app/events.bicep'", "'app/event.bicep'", "module", "app/event.bicep", id="file"),
        pytest.param("main.bicep", "  dependsOn: [\n    roles\n", "  dependson: [\n    roles\n", "module", "dependson",
                     id="key of module"),
        pytest.param("app/events.bicep", "param name", "@description('Optional. X.')\nparam spare string = ''\n\n"
                     "@description('Required. N.')\nparam name", "unused", "'spare'", id="parameter unused"),
        pytest.param("app/network.bicep", "var zoneNames", "var spare = 1\nvar zoneNames", "unused", "'spare'",
                     id="variable unused"),
        pytest.param("app/events.bicep", "@description('Required. Tags of the resources.')\n", "", "description",
                     "'tags'", id="undescribed"),
        pytest.param("app/events.bicep", "'Required. Tags", "'Tags", "description", "begins with none", id="word"),
        pytest.param("main.bicep", "'Optional. Kind", "'Required. Kind", "description", "a default", id="wrong word"),
        pytest.param("main.bicep", "= 'serverless'", "= 'server'", "default", "'server' is not allowed", id="default"),
        pytest.param("main.bicep", "maximumInstanceCount int = 40", "maximumInstanceCount int = 39", "default",
                     "minValue", id="below the least"),
        pytest.param("main.bicep", "vnetEnabled bool = false", "vnetEnabled bool = 'no'", "default",
                     "string where bool", id="type of default"),
        pytest.param("app/rbac.bicep", "'EventGrid Data Sender': 'd5a91429-5739-47e2-a06b-3470a27159e7'",
                     "'EventGrid Data Sender': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'", "role",
                     "is 'Storage Table Data Contributor'", id="role of another name"),
        pytest.param("app/rbac.bicep", "b7e6dc6d-", "b7e6dc6e-", "role", "no role", id="role mistyped"),
        pytest.param("app/rbac.bicep", "  scope: topic\n", "", "role", "no scope", id="role on group"),
        pytest.param("app/rbac.bicep", "guid(vault.id, encryptionPrincipalId, roles[", "string(roles[", "role",
                     "guid(", id="role without lasting name"),
        pytest.param("app/settings.bicep", "PUBLIC_URL: publicUrl",
                     "PUBLIC_URL: 'x;AccountKey=abc'\n  X: publicUrl", "secret", "key or password", id="key in text"),
        pytest.param("app/storage.bicep", "string = host.properties.primaryEndpoints.blob",
                     "string = host.listKeys().keys[0].value", "secret", "listKeys", id="key read"),
        pytest.param("app/sql.bicep", "    version: '12.0'\n",
                     "    version: '12.0'\n    administratorLogin: 'sa'\n", "secret", "administratorLogin", id="login"),
        pytest.param("main.bicep", "param publicUrl string = ''", "@secure()\nparam publicUrl string = ''", "secret",
                     "'publicUrl'", id="secure parameter"),
        pytest.param("main.bicep", "output DICOM_CONTAINER", "output ADMIN_PASSWORD", "secret", "ADMIN_PASSWORD",
                     id="secret output"),
        pytest.param("app/settings.bicep", "  FUNCTIONS_REQUEST_BODY",
                     "  FUNCTIONS_WORKER_RUNTIME: 'python'\n  FUNCTIONS_REQUEST_BODY", "setting",
                     "FUNCTIONS_WORKER_RUNTIME", id="setting of other plans"),
        pytest.param("app/network.bicep", "blob.${environment().suffixes.storage}", "blob.core.windows.net", "cloud",
                     "environment()", id="name of one cloud"),
        pytest.param("app/events.bicep", "location: location", "location: 'westeurope'", "location", "parameter",
                     id="fixed location"),
        pytest.param("main.parameters.json", '"vnetEnabled"', '"vnetenabled"', "parameters", "'vnetEnabled'",
                     id="parameter renamed"),
        pytest.param("main.parameters.json", "ENABLED=false", "ENABLED=true", "parameters", "default 'true'",
                     id="two defaults"),
        pytest.param("main.parameters.json", '"value": {}', '"value": []', "parameters", "object is expected",
                     id="parameter's type"),
    ],
)  # fmt: skip
def test_broken(types: Path | None, tmp_path: Path, name: str, before: str, after: str, rule: str, said: str) -> None:
    """Each fault is found, by its rule, in its file."""
    if rule in _OF_TYPES:
        types = needs(types)
    copy = broken(tmp_path, name, before, after)

    found = check(copy, types)

    assert [one for one in found if one.rule == rule and said in one.text and one.path.name == Path(name).name], [
        str(one) for one in found
    ]


def test_line(tmp_path: Path) -> None:
    """A finding names the line that it stands on."""
    copy = broken(tmp_path, "app/api.bicep", "serverFarmId: plan.id", "serverFarmId: plans.id")
    lines = (copy / "app/api.bicep").read_text().splitlines()

    found = check(copy)

    assert [lines[one.line - 1].strip() for one in found] == ["serverFarmId: plans.id"]


def test_file_left(tmp_path: Path) -> None:
    """A file that no module names is found."""
    copy = broken(tmp_path, "main.bicep", "x", "x")
    shutil.copy(copy / "app/keys.bicep", copy / "app/old.bicep")

    assert [(one.path.name, one.rule) for one in check(copy)] == [("old.bicep", "module")]


def test_role_elsewhere(tmp_path: Path) -> None:
    """Roles are given in one file only."""
    copy = broken(tmp_path, "main.bicep", "app/rbac.bicep", "app/more.bicep")
    shutil.copy(copy / "app/rbac.bicep", copy / "app/more.bicep")

    assert {(one.path.name, one.rule) for one in check(copy)} == {("more.bicep", "role")}
