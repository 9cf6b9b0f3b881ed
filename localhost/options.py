"""What the person at the terminal decides, and the app settings that follow from it."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from localhost.problems import SetupError

STORAGES = ("embedded", "azurite")
BODY_LIMIT = (4 << 30) + (64 << 20)  # room for the app's own limit of 4 GiB to answer first

# Where data lies is what STORAGE decides: only the environment has a say in these beside it.
_PLACES = ("DICOM_STORAGE_FOLDER", "DICOM_STORAGE_CONNECTION_STRING", "DICOM_BLOB_URL")
_DECIDED = frozenset({*_PLACES, "DICOM_TABLE_URL", "DICOM_SQL_URL", "AzureWebJobsStorage"})


@dataclass(frozen=True, slots=True)
class Options:
    """Checked values of HOST, PORT, DATA, STORAGE and WORKERS, and the app's folder; both paths are absolute."""

    app: Path
    host: str
    port: int
    data: Path
    storage: str
    workers: int


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Return the options: arguments before environment before defaults; an empty value is none.

    Raises
    ------
    SetupError
        A value cannot be; the message names the option.
    """
    parser = _Parser(prog="python -m localhost", description="Run function_app on this machine.")
    parser.add_argument("--app", default=".", help="folder of function_app.py and host.json")
    for name, (default, meaning) in _OPTIONS.items():
        parser.add_argument(f"--{name}", default=environment.get(name.upper()) or default, help=meaning)
    given = parser.parse_args(arguments)
    if given.storage not in STORAGES:
        raise SetupError(f"STORAGE is {given.storage!r}; expected embedded or azurite")
    data = Path(os.path.abspath(given.data))  # noqa: PTH100 - resolve() would follow links that the user chose
    return Options(
        app=Path(given.app).resolve(),
        host=given.host,
        port=_number("PORT", given.port, lowest=0, highest=65535),
        data=data,
        storage=given.storage,
        workers=_number("WORKERS", given.workers, lowest=1, highest=256),
    )


def app_settings(
    options: Options,
    environment: Mapping[str, str],
    local_values: Mapping[str, str],
    connection: str | None = None,
) -> dict[str, str]:
    """Return the environment of the app: what is there, over what STORAGE decides, over local.settings.json.

    Parameters
    ----------
    connection
        Azurite's connection string when STORAGE is azurite.
    """
    defaults = {"DICOM_SQL_URL": f"sqlite:///{quote(str(options.data / 'index.db'))}"}
    if connection is not None:
        defaults |= {"AzureWebJobsStorage": connection}
    if not any(environment.get(place) for place in _PLACES):
        defaults |= (
            {"DICOM_STORAGE_FOLDER": str(options.data / "storage")}
            if connection is None
            else {"DICOM_STORAGE_CONNECTION_STRING": connection}
        )
    local = {name: value for name, value in local_values.items() if name not in _DECIDED}
    return {
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(BODY_LIMIT),
        **local,
        **defaults,
        **environment,
        "PYTHON_ENABLE_INIT_INDEXING": "1",
        "LISTEN_ADDRESS": options.host,  # what is true, not what someone says
    }


def read_local_values(app: Path) -> dict[str, str]:
    """Return the `Values` of local.settings.json, if there is one."""
    values = read_json(app / "local.settings.json").get("Values", {})
    if not isinstance(values, dict):
        raise SetupError("local.settings.json has Values that are not an object")
    return {str(name): str(value) for name, value in values.items()}


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one when there is no such file."""
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SetupError(f"{file.name} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise SetupError(f"{file.name} holds {type(content).__name__}; expected a JSON object")
    return content


def _number(name: str, text: str, *, lowest: int, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise SetupError(f"{name} is {text!r}; expected a whole number from {lowest} to {highest}")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        raise SetupError(f"{message}; --help lists the options")


_OPTIONS = {
    "host": ("127.0.0.1", "address to listen on"),
    "port": ("7071", "port to listen on; 0 takes any free one"),
    "data": (".data", "folder that keeps everything"),
    "storage": ("embedded", "embedded (this folder and SQLite) or azurite"),
    "workers": ("1", "processes that answer requests"),
}
