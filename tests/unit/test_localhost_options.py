"""What the terminal decides and the app settings that follow."""

from pathlib import Path

import pytest

from localhost.options import app_settings, read_local_values, read_options
from localhost.problems import SetupError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--storage", "cloud"], "STORAGE is 'cloud'; expected embedded or azurite"),
        (["--workers", "0"], "WORKERS is '0'"),
        (["--workers", "two"], "WORKERS is 'two'"),
        (["--workers", "-1"], "WORKERS is '-1'"),
        (["--port", "65536"], "PORT is '65536'; expected a whole number from 0 to 65535"),
        (["--port", "x"], "PORT is 'x'"),
        (["--nothing"], "--nothing"),
    ],
)
def test_refused(arguments: list[str], said: str) -> None:
    """A value that cannot be is named with what was expected."""
    with pytest.raises(SetupError, match=said):
        read_options(arguments, {})


def test_sources() -> None:
    """Arguments go before the environment, and that before the defaults; empty is as good as absent."""
    options = read_options(["--port", "1"], {"PORT": "2", "WORKERS": "3", "HOST": ""})

    assert (options.port, options.workers, options.host) == (1, 3, "127.0.0.1")


def test_data_is_absolute() -> None:
    """Workers run in the app's folder, so DATA must not depend on where they are."""
    assert read_options(["--data", "x y"], {}).data == Path.cwd() / "x y"


def test_embedded() -> None:
    """Embedded storage is a folder and a database in DATA; indexing at start is always on."""
    options = read_options(["--data", "/d"], {})

    settings = app_settings(options, {}, {})

    assert settings["DICOM_STORAGE_FOLDER"] == "/d/storage"
    assert settings["DICOM_SQL_URL"] == "sqlite:////d/index.db"
    assert settings["PYTHON_ENABLE_INIT_INDEXING"] == "1"
    assert "AzureWebJobsStorage" not in settings


def test_azurite() -> None:
    """With Azurite blobs, records and queues are its own, and the index stays a file."""
    settings = app_settings(read_options(["--data", "/d", "--storage", "azurite"], {}), {}, {}, "C=1")

    assert settings["DICOM_STORAGE_CONNECTION_STRING"] == settings["AzureWebJobsStorage"] == "C=1"
    assert settings["DICOM_SQL_URL"] == "sqlite:////d/index.db"
    assert "DICOM_STORAGE_FOLDER" not in settings


@pytest.mark.parametrize(
    ("environment", "local", "name", "value"),
    [
        ({"DICOM_SQL_URL": "e"}, {}, "DICOM_SQL_URL", "e"),
        ({"DICOM_STORAGE_FOLDER": "e"}, {}, "DICOM_STORAGE_FOLDER", "e"),
        ({"DICOM_BLOB_URL": "e"}, {}, "DICOM_STORAGE_FOLDER", None),
        ({}, {"DICOM_STORAGE_CONNECTION_STRING": "l"}, "DICOM_STORAGE_CONNECTION_STRING", None),
        ({}, {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, "AzureWebJobsStorage", None),
        ({"AzureWebJobsStorage": "e"}, {"AzureWebJobsStorage": "l"}, "AzureWebJobsStorage", "e"),
        ({}, {"DATA_PARTITIONS": "true"}, "DATA_PARTITIONS", "true"),
        ({"DATA_PARTITIONS": "false"}, {"DATA_PARTITIONS": "true"}, "DATA_PARTITIONS", "false"),
        ({"PYTHON_ENABLE_INIT_INDEXING": "0"}, {}, "PYTHON_ENABLE_INIT_INDEXING", "1"),
        ({}, {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "7"}, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "7"),
    ],
)
def test_precedence(environment: dict[str, str], local: dict[str, str], name: str, value: str | None) -> None:
    """The environment wins over STORAGE's places, and those over local.settings.json."""
    assert app_settings(read_options([], {}), environment, local).get(name) == value


def test_local_settings(tmp_path: Path) -> None:
    """Only `Values` of local.settings.json count, as text; no file is no values."""
    assert read_local_values(tmp_path) == {}

    (tmp_path / "local.settings.json").write_text('\ufeff{"IsEncrypted": false, "Values": {"A": 1}}')

    assert read_local_values(tmp_path) == {"A": "1"}


def test_local_settings_broken(tmp_path: Path) -> None:
    """A file that is not JSON is named."""
    (tmp_path / "local.settings.json").write_text("{")

    with pytest.raises(SetupError, match=r"local\.settings\.json"):
        read_local_values(tmp_path)
