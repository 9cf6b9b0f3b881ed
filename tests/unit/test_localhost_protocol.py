"""Slow clients, and too many of them (`localhost/protocol.py`, `localhost/accepting.py`)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from localhost.accepting import accept_from
from localhost.protocol import Pace, Protocol

_PATIENCE_S = 20.0
_QUICK = Pace(header_s=0.1, window_s=0.1, bytes_per_s=1000, unread_s=0.1)
_LENIENT = Pace()
_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
_GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class _App:
    """Answers how many bytes came, after *before_reading* is set; notes clients that left in the midst of a body."""

    def __init__(self) -> None:
        self.before_reading = asyncio.Event()
        self.before_reading.set()
        self.left = asyncio.Event()

    async def __call__(self, _scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        await self.before_reading.wait()
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            size, more = size + len(message["body"]), message["more_body"]
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def _serve(app: _App, pace: Pace, most: int = 100) -> AsyncIterator[tuple[int, Collection[Any]]]:
    """Serve on a free port; yield it, and the open connections."""
    state = ServerState()
    config = uvicorn.Config(app, http=Protocol, ws="none", log_config=None, access_log=False, timeout_keep_alive=60)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accept_from(listener, partial(Protocol, config, state, {}, pace=pace), state.connections, most=most)
        yield listener.getsockname()[1], state.connections
        asyncio.get_running_loop().remove_reader(listener)
        for one in list(state.connections):
            one.transport.abort()


async def _trickle(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send one piece after another until the connection is closed."""
    while not writer.transport.is_closing():
        writer.write(piece)
        await asyncio.sleep(0.01)


async def _rest_of_slow(port: int, begin: bytes, piece: bytes) -> bytes:
    """Return what a client reads to the end of its connection while it goes on sending."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)
    sending = asyncio.create_task(_trickle(writer, piece))
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        sending.cancel()
        writer.close()


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X-A: b\r\n", id="fields"),
        pytest.param(b"GET /", b"a", id="path"),
        pytest.param(b"", b"\r\n", id="blank-lines"),
        pytest.param(_GET, b"\r\n", id="blank-lines-after-a-request"),
        pytest.param(_GET + b"GET / HTTP/1.1\r\n", b"X-A: b\r\n", id="second-request"),
    ],
)
async def test_header_without_end(begin: bytes, piece: bytes) -> None:
    """A header that does not end in time ends the connection, whatever goes on coming: 408."""
    async with _serve(_App(), _QUICK) as (port, _):
        said = await _rest_of_slow(port, begin, piece)

    assert said.rpartition(b"HTTP/1.1 ")[2].startswith(b"408 ")
    assert said.count(b"HTTP/1.1 200") == begin.count(_GET)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(_POST + b"\r\n", b"", id="nothing"),
        pytest.param(_POST + b"\r\n", b"x", id="bytes"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="chunks"),
    ],
)
async def test_body_without_end(begin: bytes, piece: bytes) -> None:
    """A body of which too little comes ends the connection, and the app sees the client leave."""
    app = _App()
    async with _serve(app, _QUICK) as (port, _):
        assert await _rest_of_slow(port, begin, piece) == b""
        async with asyncio.timeout(_PATIENCE_S):
            await app.left.wait()


async def test_body_in_time() -> None:
    """A body that takes many windows is read to its end while enough comes in each."""
    async with _serve(_App(), Pace(header_s=0.1, window_s=0.2, bytes_per_s=1000)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_POST + b"\r\n")
        for _ in range(20):
            writer.write(b"x" * 50_000)
            await asyncio.sleep(0.03)
        async with asyncio.timeout(_PATIENCE_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("expected", [b"", b"Expect: 100-continue\r\n"], ids=["held-back", "not-asked-for"])
async def test_app_is_slow(expected: bytes) -> None:
    """What the app does not read yet, or did not ask for, is not the client's delay."""
    app = _App()
    app.before_reading.clear()
    async with _serve(app, _QUICK) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_POST + expected + b"\r\n" + (b"" if expected else b"x" * 1_000_000))
        await asyncio.sleep(5 * _QUICK.window_s)
        app.before_reading.set()
        async with asyncio.timeout(_PATIENCE_S):
            if expected:
                assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
                await reader.readline()
                writer.write(b"x" * 1_000_000)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_answer_is_slow() -> None:
    """A client that has sent everything waits for its answer as long as that takes."""
    app = _App()
    app.before_reading.clear()
    async with _serve(app, _QUICK) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_GET)
        await asyncio.sleep(5 * _QUICK.header_s)
        app.before_reading.set()
        async with asyncio.timeout(_PATIENCE_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("reads", [False, True])
async def test_unread_answer(reads: bool) -> None:
    """An answer that the client does not read is broken off; one that it reads slowly is not."""
    ended = asyncio.Event()
    size = 64 * 2**20

    async def app(_scope: Any, _receive: Any, send: Callable[[Any], Any]) -> None:
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(64):
            await send({"type": "http.response.body", "body": bytes(2**20), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        ended.set()

    served: Any = app
    async with _serve(served, _QUICK) as (port, connections):
        client = socket.create_connection(("127.0.0.1", port))
        client.setblocking(False)
        loop, got = asyncio.get_running_loop(), 0
        await loop.sock_sendall(client, _GET)
        async with asyncio.timeout(_PATIENCE_S):
            if reads:
                while got < size:
                    got += len(await loop.sock_recv(client, 2**20))
                    await asyncio.sleep(0.005)
            await ended.wait()
        assert len(connections) == reads
        client.close()


async def test_most_connections() -> None:
    """Above the bound a connection waits until one of the others ends."""
    async with _serve(_App(), _LENIENT, most=2) as (port, connections):
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        _, last = clients[-1]
        last.write(_GET)
        await asyncio.sleep(0.3)
        assert len(connections) == 2

        clients[0][1].close()
        async with asyncio.timeout(_PATIENCE_S):
            assert (await clients[-1][0].readline()).startswith(b"HTTP/1.1 200")
        for _, writer in clients:
            writer.close()


async def test_idle_connection_makes_room() -> None:
    """Above the bound a connection that only waits for another request is closed for one that waits for its first."""
    async with _serve(_App(), _LENIENT, most=1) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_GET)
        await reader.readuntil(b"\r\n\r\n0")

        other, second = await asyncio.open_connection("127.0.0.1", port)
        second.write(_GET)
        async with asyncio.timeout(_PATIENCE_S):
            assert (await other.readline()).startswith(b"HTTP/1.1 200")
            assert await reader.read() == b""
        writer.close()
        second.close()
