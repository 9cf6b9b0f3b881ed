"""Retrieve instances (PS3.18 §10.4): as stored or in another transfer syntax, in order, with bounded read-ahead."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from shared.backend import Backend
from shared.dicom.transfer_syntaxes import is_convertible
from shared.errors import NotAcceptable, NotFound
from shared.index.instances import find, find_first
from shared.model import AS_STORED, ByteStream, Scope, StoredInstance, Wish
from shared.services.source import reader_of, source_of
from shared.services.streams import begun, read_ahead
from shared.services.transcode import transcoded

_PAGE = 500

Files: TypeAlias = AsyncGenerator[tuple[StoredInstance, ByteStream], None]
"""Instances with their bytes; the transfer syntax is the one that these are in."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a request for instances is answered with: the wish that can be met, and the first instances."""

    scope: Scope
    wish: Wish
    first: Sequence[StoredInstance]

    def syntax_of(self, instance: StoredInstance) -> str:
        """Return the transfer syntax that an instance is given in."""
        return instance.transfer_syntax if self.wish.transfer_syntax == AS_STORED else self.wish.transfer_syntax

    @property
    def files_as_stored(self) -> Sequence[StoredInstance] | None:
        """Return all that will be given where that is known, and each as it is stored; else None."""
        is_all = len(self.first) < _PAGE
        return self.first if is_all and all(self.syntax_of(one) == one.transfer_syntax for one in self.first) else None


async def choose(scope: Scope, wishes: Sequence[Wish], backend: Backend) -> Chosen:
    """Return the first wish that can be met for all instances of *scope*.

    Raises
    ------
    NotFound
        Nothing is stored there.
    NotAcceptable
        None can.
    """
    first, stored = await backend.index.read(find_first, scope, limit=_PAGE)
    if not stored:
        raise NotFound("Nothing is stored under these UIDs.")
    for wish in wishes:
        wanted = wish.transfer_syntax
        if wanted == AS_STORED or all(one == wanted or is_convertible(one, wanted) for one in stored):
            return Chosen(scope, wish, first)
    raise NotAcceptable(
        f"Stored as transfer syntax {', '.join(sorted(stored))}; accept that, or transfer-syntax={AS_STORED}."
    )


async def retrieve(chosen: Chosen, backend: Backend) -> Files:
    """Return the files of what was chosen with their bytes, oldest version first.

    Raises
    ------
    NotFound, NotDecodable
        The first file is gone, or cannot be had in the transfer syntax that was asked for.
    """

    async def open_file(instance: StoredInstance) -> ByteStream:
        return await open_instance(instance, chosen.syntax_of(instance), backend)

    if chosen.scope.instance is not None:
        [instance] = chosen.first
        return _one(replace(instance, transfer_syntax=chosen.syntax_of(instance)), await open_file(instance))
    return await begun(_files(chosen, read_ahead(_instances(chosen, backend), open_file, backend.settings.read_ahead)))


async def _one(instance: StoredInstance, chunks: ByteStream) -> Files:
    yield instance, chunks


async def open_instance(instance: StoredInstance, transfer_syntax: str, backend: Backend) -> ByteStream:
    """Return the file of an instance in a transfer syntax."""
    if transfer_syntax == instance.transfer_syntax:
        return await reader_of(instance, backend)(0, instance.length_bytes)
    return await transcoded(await source_of(instance, backend), transfer_syntax, backend)


async def _files(chosen: Chosen, opened: Files) -> Files:
    async with aclosing(opened):
        async for instance, chunks in opened:
            yield replace(instance, transfer_syntax=chosen.syntax_of(instance)), chunks


async def _instances(chosen: Chosen, backend: Backend) -> AsyncIterator[StoredInstance]:
    """Yield the published instances by ascending version.

    One that is replaced meanwhile comes again with a higher version; its bytes were given once and stay readable.
    """
    page, given = chosen.first, set[tuple[str, str]]()
    while page:
        for instance in page:
            name = (instance.key.series, instance.key.instance)
            if name not in given:
                yield instance
            given.add(name)
        if len(page) < _PAGE:
            return
        page = await backend.index.read(find, chosen.scope, after=page[-1].version, limit=_PAGE)
