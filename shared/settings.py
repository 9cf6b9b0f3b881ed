"""The app settings: each field is one environment variable of the same name in capitals, read and checked once."""

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from shared.grants import InvalidPolicy, read_policy

WITHOUT_TOKENS = "whoever reaches this service may read and delete everything"
"""What ACCESS_WITHOUT_TOKENS must say: nobody writes that by accident."""

_IN_AZURE = "WEBSITE_INSTANCE_ID"
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
    "event_grid_url": ("https://",),
    "event_webhook_url": ("https://", "http://"),
}
"""How the URLs among the settings begin."""

_ABOVE_ZERO = (
    "max_request_bytes",
    "max_instance_bytes",
    "max_composed_bytes",
    "batch_bytes",
    "blob_concurrency",
    "read_ahead",
    "max_url_characters",
    "max_header_fields",
    "max_header_bytes",
    "max_query_parameters",
    "max_include_fields",
    "max_frames",
    "max_parts",
    "decoding_at_once",
    "answer_within_s",
    "caller_burst",
)

_NOT_BELOW_ZERO = (
    "delete_after_s",
    "reservation_expires_s",
    "auth_clock_skew_s",
    "cors_max_age_s",
    "decoding_queue",
    "caller_requests_per_s",
)


_EVENT_VERSIONS = ("v1", "v2")
_METRICS = ("", "console", "otlp", "azure")


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

    auth_issuers: str = _setting("", "Issuers of tokens, as in iss of their tokens, blanks between; the first is told.")
    auth_audiences: str = _setting("", "Audiences that tokens must be for, one of them, blanks between.")
    auth_clock_skew_s: int = _setting(60, "By how many seconds an issuer's clock may differ.")
    access_policy: str = _setting("", "Grants as JSON (docs/security.md); empty: the roles of the reference.")
    access_without_tokens: str = _setting("", "Without AUTH_ISSUERS: the sentence that opens the service to everyone.")
    listen_address: str = _setting("", "The local host says here where it listens: on loopback tokens may be left out.")
    audit_strict: bool = _setting(False, "Whether a read fails (503) when its audit record cannot be kept.")

    cors_origins: str = _setting("", "Origins whose pages may call, blanks between, or *; empty: none.")
    cors_headers: str = _setting("*", "Header fields that they may send, blanks between; *: all.")
    cors_methods: str = _setting("*", "Methods that they may use, blanks between; *: all of this service.")
    cors_max_age_s: int = _setting(1440, "Seconds for which browsers remember the answer to a preflight.")
    cors_credentials: bool = _setting(False, "Whether browsers may send credentials; not with the origin *.")
    trusted_proxies: str = _setting(
        "", "Addresses or networks of proxies whose X-Forwarded fields count, blanks between."
    )

    max_url_characters: int = _setting(8192, "Longest path and query, in characters; above it 414.")
    max_header_fields: int = _setting(250, "Most fields of a request's header; above it 431.")
    max_header_bytes: int = _setting(64 * 2**10, "Longest header of a request, in bytes; above it 431.")
    max_query_parameters: int = _setting(250, "Most parameters of a query; above it 400.")
    max_include_fields: int = _setting(250, "Most attributes in includefield of a search; above it 400.")
    max_frames: int = _setting(2000, "Most frames in one request; above it 400.")
    max_parts: int = _setting(20_000, "Most parts, and most instances, of one Store request; above it 413.")
    decoding_at_once: int = _setting(2, "Requests of a process that decode, encode or render at a time.")
    decoding_queue: int = _setting(32, "Requests of a process that may wait for that; above it 503.")
    answer_within_s: int = _setting(
        220, "Seconds from the last byte of a request to the start of its answer; then 503."
    )
    caller_requests_per_s: int = _setting(
        0, "Requests of a caller to one process per second; above it 429; 0: any number."
    )
    caller_burst: int = _setting(100, "Requests that a caller may send at once, if that is limited.")

    delete_after_s: int = _setting(3 * 86400, "Seconds from a delete to the removal of the bytes.")
    reservation_expires_s: int = _setting(86400, "Seconds after which an unfinished Store counts as dead.")

    event_grid_url: str = _setting(
        "", "Azure: https URL of the Event Grid topic that gets events, by managed identity."
    )
    event_webhook_url: str = _setting("", "URL that events are posted to where there is no Event Grid.")
    event_topic: str = _setting("", "What events that are posted name as their topic.")
    event_version: str = _setting("v1", "Version of this API in the subjects of events: v1 or v2.")

    metrics_to: str = _setting(
        "", "Where metrics go: console, otlp (OTEL_EXPORTER_OTLP_ENDPOINT), azure; empty: nowhere."
    )

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
        _check_what_is_told(self)
        self._check_numbers()
        self._check_access()
        self._check_origins()

    def _check_numbers(self) -> None:
        for name in _ABOVE_ZERO:
            if getattr(self, name) < 1:
                raise InvalidSetting(f"{name.upper()} is {getattr(self, name)}; expected a number above 0.")
        for name in _NOT_BELOW_ZERO:
            if getattr(self, name) < 0:
                raise InvalidSetting(f"{name.upper()} is {getattr(self, name)}; expected a number, 0 or more.")

    def _check_access(self) -> None:
        if self.audit_strict and self.dicom_storage_folder:
            raise InvalidSetting("AUDIT_STRICT needs Table Storage, which DICOM_STORAGE_FOLDER is not.")
        self._check_issuers()
        if self.auth_issuers and not words(self.auth_audiences):
            raise InvalidSetting("AUTH_AUDIENCES is not set: tokens for other services would count.")
        try:
            read_policy(self.access_policy)
        except InvalidPolicy as error:
            raise InvalidSetting(f"ACCESS_POLICY {error}.") from error
        if self.access_without_tokens not in {"", WITHOUT_TOKENS}:
            raise InvalidSetting(f"ACCESS_WITHOUT_TOKENS says something else than: {WITHOUT_TOKENS}")
        if self.access_without_tokens and self.auth_issuers:
            raise InvalidSetting("Set either AUTH_ISSUERS or ACCESS_WITHOUT_TOKENS.")
        for network in words(self.trusted_proxies):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise InvalidSetting("TRUSTED_PROXIES must be addresses or networks, as 10.1.0.0/16.") from error

    def _check_issuers(self) -> None:
        for issuer in words(self.auth_issuers):
            if not _is_secure(issuer):
                raise InvalidSetting("AUTH_ISSUERS must be https URLs; http is for loopback.")
            if urlsplit(issuer).path.split("/")[1:2] in _OF_NO_TENANT:
                # Tokens name the tenant that issued them: none would ever match.
                raise InvalidSetting("AUTH_ISSUERS must name a tenant, not common, organizations or consumers.")

    def _check_origins(self) -> None:
        origins = words(self.cors_origins)
        if "*" in origins and (self.cors_credentials or len(origins) > 1):
            raise InvalidSetting(
                "CORS_ORIGINS is *: alone, and not with CORS_CREDENTIALS, which would open every page."
            )
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise InvalidSetting("CORS_ORIGINS must be origins, as https://viewer.example, without a path.")
        if not all(_TOKEN.fullmatch(word) for word in words(f"{self.cors_headers} {self.cors_methods}")):
            raise InvalidSetting("CORS_HEADERS and CORS_METHODS must be names, or *.")


_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_OF_NO_TENANT = (["common"], ["organizations"], ["consumers"])
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def words(text: str) -> list[str]:
    """Return the words of a setting that is a list, with blanks or commas between."""
    return text.replace(",", " ").split()


def require_access(settings: Settings) -> None:
    """Raise `InvalidSetting` where no tokens are asked for and nothing says that this is meant."""
    if not (settings.auth_issuers or settings.access_without_tokens or _is_loopback(settings.listen_address)):
        raise InvalidSetting(
            "AUTH_ISSUERS is not set: nobody could be told apart. On loopback the local host does without tokens; "
            f"elsewhere only where ACCESS_WITHOUT_TOKENS says: {WITHOUT_TOKENS}"
        )


def _is_loopback(address: str) -> bool:
    if address.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_secure(url: str) -> bool:
    """Whether nobody on the way can change what *url* answers."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return bool(host) and is_plain and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _check_what_is_told(settings: Settings) -> None:
    if settings.event_grid_url and settings.event_webhook_url:
        raise InvalidSetting("Set one of EVENT_GRID_URL and EVENT_WEBHOOK_URL, or neither.")
    if (settings.event_grid_url or settings.event_webhook_url) and not settings.public_url:
        raise InvalidSetting("EVENT_GRID_URL and EVENT_WEBHOOK_URL need PUBLIC_URL, whose host events name.")
    if settings.event_version not in _EVENT_VERSIONS:
        raise InvalidSetting(f"EVENT_VERSION is none of {', '.join(_EVENT_VERSIONS)}.")
    if settings.metrics_to not in _METRICS:
        raise InvalidSetting(f"METRICS_TO is none of {', '.join(_METRICS[1:])}, nor empty.")


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in *environment*; one that is absent or empty has its default.

    Raises
    ------
    InvalidSetting
        A value cannot be read as its type, or cannot work.
    """
    if _IN_AZURE in environment:
        # A worker there listens on loopback, too: nobody may take that for a service without neighbours.
        environment = {**environment, "LISTEN_ADDRESS": ""}
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
        require_access(read_settings())
    except InvalidSetting as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
