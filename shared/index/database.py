"""Engines and transactions: the only place that knows SQLite and Azure SQL as two things.

Work is a function of a connection; it runs in one transaction, in a thread, or, where a SQLite file is only read, at
once for as long as the event loop can be held.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from shared.errors import Unavailable
from shared.index import server
from shared.index.failures import ATTEMPTS, Overtaken, is_transient, overtaken, translated
from shared.index.group_commit import GroupWriter, ItemWork
from shared.index.schema import require_known
from shared.index.sqlite import HELD_S, READERS, Prompt, TooLong, sqlite_engine
from shared.index.tables import partition
from shared.threads import result_of

P = ParamSpec("P")
T = TypeVar("T")

_PAUSE_S = 0.5
"""Before a piece of work is done again at the engine's wish; twice as long each time."""


class Index:
    """The index as the rest of the service sees it: work that reads and work that writes.

    Before the first work it looks whether the app knows the database's schema; until it does, all work is refused
    (`UnknownSchema`). It does not look when it is made: a worker's start must not wait for a database that wakes.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        threads: int,
        writer: GroupWriter | None = None,
        prompt: Prompt | None = None,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._engine = engine
        self._pause_s = pause_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="index")
        self._writer = writer
        self._prompt = prompt
        self._held_s = 0.0
        self._is_known = False

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``work(connection, *args)``, which only reads; on SQLite all of it sees one snapshot.

        Raises
        ------
        Unavailable
            When the database does not answer.
        """
        await self._require_known_schema()
        job = _bound(work, *args, **kwargs)
        if self._prompt is None:
            return await self._run(job)
        began = time.perf_counter()
        try:
            return self._prompt.read(job)
        except TooLong:
            return await self._run(job)
        except (SQLAlchemyError, Overtaken) as error:
            raise translated(error) from error.__cause__
        finally:
            await self._let_others_run(time.perf_counter() - began)

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

    async def _let_others_run(self, held_s: float) -> None:
        """Let the event loop go on once reads without a pause have held it for long enough together."""
        self._held_s += held_s
        if self._held_s > HELD_S:
            self._held_s = 0.0
            await asyncio.sleep(0)

    async def _run(self, job: Callable[[Connection], T]) -> T:
        return await result_of(self._threads.submit(_run, self._engine, job, self._pause_s))

    def _close(self) -> None:
        self._threads.shutdown()
        if self._prompt is not None:
            self._prompt.close()
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
    writer = GroupWriter(open_engine(url, writes=True))
    return Index(engine, threads=READERS, writer=writer, prompt=Prompt(engine.url))


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
        return sqlite_engine(parsed, writes=writes)
    if parsed.get_backend_name() == "mssql":
        return server.server_engine(parsed, client_id, statement_s=statement_s)
    raise Unavailable("The database's URL names neither a SQLite file nor SQL Server.")


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
