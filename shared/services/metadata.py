"""Retrieve metadata: the data sets of a study, series or instance as one JSON array (PS3.18 §10.4.1.1.2)."""

import asyncio
import zlib
from collections.abc import Sequence
from hashlib import sha256

import orjson

from shared.backend import Backend
from shared.dicom.external import with_external
from shared.errors import NotFound
from shared.index.instances import read_metadata, state
from shared.index.terms import external_values
from shared.model import ByteStream, ExternalValue, Scope
from shared.services.streams import begun

_PAGE = 64
"""Compressed documents read together."""
_PIECE_BYTES = 256 * 1024
_LONG_BYTES = 64 * 1024


async def external_metadata(scope: Scope, backend: Backend) -> Sequence[ExternalValue]:
    """Return the external values of the study of *scope*, by tag."""
    return await backend.index.read(external_values, scope)


async def metadata_etag(scope: Scope, backend: Backend, external: Sequence[ExternalValue] = ()) -> str:
    """Return the opaque text of the entity tag of the metadata of *scope* (retrieve.md, "Metadata").

    It changes with each store into *scope* and each delete from it, and where they are shown with *external* values.

    Raises
    ------
    NotFound
        Nothing is stored there.
    """
    found = await backend.index.read(state, scope)
    if found is None:
        raise NotFound("Nothing is stored under these UIDs.")
    tag = f"{found[0]}" if scope.instance is not None else "-".join(map(str, found))
    return f"{tag}-{sha256(repr(external).encode()).hexdigest()[:16]}" if external else tag


async def retrieve_metadata(scope: Scope, backend: Backend, external: Sequence[ExternalValue] = ()) -> ByteStream:
    """Return the JSON array of the data sets of *scope*, each with *external*, in pieces, oldest version first.

    Raises
    ------
    NotFound
        Nothing is stored there (any more).
    """
    return await begun(_array(scope, backend, external))


async def _array(scope: Scope, backend: Backend, external: Sequence[ExternalValue]) -> ByteStream:
    after, piece = 0, b"["
    given: set[tuple[str, str]] = set()
    while page := await backend.index.read(read_metadata, scope, after=after, limit=_PAGE):
        for version, name, compressed in page:
            after = version
            if name in given:  # replaced since it was given
                continue
            piece += b"," if given else b""
            given.add(name)
            document = await _inflated(compressed)
            piece += orjson.dumps(with_external(orjson.loads(document), external)) if external else document
            if len(piece) >= _PIECE_BYTES:
                yield piece
                piece = b""
        if len(page) < _PAGE:
            break
    if not after:
        raise NotFound("Nothing is stored under these UIDs.")
    yield piece + b"]"


async def _inflated(compressed: bytes) -> bytes:
    """Return a document; a long one is inflated in a thread, while other requests have their turn."""
    if len(compressed) < _LONG_BYTES:
        return zlib.decompress(compressed)
    return await asyncio.to_thread(zlib.decompress, compressed)
