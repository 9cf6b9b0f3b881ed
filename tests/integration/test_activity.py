"""Timers let a database sleep that may pause, and miss nothing (`shared/activity.py`)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from shared import activity
from shared.backend import Backend, open_backend
from shared.index import garbage
from shared.index.migrate import migrate
from shared.index.tables import deleted_instance, reservation
from shared.settings import Settings

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Clock:
    """A clock that is set."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def backend(tmp_path: Path, clock: Clock) -> AsyncIterator[Backend]:
    """A backend whose settings name a server; what is in the index lies in a file."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    settings = Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url, public_url="https://a")
    opened = open_backend(settings)
    yield replace(opened, now=clock, settings=replace(settings, dicom_sql_url="mssql+pyodbc://@server/dicom"))
    await opened.close()


async def add(backend: Backend, due_at: datetime) -> None:
    row = {"version": 1, "due_at": due_at, "attempts": 0}
    await backend.index.write(lambda connection: connection.execute(insert(deleted_instance), row))


async def test_first(backend: Backend) -> None:
    """A timer that knows nothing looks."""
    assert await activity.is_due(backend)


async def test_sleeps(backend: Backend) -> None:
    """With nothing to do, and nothing that changes, the database sleeps for ever."""
    await activity.settle(backend)

    assert not await activity.is_due(backend)


async def test_after_change(backend: Backend, clock: Clock) -> None:
    """After a change timers look for a while, then let the database sleep."""
    await activity.settle(backend)
    await activity.note(backend)

    assert await activity.is_due(backend)
    clock.at += activity.AWAKE - timedelta(seconds=1)
    assert await activity.is_due(backend)
    clock.at += timedelta(seconds=2)
    assert not await activity.is_due(backend)


async def test_noted_rarely(backend: Backend, clock: Clock) -> None:
    """A process that changes something all the time notes it once a minute."""
    etags = set()
    for _ in range(12):
        await activity.note(backend)
        etags.add((await backend.records.load("background", "changed")).etag)
        clock.at += timedelta(seconds=10)

    assert len(etags) == 2


async def test_time_comes(backend: Backend, clock: Clock) -> None:
    """What waits for its time wakes the timers then, however long it has been quiet."""
    await add(backend, NOW + 3 * DAY)
    await activity.settle(backend)

    clock.at += 3 * DAY - timedelta(seconds=1)
    assert not await activity.is_due(backend)
    clock.at += timedelta(seconds=1)
    assert await activity.is_due(backend)


async def test_next_due(backend: Backend) -> None:
    """The first of what waits counts: removals, and reservations when they expire."""
    kept = timedelta(hours=2)
    assert await backend.index.read(garbage.next_due, kept) is None

    await add(backend, NOW + 3 * DAY)
    assert await backend.index.read(garbage.next_due, kept) == NOW + 3 * DAY
    row = {"reserved_at": NOW}
    await backend.index.write(lambda connection: connection.execute(insert(reservation), row))
    assert await backend.index.read(garbage.next_due, kept) == NOW + kept


async def test_embedded(backend: Backend) -> None:
    """A file does not pause: timers always look, and nothing is noted."""
    embedded = replace(backend, settings=replace(backend.settings, dicom_sql_url="sqlite:///x"))

    await activity.settle(embedded)
    await activity.note(embedded)

    assert await activity.is_due(embedded)
    assert [record async for record in backend.records.list("background")] == []
