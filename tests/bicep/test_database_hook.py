"""What azd runs after provisioning (`bicep/hooks/database.py`): the user in the database, the schema, the doors."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bicep.hooks.database import Management, Problem, Refused, Target, prepare, read_target, user_statements

_CLIENT = "00112233-4455-6677-8899-aabbccddeeff"
_ENVIRONMENT = {
    "AZURE_SUBSCRIPTION_ID": "s",
    "AZURE_RESOURCE_GROUP": "g",
    "SQL_SERVER_NAME": "sql-x",
    "DICOM_SQL_URL": "mssql+pyodbc://@sql-x.example:1433/dicom?driver=ODBC+Driver+18+for+SQL+Server",
    "APP_IDENTITY_NAME": "id-x",
    "APP_IDENTITY_CLIENT_ID": _CLIENT,
}
_SERVER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/sql-x"
_NOT_THIS_ADDRESS = "[42000] (40615) Client with IP address '203.0.113.7' is not allowed to access the server."
_PRIVATE = "[08001] The public network interface on this server is not accessible. (47073)"
_ASLEEP = "[HY000] Database 'dicom' is not currently available. (40613)"
_STRANGER = "[28000] Login failed for user '<token-identified principal>'. (18456)"


@dataclass(slots=True)
class Azure:
    """The management API on this machine, and the order in which everything happened."""

    address: str = ""
    status: int = 200
    happened: list[str] = field(default_factory=list)


@pytest.fixture
def azure() -> Iterator[Azure]:
    seen = Azure()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.removeprefix(_SERVER).removesuffix("?api-version=2023-08-01")
            values = "-".join(json.loads(body)["properties"].values()) if body else ""
            seen.happened.append(f"{self.command} {path} {values} {self.headers['Authorization']}".strip())
            self.send_response(seen.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        seen.address = f"http://127.0.0.1:{server.server_port}"
        yield seen
        server.shutdown()


@dataclass(slots=True)
class Database:
    """A server that refuses connections with given texts first."""

    azure: Azure
    refusals: list[str]

    def connect(self) -> "Database":
        if self.refusals:
            raise Refused(self.refusals.pop(0))
        self.azure.happened.append("connected")
        return self

    def execute(self, statement: str, /) -> None:
        self.azure.happened.append(" ".join(statement.split()[:2]))

    def close(self) -> None:
        self.azure.happened.append("closed")


def run(azure: Azure, refusals: list[str], *, target: Target | None = None, migrate: Callable[[], None]) -> None:
    target = target or read_target(_ENVIRONMENT)
    prepare(
        target,
        connect=Database(azure, refusals).connect,
        management=Management(azure.address, lambda: "T", target.resource),
        migrate=migrate,
        wait=lambda: azure.happened.append("waited"),
    )


_WORK = [
    "connected",
    "IF EXISTS",
    "IF DATABASE_PRINCIPAL_ID(N'id-x')",
    "ALTER ROLE",
    "ALTER ROLE",
    "closed",
    "migrated",
]


def test_admitted(azure: Azure) -> None:
    """Where the server admits us, no door is touched: user, then schema."""
    run(azure, [], migrate=lambda: azure.happened.append("migrated"))

    assert azure.happened == _WORK


def test_address(azure: Azure) -> None:
    """An address that the server names is admitted once, and no longer than the work lasts."""
    run(azure, [_NOT_THIS_ADDRESS] * 3, migrate=lambda: azure.happened.append("migrated"))

    rule = "/firewallRules/deployment-203-0-113-7"
    assert azure.happened == [
        f"PUT {rule} 203.0.113.7-203.0.113.7 Bearer T",
        *["waited"] * 3,
        *_WORK,
        f"DELETE {rule}  Bearer T",
    ]


def test_asleep(azure: Azure) -> None:
    """A paused database is waited for."""
    run(azure, [_ASLEEP] * 5, migrate=lambda: azure.happened.append("migrated"))

    assert azure.happened == ["waited"] * 5 + _WORK


def test_private_refused(azure: Azure) -> None:
    """A private server is not opened unless someone said so; the text says what to do."""
    with pytest.raises(Problem, match="azd env set SQL_OPEN_DURING_DEPLOYMENT true"):
        run(azure, [_PRIVATE], migrate=lambda: None)

    assert azure.happened == []


def test_private_opened(azure: Azure) -> None:
    """A private server that may be opened is, and then shut, after the address that it admitted."""
    target = read_target(_ENVIRONMENT | {"SQL_OPEN_DURING_DEPLOYMENT": "true"})

    run(azure, [_PRIVATE, _NOT_THIS_ADDRESS], target=target, migrate=lambda: azure.happened.append("migrated"))

    assert azure.happened[0] == "PATCH  Enabled Bearer T"
    assert azure.happened[-2:] == ["DELETE /firewallRules/deployment-203-0-113-7  Bearer T", "PATCH  Disabled Bearer T"]


def test_failed(azure: Azure) -> None:
    """When the migration fails, every door is shut all the same."""

    def fail() -> None:
        raise Problem("no")

    with pytest.raises(Problem, match="no"):
        run(azure, [_NOT_THIS_ADDRESS], migrate=fail)

    assert azure.happened[-1].startswith("DELETE")


def test_stranger(azure: Azure) -> None:
    """Who is not the administrator learns it at once."""
    with pytest.raises(Problem, match="administrator"):
        run(azure, [_STRANGER], migrate=lambda: None)

    assert azure.happened == []


def test_management_refuses(azure: Azure) -> None:
    """Who may not change the server learns that."""
    azure.status = 403

    with pytest.raises(Problem, match="403"):
        run(azure, [_NOT_THIS_ADDRESS], migrate=lambda: None)


def test_never(azure: Azure) -> None:
    """A database that never answers is given up, with its own words."""
    with pytest.raises(Problem, match="40613"):
        run(azure, [_ASLEEP] * 100, migrate=lambda: None)


def test_user() -> None:
    """The SID is the client id in the byte order of a GUID; the user reads and writes rows, and no more."""
    statements = " ".join(user_statements("id-x", _CLIENT))

    assert "CREATE USER [id-x] WITH SID = 0x33221100554477668899aabbccddeeff, TYPE = E" in statements
    assert statements.count("ALTER ROLE") == 2
    assert "db_datareader" in statements
    assert "db_datawriter" in statements
    assert "EXTERNAL PROVIDER" not in statements


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"DICOM_SQL_URL": ""}, "DICOM_SQL_URL"),
        ({"APP_IDENTITY_NAME": "x] DROP"}, "APP_IDENTITY_NAME"),
        ({"APP_IDENTITY_CLIENT_ID": "0"}, "APP_IDENTITY_CLIENT_ID"),
    ],
)
def test_environment(change: dict[str, str], said: str) -> None:
    """What is missing, or could become part of a statement, is refused by name."""
    with pytest.raises(Problem, match=said):
        read_target(_ENVIRONMENT | change)
