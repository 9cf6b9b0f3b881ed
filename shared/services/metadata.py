"""Retrieve metadata: the data sets of a study, series or instance as one JSON array (PS3.18 §10.4.1.1.2)."""

import zlib
from collections.abc import AsyncIterator

from shared.backend import Backend
from shared.errors import NotFound
from shared.index.instances import read_metadata, state
from shared.model import Scope
from shared.services.streams import begun

_PAGE = 64


async def metadata_etag(scope: Scope, backend: Backend) -> str:
    """Return the opaque text of the entity tag of the metadata of *scope* (retrieve.md, "Metadata").

    It changes with each store into *scope* and each delete from it.

    Raises
    ------
    NotFound
        Nothing is stored there.
    """
    found = await backend.index.read(state, scope)
    if found is None:
        raise NotFound("Nothing is stored under these UIDs.")
    newest, count = found
    return f"{newest}" if scope.instance is not None else f"{newest}-{count}"


async def retrieve_metadata(scope: Scope, backend: Backend) -> AsyncIterator[bytes]:
    """Return the JSON array of the data sets of *scope*, in pieces, oldest version first.

    Raises
    ------
    NotFound
        Nothing is stored there (any more).
    """
    return await begun(_array(scope, backend))


async def _array(scope: Scope, backend: Backend) -> AsyncIterator[bytes]:
    after, opening = 0, b"["
    while page := await backend.index.read(read_metadata, scope, after=after, limit=_PAGE):
        yield opening + b",".join(zlib.decompress(metadata) for _, metadata in page)
        opening = b","
        after = page[-1][0]
        if len(page) < _PAGE:
            break
    if opening == b"[":
        raise NotFound("Nothing is stored under these UIDs.")
    yield b"]"
