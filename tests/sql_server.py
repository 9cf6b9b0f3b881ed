"""A driver that plays SQL Server, for the faults of one: it answers what a test tells it to.

Only faults are tested with it. What statements mean is tested on SQLite, and on a server that `DICOM_TEST_SQL_URL`
names.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

URL = "mssql+pyodbc://user:word@server.example:1433/dicom?driver=ODBC+Driver+18+for+SQL+Server"

Answer = Exception | Sequence[Sequence[Any]]

_ALWAYS: Sequence[tuple[str, Answer]] = (
    ("ProductVersion", [["16.0.1000.6"]]),
    ("schema_name", [["dbo"]]),
    ("transaction_isolation_level", [["READ COMMITTED"]]),
    ("test max support", [["1"]]),
)


class Error(Exception):
    """Base of a driver's errors (PEP 249)."""


class DatabaseError(Error):
    """As in PEP 249."""


class OperationalError(DatabaseError):
    """As in PEP 249."""


class ProgrammingError(DatabaseError):
    """As in PEP 249."""


class IntegrityError(DatabaseError):
    """As in PEP 249."""


def failure(number: int, *, state: str = "HY000") -> OperationalError:
    """Return an error as pyodbc raises it: the server's number stands in the text."""
    text = f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]It failed. ({number}) (SQLExecDirectW)"
    return OperationalError(state, text)


@dataclass
class Server:
    """A module like pyodbc (PEP 249) and the server behind it, in one.

    Parameters
    ----------
    on_connect
        What each of the next attempts to connect meets; None, and all attempts after these, is success.
    answers
        By a pattern of the statement what each of its next executions meets; then, and else, an empty result.
    """

    on_connect: list[Exception | None] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    connections: list["_Connection"] = field(default_factory=list)
    options: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    pooling: bool = True

    version = "5.0.0"
    paramstyle = "qmark"
    Error, DatabaseError, OperationalError = Error, DatabaseError, OperationalError
    ProgrammingError, IntegrityError, InterfaceError = ProgrammingError, IntegrityError, OperationalError
    DataError = NotSupportedError = InternalError = DatabaseError
    SQL_VARCHAR, SQL_WVARCHAR, SQL_DECIMAL = 12, -9, 3
    BinaryNull = None

    class Cursor:
        """SQLAlchemy asks whether this driver's can set sizes."""

    def connect(self, *arguments: Any, **options: Any) -> "_Connection":
        """Connect, or fail, as *on_connect* says."""
        self.options.append((arguments, options))
        error = self.on_connect.pop(0) if self.on_connect else None
        if error:
            raise error
        self.connections.append(_Connection(self))
        return self.connections[-1]

    def answer(self, statement: str) -> Iterable[Sequence[Any]]:
        """Return the rows of a statement, or fail."""
        for pattern, always in _ALWAYS:
            if pattern in statement:
                return always if not isinstance(always, Exception) else []
        self.said.append(statement)
        for pattern, waiting in self.answers.items():
            if re.search(pattern, statement) and waiting:
                answer = waiting.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return []


class _Connection:
    timeout = 0
    autocommit = False

    def __init__(self, server: Server) -> None:
        self._server = server
        self.closed = False

    def cursor(self) -> "_Cursor":
        return _Cursor(self._server.answer)

    def commit(self) -> None:
        self._server.answer("COMMIT")

    def rollback(self) -> None:
        self._server.said.append("ROLLBACK")

    def close(self) -> None:
        self.closed = True

    def add_output_converter(self, *_: object) -> None:
        """Types do not matter here."""


class _Cursor:
    rowcount = 1
    description: Sequence[Sequence[Any]] | None = None
    fast_executemany = False

    def __init__(self, answer: Callable[[str], Iterable[Sequence[Any]]]) -> None:
        self._answer = answer
        self._rows: list[Sequence[Any]] = []

    def execute(self, statement: str, *_: object) -> None:
        self._rows = list(self._answer(statement))
        width = len(self._rows[0]) if self._rows else 1
        self.description = [(f"c{number}", None, None, None, None, None, True) for number in range(width)]

    def executemany(self, statement: str, *_: object) -> None:
        self.execute(statement)

    def setinputsizes(self, *_: object) -> None:
        """Types do not matter here."""

    def fetchone(self) -> Sequence[Any] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Sequence[Any]]:
        rows, self._rows = self._rows, []
        return rows

    def fetchmany(self, size: int = 1) -> list[Sequence[Any]]:
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def close(self) -> None:
        """Nothing is held."""
