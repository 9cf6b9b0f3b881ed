"""The one writer of a process on SQLite: what waits while a transaction runs shares the next one and its fsync.

Jobs of a group run one after another, each inside a savepoint, so a failing one takes nothing of the others with it.
Nobody hears of a success before the commit.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from shared.index.failures import ATTEMPTS, breaks_transaction, overtaken, translated

T = TypeVar("T")

_GROUP = 64
"""Jobs in one transaction at most, so that the first of them does not wait long for the last."""


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    work: Callable[[Connection], T]
    future: Future[T]


class GroupWriter:
    """A thread with one connection; `submit` hands it work and returns at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="index-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Return the future result of *work* in a transaction; it is done when the transaction is durable."""
        future: Future[T] = Future()
        self._jobs.put(_Job(work, future))
        return future

    def close(self) -> None:
        """Finish what was submitted and give back the connection."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (first := self._jobs.get()) is not None:
            self._commit([job for job in self._group(first) if job.future.set_running_or_notify_cancel()])
        self._disconnect()

    def _group(self, first: _Job[Any]) -> list[_Job[Any]]:
        """Return *first* and what waits with it."""
        group = [first]
        while len(group) < _GROUP:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                self._jobs.put(None)  # the end, for `_serve` to see
                break
            group.append(job)
        return group

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        """Run *jobs* in one transaction; when it breaks, each again in one of its own."""
        try:
            connection = self._begin()
        except DatabaseError as error:
            self._disconnect()
            _fail(jobs, error)
            return
        try:
            outcomes = [_attempt(connection, job.work) for job in jobs]
            connection.commit()
        except DatabaseError as error:
            self._disconnect()
            if len(jobs) == 1:
                _fail(jobs, error)
                return
            for job in jobs:
                self._commit([job])
            return
        for job, (result, failure) in zip(jobs, outcomes, strict=True):
            if failure is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(failure)

    def _begin(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        self._connection.begin()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _attempt(connection: Connection, work: Callable[[Connection], T]) -> tuple[T | None, Exception | None]:
    """Return the result of *work* or its failure, after which nothing of it is left in the transaction."""
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a connected one has it
    attempt = 1
    while True:
        driver.execute("SAVEPOINT job")
        try:
            result = work(connection)
        except Exception as error:
            if breaks_transaction(error):
                raise
            driver.execute("ROLLBACK TO job")
            driver.execute("RELEASE job")
            if attempt == ATTEMPTS or not overtaken(error):
                return None, translated(error)
            attempt += 1
        else:
            driver.execute("RELEASE job")
            return result, None


def _fail(jobs: list[_Job[Any]], error: Exception) -> None:
    for job in jobs:
        job.future.set_exception(translated(error))
