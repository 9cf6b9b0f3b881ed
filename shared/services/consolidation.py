"""Consolidation: the metadata of a series move from beside their rows into one blob (architecture.md §2, "Metadata").

A crash at any line leaves a document that was begun, which `cleanup` removes. The rows keep their copies until the
transaction that points them to the document, whose blob is durable then.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta

from shared.backend import Backend
from shared.errors import DicomwebError
from shared.index import documents
from shared.index.documents import Document
from shared.index.instances import read_series_metadata
from shared.services.document_form import DocumentWriter
from shared.services.documents import read_documents
from shared.storage.blobs import document_blob

log = logging.getLogger(__name__)

_QUIET = timedelta(minutes=5)
"""Without a store; a series that grows would be written again and again."""
_LONGEST_WRITE = timedelta(hours=1)
"""A document whose blob takes longer is given up."""
_LONGEST_READ = timedelta(hours=1)
"""An answer that reads a document may take that long after it went out of use."""
_LONGEST_RUN = timedelta(seconds=90)
_MOST_STALE = 500
_LOOKED_AT = 2000
"""Versions in one page of what waits."""
_PAGE = 64
_WRITTEN_AT_ONCE = 512 * 1024
_LONGEST_BASE = 1000
_LIKELY_VERSION = "v2"


async def consolidate(series_id: int, base: str, backend: Backend) -> bool:
    """Write the metadata of a series, by its row, into a new document, and return whether that is in use now.

    Parameters
    ----------
    base
        What the URLs in it begin with: those of an answer that is given as it lies.
    """
    base = base if base.isascii() and len(base) <= _LONGEST_BASE else ""
    now = backend.now()
    number = await backend.index.write(documents.begin, series_id, base, now, now + _LONGEST_WRITE)
    writer = DocumentWriter()
    length = await backend.blobs.write_stream(document_blob(number), _written(series_id, base, writer, backend))
    document = Document(number, base, length, writer.lines)
    due = backend.now() + grace(backend)
    return await backend.index.write(documents.use, document, series_id, writer.entries, due)


async def consolidate_each(series_ids: Sequence[int], base: str, backend: Backend) -> None:
    """Do `consolidate` for some series; one that cannot be done now is left to the timer."""
    for series_id in series_ids:
        try:
            await consolidate(series_id, base, backend)
        except DicomwebError as error:
            log.warning("consolidation: series row %d not done: %s", series_id, type(error).__name__)


async def consolidate_quiet(backend: Backend) -> int:
    """Consolidate series that nobody has stored into for a while, and those whose document holds what was deleted.

    Returns how many; what there is no time for comes next time.
    """
    end = backend.now() + _LONGEST_RUN
    await backend.index.write(documents.give_up_unused, backend.now() + grace(backend))
    done = 0
    async for series_id in _waiting(backend):
        if backend.now() >= end:
            break
        base = await _base(series_id, backend)
        if base is not None:
            await consolidate_each([series_id], base, backend)
            done += 1
    if done:
        log.info("consolidation: %d series", done)
    return done


def grace(backend: Backend) -> timedelta:
    """Return how long the blob of a document stays that is in use no more: as long as those of deleted instances."""
    return max(_LONGEST_READ, timedelta(seconds=backend.settings.delete_after_s))


async def _waiting(backend: Backend) -> AsyncIterator[int]:
    """Yield the rows of series that are to be consolidated."""
    given = set(await backend.index.read(documents.stale_series, limit=_MOST_STALE))
    for series_id in sorted(given):
        yield series_id
    newest = await backend.index.read(documents.newest_version, backend.now() - _QUIET)
    after: int | None = 0
    while after is not None:
        found, after = await backend.index.read(documents.waiting_series, newest, after=after, limit=_LOOKED_AT)
        for series_id in found:
            if series_id not in given:
                given.add(series_id)
                yield series_id


async def _base(series_id: int, backend: Backend) -> str | None:
    """Return the base that clients are likely to use, "" when it is not known; None for a series that is gone."""
    known = await backend.index.read(documents.partition_and_base, series_id)
    if known is None:
        return None
    name, base = known
    if base or not backend.settings.public_url:
        return base
    root = f"{backend.settings.public_url.rstrip('/')}/{_LIKELY_VERSION}"
    return f"{root}/partitions/{name}" if backend.settings.data_partitions else root


async def _written(series_id: int, base: str, writer: DocumentWriter, backend: Backend) -> AsyncIterator[bytes]:
    """Yield the blob of a series, made of what is kept of it now."""
    after, some, size = 0, list[tuple[int, bytes]](), 0
    while page := await backend.index.read(read_series_metadata, series_id, after=after, limit=_PAGE):
        after = page[-1].version
        async with aclosing(read_documents(page, base, backend)) as found:
            async for one, document in found:
                some.append((one.version, document))
                size += len(document)
                if size >= _WRITTEN_AT_ONCE:
                    yield await asyncio.to_thread(writer.add, some)
                    some, size = [], 0
        if len(page) < _PAGE:
            break
    yield await asyncio.to_thread(writer.add, some)
    yield writer.finish()
