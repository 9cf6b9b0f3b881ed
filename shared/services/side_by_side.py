"""What the index knows beside what is stored, in the order of names or numbers and in bounded memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from shared.backend import Backend
from shared.dicom.attributes import tag_of
from shared.dicom.header import HeaderReader
from shared.dicom.validation import uid_value
from shared.index import audit, documents
from shared.index.audit import Known
from shared.index.documents import InUse
from shared.storage.blobs import (
    VERSIONS_OF_BLOCK,
    BlobStore,
    StoredBlob,
    blocks_by_name,
    document_of,
    instance_blob,
    thumbnail_of,
    version_of,
)

_BLOCKS_AT_ONCE = 16
_DOCUMENTS_AT_ONCE = 1000
_UIDS = [tag_of(name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]


async def known_by_name(last: int, backend: Backend) -> AsyncIterator[Known]:
    """Yield the versions up to *last* that the index knows, in the order in which blobs are listed."""
    blocks = blocks_by_name(last)
    for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
        spans = [(first, first + VERSIONS_OF_BLOCK - 1) for first in blocks[start : start + _BLOCKS_AT_ONCE]]
        known = await backend.index.read(audit.known_between, spans)
        for first, end in spans:
            for version in range(first, end + 1):
                if version in known:
                    yield known[version]


async def side_by_side(
    known: AsyncIterator[Known], blobs: AsyncIterator[StoredBlob]
) -> AsyncIterator[tuple[int | None, Known | None, StoredBlob | None]]:
    """Merge two streams, both in order of names: a version with what is known and what is stored of it."""
    blob = await anext(blobs, None)
    async for one in known:
        name = instance_blob(one.version)
        while blob is not None and blob.name < name:
            yield version_of(blob.name), None, blob
            blob = await anext(blobs, None)
        if blob is None or blob.name != name:
            yield one.version, one, None
        else:
            yield one.version, one, blob
            blob = await anext(blobs, None)
    while blob is not None:
        yield version_of(blob.name), None, blob
        blob = await anext(blobs, None)


async def files(blobs: AsyncIterator[StoredBlob], thumbnails: list[StoredBlob]) -> AsyncIterator[StoredBlob]:
    """Leave out series documents, which are compared by themselves, and thumbnails, which are added to a list."""
    async for blob in blobs:
        if thumbnail_of(blob.name) is not None:
            thumbnails.append(blob)
        elif document_of(blob.name) is None:
            yield blob


async def known_documents(backend: Backend) -> AsyncIterator[InUse]:
    """Yield the series documents that have a row, in order of numbers."""
    after = 0
    while page := await backend.index.read(documents.known, after=after, limit=_DOCUMENTS_AT_ONCE):
        after = page[-1].number
        for one in page:
            yield one


async def documents_side_by_side(
    known: AsyncIterator[InUse], blobs: AsyncIterator[StoredBlob]
) -> AsyncIterator[tuple[int, InUse | None, StoredBlob | None]]:
    """Merge two streams, both in order of numbers."""
    one, blob = await anext(known, None), await anext(blobs, None)
    while one is not None or blob is not None:
        number = None if blob is None else document_of(blob.name)
        if blob is not None and number is None:  # a stray blob, found with the others
            blob = await anext(blobs, None)
        elif one is not None and (number is None or one.number < number):
            yield one.number, one, None
            one = await anext(known, None)
        elif number is not None:
            is_known = one is not None and one.number == number
            yield number, one if is_known else None, blob
            one, blob = await anext(known, None) if is_known else one, await anext(blobs, None)


def is_whole(known: InUse, blob: StoredBlob | None) -> bool:
    """Whether the blob of a document is there, as long as its row says."""
    return blob is not None and blob.length_bytes == known.length_bytes


def look_wrong(known: Known | None, blob: StoredBlob | None) -> bool:
    """Whether what is known and what is stored of a version seem not to agree."""
    if known is None:
        return True
    return known.length_bytes is not None and (blob is None or blob.length_bytes != known.length_bytes)


async def stored_blob(name: str, blobs: BlobStore) -> StoredBlob | None:
    """Return the blob of this very name; None where there is none."""
    async for blob in blobs.list(prefix=name):
        if blob.name == name:
            return blob
    return None


async def read_uids(name: str, blobs: BlobStore) -> list[str]:
    """Return the UIDs of study, series and instance in a file; of a large one only the beginning is read."""
    reader = HeaderReader()
    async with aclosing(await blobs.read(name)) as chunks:
        async for chunk in chunks:
            await asyncio.to_thread(reader.feed, chunk)
            if all(tag in reader.dataset for tag in _UIDS):
                return [uid_value(reader.dataset, tag) for tag in _UIDS]
    dataset = reader.finish().dataset
    return [uid_value(dataset, tag) for tag in _UIDS]
