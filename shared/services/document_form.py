"""The form of a series document: gzip that can be read in parts, and put together with others (RFC 1951, RFC 1952).

Inflated it is a JSON array with an instance in each line, every one but the first behind a comma. The lines lie in
segments that begin without memory of what was before: each can be inflated alone, and the segments of several
documents behind each other are one deflate stream, so that an answer is copied and not made.
"""

import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from struct import pack

from shared.index.documents import Entry, Lines

_LEVEL = 6
_SEGMENT_BYTES = 128 * 1024
"""Inflated, unless one instance has more. Those of a series are alike: alone each would take five times the bytes."""

_GZIP, _RAW = 31, -15
_GZIP_HEAD = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF])
_POLYNOMIAL = 0xEDB88320


class DocumentWriter:
    """Writes one document; what is returned are the bytes of its blob, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        """Of what has been written; all of them once it is finished."""
        self._deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._pending: list[int] = []
        self._segment_bytes = 0
        self._segment_at = self._at = self._start = 0
        self._crc = self._inflated = 0

    def add(self, documents: Iterable[tuple[int, bytes]]) -> bytes:
        """Write versions with their JSON objects, which hold no line feeds."""
        written = [] if self._at else [self._opened()]
        for version, document in documents:
            line = b"%b%b\n" % (b"," if self._inflated else b"", document)
            self._crc = zlib.crc32(line, self._crc)
            self._inflated += len(line)
            self._segment_bytes += len(line)
            self._pending.append(version)
            written.append(self._moved(self._deflater.compress(line)))
            if self._segment_bytes >= _SEGMENT_BYTES:
                written.append(self._end_segment())
        return b"".join(written)

    def finish(self) -> bytes:
        """Return the last bytes."""
        return self.add([]) + self._end_segment() + self._deflater.compress(b"]") + self._deflater.flush()

    @property
    def lines(self) -> Lines:
        """Where the lines of a finished document lie."""
        return Lines(self._start, self._at, self._crc, self._inflated)

    def _opened(self) -> bytes:
        opened = self._moved(self._deflater.compress(b"[\n") + self._deflater.flush(zlib.Z_FULL_FLUSH))
        self._start = self._segment_at = self._at
        return opened

    def _end_segment(self) -> bytes:
        end = self._moved(self._deflater.flush(zlib.Z_FULL_FLUSH)) if self._pending else b""
        length = self._at - self._segment_at
        self.entries += [Entry(version, self._segment_at, length, line) for line, version in enumerate(self._pending)]
        self._pending.clear()
        self._segment_at, self._segment_bytes = self._at, 0
        return end

    def _moved(self, written: bytes) -> bytes:
        self._at += len(written)
        return written


def inflated_lines(segment: bytes) -> list[bytes]:
    """Return the JSON objects of a segment; the last of the list is none."""
    return [line.removeprefix(b",") for line in zlib.decompressobj(_RAW).decompress(segment).split(b"\n")]


def frame(documents: Sequence[Lines]) -> tuple[bytes, bytes, bytes]:
    """Return what makes one gzip file of the lines of documents: what is before, between and behind them."""
    opening, comma, closing = b"[\n", b",", b"]"
    crc, length = zlib.crc32(opening), len(opening)
    for number, lines in enumerate(documents):
        if number:
            crc, length = zlib.crc32(comma, crc), length + len(comma)
        crc, length = _crc_of_both(crc, lines.crc, lines.inflated), length + lines.inflated
    crc, length = zlib.crc32(closing, crc), length + len(closing)
    end = _deflated(closing, zlib.Z_FINISH) + pack("<LL", crc, length & 0xFFFFFFFF)
    return _GZIP_HEAD + _deflated(opening, zlib.Z_FULL_FLUSH), _deflated(comma, zlib.Z_FULL_FLUSH), end


def _deflated(text: bytes, flush: int) -> bytes:
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    return deflater.compress(text) + deflater.flush(flush)


def _crc_of_both(first: int, second: int, second_bytes: int) -> int:
    """Return the checksum of two texts behind each other: that of the first, moved by the second's bits, and both."""
    return _product(_power(second_bytes), first) ^ second


def _power(count: int) -> int:
    """Return x to the power of the bits of *count* bytes, modulo the polynomial of CRC-32; x^0 is its highest bit."""
    found, place = 1 << 31, 3
    while count:
        if count & 1:
            found = _product(_square(place), found)
        count, place = count >> 1, place + 1
    return found


@cache
def _square(place: int) -> int:
    """Return x to the power of 2 to the power of *place*."""
    if place == 0:
        return 1 << 30
    half = _square(place - 1)
    return _product(half, half)


def _product(one: int, other: int) -> int:
    """Return the product of two polynomials, bits reflected, modulo that of CRC-32."""
    found = 0
    for place in range(31, -1, -1):
        if one >> place & 1:
            found ^= other
        other = (other >> 1) ^ (_POLYNOMIAL if other & 1 else 0)
    return found
