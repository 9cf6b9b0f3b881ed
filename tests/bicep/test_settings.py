"""The app settings of the deployment fit `shared/settings.py` and the sample of the local settings."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from shared.settings import Settings, defaults, read_settings
from tests.bicep.rules import NEVER_SET
from tests.bicep.syntax import BicepFile, literal, pairs, read, text

_ROOT = Path(__file__).parents[2]
_TABLES = ("host", "service", "places")

_OF_HOST = ("AzureWebJobs", "FUNCTIONS_", "APPLICATIONINSIGHTS_", "PYTHON_")
"""How the settings begin that the Functions host and its worker read, and not the app."""

_LOCAL_ONLY = {
    "DICOM_STORAGE_FOLDER",
    "DICOM_STORAGE_CONNECTION_STRING",
    "LISTEN_ADDRESS",
    "ACCESS_WITHOUT_TOKENS",
}
"""What exists on a developer's machine only: in Azure storage is reached by identity, and the service by token."""

_PLACES = {
    "DICOM_BLOB_URL": "https://a.blob.example/",
    "DICOM_TABLE_URL": "https://a.table.example/",
    "DICOM_IDENTITY_CLIENT_ID": "00000000-0000-0000-0000-000000000000",
    "DICOM_CONTAINER": "dicom",
}
"""What Azure fills in, as it may look."""


def settings_file() -> BicepFile:
    return read(_ROOT / "bicep" / "app" / "settings.bicep")


def deployed() -> dict[str, str | None]:
    """Return every app setting of the deployment with its value, None where Azure fills it in."""
    found: dict[str, str | None] = {}
    for name in _TABLES:
        table = settings_file().of("var")[name].value
        assert table is not None
        found |= {key: literal(value) for key, (_, value) in pairs(table).items()}
    return found


def sample() -> dict[str, str]:
    values: dict[str, str] = json.loads((_ROOT / "local.settings.sample.json").read_text())["Values"]
    return values


def known() -> set[str]:
    return {one.name.upper() for one in fields(Settings)}


def test_known() -> None:
    """Nothing is set that neither the app nor its host knows."""
    assert {name for name in deployed() if not name.startswith(_OF_HOST)} <= known()


def test_complete() -> None:
    """Every setting of the app is set, but for storage on a developer's machine."""
    assert known() - deployed().keys() == _LOCAL_ONLY


def test_sample() -> None:
    """What the sample of local settings has, the deployment has, but for what is never set in Azure."""
    assert sample().keys() - deployed().keys() - _LOCAL_ONLY <= NEVER_SET


def test_host_values() -> None:
    """The host's own settings have the values of the sample."""
    shared = {name for name in sample() if name.startswith(_OF_HOST)} & deployed().keys()

    assert {name: deployed()[name] for name in shared} == {name: sample()[name] for name in shared}
    assert shared == {"PYTHON_ENABLE_INIT_INDEXING", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"}


def test_values() -> None:
    """What the deployment sets by itself is what the app takes when nothing is set, but for where metrics go."""
    written = {name: value for name, value in deployed().items() if value is not None and name in known()}
    assert written.pop("METRICS_TO") == "azure"
    base = {"DICOM_SQL_URL": "sqlite:///x", "DICOM_STORAGE_FOLDER": "x"}

    assert read_settings(base | written) == read_settings(base)
    assert written.keys() >= {name for name in defaults() if isinstance(defaults()[name], int)} - {"DATA_PARTITIONS"}


def test_places() -> None:
    """The app starts with what Azure fills in."""
    filled = {name: value or "" for name, value in deployed().items()}

    settings = read_settings(filled | _PLACES | {"DICOM_SQL_URL": "mssql+pyodbc://@server/dicom"})

    assert settings.dicom_blob_url


@pytest.mark.parametrize("part", ["credential", "clientId", "blobServiceUri", "queueServiceUri", "tableServiceUri"])
def test_host_storage(part: str) -> None:
    """The host reaches its storage by identity: kind of credential, which one, and where."""
    assert f"AzureWebJobsStorage__{part}" in deployed()


def test_telemetry() -> None:
    """Telemetry goes by identity too."""
    table = settings_file().of("var")["host"].value
    assert table is not None

    assert text(pairs(table)["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"][1]).endswith(";Authorization=AAD'")


def test_one_place() -> None:
    """Settings are written in one file, whose output is the union of its tables; the app adds nothing."""
    output = settings_file().of("output")["values"].value
    app = (_ROOT / "bicep" / "app" / "api.bicep").read_text()
    named = [path.name for path in (_ROOT / "bicep").rglob("*.bicep") if "FUNCTIONS_" in path.read_text()]

    assert output is not None
    assert text(output) == "union(host, service, others, places)"
    assert app.count("appSettings: [") == 1
    assert "for setting in items(settings)" in app
    assert named == ["settings.bicep"]


def test_environment() -> None:
    """Settings that one environment changes are known ones, and none that the deployment must decide."""
    parameters = json.loads((_ROOT / "bicep" / "main.parameters.json").read_text())["parameters"]

    assert parameters["appSettings"]["value"].keys() <= known() - _PLACES.keys() - _LOCAL_ONLY - {"DICOM_SQL_URL"}


def test_sql_url() -> None:
    """The URL of the index names driver, server and database, asks for encryption, and holds no name or secret."""
    value = read(_ROOT / "bicep" / "app" / "sql.bicep").of("output")["DICOM_SQL_URL"].value
    assert value is not None
    url = text(value).strip("'")

    assert url.startswith("mssql+pyodbc://@${server.properties.fullyQualifiedDomainName}:1433/${index.name}?")
    assert url.partition("?")[2].split("&") == [
        "driver=ODBC+Driver+18+for+SQL+Server",
        "Encrypt=yes",
        "TrustServerCertificate=no",
    ]
