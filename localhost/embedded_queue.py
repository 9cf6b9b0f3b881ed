"""A durable queue in SQLite, shared by all worker processes and kept over restarts."""

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from localhost.queues import Message, QueueUnavailable

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    body BLOB NOT NULL,
    dequeue_count INTEGER NOT NULL DEFAULT 0,
    inserted_at REAL NOT NULL,
    visible_at REAL NOT NULL,
    receipt TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS message_visible ON message (queue, visible_at);
"""
_IS_ANY_VISIBLE = "SELECT 1 FROM message WHERE queue = ? AND visible_at <= ? LIMIT 1"
_TAKE = """
UPDATE message SET dequeue_count = dequeue_count + 1, visible_at = ?, receipt = ?
WHERE id IN (SELECT id FROM message WHERE queue = ? AND visible_at <= ? ORDER BY id LIMIT ?)
RETURNING id, body, dequeue_count, inserted_at, visible_at, receipt
"""
_KEPT_S = 7 * 86400  # what Azure's default is; nothing is thrown away here
_BUSY_TIMEOUT_S = 20.0
_OPENING_PAUSE_S = 0.01


class EmbeddedQueue:
    """The queue *name* in a database file.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    """

    longest_poll_s = 0.25  # asking is one indexed read

    def __init__(self, database: Path, name: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    async def send(self, body: bytes) -> None:
        """Append a message; it is on disk when this returns."""
        now = self._clock()
        statement = "INSERT INTO message (queue, body, inserted_at, visible_at) VALUES (?, ?, ?, ?)"
        await self._run(lambda connection: connection.execute(statement, (self._name, body, now, now)))

    async def receive(self, limit: int, *, invisible_s: float) -> list[Message]:
        """Take the oldest visible messages."""
        return await self._run(lambda connection: self._take(connection, limit, invisible_s))

    async def hide(self, message: Message, *, invisible_s: float) -> Message:
        """Move the moment at which a taken message is visible again."""
        until, receipt = self._clock() + invisible_s, uuid.uuid4().hex
        statement = "UPDATE message SET visible_at = ?, receipt = ? WHERE id = ? AND receipt = ?"
        values = (until, receipt, int(message.id), message.receipt)
        changed = await self._run(lambda connection: connection.execute(statement, values).rowcount)
        return replace(message, receipt=receipt, visible_again=_moment(until)) if changed else message

    async def delete(self, message: Message) -> None:
        """Remove a message whose delivery is still ours."""
        statement = "DELETE FROM message WHERE id = ? AND receipt = ?"
        await self._run(lambda connection: connection.execute(statement, (int(message.id), message.receipt)))

    async def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _take(self, connection: sqlite3.Connection, limit: int, invisible_s: float) -> list[Message]:
        now = self._clock()
        if connection.execute(_IS_ANY_VISIBLE, (self._name, now)).fetchone() is None:
            return []  # most polls end here, without the lock of a writer
        values = (now + invisible_s, uuid.uuid4().hex, self._name, now, limit)
        rows = sorted(connection.execute(_TAKE, values).fetchall())
        return [
            Message(str(number), body, count, _moment(inserted), _moment(inserted + _KEPT_S), _moment(visible), receipt)
            for number, body, count, inserted, visible, receipt in rows
        ]

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _connect(self._database)
                return work(self._connection)
            except sqlite3.Error as error:
                raise QueueUnavailable(f"the database of the embedded queues does not answer: {error}") from error


def release_all(database: Path) -> None:
    """Make every taken message visible again: nobody works on one when the host starts."""
    if not database.exists():
        return
    try:
        connection = _connect(database)
        connection.execute("UPDATE message SET visible_at = inserted_at WHERE receipt <> ''")
        connection.close()
    except sqlite3.Error as error:
        raise QueueUnavailable(f"the database of the embedded queues cannot be used: {error}") from error


def _connect(database: Path) -> sqlite3.Connection:
    """Open the database; each statement is its own transaction, synced to disk before it returns."""
    connection = sqlite3.connect(database, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_SCHEMA)
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on: of two that do so to a new file at once SQLite lets one fail without any waiting."""
    end = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        else:
            return
        time.sleep(_OPENING_PAUSE_S)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
