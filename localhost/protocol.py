"""HTTP/1.1 as uvicorn speaks it, with fewer copies of what a client sends."""

from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """A connection whose bodies reach the app in the pieces that they were read in."""

    def on_body(self, body: bytes) -> None:
        """Hold a piece of a body until the app asks for it.

        uvicorn copies each piece into a buffer and the buffer into a message; what is bytes already, it passes on.
        """
        cycle: Any = self.cycle  # its body is annotated as a bytearray, and only ever copied
        if cycle.response_complete:
            return
        held = cycle.body
        cycle.body = held + body if held else body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()
