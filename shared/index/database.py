"""Engines and transactions: the only place that knows SQLite and Azure SQL as two things.

Work is a function of a connection; it runs in a thread, in one transaction, and never holds the event loop.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from shared.errors import Unavailable
from shared.index import server
from shared.index.failures import ATTEMPTS, Overtaken, is_transient, overtaken, translated
from shared.index.group_commit import GroupWriter, ItemWork
from shared.index.schema import require_known
from shared.index.tables import partition
from shared.threads import result_of

P = ParamSpec("P")
T = TypeVar("T")

_SQLITE_READERS = 4
_PAUSE_S = 0.5
"""Before a piece of work is done again at the engine's wish; twice as long each time."""

_WRITE_AHEAD = "PRAGMA journal_mode = WAL"
"""Readers see a snapshot and hinder no writer."""

_OPENING_S = 20.0
_OPENING_PAUSE_S = 0.01
_PRAGMAS = (
    "busy_timeout = 20000",  # ms; other processes write the same file
    "synchronous = FULL",  # a commit is durable
    "foreign_keys = ON",
    "wal_autocheckpoint = 4000",  # pages; index pages that change again and again are copied once
    "journal_size_limit = 67108864",
    "cache_size = -16000",  # KiB
    "temp_store = MEMORY",
)


class Index:
    """The index as the rest of the service sees it: work that reads and work that writes.

    Before the first work it looks whether the app knows the database's schema; until it does, all work is refused
    (`UnknownSchema`). It does not look when it is made: a worker's start must not wait for a database that wakes.
    """

    def __init__(
        self, engine: Engine, *, threads: int, writer: GroupWriter | None = None, pause_s: float = _PAUSE_S
    ) -> None:
        self._engine = engine
        self._pause_s = pause_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="index")
        self._writer = writer
        self._is_known = False

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``work(connection, *args)``, which only reads; on SQLite all of it sees one snapshot.

        Raises
        ------
        Unavailable
            When the database does not answer.
        """
        await self._require_known_schema()
        return await self._run(_bound(work, *args, **kwargs))

    async def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``work(connection, *args)`` once its transaction is durable.

        The work may run up to three times: when another writer was first or the engine asks for it. Cancelling
        the caller never stops a transaction half-way.

        Raises
        ------
        Conflict
            When other writers were first every time.
        Unavailable
            When the database does not answer or has no space.
        """
        await self._require_known_schema()
        job = _bound(work, *args, **kwargs)
        if self._writer is not None:
            return await result_of(self._writer.submit(job))
        return await self._run(job)

    async def write_each(self, work: ItemWork[T], items: Sequence[Any], clock: Callable[[], datetime]) -> Sequence[T]:
        """Return ``work(connection, items, clock())``, a result for each item, as `write` does.

        What waits for the writer at the same time is done by one call with everyone's items: a hundred callers with
        one item each cost little more than one caller with a hundred.
        """
        await self._require_known_schema()
        if self._writer is not None:
            return await result_of(self._writer.submit_items(work, items, clock))
        return await self.write(lambda connection: work(connection, items, clock()))

    async def check(self) -> None:
        """Raise `Unavailable` when the index cannot be read now, has another schema, or nobody is there to write it."""
        self._is_known = False
        await self.read(_look)
        if self._writer is not None and not self._writer.is_alive:
            raise Unavailable("The index is not written any more.")

    async def close(self) -> None:
        """Finish what was begun and give back threads and connections."""
        await asyncio.to_thread(self._close)

    async def _require_known_schema(self) -> None:
        if not self._is_known:
            await self._run(require_known)
            self._is_known = True

    async def _run(self, job: Callable[[Connection], T]) -> T:
        return await result_of(self._threads.submit(_run, self._engine, job, self._pause_s))

    def _close(self) -> None:
        self._threads.shutdown()
        if self._writer is not None:
            self._writer.close()
        self._engine.dispose()


def open_index(url: str, client_id: str = "") -> Index:
    """Return the index at a SQLAlchemy URL, ``sqlite:///path`` or ``mssql+pyodbc://…``; connects when first used.

    Parameters
    ----------
    client_id
        As in `open_engine`.

    Raises
    ------
    Unavailable
        When the URL names neither, or the driver is missing.
    """
    engine = open_engine(url, client_id=client_id)
    if engine.dialect.name != "sqlite":
        return Index(engine, threads=server.CONNECTIONS)
    return Index(engine, threads=_SQLITE_READERS, writer=GroupWriter(open_engine(url, writes=True)))


def open_engine(
    url: str, *, writes: bool = False, client_id: str = "", statement_s: int = server.STATEMENT_S
) -> Engine:
    """Return the engine for a URL; on SQLite one that *writes* takes the write lock when a transaction begins.

    Parameters
    ----------
    client_id
        Of the user-assigned identity that logs in to Azure SQL; "" for the developer's own login.
    statement_s
        What a statement takes at most on Azure SQL, in seconds; 0: no limit.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Unavailable("The database's URL cannot be read; sqlite:///path is one.") from error
    if parsed.get_backend_name() == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return _sqlite_engine(parsed, writes=writes)
    if parsed.get_backend_name() == "mssql":
        return server.server_engine(parsed, client_id, statement_s=statement_s)
    raise Unavailable("The database's URL names neither a SQLite file nor SQL Server.")


def _sqlite_engine(url: URL, *, writes: bool) -> Engine:
    # The driver must not begin transactions by itself: it would begin them without the lock.
    engine = create_engine(
        url,
        hide_parameters=True,  # an error that quotes them would quote patients
        connect_args={"isolation_level": None},
        pool_size=_SQLITE_READERS,
        pool_reset_on_return=None,
    )
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    def on_connect(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        _write_ahead(cursor)
        for pragma in (*_PRAGMAS, f"query_only = {not writes}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def on_begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        try:
            driver.execute(begin)  # straight to the driver: every transaction passes here
        except sqlite3.Error as error:
            raise OperationalError(begin, None, error) from error

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _write_ahead(cursor: DBAPICursor) -> None:
    """Turn the write-ahead log on, which stays with the file.

    Of two that do so to a new file at once SQLite tells one that it is locked, however long its busy timeout is.
    """
    end = time.monotonic() + _OPENING_S
    while True:
        try:
            cursor.execute(_WRITE_AHEAD)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        else:
            return
        time.sleep(_OPENING_PAUSE_S)


def _bound(
    work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> Callable[[Connection], T]:
    def job(connection: Connection) -> T:
        return work(connection, *args, **kwargs)

    return job


def _run(engine: Engine, job: Callable[[Connection], T], pause_s: float) -> T:
    """Run *job* in a transaction, again when another writer was first or the engine asks for it."""
    attempt = 1
    while True:
        try:
            with engine.begin() as connection:
                return job(connection)
        except (SQLAlchemyError, Overtaken) as error:
            if attempt == ATTEMPTS or not (overtaken(error) or is_transient(error)):
                raise translated(error) from error.__cause__
        time.sleep(pause_s * 2 ** (attempt - 1))
        attempt += 1


def _look(connection: Connection) -> None:
    connection.execute(select(partition.c.id).limit(1)).first()
