"""The metadata of published instances, wherever they are kept: beside their rows, or in the documents of their series.

Kept text names a bulk value by its path, that of a document by a URL with the document's base. What leaves here has
the base of the request. To find them the text alone is enough: behind the key `BulkDataURI` there is no other, and
no value can look like one, as its quotation marks are escaped.
"""

import asyncio
import logging
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from shared.backend import Backend
from shared.errors import NotFound
from shared.index import instances
from shared.index.documents import Document, whole_documents
from shared.index.instances import KeptMetadata, Place
from shared.model import ByteStream, InstanceKey, Scope
from shared.services.document_form import frame, inflated_lines
from shared.services.streams import begun
from shared.storage.blobs import document_blob

log = logging.getLogger(__name__)

_LONG_BYTES = 64 * 1024
_MOST_SERIES = 500
_REFERENCE = b'"BulkDataURI":"'


@dataclass(frozen=True, slots=True)
class GzipDocument:
    """A JSON array in gzip: its length, and its bytes, to be closed by whoever holds it."""

    length_bytes: int
    chunks: ByteStream


async def gzip_document(scope: Scope, base: str, backend: Backend) -> GzipDocument | None:
    """Return the metadata of a study or series as they lie in documents; None where these are not all there is.

    Parameters
    ----------
    base
        What URLs in the answer begin with, before `/studies`; documents of another base do not serve.

    Raises
    ------
    NotFound
        A blob is gone.
    """
    if scope.study is None or scope.instance is not None:
        return None
    documents = await backend.index.read(whole_documents, scope, limit=_MOST_SERIES)
    if not documents or any(document.base != base for document in documents):
        return None
    parts = frame([document.lines for document in documents])
    inside = sum(document.lines.end - document.lines.start for document in documents)
    length = len(parts[0]) + inside + len(parts[1]) * (len(documents) - 1) + len(parts[2])
    return GzipDocument(length, await begun(_framed(documents, parts, backend)))


async def metadata_of(versions: Sequence[int], base: str, backend: Backend) -> dict[int, bytes]:
    """Return the DICOM JSON object of each of the versions that is published."""
    kept = await backend.index.read(instances.metadata_of, versions)
    rows = [one for one in kept if one.place is None]
    by_place: dict[tuple[int, int], list[KeptMetadata]] = {}
    for one in kept:
        if one.place is not None:
            by_place.setdefault((one.place.document, one.place.start), []).append(one)
    free = asyncio.Semaphore(backend.settings.blob_concurrency)

    async def read(some: Sequence[KeptMetadata]) -> list[tuple[int, bytes]]:
        async with free, aclosing(read_documents(some, base, backend)) as found:
            return [(one.version, document) async for one, document in found]

    return dict(pair for pairs in await asyncio.gather(*map(read, [rows, *by_place.values()])) for pair in pairs)


async def readable_metadata_of(versions: Sequence[int], backend: Backend) -> dict[int, bytes]:
    """Do as `metadata_of`, without URLs, and pass over what is lost."""
    try:
        return await metadata_of(versions, "", backend)
    except NotFound:  # a document was replaced meanwhile, or is lost: then what else there is
        return {version: one for version in versions for one in await _alone(version, backend)}


async def _alone(version: int, backend: Backend) -> list[bytes]:
    try:
        return list((await metadata_of([version], "", backend)).values())
    except NotFound:
        log.warning("version %d has no metadata", version)
        return []


async def read_documents(
    page: Sequence[KeptMetadata], base: str, backend: Backend
) -> AsyncGenerator[tuple[KeptMetadata, bytes], None]:
    """Yield each with its DICOM JSON object, in order; what is kept nowhere is left out.

    Neighbouring segments of a document are read together.

    Raises
    ------
    NotFound
        A blob is gone, or shorter than it was.
    """
    runs = iter(_runs([one.place for one in page if one.place is not None]))
    run, opened = b"", (0, 0, 0)
    lines: list[bytes] = []
    last: tuple[int, int] | None = None
    for one in page:
        if one.dicom_json is not None:
            text = await _inflated(one.dicom_json)
            yield one, text.replace(_REFERENCE, _REFERENCE + _prefix(one.key, base))
        if one.place is None:
            continue
        document, start, length = one.place.document, one.place.start, one.place.length
        if last != (document, start):
            if not (opened[0] == document and opened[1] <= start < opened[2]):
                opened = next(runs)
                run = await _read(*opened, backend)
            segment = run[start - opened[1] : start - opened[1] + length]
            lines = await _lines(segment)
            last = (document, start)
        yield one, _rebased(lines[one.place.line], one.place.base, base)


def _runs(places: Sequence[Place]) -> list[tuple[int, int, int]]:
    """Return document, start and end of what is to be read for some places, in their order."""
    runs: list[tuple[int, int, int]] = []
    for place in places:
        document, start, end = place.document, place.start, place.start + place.length
        if runs and runs[-1][0] == document and runs[-1][1] <= start <= runs[-1][2]:
            runs[-1] = (document, runs[-1][1], max(runs[-1][2], end))
        else:
            runs.append((document, start, end))
    return runs


async def _read(document: int, start: int, end: int, backend: Backend) -> bytes:
    chunks = await backend.blobs.read(document_blob(document), start=start, length=end - start)
    async with aclosing(chunks):
        found = b"".join([chunk async for chunk in chunks])
    if len(found) != end - start:
        raise NotFound("The metadata are not all there.")
    return found


async def _inflated(compressed: bytes) -> bytes:
    """Return a document; a long one is inflated in a thread, while other requests have their turn."""
    if len(compressed) < _LONG_BYTES:
        return zlib.decompress(compressed)
    return await asyncio.to_thread(zlib.decompress, compressed)


async def _lines(segment: bytes) -> list[bytes]:
    if len(segment) < _LONG_BYTES:
        return inflated_lines(segment)
    return await asyncio.to_thread(inflated_lines, segment)


def _prefix(key: InstanceKey, base: str) -> bytes:
    return _escaped(f"{base}/studies/{key.study}/series/{key.series}/instances/{key.instance}/bulkdata/")


def _rebased(document: bytes, old: str, new: str) -> bytes:
    if old == new:
        return document
    return document.replace(_REFERENCE + _escaped(f"{old}/studies/"), _REFERENCE + _escaped(f"{new}/studies/"))


def _escaped(text: str) -> bytes:
    """Return a text as it stands in JSON: what a client says of itself may hold quotation marks."""
    return orjson.dumps(text)[1:-1]


async def _framed(documents: Sequence[Document], parts: tuple[bytes, bytes, bytes], backend: Backend) -> ByteStream:
    before, between, behind = parts
    for document in documents:
        start, end = document.lines.start, document.lines.end
        chunks = await backend.blobs.read(document_blob(document.number), start=start, length=end - start)
        async with aclosing(chunks):
            yield before  # only now: it says that there is something
            async for chunk in chunks:
                start += len(chunk)
                yield chunk
        if start != end:
            raise NotFound("The metadata are not all there.")
        before = between
    yield behind
