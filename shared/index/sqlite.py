"""Engines for a SQLite file, and reading it in the event loop."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import OperationalError

T = TypeVar("T")

READERS = 4
"""Threads that read, each with a connection."""

_WRITE_AHEAD = "PRAGMA journal_mode = WAL"
"""Readers see a snapshot and hinder no writer."""

_BUSY_MS = 20_000
"""Other processes write the same file."""

_OPENING_S = 20.0
_OPENING_PAUSE_S = 0.01
_PRAGMAS = (
    "synchronous = FULL",  # a commit is durable
    "foreign_keys = ON",
    "wal_autocheckpoint = 4000",  # pages; index pages that change again and again are copied once
    "journal_size_limit = 67108864",
    "cache_size = -16000",  # KiB
    "temp_store = MEMORY",
)

HELD_S = 0.01
"""That reads may hold the event loop: twice as long as Python lets one thread keep the others from running."""

_STEPS = 1000
"""Instructions of SQLite's virtual machine between two looks at the clock: some 20 µs."""

_GIVEN_UP = frozenset({sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY})


class TooLong(Exception):
    """A read is none for the event loop."""


class Prompt:
    """Reads a SQLite file in the thread of the caller, but no longer than the event loop can be held.

    Handing a read by a key to a thread and its result back costs the processor twice as much as the read.
    """

    def __init__(self, url: URL) -> None:
        self._engine = sqlite_engine(url, busy_ms=0)
        self._connection: Connection | None = None
        self._until = 0.0
        event.listen(self._engine, "connect", self._watch)

    def read(self, job: Callable[[Connection], T]) -> T:
        """Return what *job* returns.

        Raises
        ------
        TooLong
            It was stopped half-way, or would have to wait for another process.
        """
        self._until = time.perf_counter() + HELD_S
        connection = self._connection  # kept: to take it from the pool and bring it back is a tenth of a short read
        try:
            if connection is None:
                connection = self._connection = self._engine.connect()
            with connection.begin():
                return job(connection)
        except OperationalError as error:
            if isinstance(error.orig, sqlite3.Error) and error.orig.sqlite_errorcode & 0xFF in _GIVEN_UP:
                raise TooLong from error
            raise

    def close(self) -> None:
        """Give back the connection."""
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    def _watch(self, connection: Any, _: object) -> None:
        connection.set_progress_handler(self._is_over, _STEPS)

    def _is_over(self) -> bool:
        return time.perf_counter() > self._until


def sqlite_engine(url: URL, *, writes: bool = False, busy_ms: int = _BUSY_MS) -> Engine:
    """Return an engine; one that *writes* takes the write lock when a transaction begins.

    Parameters
    ----------
    busy_ms
        How long it waits for a lock of another process.
    """
    # The driver must not begin transactions by itself: it would begin them without the lock.
    engine = create_engine(
        url,
        hide_parameters=True,  # an error that quotes them would quote patients
        connect_args={"isolation_level": None},
        pool_size=READERS,
        pool_reset_on_return=None,
    )
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    def on_connect(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        _write_ahead(cursor)
        for pragma in (*_PRAGMAS, f"query_only = {not writes}", f"busy_timeout = {busy_ms}"):
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
