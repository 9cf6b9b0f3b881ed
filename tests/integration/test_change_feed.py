"""The change feed in the index: in order and without gaps, whoever writes at the same time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select

from shared.backend import Backend, open_backend
from shared.index.change_feed import last_time, read_after, read_latest, read_window
from shared.index.instances import delete
from shared.index.migrate import migrate
from shared.index.partitions import find_or_add
from shared.index.publishing import publish, reserve
from shared.index.tables import change_feed
from shared.model import FeedWindow, Scope
from shared.services.change_feed import read_entries
from shared.settings import Settings
from tests.integration.index_samples import NOW, new_instance, open_database, store, uids, undone

_FIRST = datetime(1, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database of each kind that there is."""
    with open_database(tmp_path_factory.mktemp("index")) as opened:
        yield opened


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction that leaves nothing behind."""
    with undone(engine) as opened:
        yield opened


@pytest.fixture
async def backends(tmp_path: Path) -> AsyncIterator[list[Backend]]:
    """Two processes' backends over one database; each has its own clock."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = [open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url)) for _ in range(2)]
    yield opened
    for one in opened:
        await one.close()


def test_clock_behind(connection: Connection) -> None:
    """The times of entries never fall against their sequence, not even when a clock does."""
    store(connection, uids(1))
    delete(connection, Scope(1, "1.1"), NOW - timedelta(hours=1), NOW)

    first, second = read_after(connection, 0, 10)

    assert first.timestamp == second.timestamp == NOW == last_time(connection)


def test_order_in_request(connection: Connection) -> None:
    """What one request stored is in the feed in the order of its versions, over several partitions and pages."""
    versions = store(connection, *(uids(1, 1, number) for number in range(450)))

    assert [entry.version for entry in read_after(connection, 0, 1000)] == versions


def test_windows(connection: Connection) -> None:
    """A window of sequence numbers and one of time give the same entries, each with the version that lives now."""
    store(connection, uids(1), uids(2))
    delete(connection, Scope(1, "1.1"), NOW + timedelta(seconds=1), NOW)
    [again] = store(connection, uids(1))
    last = connection.execute(select(change_feed.c.sequence).order_by(change_feed.c.sequence.desc())).scalars().first()
    assert last is not None

    entries = read_window(connection, FeedWindow(last - 4, 4))

    assert entries == read_window(connection, FeedWindow(0, 10, _FIRST, NOW + timedelta(seconds=2)))
    assert [entry.live for entry in entries] == [again, entries[1].version, again, again]


@pytest.mark.parametrize("names", [{"a"}, {"a", "c"}, {"c", "nowhere"}, {"nowhere"}])
def test_numbers_of_some_partitions(connection: Connection, names: set[str]) -> None:
    """Who sees some partitions alone has their entries numbered without gaps, in each window, chosen or not."""
    keys = [find_or_add(connection, name, NOW).key for name in ("a", "b", "c")]
    for number in range(60):
        data_set = {**uids(1, 1, number), "Modality": "CT" if number % 4 else "MR"}
        store(connection, data_set, partition=keys[number * 7 % 3 if number % 5 else 1])
    every = read_window(connection, FeedWindow(0, 10_000))
    mine = [entry for entry in every if entry.partition_name in names]
    wanted = [(number, entry.sequence) for number, entry in enumerate(mine, 1)]
    is_mr = {entry.sequence for entry in mine if entry.modality == "MR"}

    def read(window: FeedWindow, *modalities: str) -> list[tuple[int, int]]:
        window = replace(window, modalities=modalities, partitions=frozenset(names))
        return [(entry.number, entry.sequence) for entry in read_window(connection, window)]

    for offset, limit in ((0, 100), (0, 5), (5, 5), (7, 100), (100, 5)):
        by_number = FeedWindow(offset, limit)
        by_time = replace(by_number, start=_FIRST, end=NOW + timedelta(seconds=1))
        page = wanted[offset : offset + limit]
        assert read(by_number) == read(by_time) == page
        assert read(by_number, "MR") == [one for one in page if one[1] in is_mr]
        assert read(by_time, "MR") == [one for one in wanted if one[1] in is_mr][offset : offset + limit]
    latest = read_latest(connection, frozenset(names))
    assert (None if latest is None else (latest.number, latest.sequence)) == (wanted[-1] if wanted else None)


async def test_slow_writer(backends: list[Backend]) -> None:
    """An entry's time is that of its commit's turn: one that waited for a slow writer has no time before that one's."""
    first, second = backends
    started, release = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        started.set()
        assert release.wait(20)
        store(connection, uids(1))

    async def quick() -> None:
        assert await second.index.write_each(publish, [new_instance(version or 0, uids(2))], second.now) == [None]

    [version] = await second.index.write_each(reserve, [new_instance(0, uids(2)).key], second.now)
    slowly = asyncio.ensure_future(first.index.write(slow))
    await asyncio.to_thread(started.wait)
    quickly = asyncio.ensure_future(quick())
    await asyncio.sleep(0.2)
    released = second.now()
    release.set()
    await asyncio.gather(slowly, quickly)

    entries = await first.index.read(read_after, 0, 10)
    assert [entry.key.study for entry in entries] == ["1.1", "1.2"]
    assert entries[1].timestamp >= released


async def test_closed_window(backends: list[Backend]) -> None:
    """Nothing appears later in a window that has ended, though a transaction was open then or its clock is behind."""
    first, second = backends
    behind = replace(second, now=lambda: datetime.now(UTC) - timedelta(minutes=5))
    started, release = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        versions = [version or 0 for version in reserve(connection, [new_instance(0, uids(1)).key], behind.now())]
        publish(connection, [new_instance(versions[0], uids(1))], first.now())
        started.set()
        assert release.wait(20)

    slowly = asyncio.ensure_future(first.index.write(slow))
    await asyncio.to_thread(started.wait)
    window = FeedWindow(0, 100, _FIRST, first.now())
    reading = asyncio.ensure_future(read_entries(window, second))
    await asyncio.sleep(0.2)
    release.set()
    entries = await reading
    await slowly

    async def late(number: int) -> None:
        key = new_instance(0, uids(number)).key
        [version] = await behind.index.write_each(reserve, [key], behind.now)
        await behind.index.write_each(publish, [new_instance(version or 0, uids(number))], behind.now)

    await late(2)

    assert [entry.key.study for entry in entries] == ["1.1"]
    assert await read_entries(window, first) == entries


async def test_gap_free(backends: list[Backend]) -> None:
    """A reader that follows the feed while two processes write sees every entry once, in order."""
    total = 60
    seen: list[int] = []
    timestamps: list[datetime] = []

    async def write(at: Backend, numbers: range) -> None:
        for number in numbers:
            key = new_instance(0, uids(1, 1, number)).key
            [version] = await at.index.write_each(reserve, [key], at.now)
            await at.index.write_each(publish, [new_instance(version or 0, uids(1, 1, number))], at.now)

    async def follow(at: Backend) -> None:
        while len(seen) < total:
            page = await at.index.read(read_after, seen[-1] if seen else 0, 7)
            seen.extend(entry.sequence for entry in page)
            timestamps.extend(entry.timestamp for entry in page)

    writers = [write(backends[0], range(total // 2)), write(backends[1], range(total // 2, total))]
    await asyncio.wait_for(asyncio.gather(*writers, follow(backends[0])), timeout=60)

    assert seen == list(range(1, total + 1))
    assert timestamps == sorted(timestamps)
