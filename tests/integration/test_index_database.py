"""Transactions of the index: all or nothing, one winner, one fsync for many (`shared/index/database.py`)."""

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select, text

from shared.errors import Conflict, InvalidRequest, NotFound, Unavailable
from shared.index import tables
from shared.index.database import Index, open_engine, open_index
from shared.index.failures import Overtaken
from shared.index.group_commit import GroupWriter
from shared.index.instances import find
from shared.index.migrate import migrate
from shared.index.publishing import publish, reserve
from shared.model import InstanceKey, Scope
from tests.integration.index_samples import NOW, empty_server, new_instance, uids

KEY = InstanceKey(1, "1.1", "1.1.1", "1.1.1.1")
URL = os.environ.get("DICOM_TEST_SQL_URL")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "index.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    if URL:
        empty_server(URL)
        return URL
    shutil.copy(template, tmp_path / "index.db")
    return f"sqlite:///{tmp_path / 'index.db'}"


@pytest.fixture
async def index(url: str) -> AsyncIterator[Index]:
    opened = open_index(url)
    yield opened
    await opened.close()


def test_opened_while_made(tmp_path: Path) -> None:
    """Who opens a new file that another is writing waits, though SQLite itself would not."""
    with closing(sqlite3.connect(tmp_path / "index.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, other.execute, ["COMMIT"])
        timer.start()
        engine = open_engine(f"sqlite:///{tmp_path / 'index.db'}", writes=True)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE one (id INTEGER)")
        timer.join()
    engine.dispose()


def add(connection: Connection, version: int) -> int:
    connection.execute(insert(tables.deleted_instance), {"version": version, "due_at": NOW, "attempts": 0})
    return version


def versions(connection: Connection) -> list[int]:
    return list(connection.execute(select(tables.deleted_instance.c.version).order_by("version")).scalars())


async def test_result(index: Index) -> None:
    """Work gives its result, and what it wrote is there for the next reader."""
    assert await index.write(add, 1) == 1
    assert await index.read(versions) == [1]


async def test_failure_leaves_nothing(index: Index) -> None:
    """Work that fails leaves nothing behind, and its own error reaches the caller."""

    def fail(connection: Connection) -> None:
        add(connection, 1)
        raise NotFound("nothing is there")

    with pytest.raises(NotFound, match="nothing is there"):
        await index.write(fail)

    assert await index.read(versions) == []


async def test_group(index: Index) -> None:
    """Of jobs that run at the same time a failing one takes nothing of the others with it."""

    def fail(connection: Connection, version: int) -> None:
        add(connection, version)
        raise InvalidRequest("no")

    jobs = [index.write(add if number % 3 else fail, number) for number in range(90)]

    results = await asyncio.gather(*jobs, return_exceptions=True)

    assert [number for number, result in enumerate(results) if isinstance(result, InvalidRequest)] == [*range(0, 90, 3)]
    assert await index.read(versions) == [number for number in range(90) if number % 3]


def test_group_shares_commit(url: str) -> None:
    """What waits while a transaction runs shares the next one."""
    if URL:
        pytest.skip("groups are made on SQLite alone")
    engine, gate = open_engine(url, writes=True), threading.Event()
    commits: list[Connection] = []
    event.listen(engine, "commit", commits.append)
    writer = GroupWriter(engine)

    first = writer.submit(lambda _: gate.wait(10))
    others = [writer.submit(partial(add, version=number)) for number in range(20)]
    gate.set()
    writer.close()

    assert first.result() is True
    assert [other.result() for other in others] == list(range(20))
    assert len(commits) <= 3


@pytest.mark.parametrize("bad", [None, 7])
def test_alike_together(url: str, bad: int | None) -> None:
    """The same work that waits together is one call, and each hears of its own items; a failing one fails alone."""
    if URL:
        pytest.skip("groups are made on SQLite alone")
    gate = threading.Event()
    calls: list[list[int]] = []
    writer = GroupWriter(open_engine(url, writes=True))
    writer.submit(lambda _: gate.wait(10))

    def add_each(connection: Connection, items: Sequence[int], _: datetime) -> list[int]:
        calls.append(list(items))
        if bad in items:
            raise InvalidRequest("no")
        return [10 * add(connection, item) for item in items]

    jobs = [writer.submit_items(add_each, [number, number + 100], lambda: NOW) for number in range(10)]
    gate.set()
    writer.close()

    failed = [] if bad is None else [bad]
    assert [number for number, job in enumerate(jobs) if job.exception()] == failed
    assert all(job.result() == [10 * n, 10 * (n + 100)] for n, job in enumerate(jobs) if n not in failed)
    assert len(calls) == (1 if bad is None else 11)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        assert file.execute("SELECT count(*) FROM deleted_instance").fetchone() == (20 - 2 * len(failed),)


def test_writer_outlives_errors(url: str) -> None:
    """An error that no one foresaw, in a transaction that is gone, fails its own job and no other one."""
    if URL:
        pytest.skip("groups are made on SQLite alone")
    writer = GroupWriter(open_engine(url, writes=True))

    def lose(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise MemoryError

    lost = writer.submit(lose)
    kept = writer.submit(partial(add, version=1))

    assert isinstance(lost.exception(10), Unavailable)
    assert kept.result(10) == 1
    assert writer.is_alive
    writer.close()
    assert not writer.is_alive


def test_broken_group(url: str) -> None:
    """When one job breaks the transaction of all, the others are done again without it."""
    if URL:
        pytest.skip("groups are made on SQLite alone")
    gate = threading.Event()
    writer = GroupWriter(open_engine(url, writes=True))
    writer.submit(lambda _: gate.wait(10))

    good = writer.submit(lambda connection: add(connection, 1))
    bad = writer.submit(lambda connection: connection.execute(text("SELECT * FROM nowhere")))
    other = writer.submit(lambda connection: add(connection, 2))
    gate.set()
    writer.close()

    assert (good.result(), other.result()) == (1, 2)
    assert isinstance(bad.exception(), Unavailable)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        assert file.execute("SELECT version FROM deleted_instance").fetchall() == [(1,), (2,)]


async def test_again_when_overtaken(index: Index) -> None:
    """Work that another writer overtook is done again from the start, and three times in all."""
    attempts: list[int] = []

    def overtaken(connection: Connection, times: int) -> int:
        attempts.append(add(connection, times))
        if len(attempts) <= times:
            raise Overtaken("another was first")
        return len(attempts)

    assert await index.write(overtaken, 2) == 3
    assert await index.read(versions) == [2]
    attempts.clear()
    with pytest.raises(Conflict):
        await index.write(overtaken, 9)
    assert len(attempts) == 3


async def test_unique_key(index: Index) -> None:
    """A key that stays taken is a conflict, and the driver's error is its cause."""
    await index.write(add, 1)

    with pytest.raises(Conflict) as caught:
        await index.write(add, 1)

    assert type(caught.value.__cause__).__name__ == "IntegrityError"


async def test_fault_of_program(index: Index) -> None:
    """A fault of the program stays what it is: it is not the database that fails."""

    def divide(connection: Connection) -> float:
        add(connection, 1)
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        await index.write(divide)
    assert await index.read(versions) == []


async def test_readers_write_nothing(index: Index) -> None:
    """On SQLite a reader cannot write: only the writer holds the lock from the start."""
    if URL:
        pytest.skip("one engine reads and writes")

    with pytest.raises(Unavailable):
        await index.read(add, 1)


async def test_cancelled(index: Index) -> None:
    """A caller that goes away stops no transaction half-way."""
    started, gate = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        add(connection, 1)
        started.set()
        gate.wait(10)
        add(connection, 2)

    task = asyncio.create_task(index.write(slow))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await index.write(add, 3)

    assert await index.read(versions) == [1, 2, 3]


async def test_loop_is_free(index: Index) -> None:
    """While a transaction runs the event loop serves others."""
    gate = threading.Event()

    waiting = asyncio.create_task(index.write(lambda _: gate.wait(10)))
    await asyncio.sleep(0)
    assert await index.read(versions) == []
    gate.set()

    assert await waiting is True


_COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"


@pytest.mark.parametrize(("rows", "is_prompt"), [(10, True), (3_000_000, False)])
async def test_read_at_once(index: Index, rows: int, is_prompt: bool) -> None:
    """A short read of a SQLite file is done in the caller's thread; a long one is given up there."""
    if URL:
        pytest.skip("SQLite alone")
    threads = []

    def count(connection: Connection) -> int:
        threads.append(threading.current_thread())
        return int(connection.execute(text(_COUNT.format(rows))).scalar_one())

    assert await index.read(versions) == []  # connections are open
    assert await index.read(count) == rows
    assert (threads[-1] is threading.current_thread()) is is_prompt
    assert threads[0] is threading.current_thread()


async def test_reads_let_others_run(index: Index) -> None:
    """Reads one behind the other, each of them short, do not keep the event loop from others."""
    waiting = asyncio.create_task(asyncio.sleep(0))
    for _ in range(5_000):
        if waiting.done():
            break
        await index.read(versions)

    assert waiting.done()


async def test_locked_file(index: Index, tmp_path: Path) -> None:
    """A read that another process holds up waits in a thread, and not the event loop with it."""
    if URL:
        pytest.skip("SQLite alone")
    threads = []

    def count(connection: Connection) -> int:
        threads.append(threading.current_thread())
        connection.exec_driver_sql(f"ATTACH '{tmp_path / 'other.db'}' AS other{len(threads)}")
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM other{len(threads)}.one").scalar_one())  # noqa: S608

    with closing(sqlite3.connect(tmp_path / "other.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE one (id INTEGER)")
        other.execute("BEGIN EXCLUSIVE")
        waiting = asyncio.create_task(index.read(count))
        while len(threads) < 2:  # noqa: ASYNC110 - what is waited for happens in a thread
            await asyncio.sleep(0.001)
        other.execute("COMMIT")

        assert await waiting == 0
    assert threads[0] is threading.current_thread() is not threads[1]


async def test_snapshot(index: Index, url: str) -> None:
    """A reader sees a publish as a whole or not at all, within one read the same each time (SQLite)."""
    if URL:
        pytest.skip("on SQL Server each statement has its snapshot")
    other = open_index(url)
    seen, done = [], threading.Event()

    def look(connection: Connection) -> None:
        while not done.is_set():
            first = len(find(connection, Scope(1), limit=1000))
            seen.append((first, len(find(connection, Scope(1), limit=1000))))
            break

    async def read() -> None:
        while not done.is_set():
            await other.read(look)

    reader = asyncio.create_task(read())
    for call in range(5):
        keys = [new_instance(0, uids(1, call, number)).key for number in range(50)]
        given = [version or 0 for version in await index.write(reserve, keys, NOW)]
        await index.write(publish, [new_instance(v, uids(1, call, number)) for number, v in enumerate(given)], NOW)
    done.set()
    await reader
    await other.close()

    assert all(first == second and first % 50 == 0 for first, second in seen)


async def test_one_winner(index: Index, url: str) -> None:
    """Of two services that store the same instance at once exactly one publishes it."""
    other = open_index(url)

    async def store(at: Index) -> bool:
        (version,) = await at.write(reserve, [KEY], NOW)
        if version is None:
            return False
        return await at.write_each(publish, [new_instance(version)], lambda: NOW) == [None]

    won = await asyncio.gather(*(store(at) for at in (index, other) * 8))
    await other.close()

    assert sum(won) == 1
    assert len(await index.read(find, Scope(1), limit=10)) == 1


async def test_same_study(index: Index, url: str) -> None:
    """Services that store into one new study at once all succeed, and it is one study."""
    other = open_index(url)

    async def store(at: Index, number: int) -> object:
        (version,) = await at.write(reserve, [new_instance(0, uids(1, number % 3, number)).key], NOW)
        return await at.write_each(publish, [new_instance(version or 0, uids(1, number % 3, number))], lambda: NOW)

    refused = await asyncio.gather(*(store(at, number) for number, at in enumerate((index, other) * 8)))
    await other.close()

    assert refused == [[None]] * 16
    assert await index.read(lambda c: len(c.execute(select(tables.study.c.id)).all())) == 1
    assert await index.read(lambda c: len(c.execute(select(tables.series.c.id)).all())) == 3


def test_changed_since_read(url: str) -> None:
    """A study that changed between look-up and write is noticed, so that no value is lost."""
    engine = open_engine(url, writes=True)
    with engine.begin() as connection:
        (version,) = reserve(connection, [KEY], NOW)
        publish(connection, [new_instance(version or 0, {"PatientID": "A"})], NOW)
    with engine.begin() as connection:
        (version,) = reserve(connection, [InstanceKey(1, "1.1", "1.1.1", "2")], NOW)

        @event.listens_for(connection, "before_cursor_execute")
        def change(*given: object) -> None:
            if str(given[2]).startswith("UPDATE study"):
                cursor = connection.connection.cursor()
                cursor.execute("UPDATE study SET revision = revision + 1")

        with pytest.raises(Overtaken):
            publish(connection, [new_instance(version or 0, {"SOPInstanceUID": "2", "PatientID": "B"})], NOW)
    engine.dispose()


async def test_check(index: Index) -> None:
    """A migrated database that answers is well."""
    await index.check()


@pytest.mark.parametrize("name", ["empty.db", "missing/index.db", "text.db"])
async def test_check_fails(tmp_path: Path, name: str) -> None:
    """A database without tables, without a folder, or that is none, is unavailable."""
    (tmp_path / "text.db").write_text("not a database" * 100)
    index = open_index(f"sqlite:///{tmp_path / name}")

    with pytest.raises(Unavailable):
        await index.check()
    with pytest.raises(Unavailable):
        await index.write(add, 1)
    await index.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://host/db", "nonsense", ""])
def test_other_urls(url: str) -> None:
    """A URL that names neither a file nor SQL Server is refused at once."""
    with pytest.raises(Unavailable):
        open_index(url)


async def test_full(url: str) -> None:
    """A write for which there is no space is unavailable, and the index goes on when there is some."""
    if URL:
        pytest.skip("the space of a server is not ours")
    engine = open_engine(url, writes=True)
    limit = ["PRAGMA max_page_count = 1"]
    event.listen(engine, "connect", lambda connection, _: connection.execute(limit[0]))
    writer = GroupWriter(engine)
    large = {"version": 1, "dicom_json": bytes(10_000_000)}

    full = writer.submit(lambda connection: connection.execute(insert(tables.instance_metadata), large))
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(full.exception).result(20)
    limit[0] = "PRAGMA max_page_count = 1000000"
    again = writer.submit(lambda connection: add(connection, 1))
    writer.close()

    assert isinstance(error, Unavailable)
    assert again.result() == 1


async def test_durability_settings(index: Index) -> None:
    """On SQLite a commit is synced, foreign keys hold, and readers do not wait for the writer."""
    if URL:
        pytest.skip("SQLite alone")

    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]

    assert await index.write(settings) == ["wal", 2, 1]


@pytest.mark.parametrize("url", ["sqlite:///{}", "mssql+pyodbc://{}.example/dicom?driver=x"])
def test_values_are_hidden(tmp_path: Path, url: str) -> None:
    """An error does not quote the values of its statement: whoever logs it would log patients."""
    try:
        engine = open_engine(url.format(tmp_path / "index.db" if url.startswith("sqlite") else "server"))
    except Unavailable:
        pytest.skip("SQL Server needs an ODBC driver manager, which this machine has not")

    assert engine.hide_parameters
    engine.dispose()
