"""The app settings (`shared/settings.py`) and the sample of them."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from shared.settings import (
    WITHOUT_TOKENS,
    InvalidSetting,
    Settings,
    defaults,
    read_settings,
    require_access,
    words,
)

_SAMPLE = Path(__file__).parents[2] / "local.settings.sample.json"
_HOST = {
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "PYTHON_ENABLE_INIT_INDEXING": "1",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "4362076160",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
}
"""What the Functions host itself reads of the sample (functions-host.md)."""

_LEAST = {"DICOM_SQL_URL": "sqlite:///index.db", "DICOM_STORAGE_FOLDER": "data"}
_AZURE = {
    "DICOM_SQL_URL": "mssql+pyodbc://server/db",
    "DICOM_BLOB_URL": "https://a.blob.core.windows.net",
    "DICOM_TABLE_URL": "https://a.table.core.windows.net",
}


def test_defaults() -> None:
    """What is not set, or set to nothing, has its default."""
    settings = read_settings(_LEAST)

    assert settings == Settings(dicom_sql_url="sqlite:///index.db", dicom_storage_folder="data")
    assert settings == read_settings(_LEAST | {"MAX_REQUEST_BYTES": "", "DATA_PARTITIONS": " ", "PUBLIC_URL": ""})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DICOM_CONTAINER", " images ", "images"),
        ("DATA_PARTITIONS", "true", True),
        ("DATA_PARTITIONS", "False", False),
        ("MAX_REQUEST_BYTES", "1", 1),
        ("BATCH_BYTES", " 1048576 ", 1048576),
        ("DELETE_AFTER_S", "0", 0),
        ("RESERVATION_EXPIRES_S", "0", 0),
        ("PUBLIC_URL", "https://pacs.example/dicom", "https://pacs.example/dicom"),
    ],
)
def test_value(name: str, text: str, value: str | int) -> None:
    """A setting is read as the type of its field."""
    assert getattr(read_settings(_LEAST | {name: text}), name.lower()) == value


@pytest.mark.parametrize(
    "places",
    [_LEAST, _AZURE, {"DICOM_SQL_URL": "sqlite:///x", "DICOM_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}],
)
def test_storage(places: dict[str, str]) -> None:
    """Storage is a folder, a connection string, or a pair of URLs."""
    read_settings(places)


@pytest.mark.parametrize(
    "name",
    [
        "MAX_REQUEST_BYTES",
        "MAX_INSTANCE_BYTES",
        "BATCH_BYTES",
        "BLOB_CONCURRENCY",
        "READ_AHEAD",
        "DELETE_AFTER_S",
        "RESERVATION_EXPIRES_S",
    ],
)
@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "--1", "-", "²", "٣", "4 GB", "0x10", "1_000", "-1"])
def test_bad_number(name: str, text: str) -> None:
    """A number that cannot be stops the start, and the text names its setting."""
    with pytest.raises(InvalidSetting, match=name):
        read_settings(_LEAST | {name: text})


@pytest.mark.parametrize(
    "name", ["MAX_REQUEST_BYTES", "MAX_INSTANCE_BYTES", "BATCH_BYTES", "BLOB_CONCURRENCY", "READ_AHEAD"]
)
def test_zero(name: str) -> None:
    """What bounds work is at least 1."""
    with pytest.raises(InvalidSetting, match=name):
        read_settings(_LEAST | {name: "0"})


@pytest.mark.parametrize("text", ["1", "yes", "on", "tru"])
def test_bad_flag(text: str) -> None:
    """A flag is true or false and nothing that looks like it."""
    with pytest.raises(InvalidSetting, match="DATA_PARTITIONS"):
        read_settings(_LEAST | {"DATA_PARTITIONS": text})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"DICOM_SQL_URL": ""}, "DICOM_SQL_URL"),
        ({"DICOM_SQL_URL": "index.db"}, "DICOM_SQL_URL"),
        ({"DICOM_SQL_URL": "postgresql://u:secret@h/db"}, "DICOM_SQL_URL"),
        ({"PUBLIC_URL": "pacs.example"}, "PUBLIC_URL"),
        ({"EVENT_GRID_URL": "http://secret", "PUBLIC_URL": "https://a"}, "EVENT_GRID_URL"),
        ({"EVENT_WEBHOOK_URL": "secret", "PUBLIC_URL": "https://a"}, "EVENT_WEBHOOK_URL"),
        ({"EVENT_WEBHOOK_URL": "https://secret"}, "PUBLIC_URL"),
        ({"METRICS_TO": "secret"}, "METRICS_TO"),
        ({"EVENT_VERSION": "3"}, "EVENT_VERSION"),
        (
            {"EVENT_WEBHOOK_URL": "https://secret", "EVENT_GRID_URL": "https://b", "PUBLIC_URL": "https://a"},
            "one of EVENT_GRID_URL and EVENT_WEBHOOK_URL",
        ),
        ({"DICOM_STORAGE_FOLDER": ""}, "exactly one of DICOM_STORAGE_FOLDER"),
        ({"DICOM_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}, "exactly one of DICOM_STORAGE_FOLDER"),
        (_AZURE, "exactly one of DICOM_STORAGE_FOLDER"),
        ({"DICOM_TABLE_URL": "https://a"}, "DICOM_TABLE_URL"),
        (_AZURE | {"DICOM_STORAGE_FOLDER": "", "DICOM_TABLE_URL": ""}, "DICOM_TABLE_URL"),
        (_AZURE | {"DICOM_STORAGE_FOLDER": "", "DICOM_BLOB_URL": "http://secret"}, "DICOM_BLOB_URL"),
        (_AZURE | {"DICOM_STORAGE_FOLDER": "", "DICOM_TABLE_URL": "secret"}, "DICOM_TABLE_URL"),
        ({"AUTH_ISSUERS": "https://issuer.example"}, "AUTH_AUDIENCES"),
        ({"AUTH_ISSUERS": "http://secret.example", "AUTH_AUDIENCES": "x"}, "AUTH_ISSUERS"),
        ({"AUTH_ISSUERS": "issuer.secret", "AUTH_AUDIENCES": "x"}, "AUTH_ISSUERS"),
        ({"AUTH_ISSUERS": "https://u:secret@i.example", "AUTH_AUDIENCES": "x"}, "AUTH_ISSUERS"),
        ({"AUTH_ISSUERS": "https://login.microsoftonline.com/common/v2.0", "AUTH_AUDIENCES": "x"}, "name a tenant"),
        ({"ACCESS_POLICY": '{"secret": 1}'}, "ACCESS_POLICY is not a JSON array"),
        ({"ACCESS_POLICY": "secret"}, "ACCESS_POLICY is not JSON"),
        ({"ACCESS_WITHOUT_TOKENS": "true"}, "ACCESS_WITHOUT_TOKENS"),
        ({"ACCESS_WITHOUT_TOKENS": WITHOUT_TOKENS.upper()}, "ACCESS_WITHOUT_TOKENS"),
        (
            {"ACCESS_WITHOUT_TOKENS": WITHOUT_TOKENS, "AUTH_ISSUERS": "https://i", "AUTH_AUDIENCES": "x"},
            "either AUTH_ISSUERS or ACCESS_WITHOUT_TOKENS",
        ),
        ({"TRUSTED_PROXIES": "10.0.0.1 secret"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES"),
        ({"CORS_ORIGINS": "*", "CORS_CREDENTIALS": "true"}, "CORS_ORIGINS"),
        ({"AUDIT_STRICT": "true"}, "AUDIT_STRICT"),
    ],
)
def test_what_cannot_work(changes: dict[str, str], named: str) -> None:
    """Settings that cannot work, alone or together, stop the start; the text names them and holds no value."""
    with pytest.raises(InvalidSetting, match=named) as refused:
        read_settings(_LEAST | changes)

    assert "secret" not in str(refused.value)


_ISSUER = {"AUTH_ISSUERS": "https://i.example/v2.0", "AUTH_AUDIENCES": "a"}


@pytest.mark.parametrize(
    ("changes", "is_meant"),
    [
        ({}, False),
        (_ISSUER, True),
        ({"ACCESS_WITHOUT_TOKENS": WITHOUT_TOKENS}, True),
        ({"LISTEN_ADDRESS": "127.0.0.1"}, True),
        ({"LISTEN_ADDRESS": "127.1.2.3"}, True),
        ({"LISTEN_ADDRESS": "::1"}, True),
        ({"LISTEN_ADDRESS": "localhost"}, True),
        ({"LISTEN_ADDRESS": "0.0.0.0"}, False),  # noqa: S104 - it is refused
        ({"LISTEN_ADDRESS": "::"}, False),
        ({"LISTEN_ADDRESS": "10.0.0.1"}, False),
        ({"LISTEN_ADDRESS": "localhost.example"}, False),
        ({"LISTEN_ADDRESS": "127.0.0.1", "WEBSITE_INSTANCE_ID": "azure"}, False),
    ],
    ids=str,
)
def test_access(changes: dict[str, str], is_meant: bool) -> None:
    """Without tokens the service is for loopback, never in Azure, unless a sentence says otherwise."""
    settings = read_settings(_LEAST | changes)

    if is_meant:
        require_access(settings)
        return
    with pytest.raises(InvalidSetting, match="AUTH_ISSUERS"):
        require_access(settings)


def test_words() -> None:
    """Lists have blanks, commas or both between their words."""
    assert words(" a, b c,d ") == ["a", "b", "c", "d"]


def test_every_setting_says_what_it_means() -> None:
    """Each setting has its meaning, and with it its unit, beside it."""
    assert all(one.metadata["meaning"] for one in fields(Settings))


def _sample() -> dict[str, str]:
    document = json.loads(_SAMPLE.read_text("utf-8"))
    assert document["IsEncrypted"] is False
    values: dict[str, str] = document["Values"]
    return values


def test_sample_has_every_setting() -> None:
    """The sample has every setting, what the host needs, and nothing else."""
    assert set(_sample()) == set(defaults()) | set(_HOST)


def test_sample_works() -> None:
    """The sample is Azurite and SQLite, and everything else as it is by default."""
    expected = Settings(
        dicom_storage_connection_string="UseDevelopmentStorage=true", dicom_sql_url="sqlite:///.data/index.db"
    )

    assert read_settings(_sample()) == expected
    assert {name: value for name, value in _sample().items() if name in _HOST} == _HOST


def test_sample_shows_defaults() -> None:
    """A setting that the sample does not decide shows its default."""
    decided = {"DICOM_STORAGE_CONNECTION_STRING", "DICOM_SQL_URL"}
    expected = {name: str(value).lower() for name, value in defaults().items() if name not in decided}

    assert {name: _sample()[name] for name in expected} == expected


def test_host_takes_every_store_request() -> None:
    """The host's own limit is not below ours: it would answer 500 before the app sees the request."""
    assert int(_sample()["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"]) > read_settings(_sample()).max_request_bytes
