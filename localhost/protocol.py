"""HTTP/1.1 as uvicorn speaks it, with fewer copies of what a client sends, and no patience for one that sends nothing.

The server of the real host gives a header 30 seconds too, and asks for 240 bytes of a body a second.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a client must be.

    Parameters
    ----------
    header_s
        From its first byte to its end; on a new connection from the moment it is there.
    window_s, bytes_per_s
        In each window of a body's time as many bytes must come, on average, unless it is us who hold them back.
    unread_s
        An answer of which the client takes nothing for so long is broken off, as the front end of the real host does.
    """

    header_s: float = 30.0
    window_s: float = 60.0
    bytes_per_s: float = 240.0
    unread_s: float = 240.0


class _Awaited(Enum):
    """What a client has to send next."""

    NOTHING = auto()
    HEADER = auto()
    BODY = auto()


class Protocol(HttpToolsProtocol):
    """A connection whose bodies reach the app in the pieces that they were read in, and that ends if none come."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, pace: Pace | None = None
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._pace = pace or Pace()
        self._awaited = _Awaited.HEADER
        self._timed = _Awaited.NOTHING
        self._due: asyncio.TimerHandle | None = None
        self._arrived = 0
        self._was_held = False
        self._unread_due: asyncio.TimerHandle | None = None

    @property
    def idle_until(self) -> float | None:
        """When this connection closes since it waits for another request, if it does."""
        waiting = self.timeout_keep_alive_task
        return None if waiting is None else waiting.when()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a header."""
        super().connection_made(transport)
        self._time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._expect_reading(None)
        self._awaited = _Awaited.NOTHING
        self._time()

    def data_received(self, data: bytes) -> None:
        """Read on; blank lines before a request count as its header."""
        super().data_received(data)
        if self._awaited is _Awaited.NOTHING and self._is_answered():
            self._awaited = _Awaited.HEADER
        if self._awaited is not self._timed:
            self._time()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._expect_reading(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Write on: the client has read."""
        super().resume_writing()
        self._expect_reading(None)

    def on_message_begin(self) -> None:
        """Begin to read a header."""
        super().on_message_begin()
        self._awaited = _Awaited.HEADER

    def on_headers_complete(self) -> None:
        """Begin to read a body, which may be none."""
        super().on_headers_complete()
        self._awaited = _Awaited.BODY

    def on_message_complete(self) -> None:
        """Wait for the app."""
        super().on_message_complete()
        self._awaited = _Awaited.NOTHING

    def on_body(self, body: bytes) -> None:
        """Hold a piece of a body until the app asks for it.

        uvicorn copies each piece into a buffer and the buffer into a message; what is bytes already, it passes on.
        """
        self._arrived += len(body)
        cycle: Any = self.cycle  # its body is annotated as a bytearray, and only ever copied
        if cycle.response_complete:
            return
        held = cycle.body
        cycle.body = held + body if held else body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
            self._was_held = True
        cycle.message_event.set()

    def _is_answered(self) -> bool:
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _expect_reading(self, unread: int | None) -> None:
        """Wait for the client to take some of what is *unread*, if anything is."""
        if self._unread_due is not None:
            self._unread_due.cancel()
        late = self._pace.unread_s
        self._unread_due = None if unread is None else self.loop.call_later(late, self._judge_reading, unread)

    def _judge_reading(self, unread: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < unread:
            self._expect_reading(left)
        else:
            self.transport.abort()

    def _time(self) -> None:
        """Count from now what is awaited."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._timed = self._awaited
        self._arrived = 0
        self._was_held = self.flow.read_paused
        if self._timed is not _Awaited.NOTHING:
            within_s = self._pace.header_s if self._timed is _Awaited.HEADER else self._pace.window_s
            self._due = self.loop.call_later(within_s, self._judge)

    def _judge(self) -> None:
        """End the connection of a client that was too slow."""
        self._due = None
        if self.transport.is_closing():
            return
        if self._was_held or self.flow.read_paused or self._is_on_time():
            self._time()
            return
        if self._is_answered():
            self.transport.write(_LATE)
        self.transport.close()

    def _is_on_time(self) -> bool:
        if self._timed is _Awaited.HEADER:
            return False
        is_enough = self._arrived >= self._pace.bytes_per_s * self._pace.window_s
        return is_enough or self.cycle.waiting_for_100_continue
