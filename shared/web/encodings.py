"""`Content-Encoding` of requests, undone while the body arrives (RFC 9110 §8.4)."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from shared.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

MAX_CODINGS = 2
"""One upon the other; some proxies add their own."""

_STEP_BYTES = 256 * 1024
"""Inflated at a time: about a millisecond."""
_STEP_MEMBERS = 64
_INFLATED_BYTES = 128 * 1024 * 1024
_INFLATION = 100
"""A body may grow to so many times its length behind its first megabytes: more is a bomb, not an image."""
_WINDOW = 16 * 1024
"""Bytes looked at together: what follows the end of a member is copied each time."""
_GZIP = 16 + zlib.MAX_WBITS
_ZLIB_METHOD, _ZLIB_CHECK = 8, 31
_HEAD_BYTES = 2


def decoded(body: AsyncIterator[bytes], content_encoding: Sequence[str], limit: int) -> AsyncIterator[bytes]:
    """Return *body* without its content codings, in pieces of bounded size.

    Parameters
    ----------
    content_encoding
        The values of the header field; each a list, in the order in which the codings were applied.
    limit
        Of inflated bytes, after each coding.

    Raises
    ------
    UnsupportedMediaType
        A coding is unknown, or there are too many.
    PayloadTooLarge
        While it is read: more than *limit* bytes.
    InvalidRequest
        While it is read: the body is damaged, ends early or goes on behind its end.
    """
    named = [name.strip().lower() for value in content_encoding for name in value.split(",")]
    codings = [name for name in named if name not in {"", "identity"}]
    if len(codings) > MAX_CODINGS or not set(codings) <= set(_INFLATERS):
        raise UnsupportedMediaType(f"Content-Encoding must be gzip, deflate or identity, {MAX_CODINGS} at most.")
    for coding in reversed(codings):
        body = _inflated(body, coding, limit)
    return body


async def _inflated(body: AsyncIterator[bytes], coding: str, limit: int) -> AsyncIterator[bytes]:
    """Yield what *coding* was applied to; more than one step of a chunk happens in a thread."""
    inflater, length, received = _INFLATERS[coding](), 0, 0
    async for chunk in body:
        received += len(chunk)
        most = min(limit, _INFLATED_BYTES + _INFLATION * received)
        piece, has_more = _step(inflater, coding, chunk)
        while piece or has_more:
            length += len(piece)
            if length > most:
                raise PayloadTooLarge(f"The request inflates to more than {most} bytes, the limit of this service.")
            if piece:
                yield piece
            piece, has_more = await asyncio.to_thread(_step, inflater, coding, b"") if has_more else (b"", False)
    if not inflater.is_whole:
        raise InvalidRequest(f"The {coding} body ends within its compressed data.")


def _step(inflater: "_Inflater", coding: str, chunk: bytes) -> tuple[bytes, bool]:
    try:
        return inflater.step(chunk)
    except zlib.error as error:
        raise InvalidRequest(f"The {coding} body is damaged.") from error


class _Inflater(Protocol):
    """Undoes one coding, step by step."""

    @property
    def is_whole(self) -> bool:
        """Whether the body may end here."""
        ...

    def step(self, data: bytes) -> tuple[bytes, bool]:
        """Take *data* and return at most `_STEP_BYTES`, and whether there is more without further data."""
        ...


class _Gzip:
    """One or more members (RFC 1952 §2.2); many tiny ones cost time and give nothing, so they are steps too."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._data = b""
        self._at = 0

    @property
    def is_whole(self) -> bool:
        return self._member.eof

    def step(self, data: bytes) -> tuple[bytes, bool]:
        self._data, self._at = (self._data[self._at :] + data if self._at < len(self._data) else data), 0
        pieces, room, members = [], _STEP_BYTES, 0
        while room and members < _STEP_MEMBERS:
            if self._member.eof:
                if self._at == len(self._data):
                    break
                self._member = zlib.decompressobj(_GZIP)
                members += 1
            window = memoryview(self._data)[self._at : self._at + _WINDOW]
            piece = self._member.decompress(window, room)
            unread = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self._at += len(window) - len(unread)
            pieces.append(piece)
            room -= len(piece)
            if not window:
                break
        return b"".join(pieces), not room or self._at < len(self._data)


class _Deflate:
    """The zlib format (RFC 1950); departs from RFC 9110 by taking bare deflate data too, which many clients send."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._rest = b""

    @property
    def is_whole(self) -> bool:
        return self._stream is not None and self._stream.eof

    def step(self, data: bytes) -> tuple[bytes, bool]:
        rest = self._rest + data if self._rest else data
        if self._stream is None:
            if len(rest) < _HEAD_BYTES:
                self._rest = rest
                return b"", False
            is_zlib = rest[0] & 0x0F == _ZLIB_METHOD and int.from_bytes(rest[:_HEAD_BYTES], "big") % _ZLIB_CHECK == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        piece = self._stream.decompress(rest, _STEP_BYTES)
        if self._stream.unused_data:
            raise zlib.error
        self._rest = self._stream.unconsumed_tail
        return piece, bool(self._rest) or len(piece) == _STEP_BYTES


_INFLATERS: Mapping[str, type[_Gzip] | type[_Deflate]] = {"gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate}
"""By coding (RFC 9110 §8.4.1)."""
