"""Retrieve bulk data: binary values of a stored file, nested ones too, as they lie in it (PS3.18 §10.4.1.1.5)."""

import re
from base64 import b64decode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from shared.backend import Backend
from shared.dicom.attributes import tag_of
from shared.dicom.bulk import PIXEL_DATA, BulkValue
from shared.dicom.fragments import fragment_ranges
from shared.dicom.frames import page_ranges
from shared.dicom.header import Header
from shared.dicom.syntaxes import BIG_ENDIAN
from shared.dicom.transfer_syntaxes import MEDIA_TYPE_OF
from shared.errors import NotDecodable, NotFound, UnreadableFile
from shared.index.frames import pages_of
from shared.index.instances import find
from shared.model import ByteRange, ByteStream, Scope
from shared.services.frames import Place, stored_frames
from shared.services.source import Source, header_of, read_all, source_of
from shared.services.streams import one_piece, only, swapped

OCTET_STREAM = "application/octet-stream"

_DOCUMENT, _DOCUMENT_TYPE, _DOCUMENT_LENGTH = map(
    tag_of, ("EncapsulatedDocument", "MIMETypeOfEncapsulatedDocument", "EncapsulatedDocumentLength")
)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_MANY = 2
_NESTED_BYTES = 8 * 2**20
"""Of compressed pixel data in a sequence, such as an icon: more than a header may hold."""
_PIXELS_END = max(PIXEL_DATA)
_BITS_ALLOCATED = tag_of("BitsAllocated")
_WIDE_BITS: Mapping[object, int] = {32: 4, 64: 8}
_WORD_BYTES = {"OW": 2, "US": 2, "SS": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""By VR, what the bytes of a big endian file are swapped by."""


@dataclass(frozen=True, slots=True)
class BulkData:
    """A binary value that can be given.

    Parameters
    ----------
    media_type
        Of its content, beside `application/octet-stream`.
    transfer_syntax
        Of pixel data; "" for everything else.
    path
        Of the value.
    parts
        Where it lies in the file: one part, or one for each frame of encapsulated pixel data.
    word_bytes
        Bytes to be swapped together, 1 for none.
    content
        The value itself where it is short and has no place.
    """

    source: Source
    path: str
    media_type: str = OCTET_STREAM
    transfer_syntax: str = ""
    parts: tuple[tuple[ByteRange, ...], ...] = ()
    word_bytes: int = 1
    content: bytes | None = None

    @property
    def length_bytes(self) -> int:
        """Of all parts."""
        if self.content is not None:
            return len(self.content)
        return sum(one.length for part in self.parts for one in part)

    async def read(self, start: int, length: int) -> ByteStream:
        """Open bytes of the value as if its parts were one."""
        if self.content is not None:
            return one_piece(self.content[start : start + length])
        first, end = start - start % self.word_bytes, start + length + -(start + length) % self.word_bytes
        whole_words = _slice([one for part in self.parts for one in part], first, end - first)
        return only(await self.open_ranges(whole_words), first, [ByteRange(start, length)])

    async def open_parts(self, depth: int) -> AsyncGenerator[ByteStream, None]:
        """Yield each part, neighbours read together; up to *depth* reads ahead."""
        if len(self.parts) < _MANY:
            yield await self.read(0, self.length_bytes)
            return
        places = [Place(number, part) for number, part in enumerate(self.parts, 1)]
        async with aclosing(stored_frames(self.source, places, depth)) as frames:
            async for _, chunks in frames:
                yield chunks

    async def open_ranges(self, ranges: Sequence[ByteRange]) -> ByteStream:
        """Open rising ranges of the file."""
        if not ranges:
            return one_piece(b"")
        first, end = ranges[0].offset, ranges[-1].offset + ranges[-1].length
        stream = only(await self.source.read(first, end - first), first, ranges)
        return stream if self.word_bytes == 1 else swapped(stream, self.word_bytes)


async def retrieve_bulk(scope: Scope, path: str, backend: Backend) -> BulkData:
    """Return one binary value of an instance.

    Parameters
    ----------
    path
        As in a `BulkDataURI` of its metadata: its tag, or sequence tag / item from 1 / … / tag.

    Raises
    ------
    NotFound
        The instance is not there, or has no binary value at *path*.
    NotDecodable
        Its fragments cannot be told apart.
    """
    found = await backend.index.read(find, scope, limit=1)
    if not found:
        raise NotFound("Nothing is stored under these UIDs.")
    [instance] = found
    source = await source_of(instance, backend)
    path = path.upper()
    return await value_of(source, await header_of(source, is_whole=path > _PIXELS_END), path, backend)


async def value_of(source: Source, header: Header, path: str, backend: Backend) -> BulkData:
    """Return one binary value of a file whose header has been read; otherwise as `retrieve_bulk`."""
    value = next((one for one in header.bulk if one.path == path), None)
    if value is None:
        return BulkData(source, path, content=_inline(header.dataset, path))
    if value.path in PIXEL_DATA and value.length is None:
        pages = await backend.index.read(pages_of, source.instance.version)
        parts = tuple(ranges for page in pages for ranges in page_ranges(page))
        if not parts:
            raise NotDecodable("The pixel data does not tell where its frames lie.")
        return BulkData(
            source, path, MEDIA_TYPE_OF.get(source.transfer_syntax, OCTET_STREAM), source.transfer_syntax, parts
        )
    if value.length is None:
        start = await read_all(source, value.offset, min(value.offset + _NESTED_BYTES, source.length_bytes))
        return BulkData(source, path, parts=(_fragments(start, value.offset),))
    return _plain(source, header, value, min(value.length, source.length_bytes - value.offset))


def _fragments(value: bytes, offset: int) -> tuple[ByteRange, ...]:
    try:
        return fragment_ranges(value, offset)
    except UnreadableFile as error:
        raise NotDecodable(error.problem) from error


def _plain(source: Source, header: Header, value: BulkValue, length: int) -> BulkData:
    media_type = OCTET_STREAM
    if value.path == _DOCUMENT:
        media_type = document_type(header.dataset) or OCTET_STREAM
        stated = _first(header.dataset, _DOCUMENT_LENGTH)
        length = stated if isinstance(stated, int) and length - 1 <= stated <= length else length
    is_swapped = source.transfer_syntax == BIG_ENDIAN
    return BulkData(
        source,
        value.path,
        media_type,
        parts=((ByteRange(value.offset, max(length, 0)),),),
        word_bytes=_word_bytes(value, header) if is_swapped else 1,
    )


def _word_bytes(value: BulkValue, header: Header) -> int:
    """Return the bytes of a number; pixels of more than 16 bits are numbers too (PS3.5 §8.2)."""
    word, bits = _WORD_BYTES.get(value.vr, 1), _first(header.dataset, _BITS_ALLOCATED)
    is_wider = value.path in PIXEL_DATA and value.vr == "OW" and bits in _WIDE_BITS
    return _WIDE_BITS[bits] if is_wider else word


def document_type(dataset: dict[str, Any]) -> str:
    """Return the media type that an encapsulated document names, without parameters; "" where it names none.

    It becomes a field of a header, so what is no media type is one of bytes (RFC 9110 §8.3.1).
    """
    text = str(_first(dataset, _DOCUMENT_TYPE) or "").partition(";")[0].strip().lower()
    return text if not text or _MEDIA_TYPE.fullmatch(text) else OCTET_STREAM


def _inline(dataset: dict[str, Any], path: str) -> bytes:
    """Return a short binary value, which the data set itself holds; raise `NotFound` where *path* leads to none."""
    *way, tag = path.split("/")
    element: Any = None
    try:
        for sequence, item in zip(way[::2], way[1::2], strict=True):
            dataset = dataset[sequence]["Value"][int(item) - 1] if int(item) > 0 else {}
        element = dataset.get(tag)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        pass
    if not isinstance(element, dict) or "InlineBinary" not in element:
        raise NotFound("The instance has no binary value there.")
    return b64decode(element["InlineBinary"])


def _first(dataset: dict[str, Any], tag: str) -> object:
    values = dataset.get(tag, {}).get("Value")
    return values[0] if values else None


def _slice(ranges: Sequence[ByteRange], start: int, length: int) -> list[ByteRange]:
    """Return the part of joined *ranges* from *start* on."""
    found = []
    for one in ranges:
        if length <= 0:
            break
        skipped = min(start, one.length)
        taken = min(one.length - skipped, length)
        start -= skipped
        if taken:
            found.append(ByteRange(one.offset + skipped, taken))
            length -= taken
    return found
