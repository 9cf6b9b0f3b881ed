"""Answers whose bodies are streams, whole or a range of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.model import ByteStream
from shared.turns import admission, admit
from shared.web.ranges import byte_range, is_current, is_known, is_matched

FRESH = "private, no-cache"
"""What was read may be kept by its reader alone, who asks each time whether it still holds (RFC 9111 §5.2.2)."""

_UNWATCHED_BYTES = 2**20
"""Sent before it is asked whether the client is still there."""


class Streaming(StreamingResponse):
    """A response that closes its body when it is over, also when the client left: files are open behind it.

    Starlette would start two tasks to learn of that at once, a fifth of what a small answer costs. Here it is asked
    between the pieces of an answer that is long enough.
    """

    def __init__(
        self,
        body: ByteStream,
        media_type: str,
        *,
        headers: Mapping[str, str] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        super().__init__(body, status, headers=headers, media_type=media_type)
        self._body = body
        self._admission = admission()
        self.on_chunk: Callable[[int], None] | None = None
        """Told the length of each piece that is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send it (ASGI); the worker does that in another task than the handler's."""
        admit(self._admission)
        leaving: asyncio.Task[None] | None = None
        sent = 0
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                sent += len(piece)
                if self.on_chunk is not None:
                    self.on_chunk(len(piece))
                if leaving is None and sent > _UNWATCHED_BYTES:
                    leaving = asyncio.create_task(_left(receive))
                elif leaving is not None and leaving.done():
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if leaving is not None:
                leaving.cancel()
            await self._body.aclose()

    async def without_body(self) -> None:
        """Close the body unread: of an answer to HEAD only the header is sent."""
        await self._body.aclose()
        self._body = _nothing()


async def _nothing() -> ByteStream:
    return
    yield b""


async def _left(receive: Receive) -> None:
    """Return when the client is gone (ASGI, "Disconnect")."""
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass(frozen=True, slots=True)
class Representation:
    """One representation of a resource, of which any part can be read.

    Parameters
    ----------
    tag
        Its entity tag, quoted; strong: the same bytes whenever it is the same.
    length_bytes
        Of all of it.
    read
        Opens its bytes from an offset on, as many as are given.
    """

    media_type: str
    tag: str
    length_bytes: int
    read: Callable[[int, int], Awaitable[ByteStream]]


def unchanged(
    tag: str, headers: Callable[[str], list[str]], fields: Mapping[str, str] | None = None
) -> Response | None:
    """Return 304 when the client has the representation with a *tag*; *headers* as in `answer`.

    Parameters
    ----------
    fields
        That the whole answer would have, beside those of its content (RFC 9110 §15.4.5).
    """
    if not is_known(tag, headers("if-none-match")):
        return None
    return Response(
        status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag, "Cache-Control": FRESH, **(fields or {})}
    )


async def answer(one: Representation, headers: Callable[[str], list[str]]) -> Response:
    """Return a representation, a range of it, or that the client has it already (RFC 9110 §13, §14).

    Parameters
    ----------
    headers
        Gives all values of a field of the request.
    """
    fields = {"ETag": one.tag, "Cache-Control": FRESH, "Accept-Ranges": "bytes"}
    if headers("if-match") and not is_matched(one.tag, headers("if-match")):
        return Response(status_code=HTTPStatus.PRECONDITION_FAILED, headers=fields)
    if (known := unchanged(one.tag, headers)) is not None:
        return known
    wanted = None
    if is_current(one.tag, headers("if-range")):
        try:
            wanted = byte_range(headers("range"), one.length_bytes)
        except IndexError:
            fields["Content-Range"] = f"bytes */{one.length_bytes}"
            return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=fields)
    status, first, length = HTTPStatus.OK, 0, one.length_bytes
    if wanted is not None:
        status, first, length = HTTPStatus.PARTIAL_CONTENT, wanted.offset, wanted.length
        fields["Content-Range"] = f"bytes {first}-{first + length - 1}/{one.length_bytes}"
    fields["Content-Length"] = str(length)
    return Streaming(await one.read(first, length), one.media_type, headers=fields, status=status)
