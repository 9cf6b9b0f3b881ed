"""Make the app's user in the database and bring the schema up to date: ``python bicep/hooks/database.py``.

azd runs it after provisioning; by hand it needs the same environment variables, which are outputs of `main.bicep`.
It logs in as whoever is logged in to azd or az, who must be the administrator of the database. Where the server does
not admit this machine's address, a firewall rule does so while the work lasts.
"""

import os
import re
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

_ROOT = Path(__file__).parents[2]
_NAMES = (
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_RESOURCE_GROUP",
    "SQL_SERVER_NAME",
    "DICOM_SQL_URL",
    "APP_IDENTITY_NAME",
    "APP_IDENTITY_CLIENT_ID",
)
_OPEN = "SQL_OPEN_DURING_DEPLOYMENT"
_MANAGEMENT = "https://management.azure.com"
_API_VERSION = "2023-08-01"
_TOKEN_ATTRIBUTE = 1256
"""SQL_COPT_SS_ACCESS_TOKEN."""

_PAUSE_S = 10
_TRIES = 36
"""Six minutes: a firewall rule takes up to five to work, a paused database one to wake."""

_ADDRESS = re.compile(r"Client with IP address '([0-9A-Fa-f.:]+)'")
_CLOSED = re.compile(r"\(47073\)|public network interface on this server is not accessible", re.IGNORECASE)
_NO_ADMINISTRATOR = re.compile(r"\(18456\)|\(33134\)|Login failed", re.IGNORECASE)
_USER_NAME = re.compile(r"[A-Za-z0-9-]{3,128}")

NOT_ADMITTED = f"""The database server is reached by a private network only, and this machine is not in it. Either run
    azd hooks run postprovision
on a machine inside the network, or let the server admit this machine's address while the schema is migrated:
    azd env set {_OPEN} true
    azd hooks run postprovision"""


class Problem(Exception):
    """What keeps the work from being done, and what to do about it."""


class Refused(Exception):
    """The server refuses a connection; the text is its own."""


class Connection(Protocol):
    """What is needed of a connection of pyodbc."""

    def execute(self, statement: str, /) -> object:
        """Run one statement."""

    def close(self) -> None:
        """Give it back."""


@dataclass(frozen=True, slots=True)
class Target:
    """The database, the app's user in it, and whether a private server may be opened."""

    subscription: str
    group: str
    server: str
    url: str
    user: str
    client_id: str
    may_open: bool

    @property
    def resource(self) -> str:
        """Path of the server in the management API."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.Sql/servers/{self.server}"
        )


def read_target(environment: Mapping[str, str]) -> Target:
    """Return what the environment names.

    Raises
    ------
    Problem
        Something is missing, or cannot be a name.
    """
    missing = [name for name in _NAMES if not environment.get(name)]
    if missing:
        raise Problem(f"Not set: {', '.join(missing)}. These are outputs of bicep/main.bicep; azd sets them.")
    target = Target(
        subscription=environment["AZURE_SUBSCRIPTION_ID"],
        group=environment["AZURE_RESOURCE_GROUP"],
        server=environment["SQL_SERVER_NAME"],
        url=environment["DICOM_SQL_URL"],
        user=environment["APP_IDENTITY_NAME"],
        client_id=environment["APP_IDENTITY_CLIENT_ID"],
        may_open=environment.get(_OPEN, "").lower() == "true",
    )
    if not _USER_NAME.fullmatch(target.user):
        raise Problem(f"APP_IDENTITY_NAME is {target.user!r}; expected letters, digits and dashes.")
    try:
        uuid.UUID(target.client_id)
    except ValueError as error:
        raise Problem("APP_IDENTITY_CLIENT_ID is no GUID.") from error
    return target


def user_statements(name: str, client_id: str) -> Sequence[str]:
    """Return what makes the user *name* of a managed identity and lets it read and write rows, and no more.

    The identity's SID is its client id in the byte order of a GUID: with it the server looks nobody up, and needs no
    permission in the directory. A user of that name with another SID belonged to an identity that was replaced.
    """
    sid = f"0x{uuid.UUID(client_id).bytes_le.hex()}"
    return (
        f"IF EXISTS (SELECT 1 FROM sys.database_principals WHERE name = N'{name}' AND sid <> {sid})"  # noqa: S608 - both were checked
        f" DROP USER [{name}]",
        f"IF DATABASE_PRINCIPAL_ID(N'{name}') IS NULL CREATE USER [{name}] WITH SID = {sid}, TYPE = E",
        f"ALTER ROLE db_datareader ADD MEMBER [{name}]",
        f"ALTER ROLE db_datawriter ADD MEMBER [{name}]",
    )


class Management:
    """The management API of one server: the doors that may be opened for a while."""

    def __init__(self, address: str, token: Callable[[], str], resource: str) -> None:
        self._address = urlsplit(address)
        self._token = token
        self._resource = resource

    def admit(self, address: str) -> None:
        """Let one address in."""
        body = f'{{"properties": {{"startIpAddress": "{address}", "endIpAddress": "{address}"}}}}'
        self._send("PUT", f"/firewallRules/{_rule(address)}", body)

    def dismiss(self, address: str) -> None:
        """Let it in no more."""
        self._send("DELETE", f"/firewallRules/{_rule(address)}")

    def open(self) -> None:
        """Make the server listen outside its private network."""
        self._send("PATCH", "", '{"properties": {"publicNetworkAccess": "Enabled"}}')

    def shut(self) -> None:
        """Make it listen inside only."""
        self._send("PATCH", "", '{"properties": {"publicNetworkAccess": "Disabled"}}')

    def _send(self, method: str, path: str, body: str | None = None) -> None:
        kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
        connection = kind(self._address.netloc, timeout=60)
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            connection.request(method, f"{self._resource}{path}?api-version={_API_VERSION}", body, headers)
            status = connection.getresponse().status
        except OSError as error:
            raise Problem("The management API of Azure does not answer.") from error
        finally:
            connection.close()
        if status >= 400:  # noqa: PLR2004 - the class of errors
            raise Problem(f"Azure answers {status} to {method} {path or 'of the server'}: may you change the server?")


def prepare(
    target: Target,
    *,
    connect: Callable[[], Connection],
    management: Management,
    migrate: Callable[[], None],
    wait: Callable[[], None],
) -> None:
    """Make the user and migrate; whatever was opened for that is shut again in the end.

    Raises
    ------
    Problem
        The server does not admit us, or something failed.
    """
    with ExitStack() as doors:
        connection = _connected(target, connect, management, wait, doors)
        try:
            for statement in user_statements(target.user, target.client_id):
                connection.execute(statement)
        finally:
            connection.close()
        migrate()


def main() -> int:
    """Do it for what the environment names; return the exit code."""
    try:
        if "--check" in sys.argv[1:]:
            _check_driver()
            return 0
        target = read_target(os.environ)
        credential = _credential()
        management = Management(_MANAGEMENT, partial(_token, credential, f"{_MANAGEMENT}/.default"), target.resource)
        prepare(
            target,
            connect=partial(_connect, target.url, credential),
            management=management,
            migrate=partial(_migrate, target.url),
            wait=partial(time.sleep, _PAUSE_S),
        )
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"The database has its newest schema, and the user {target.user}.\n")
    return 0


def _connected(
    target: Target,
    connect: Callable[[], Connection],
    management: Management,
    wait: Callable[[], None],
    doors: ExitStack,
) -> Connection:
    """Return a connection, opening on the way what the server says is shut."""
    admitted, opened, said = "", False, ""
    for _ in range(_TRIES):
        try:
            return connect()
        except Refused as refusal:
            said = str(refusal)
        address = _ADDRESS.search(said)
        if _NO_ADMINISTRATOR.search(said):
            raise Problem(f"The database does not know who is logged in as its administrator. It says: {said}")
        if _CLOSED.search(said) and not opened:
            if not target.may_open:
                raise Problem(NOT_ADMITTED)
            doors.callback(management.shut)
            management.open()
            opened = True
        elif address and address[1] != admitted:
            admitted = address[1]
            doors.callback(management.dismiss, admitted)
            management.admit(admitted)
        wait()
    raise Problem(f"The database cannot be reached. It says: {said}")


def _rule(address: str) -> str:
    return f"deployment-{re.sub('[.:]', '-', address)}"


def _credential() -> Any:
    from azure.identity import AzureCliCredential, AzureDeveloperCliCredential, ChainedTokenCredential

    return ChainedTokenCredential(
        AzureDeveloperCliCredential(process_timeout=60), AzureCliCredential(process_timeout=60)
    )


def _token(credential: Any, scope: str) -> str:
    from azure.core.exceptions import ClientAuthenticationError

    try:
        token: str = credential.get_token(scope).token
    except ClientAuthenticationError as error:
        raise Problem("Nobody is logged in: run azd auth login, or az login.") from error
    return token


def _connect(url: str, credential: Any) -> Connection:
    pyodbc = _pyodbc()
    parts = urlsplit(url)
    host = parts.hostname or ""
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    text = ";".join(
        (
            f"Driver={{{options['driver']}}}",
            f"Server=tcp:{host},{parts.port or 1433}",
            f"Database={parts.path.lstrip('/')}",
            "Encrypt=yes;TrustServerCertificate=no;Connection Timeout=30",
        )
    )
    token = _token(credential, f"https://{host.partition('.')[2]}/.default").encode("utf-16-le")
    packed = struct.pack(f"<I{len(token)}s", len(token), token)
    try:
        connection: Connection = pyodbc.connect(text, autocommit=True, attrs_before={_TOKEN_ATTRIBUTE: packed})
    except pyodbc.Error as error:
        raise Refused(str(error)) from error
    return connection


def _migrate(url: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DICOM_IDENTITY_CLIENT_ID"}
    done = subprocess.run(
        [sys.executable, "-m", "shared.index.migrate"], cwd=_ROOT, env=environment | {"DICOM_SQL_URL": url}, check=False
    )
    if done.returncode:
        raise Problem("The schema was not migrated; the database is as it was before.")


def _pyodbc() -> Any:
    try:
        return import_module("pyodbc")
    except ImportError as error:
        raise Problem("pyodbc does not load: the ODBC driver manager is missing (unixODBC; docs/deploy.md).") from error


def _check_driver() -> None:
    if not any(name.startswith("ODBC Driver 18") for name in _pyodbc().drivers()):
        raise Problem("The ODBC Driver 18 for SQL Server is not installed (docs/deploy.md).")


if __name__ == "__main__":
    sys.exit(main())
