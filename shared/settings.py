"""The app settings: each field is one environment variable of the same name in capitals, read and checked once."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_type_hints

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


class InvalidSetting(Exception):
    """A setting has a value that cannot be; the text names it."""


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


_SCHEMES: Mapping[str, tuple[str, ...]] = {
    "dicom_sql_url": ("sqlite://", "mssql+pyodbc://"),
    "dicom_blob_url": ("https://",),
    "dicom_table_url": ("https://",),
    "public_url": ("https://", "http://"),
}
"""How the URLs among the settings begin."""

_ABOVE_ZERO = (
    "max_request_bytes",
    "max_instance_bytes",
    "max_composed_bytes",
    "batch_bytes",
    "blob_concurrency",
    "read_ahead",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a deployment decides."""

    dicom_storage_folder: str = _setting("", "Embedded storage: the folder that holds blobs and records.")
    dicom_storage_connection_string: str = _setting("", "Azurite: connection string of its blob and table service.")
    dicom_blob_url: str = _setting("", "Azure: https URL of the blob service, reached by managed identity.")
    dicom_table_url: str = _setting("", "Azure: https URL of the table service, reached by managed identity.")
    dicom_identity_client_id: str = _setting("", "Azure: client id of the user-assigned identity; empty: the only one.")
    dicom_container: str = _setting("dicom", "Blob container of DICOM data.")
    dicom_sql_url: str = _setting("", "SQLAlchemy URL of the index: sqlite:///path or mssql+pyodbc://…")

    data_partitions: bool = _setting(False, "Whether paths carry /partitions/{name}.")
    public_url: str = _setting("", "Base of the URLs in answers, without version; empty: as the request was addressed.")

    max_request_bytes: int = _setting(4 * 2**30, "Largest Store request, in bytes; above it 413.")
    max_instance_bytes: int = _setting(4 * 2**30, "Largest instance in a Store request, in bytes; above it 413.")
    max_composed_bytes: int = _setting(64 * 2**20, "Largest Store of metadata and bulk data, in bytes; above it 413.")
    batch_bytes: int = _setting(8 * 2**20, "Memory of one Store request for instances, in bytes; larger ones stream.")
    blob_concurrency: int = _setting(8, "Blobs of one request written side by side.")
    read_ahead: int = _setting(4, "Blobs of one answer opened ahead of the one being sent.")

    delete_after_s: int = _setting(3 * 86400, "Seconds from a delete to the removal of the bytes.")
    reservation_expires_s: int = _setting(86400, "Seconds after which an unfinished Store counts as dead.")

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting."""
        if not self.dicom_sql_url:
            raise InvalidSetting("DICOM_SQL_URL is not set: it names the database of the index.")
        places = (self.dicom_storage_folder, self.dicom_storage_connection_string, self.dicom_blob_url)
        if sum(bool(place) for place in places) != 1:
            raise InvalidSetting(
                "Set exactly one of DICOM_STORAGE_FOLDER, DICOM_STORAGE_CONNECTION_STRING and DICOM_BLOB_URL."
            )
        if bool(self.dicom_blob_url) != bool(self.dicom_table_url):
            raise InvalidSetting("DICOM_BLOB_URL and DICOM_TABLE_URL go together.")
        for name, schemes in _SCHEMES.items():
            if getattr(self, name) and not getattr(self, name).startswith(schemes):
                # Without the value: it may hold a password.
                raise InvalidSetting(f"{name.upper()} must begin with {' or '.join(schemes)}.")
        for name in _ABOVE_ZERO:
            if getattr(self, name) < 1:
                raise InvalidSetting(f"{name.upper()} is {getattr(self, name)}; expected a number above 0.")
        for name in ("delete_after_s", "reservation_expires_s"):
            if getattr(self, name) < 0:
                raise InvalidSetting(f"{name.upper()} is {getattr(self, name)}; expected seconds, 0 or more.")


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in *environment*; one that is absent or empty has its default.

    Raises
    ------
    InvalidSetting
        A value cannot be read as its type, or cannot work.
    """
    types = get_type_hints(Settings)
    given: dict[str, Any] = {
        one.name: _read(one.name.upper(), environment[one.name.upper()], types[one.name])
        for one in fields(Settings)
        if environment.get(one.name.upper(), "").strip()
    }
    return Settings(**given)


def _read(name: str, text: str, kind: type) -> str | int | bool:
    text = text.strip()
    if kind is bool:
        if text.lower() not in {"true", "false"}:
            raise InvalidSetting(f"{name} is {text!r}; expected true or false.")
        return text.lower() == "true"
    if kind is int:
        if not _WHOLE_NUMBER.fullmatch(text):
            raise InvalidSetting(f"{name} is {text!r}; expected a whole number.")
        return int(text)
    return text


def defaults() -> dict[str, Any]:
    """Return every setting's default by its name as an environment variable."""
    return {one.name.upper(): one.default for one in fields(Settings) if one.default is not MISSING}


def main() -> int:
    """Check the settings in the environment, as `python -m shared.settings`; return the exit code."""
    try:
        read_settings()
    except InvalidSetting as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
