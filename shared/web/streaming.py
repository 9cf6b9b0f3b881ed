"""Answers whose bodies are streams."""

from collections.abc import Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.model import ByteStream


class Streaming(StreamingResponse):
    """A response that closes its body when it is over, also when the client left: files are open behind it."""

    def __init__(self, body: ByteStream, media_type: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._body.aclose()
