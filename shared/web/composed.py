"""Store requests of metadata and bulk data, composed into Part 10 files (PS3.18 §8.6.1, §8.7.3.2, §10.5.1).

Metadata is DICOM JSON or the Native DICOM Model; bulk data is found by Content-Location or Content-ID. Unlike files,
such a request is held in memory, so it is bounded.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.dicom.jpeg import jpeg_transfer_syntax
from shared.dicom.limits import MAX_DEPTH
from shared.dicom.native_model import from_xml
from shared.dicom.part10 import BulkData, bulk_uri, write_file
from shared.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from shared.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from shared.model import Buffer
from shared.web.media_types import DICOM, DICOM_JSON, DICOM_XML, MediaType, parse_content_type
from shared.web.multipart import Part

MAX_VALUES = 1_000_000
"""Of all metadata together, counted roughly: what a value takes in memory has little to do with its text."""

_COMPOSED_PER_RECEIVED = 4
"""How much larger than the request its files may be: instances may share bulk data, and a client could overdo it."""
_SHORT_BYTES = 64 * 1024
"""Metadata up to this length is read here and now; longer one in a thread."""
_PIECE_BYTES = 64 * 1024
_MARKS: Mapping[str, Sequence[bytes]] = {DICOM_JSON: (b",", b"[", b"{"), DICOM_XML: (b"<", b"=")}
"""What each value costs at least one of."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class _BulkPart:
    """A part that is no metadata; `number` counts from 1, `names` are the BulkDataURIs that it answers to."""

    number: int
    media_type: MediaType
    names: frozenset[str]
    content: Buffer


@dataclass(slots=True)
class _Received:
    """All parts of a request."""

    metadata: list[bytes] = field(default_factory=list)
    bulk: list[_BulkPart] = field(default_factory=list)
    length: int = 0


async def compose_parts(parts: AsyncIterator[Part], kind: str, limit: int) -> AsyncIterator[AsyncIterator[Buffer]]:
    """Yield the files that a multipart request of *kind*, `DICOM_JSON` or `DICOM_XML`, describes.

    The first part is metadata, and so are later ones of that type; all others are bulk data. A file that cannot be
    composed raises `UnreadableFile` when it is read: it is that instance's failure.

    Raises
    ------
    UnsupportedMediaType
        The first part is not metadata of *kind*, or another one is a file or metadata of the other kind.
    PayloadTooLarge
        More than *limit* bytes, or more than `MAX_VALUES` values.
    InvalidRequest
        Metadata cannot be read, or nothing refers to a part of bulk data.
    """
    received = _Received()
    number = 0
    async for part in parts:
        number += 1
        given = parse_content_type([part.headers.get("content-type", kind if number == 1 else "")])
        others = {DICOM, DICOM_JSON, DICOM_XML} - {kind}
        if given is None or given.type in others or (number == 1 and given.type != kind):
            expected = kind if number == 1 else "that of bulk data"
            raise UnsupportedMediaType(f"Part {number} has not the Content-Type that was expected: {expected}.")
        # A part without content is held in memory by its names.
        _count(received, sum(map(len, part.headers.values())), limit)
        content = await _content(part.chunks, received, limit)
        if given.type == kind:
            received.metadata.append(bytes(content))
        else:
            received.bulk.append(_BulkPart(number, given, _names(part.headers), content))
    async for file in _files(received, kind, limit):
        yield file


async def compose_body(body: AsyncIterator[Buffer], kind: str, limit: int) -> AsyncIterator[AsyncIterator[Buffer]]:
    """Yield the files that a body of metadata alone describes; errors as of `compose_parts`."""
    received = _Received()
    received.metadata.append(bytes(await _content(body, received, limit)))
    async for file in _files(received, kind, limit):
        yield file


async def _content(chunks: AsyncIterator[Buffer], received: _Received, limit: int) -> bytearray:
    content = bytearray()
    async for chunk in chunks:
        _count(received, len(chunk), limit)
        content += chunk
    return content


def _count(received: _Received, length: int, limit: int) -> None:
    received.length += length
    if received.length > limit:
        raise PayloadTooLarge(f"The request is larger than {limit} bytes, the limit for metadata and bulk data.")


def _names(headers: Mapping[str, str]) -> frozenset[str]:
    location, identifier = headers.get("content-location", ""), headers.get("content-id", "")
    identifier = identifier.removeprefix("<").removesuffix(">")
    return frozenset([location] if location else []) | ({f"cid:{identifier}"} if identifier else set())


async def _files(received: _Received, kind: str, limit: int) -> AsyncIterator[AsyncIterator[Buffer]]:
    metadata, received.metadata = received.metadata, []
    if sum(map(len, metadata)) > _SHORT_BYTES:
        datasets, references = await asyncio.to_thread(_read, metadata, kind)
    else:
        datasets, references = _read(metadata, kind)
    for part in received.bulk:
        if not part.names & references:
            raise InvalidRequest(
                f"Part {part.number} is bulk data, and no BulkDataURI is its Content-Location or cid: and Content-ID."
            )
    composing = _Composing(_by_name(received.bulk), _COMPOSED_PER_RECEIVED * max(limit, received.length))
    datasets.reverse()
    while datasets:
        yield composing.file(datasets.pop())


def _read(metadata: list[bytes], kind: str) -> tuple[list[dict[str, Any]], set[str]]:
    """Return the data sets in *metadata*, which is used up, and all URIs in them."""
    marks = sum(document.count(mark) for document in metadata for mark in _MARKS[kind])
    if marks > MAX_VALUES:
        raise PayloadTooLarge(f"The metadata holds about {marks} values; at most {MAX_VALUES} are read.")
    read = _from_json if kind == DICOM_JSON else _from_xml
    datasets: list[dict[str, Any]] = []
    metadata.reverse()
    while metadata:
        datasets += read(metadata.pop())
    return datasets, {uri for dataset in datasets for uri in _references(dataset)}


def _from_json(document: bytes) -> list[dict[str, Any]]:
    """Return the data sets of an array, or the only one where a client left the array out (PS3.18 §F.2.1)."""
    try:
        found = orjson.loads(document.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The metadata is no JSON: line {error.lineno}, column {error.colno}.") from error
    datasets = found if isinstance(found, list) else [found]
    if not all(isinstance(dataset, dict) for dataset in datasets):
        raise InvalidRequest("The metadata is no array of objects.")
    return datasets


def _from_xml(document: bytes) -> list[dict[str, Any]]:
    """Return the data set of a document: each instance has its own (PS3.18 §8.7.3.2)."""
    return [from_xml(document)]


def _references(dataset: Mapping[str, Any]) -> Iterator[str]:
    """Yield every BulkDataURI of a data set, nested ones too."""
    waiting: list[tuple[Mapping[str, Any], int]] = [(dataset, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"The metadata has more than {MAX_DEPTH} sequences within each other.")
        for element in one.values():
            if not isinstance(element, dict):
                continue
            if uri := bulk_uri(element):
                yield uri
            values = element.get("Value")
            if isinstance(values, list):
                waiting += [(item, depth + 1) for item in values if isinstance(item, dict)]


def _by_name(parts: Iterable[_BulkPart]) -> dict[str, BulkData]:
    """Return the bulk data behind each name; parts of one name are its frames, in order."""
    named: dict[str, list[_BulkPart]] = {}
    for part in parts:
        for name in part.names:
            named.setdefault(name, []).append(part)
    return {
        name: BulkData(tuple(part.content for part in same), _transfer_syntaxes(same[0]))
        for name, same in named.items()
    }


def _transfer_syntaxes(part: _BulkPart) -> tuple[str, ...]:
    """Return what pixel data in *part* may be in: what it says, else what its media type stands for."""
    stated = part.media_type.parameters.get("transfer-syntax")
    if stated:
        return (stated,)
    found = jpeg_transfer_syntax(part.content) if part.media_type.type == "image/jpeg" else None
    return (found,) if found else TRANSFER_SYNTAXES.get(part.media_type.type, ())


class _Composing:
    """Writes the files of one request, as long as they are not out of proportion to it."""

    def __init__(self, bulk: dict[str, BulkData], limit: int) -> None:
        self._bulk = bulk
        self._left = limit

    async def file(self, dataset: dict[str, Any]) -> AsyncIterator[Buffer]:
        """Yield the file of one data set, or raise `UnreadableFile`."""
        pieces = await asyncio.to_thread(write_file, dataset, self._bulk)
        self._left -= sum(map(len, pieces))
        if self._left < 0:
            raise PayloadTooLarge("The instances share bulk data so often that their files are far over the limit.")
        small = bytearray()
        for piece in pieces:
            if len(piece) < _PIECE_BYTES:
                small += piece
            if small and (len(piece) >= _PIECE_BYTES or len(small) >= _PIECE_BYTES):
                yield bytes(small)
                small.clear()
            if len(piece) >= _PIECE_BYTES:
                yield piece
        if small:
            yield bytes(small)
