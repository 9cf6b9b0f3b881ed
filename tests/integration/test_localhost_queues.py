"""Queues and their triggers: one contract for the embedded queue and for Azure Storage's."""

import asyncio
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from localhost.embedded_queue import EmbeddedQueue, release_all
from localhost.host import Host
from localhost.invocation import FunctionFailed
from localhost.queues import Message, Queue, Queues
from localhost.triggers import QueueOptions, QueueTrigger
from tests.localhost_apps import write_app

Opener = Callable[[str], Queue]


@pytest.fixture(params=["embedded", "azurite"])
async def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """App settings under which the queues of the connection `Store` are of one kind or the other."""
    return {} if request.param == "embedded" else {"Store": str(request.getfixturevalue("azurite"))}


@pytest.fixture
async def opened(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Opener]:
    queues = Queues(environment, tmp_path / "queues.db")
    suffix = uuid.uuid4().hex
    yield lambda name: queues.open("Store", f"{name}-{suffix}")
    await queues.close()


async def _bodies(queue: Queue) -> list[bytes]:
    return [message.body for message in await queue.receive(16, invisible_s=60)]


async def test_send_receive(opened: Opener) -> None:
    """Messages come in order, as they were sent, and only in their own queue."""
    queue = opened("one")
    for body in (b"first", b"\x00\xff", b"", "é".encode()):
        await queue.send(body)

    assert await _bodies(opened("two")) == []
    assert await _bodies(queue) == [b"first", b"\x00\xff", b"", "é".encode()]


async def test_taken_is_hidden(opened: Opener) -> None:
    """A message that someone took is not given to anyone else; at most as many are taken as asked for."""
    queue = opened("one")
    await queue.send(b"a")
    await queue.send(b"b")

    assert len(await queue.receive(1, invisible_s=60)) == 1
    assert len(await queue.receive(16, invisible_s=60)) == 1
    assert await queue.receive(16, invisible_s=60) == []


async def test_count(opened: Opener) -> None:
    """A message that is given back at once is delivered again, and its deliveries are counted."""
    queue = opened("one")
    await queue.send(b"a")

    counts = []
    for _ in range(3):
        message = (await queue.receive(1, invisible_s=60))[0]
        counts.append(message.dequeue_count)
        await queue.hide(message, invisible_s=0)

    assert counts == [1, 2, 3]


async def test_delete(opened: Opener) -> None:
    """A deleted message is gone."""
    queue = opened("one")
    await queue.send(b"a")
    message = (await queue.receive(1, invisible_s=1))[0]

    await queue.delete(await queue.hide(message, invisible_s=0))

    assert await queue.receive(1, invisible_s=1) == []


async def test_old_delivery(opened: Opener) -> None:
    """Who took a message before it was delivered again can neither delete nor hide it."""
    queue = opened("one")
    await queue.send(b"a")
    first = (await queue.receive(1, invisible_s=60))[0]
    await queue.hide(first, invisible_s=0)
    second = (await queue.receive(1, invisible_s=60))[0]

    await queue.delete(first)
    await queue.hide(first, invisible_s=0)

    assert await _bodies(queue) == []
    await queue.hide(second, invisible_s=0)
    assert await _bodies(queue) == [b"a"]


@pytest.mark.parametrize(("failures", "tries", "is_poisoned"), [(0, 1, False), (4, 5, False), (9, 5, True)])
async def test_tries(opened: Opener, failures: int, tries: int, is_poisoned: bool) -> None:
    """A message is tried five times, and is then in the poison queue and nowhere else."""
    queue, poison = opened("one"), opened("one-poison")
    counts: list[int] = []
    done = asyncio.Event()

    async def handle(message: Message) -> None:
        counts.append(message.dequeue_count)
        if len(counts) == tries:
            done.set()
        if len(counts) <= failures:
            raise FunctionFailed

    await queue.send(b"task")
    await _run_until(done, QueueTrigger(queue, poison, handle, QueueOptions()))

    assert counts == list(range(1, tries + 1))
    assert await _bodies(queue) == []
    assert await _bodies(poison) == ([b"task"] if is_poisoned else [])


async def test_stop_finishes(opened: Opener) -> None:
    """A message under way when the host stops is finished, and is gone."""
    queue, started = opened("one"), asyncio.Event()
    finished = []

    async def handle(message: Message) -> None:
        started.set()
        await asyncio.sleep(0.2)
        finished.append(message.body)

    await queue.send(b"task")
    await _run_until(started, QueueTrigger(queue, opened("p"), handle, QueueOptions()))

    assert finished == [b"task"]
    assert await _bodies(queue) == []


async def test_cancel_gives_back(opened: Opener) -> None:
    """A message under way when the host cannot wait any longer is visible again at once."""
    queue, started = opened("one"), asyncio.Event()

    async def handle(_: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    await queue.send(b"task")
    running = asyncio.create_task(QueueTrigger(queue, opened("p"), handle, QueueOptions()).run(asyncio.Event()))
    await asyncio.wait_for(started.wait(), 10)
    running.cancel()
    await asyncio.wait([running])

    assert await _bodies(queue) == [b"task"]


async def test_batch(opened: Opener) -> None:
    """At most a batch of messages is worked on at a time, and all of them are."""
    queue, done = opened("one"), asyncio.Event()
    under_way, most, total = 0, 0, 0

    async def handle(_: Message) -> None:
        nonlocal under_way, most, total
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        total += 1
        if total == 12:
            done.set()

    for _ in range(12):
        await queue.send(b"task")
    await _run_until(done, QueueTrigger(queue, opened("p"), handle, QueueOptions(batch_size=4)))

    assert (most, total) == (4, 12)


async def _run_until(event: asyncio.Event, trigger: QueueTrigger) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(trigger.run(stopping))
    await asyncio.wait_for(event.wait(), 20)
    stopping.set()
    await asyncio.wait_for(running, 20)


async def test_unreadable(azurite: str) -> None:
    """A text that is not base64 goes to the poison queue without being tried, as in the host."""
    from azure.storage.queue.aio import QueueClient

    queues, name = Queues({"Store": azurite}, None), f"q{uuid.uuid4().hex}"
    queue, poison = queues.open("Store", name), queues.open("Store", f"{name}-poison")
    await queue.receive(1, invisible_s=1)
    async with QueueClient.from_connection_string(azurite, name) as client:
        await client.send_message("{not base64}")
    tried: list[Message] = []

    async def handle(message: Message) -> None:
        tried.append(message)

    stopping = asyncio.Event()
    running = asyncio.create_task(QueueTrigger(queue, poison, handle, QueueOptions()).run(stopping))
    found: list[bytes] = []
    while not found:
        found = await _bodies(poison)
    stopping.set()
    await running
    await queues.close()

    assert (tried, found) == ([], [b"{not base64}"])


async def test_survives(tmp_path: Path) -> None:
    """Embedded messages outlive the process; those that a killed host had taken are visible after `release_all`."""
    database = tmp_path / "queues.db"
    before = EmbeddedQueue(database, "one")
    await before.send(b"taken")
    await before.receive(1, invisible_s=600)
    await before.send(b"waiting")

    release_all(database)

    after = EmbeddedQueue(database, "one")
    assert await _bodies(after) == [b"taken", b"waiting"]
    await before.close()
    await after.close()


async def test_opened_while_made(tmp_path: Path) -> None:
    """Who opens a new file that another process is making waits, though SQLite itself would not."""
    with closing(sqlite3.connect(tmp_path / "queues.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, other.execute, ["COMMIT"])
        timer.start()
        queue = EmbeddedQueue(tmp_path / "queues.db", "one")
        await queue.send(b"body")
        timer.join()

    assert await _bodies(queue) == [b"body"]
    await queue.close()


async def test_lease_ends(tmp_path: Path) -> None:
    """A message whose worker died comes back when its time is over."""
    now = [1000.0]
    queue = EmbeddedQueue(tmp_path / "queues.db", "one", clock=lambda: now[0])
    await queue.send(b"a")
    await queue.receive(1, invisible_s=60)

    now[0] += 59
    early = await _bodies(queue)
    now[0] += 1

    assert (early, await _bodies(queue)) == ([], [b"a"])
    await queue.close()


async def test_outputs(environment: dict[str, str], tmp_path: Path) -> None:
    """What a function sets or returns for a queue is sent: text, bytes, messages and lists of them."""
    suffix = uuid.uuid4().hex
    app = write_app(
        tmp_path,
        """
        import typing

        @app.queue_trigger("message", "%START%", "Store")
        @app.queue_output("$return", "%NEXT%", "Store")
        @app.queue_output("other", "%NEXT%", "Store")
        async def begin(message: func.QueueMessage, other: func.Out[typing.List[str]]) -> str:
            other.set([b"b".decode(), func.QueueMessage(body="c")])
            return message.get_body().decode() + str(message.dequeue_count)

        @app.queue_trigger("text", "%NEXT%", "Store")
        def end(text: str) -> None:
            with open(HERE / "log", "a") as log:
                log.write(text + " ")
        """,
    )
    names = {"START": f"start-{suffix}", "NEXT": f"next-{suffix}"}
    queues = tmp_path / "queues.db"
    host = Host(app, environment={**environment, **names, "PYTHON_ENABLE_INIT_INDEXING": "1"}, queue_database=queues)
    opened = Queues(environment, queues)
    await opened.open("Store", names["START"]).send(b"a")

    log = tmp_path / "log"
    async with host.running():
        for _ in range(400):
            if log.exists() and len(log.read_text()) >= 7:
                break
            await asyncio.sleep(0.05)
    await opened.close()

    assert sorted(log.read_text().split()) == ["a1", "b", "c"]
