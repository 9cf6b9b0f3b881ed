"""multipart/related, both ways, as streams (PS3.18 §8.6.1; RFC 2046 §5.1)."""

import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from shared.errors import InvalidRequest, PayloadTooLarge
from shared.model import Buffer, ByteStream

MAX_PART_HEADER_BYTES = 16 * 1024
_PADDING_BYTES = 64
"""Behind the closing boundary: more blanks than any client writes before the end of the line."""
_CRLF, _LF = b"\r\n", b"\n"
_FOLD = re.compile(rb"\n[ \t]+")
"""A line that goes on inside of a field's value (RFC 5322 §2.2.3), of whichever line break its end."""
_REST_OF_BOUNDARY = re.compile(rb"(--)|[ \t]*(\r?\n)")
"""What may follow a boundary: the sign that it closes the body, or blanks and the end of the line."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a body: its header fields by lower-case name, and its content as it arrives."""

    headers: dict[str, str]
    chunks: AsyncIterator[Buffer]


async def read_parts(body: AsyncIterator[bytes], boundary: str, most: int = 20_000) -> AsyncIterator[Part]:
    """Yield the parts of a multipart body while it arrives.

    The content of a part must be read before the next part is asked for; what is left of it is passed over.
    Text before the first and after the last boundary is ignored.

    Departs from RFC 2046: a body whose first boundary line ends with LF alone has LF as its line break throughout.
    In any other body a lone LF is content, and a body that mixes the two is refused: no byte of a file is guessed at.

    Raises
    ------
    InvalidRequest
        The body ends before its closing boundary, or a part's header cannot be read.
    PayloadTooLarge
        There are more than *most* parts.
    """
    reader = _Reader(body, b"--" + boundary.encode("latin-1"))
    number = 0
    await reader.pass_preamble()
    while await reader.opens_part():
        number += 1
        if number > most:
            raise PayloadTooLarge(f"The request has more than {most} parts, the limit of this service.")
        headers = await reader.headers(number)
        chunks = reader.until_boundary(after_break=True)
        yield Part(headers, chunks)
        async for _ in chunks:
            pass
    await reader.drain()


class _Reader:
    """Where a body stands: what has arrived and not yet been given out."""

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        self._body = body
        self._boundary = boundary
        self._break = _LF
        # A delimiter begins with the line break before it, which the first one of a body may lack.
        self._delimiter = _LF + boundary
        self._held: bytes = _LF

    async def pass_preamble(self) -> None:
        """Read to behind the first boundary, and decide by the end of its line which line break the body has."""
        async for _ in self.until_boundary():
            pass
        while not (rest := _REST_OF_BOUNDARY.match(self._held)):
            if self._held.lstrip(b" \t") not in {b"", b"\r", b"-"} or len(self._held) > MAX_PART_HEADER_BYTES:
                raise InvalidRequest("The boundary before part 1 is followed by other text on its line.")
            await self._more("within a boundary")
        self._break = rest[2] or _CRLF
        self._delimiter = self._break + self._boundary

    async def until_boundary(self, *, after_break: bool = False) -> AsyncIterator[Buffer]:
        """Yield what comes before the next boundary; then the reader stands behind it.

        With *after_break* the line break held at the start ended a header: it is no content, but may be the
        beginning of the next delimiter, since a part may end with its header (RFC 2046 §5.1.1).
        """
        start = len(self._break) if after_break else 0
        while True:
            data = self._held
            end = data.find(self._delimiter)
            if end >= 0:
                self._held = data[end + len(self._delimiter) :]
                if end > start:
                    yield memoryview(data)[start:end]
                return
            end = len(data) - _overlap(data, self._delimiter)
            if end > start:
                self._held = data[end:]
                yield memoryview(data)[start:end]
                start = 0
            await self._more("before its closing boundary")

    async def opens_part(self) -> bool:
        """Return whether the boundary just read opens a part; False when it closes the body."""
        while len(self._held) < len(b"--") and self._held != _LF:
            await self._more("within a boundary")
        return not self._held.startswith(b"--")

    async def headers(self, number: int) -> dict[str, str]:
        """Read the header of part *number*, counted from 1 (RFC 2046 §5.1)."""
        header_end = self._break + self._break
        enough = MAX_PART_HEADER_BYTES + len(header_end)
        while (end := self._held.find(header_end)) < 0 and len(self._held) < enough:
            await self._more(f"within the header of part {number}")
        if not 0 <= end <= MAX_PART_HEADER_BYTES:
            raise InvalidRequest(f"The header of part {number} is over {MAX_PART_HEADER_BYTES} bytes.")
        head, self._held = self._held[:end], self._held[end + len(self._break) :]
        lines_until_end = head + self._break
        if lines_until_end.count(_CRLF) != (lines_until_end.count(_LF) if self._break == _CRLF else 0):
            raise InvalidRequest(f"The lines before part {number} end partly with CRLF and partly with LF.")
        padding, *lines = _FOLD.sub(b" ", head.replace(_CRLF, _LF)).split(_LF)
        if padding.strip(b" \t"):
            raise InvalidRequest(f"The boundary before part {number} is followed by other text on its line.")
        if any(b":" not in line for line in lines):
            raise InvalidRequest(f"The header of part {number} has a line without a colon.")
        fields = (line.decode("latin-1").partition(":") for line in lines)
        return {name.strip().lower(): value.strip() for name, _, value in fields}

    async def drain(self) -> None:
        """Read the epilogue, so that the client can finish sending.

        Where lines end with LF, the closing one must not end with CRLF: the CR before it might be content or not.
        """
        epilogue = self._held[len(b"--") :]
        async for chunk in self._body:
            if len(epilogue) < _PADDING_BYTES:
                epilogue += chunk
        if self._break == _LF and epilogue.lstrip(b" \t").startswith(_CRLF):
            raise InvalidRequest("The closing boundary ends with CRLF and the first one with LF alone.")

    async def _more(self, where: str) -> None:
        async for chunk in self._body:
            if chunk:
                self._held = self._held + chunk if self._held else chunk
                return
        raise InvalidRequest(f"The multipart body ends {where}.")


def _overlap(data: bytes, delimiter: bytes) -> int:
    """Return how many bytes at the end of *data* could begin *delimiter*."""
    start = max(len(data) - len(delimiter) + 1, 0)
    while (start := data.find(delimiter[:1], start)) >= 0:
        if delimiter.startswith(data[start:]):
            return len(data) - start
        start += 1
    return 0


def new_boundary() -> str:
    """Return a boundary that no content holds but by a chance of 1 in 2**128."""
    return secrets.token_hex(16)


async def write_parts(parts: AsyncGenerator[tuple[str, ByteStream], None], boundary: str) -> ByteStream:
    """Yield a multipart body from each part's header fields, as text with line breaks between, and content."""
    before = ""
    async with aclosing(parts):
        async for fields, chunks in parts:
            async with aclosing(chunks):
                yield _opening(before, boundary, fields)
                async for chunk in chunks:
                    yield chunk
            before = "\r\n"
    yield _closing(boundary)


def written_length(parts: Iterable[tuple[str, int]], boundary: str) -> int:
    """Return the length of what `write_parts` yields, from each part's header fields and length, in bytes."""
    openings = ((_opening("\r\n", boundary, fields), length) for fields, length in parts)
    return sum(len(opening) + length for opening, length in openings) - len("\r\n") + len(_closing(boundary))


def _opening(before: str, boundary: str, fields: str) -> bytes:
    return f"{before}--{boundary}\r\n{fields}\r\n\r\n".encode("latin-1")


def _closing(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode("latin-1")
