"""Retrieve metadata: the data sets of a study, series or instance as one JSON array (PS3.18 §10.4.1.1.2)."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import orjson

from shared.backend import Backend
from shared.dicom.external import with_external
from shared.dicom.native_model import to_xml
from shared.errors import NotFound
from shared.index.instances import read_metadata, state
from shared.index.terms import external_values
from shared.model import ByteStream, ExternalValue, Scope
from shared.services.consolidation import consolidate_each
from shared.services.documents import GzipDocument, gzip_document, read_documents
from shared.services.streams import begun

_PAGE = 64
"""Compressed documents read together."""
_PIECE_BYTES = 256 * 1024
_MANY = 50
"""Instances of a series whose metadata lie outside of a document of use: the next reader shall find one."""
_MOST_CONSOLIDATED = 20
"""Series after one answer."""


async def external_metadata(scope: Scope, backend: Backend) -> Sequence[ExternalValue]:
    """Return the external values of the study of *scope*, by tag."""
    return await backend.index.read(external_values, scope)


async def metadata_state(scope: Scope, backend: Backend, external: Sequence[ExternalValue] = ()) -> tuple[object, ...]:
    """Return what the entity tag of the metadata of *scope* is made of (retrieve.md, "Metadata").

    It changes with each store into *scope* and each delete from it, and where they are shown with *external* values.

    Raises
    ------
    NotFound
        Nothing is stored there.
    """
    found = await backend.index.read(state, scope)
    if found is None:
        raise NotFound("Nothing is stored under these UIDs.")
    return (*found, *external)


async def retrieve_metadata(
    scope: Scope, base: str, backend: Backend, external: Sequence[ExternalValue] = ()
) -> ByteStream:
    """Return the JSON array of the data sets of *scope*, each with *external*, in pieces, oldest version first.

    Parameters
    ----------
    base
        What the URLs of bulk values begin with, before `/studies`.

    Raises
    ------
    NotFound
        Nothing is stored there (any more).
    """
    return await begun(_array(_datasets(scope, base, backend), external))


async def retrieve_metadata_documents(
    scope: Scope, base: str, backend: Backend, external: Sequence[ExternalValue] = ()
) -> AsyncGenerator[bytes, None]:
    """Return a document of the Native DICOM Model for each data set of *scope* (PS3.19 §A.1), as `retrieve_metadata`.

    Raises
    ------
    NotFound
        Nothing is stored there (any more).
    """
    return await begun(_documents(_datasets(scope, base, backend), external))


async def retrieve_series_document(scope: Scope, base: str, backend: Backend) -> GzipDocument | None:
    """Return what `retrieve_metadata` does in gzip, as it lies in storage; None where it does not lie there so.

    Raises
    ------
    NotFound
        A blob is gone.
    """
    return await gzip_document(scope, base, backend)


async def _array(datasets: AsyncGenerator[bytes, None], external: Sequence[ExternalValue]) -> ByteStream:
    opened, pieces, size = b"[", list[bytes](), 0
    async with aclosing(datasets):
        async for document in datasets:
            shown = orjson.dumps(with_external(orjson.loads(document), external)) if external else document
            pieces += (opened, shown)
            size += len(shown)
            opened = b","
            if size >= _PIECE_BYTES:
                yield b"".join(pieces)
                pieces, size = [], 0
    yield b"".join([*pieces, b"]"])


async def _documents(
    datasets: AsyncGenerator[bytes, None], external: Sequence[ExternalValue]
) -> AsyncGenerator[bytes, None]:
    def written(document: bytes) -> bytes:
        return to_xml(with_external(orjson.loads(document), external))

    async with aclosing(datasets):
        async for document in datasets:
            yield await asyncio.to_thread(written, document)  # it takes a millisecond and more


async def _datasets(scope: Scope, base: str, backend: Backend) -> AsyncGenerator[bytes, None]:
    """Yield the DICOM JSON object of each instance of *scope* once, as it is when its turn comes."""
    after = 0
    given: set[tuple[str, str]] = set()
    all_of: Counter[int] = Counter()
    loose: Counter[int] = Counter()
    while page := await backend.index.read(read_metadata, scope, after=after, limit=_PAGE):
        after = page[-1].version
        # Those replaced since they were given are left out.
        new = [one for one in page if (one.key.series, one.key.instance) not in given]
        given.update((one.key.series, one.key.instance) for one in new)
        all_of.update(one.series_id for one in new)
        loose.update(one.series_id for one in new if one.place is None or not one.place.base)
        async with aclosing(read_documents(new, base, backend)) as found:
            async for _, document in found:
                yield document
        if len(page) < _PAGE:
            break
    if not after:
        raise NotFound("Nothing is stored under these UIDs.")
    # At least half of the series: one that grows is not written anew each time that someone looks.
    many = [row for row, count in loose.items() if count >= _MANY and 2 * count >= all_of[row]]
    if many and base and scope.instance is None:
        backend.begin_beside(consolidate_each(many[:_MOST_CONSOLIDATED], base, backend))
