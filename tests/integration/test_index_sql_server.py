"""What only a server can show: transactions held open, deadlocks, the lock of migrations (`DICOM_TEST_SQL_URL`).

The other tests of the index run against that server too (`index_samples.py`, `test_index_database.py`).
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, insert, select, text, update

from shared.errors import Conflict
from shared.index import tables
from shared.index.change_feed import read_after
from shared.index.database import Index, open_engine, open_index
from shared.index.migration_lock import migrating_alone
from shared.index.publishing import publish, reserve
from shared.index.server import require_snapshots
from tests.integration.index_samples import NOW, empty_server, new_instance, uids

URL = os.environ.get("DICOM_TEST_SQL_URL", "")

pytestmark = pytest.mark.skipif(not URL, reason="DICOM_TEST_SQL_URL names no SQL Server to test with")


@pytest.fixture
async def index() -> AsyncIterator[Index]:
    """An empty index of the server."""
    empty_server(URL)
    opened = open_index(URL)
    yield opened
    await opened.close()


def store(connection: Connection, number: int) -> None:
    (version,) = reserve(connection, [new_instance(0, uids(number)).key], NOW)
    assert publish(connection, [new_instance(version or 0, uids(number))], NOW) == [None]


async def test_feed_order(index: Index) -> None:
    """While a transaction is held open that appended to the feed, no reader sees a later entry before its own."""
    appended, gate = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        store(connection, 1)
        appended.set()
        assert gate.wait(30)

    held = asyncio.create_task(index.write(hold))
    await asyncio.to_thread(appended.wait, 30)
    others = [asyncio.create_task(index.write(store, number)) for number in (2, 3)]
    await asyncio.sleep(1)
    seen = await index.read(read_after, 0, 10)
    gate.set()
    await asyncio.gather(held, *others)
    feed = await index.read(read_after, 0, 10)

    assert seen == []
    assert feed[0].key.study == "1.1"
    assert [entry.sequence for entry in feed] == sorted(entry.sequence for entry in feed)
    assert len(feed) == 3


async def test_deadlock(index: Index) -> None:
    """Of two transactions that wait for each other the victim is done again, and both end well."""
    rows = [{"version": version, "due_at": NOW, "attempts": 0} for version in (1, 2)]
    await index.write(lambda connection: connection.execute(insert(tables.deleted_instance), rows))
    both = threading.Barrier(2)
    runs: list[int] = []

    def touch(connection: Connection, first: int, second: int) -> None:
        runs.append(first)
        for number, version in enumerate((first, second)):
            later = NOW + timedelta(seconds=len(runs))
            table = tables.deleted_instance
            connection.execute(update(table).where(table.c.version == version).values(due_at=later))
            if number == 0 and len(runs) <= 2:
                both.wait(30)

    await asyncio.gather(index.write(touch, 1, 2), index.write(touch, 2, 1))

    assert len(runs) == 3


async def test_duplicate_of_open_transaction(index: Index) -> None:
    """Whoever stores what an open transaction is storing waits for it, and then knows that it is there."""
    results = await asyncio.gather(*(index.write(store_once) for _ in range(4)), return_exceptions=True)

    assert results.count(True) == 1
    assert all(result in {True, False} or isinstance(result, Conflict) for result in results)


def store_once(connection: Connection) -> bool:
    (version,) = reserve(connection, [new_instance(0, uids(1)).key], NOW)
    return version is not None and publish(connection, [new_instance(version, uids(1))], NOW) == [None]


async def test_reader_does_not_wait(index: Index) -> None:
    """A reader sees what was committed while a writer holds its rows (READ_COMMITTED_SNAPSHOT)."""
    await index.write(store, 1)
    held, gate = threading.Event(), threading.Event()

    def change(connection: Connection) -> None:
        connection.execute(update(tables.study).values(patient_id="changed"))
        held.set()
        assert gate.wait(30)

    writing = asyncio.create_task(index.write(change))
    await asyncio.to_thread(held.wait, 30)
    async with asyncio.timeout(10):
        seen = await index.read(lambda connection: connection.execute(select(tables.study.c.patient_id)).scalar())
    gate.set()
    await writing

    assert seen != "changed"


@pytest.fixture
def engine() -> Engine:
    return open_engine(URL)


def test_one_migration(engine: Engine) -> None:
    """A second migration waits until the first gives its lock back."""
    order: list[str] = []
    first_holds = threading.Event()

    def second() -> None:
        first_holds.wait(30)
        with engine.connect() as connection, migrating_alone(connection):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second)
        with engine.connect() as connection, migrating_alone(connection):
            first_holds.set()
            connection.execute(text("WAITFOR DELAY '00:00:01'"))
            order.append("first")
        waiting.result(30)
    engine.dispose()

    assert order == ["first", "second"]


def test_snapshots(engine: Engine) -> None:
    """The server under test is set up as Azure SQL is."""
    with engine.connect() as connection:
        require_snapshots(connection)
    engine.dispose()
