"""Answers whose bodies are streams (`shared/web/streaming.py`)."""

import pytest
from starlette.types import Message, Scope

from shared.model import ByteStream
from shared.web.streaming import Streaming

_SCOPE: Scope = {"type": "http", "asgi": {"spec_version": "2.4"}}


class Body:
    """A body that knows whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def chunks(self) -> ByteStream:
        try:
            yield b"a"
            yield b"b"
        finally:
            self.is_closed = True


async def _receive() -> Message:
    return {"type": "http.disconnect"}


async def test_whole() -> None:
    """All of the body is sent, and it is closed."""
    body, sent = Body(), []

    async def send(message: Message) -> None:
        sent.append(message.get("body"))

    await Streaming(body.chunks(), "text/plain")(_SCOPE, _receive, send)

    assert sent == [None, b"a", b"b", b""]
    assert body.is_closed


async def test_client_leaves() -> None:
    """A client that leaves while a chunk is sent leaves nothing open behind the body."""
    body = Body()

    async def send(message: Message) -> None:
        if message.get("body"):
            raise OSError("gone")

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the framework makes of it
        await Streaming(body.chunks(), "text/plain")(_SCOPE, _receive, send)

    assert body.is_closed
