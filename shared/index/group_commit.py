"""The one writer of a process on SQLite: what waits while a transaction runs shares the next one and its fsync.

Jobs of a group run one after another, each inside a savepoint, so a failing one takes nothing of the others with it.
Jobs that do the same work to items are done by one call, and one by one only when that fails. Nobody hears of a
success before the commit.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import DicomwebError, Unavailable
from shared.index.failures import ATTEMPTS, breaks_transaction, overtaken, translated

T = TypeVar("T")

_GROUP = 64
"""Jobs in one transaction at most, so that the first of them does not wait long for the last."""


_ITEMS = 500
"""Items given to one call at most."""

ItemWork: TypeAlias = Callable[[Connection, Sequence[Any], datetime], Sequence[T]]
"""Work that takes items and the time, and returns a result for each item, in order."""


@dataclass(frozen=True, slots=True)
class _Items:
    """Work on items, that may be done together with the same work on others' items."""

    work: ItemWork[Any]
    items: Sequence[Any]
    clock: Callable[[], datetime]

    def __call__(self, connection: Connection) -> Sequence[Any]:
        return self.work(connection, self.items, self.clock())


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    work: Callable[[Connection], T]
    future: Future[T]


_Outcome: TypeAlias = tuple[_Job[Any], Any, Exception | None]
"""A job with its result or its failure."""


class GroupWriter:
    """A thread with one connection; `submit` hands it work and returns at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="index-writer", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether what is submitted will be done."""
        return self._thread.is_alive()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Return the future result of *work* in a transaction; it is done when the transaction is durable."""
        future: Future[T] = Future()
        self._jobs.put(_Job(work, future))
        return future

    def submit_items(
        self, work: ItemWork[T], items: Sequence[Any], clock: Callable[[], datetime]
    ) -> Future[Sequence[T]]:
        """Return the future results of *work* on *items*, in order; others' items may be in the same call.

        Its time is read from *clock* when its turn has come.
        """
        return self.submit(_Items(work, items, clock))

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
        except Exception as error:  # noqa: BLE001 - as below
            self._disconnect()
            _fail(jobs, error)
            return
        try:
            outcomes = [outcome for alike in _alike(jobs) for outcome in _attempt_together(connection, alike)]
            connection.commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, this thread must live and everyone must hear
            self._disconnect()
            if len(jobs) == 1:
                _fail(jobs, error)
                return
            for job in jobs:
                self._commit([job])
            return
        for job, result, failure in outcomes:
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
            connection, self._connection = self._connection, None
            with suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()


def _alike(jobs: Sequence[_Job[Any]]) -> Iterator[list[_Job[Any]]]:
    """Yield the jobs, those together that one call can do."""
    waiting: dict[object, list[_Job[Any]]] = {}
    counts: dict[object, int] = {}
    for job in jobs:
        if not isinstance(job.work, _Items):
            yield [job]
            continue
        kind, count = job.work.work, len(job.work.items)
        if counts.get(kind, 0) + count > _ITEMS and kind in waiting:
            yield waiting.pop(kind)
            counts[kind] = 0
        waiting.setdefault(kind, []).append(job)
        counts[kind] = counts.get(kind, 0) + count
    yield from waiting.values()


def _attempt_together(connection: Connection, jobs: list[_Job[Any]]) -> list[_Outcome]:
    """Do alike jobs by one call; if that fails, one of them is at fault: then each by itself."""
    given = [job.work for job in jobs if isinstance(job.work, _Items)]
    if len(given) > 1:
        everyone = _Items(given[0].work, [item for one in given for item in one.items], given[0].clock)
        results, failure = _attempt(connection, everyone)
        if failure is None:
            remaining = iter(results or ())
            return [(job, list(islice(remaining, len(one.items))), None) for job, one in zip(jobs, given, strict=True)]
    return [(job, *_attempt(connection, job.work)) for job in jobs]


def _attempt(connection: Connection, work: Callable[[Connection], T]) -> tuple[T | None, Exception | None]:
    """Return the result of *work* or its failure, after which nothing of it is left in the transaction."""
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 # nosec B101 # a connected one has it
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
    failure = translated(error)
    if not isinstance(failure, DicomwebError):
        failure = Unavailable("The database does not answer.")
        failure.__cause__ = error
    for job in jobs:
        job.future.set_exception(failure)
