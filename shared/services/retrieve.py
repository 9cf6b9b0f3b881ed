"""Retrieve instances (PS3.18 §10.4): as stored or in another transfer syntax, in order, with bounded read-ahead."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from shared.backend import Backend
from shared.dicom.transfer_syntaxes import is_convertible
from shared.errors import NotAcceptable, NotDecodable, NotFound
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
    def versions(self) -> Sequence[int] | None:
        """Return the versions of all that will be given, where that is known."""
        return [one.version for one in self.first] if len(self.first) < _PAGE else None

    @property
    def files_as_stored(self) -> Sequence[StoredInstance] | None:
        """Return all that will be given where that is known, and each as it is stored; else None."""
        is_all = len(self.first) < _PAGE
        return self.first if is_all and all(self.syntax_of(one) == one.transfer_syntax for one in self.first) else None


async def choose(scope: Scope, wishes: Sequence[Wish], backend: Backend) -> list[Chosen]:
    """Return those of *wishes*, in their order, that can be met by what the instances of *scope* are stored as.

    Whether pixel data can be decoded and written is seen when it is (`retrieve`).

    Raises
    ------
    NotFound
        Nothing is stored there.
    NotAcceptable
        There are none.
    """
    first, stored = await backend.index.read(find_first, scope, limit=_PAGE)
    if not stored:
        raise NotFound("Nothing is stored under these UIDs.")
    met = [wish for wish in wishes if all(_can_be(wish.transfer_syntax, one) for one in stored)]
    if not met:
        raise NotAcceptable(
            f"Stored as transfer syntax {', '.join(sorted(stored))}; accept that, or transfer-syntax={AS_STORED}."
        )
    return [Chosen(scope, wish, first) for wish in met]


def _can_be(wanted: str, stored: str) -> bool:
    return wanted in {AS_STORED, stored} or is_convertible(stored, wanted)


async def retrieve(chosen: Chosen, backend: Backend) -> Files:
    """Return the files of what was chosen with their bytes, oldest version first.

    One behind the first whose pixels cannot be had in the transfer syntax that was asked for is given as it is stored:
    by then others may have been sent.

    Raises
    ------
    NotFound
        The first file is gone.
    NotDecodable
        The first file cannot be had in the transfer syntax that was asked for.
    """
    if chosen.scope.instance is not None:
        [instance] = chosen.first
        syntax = chosen.syntax_of(instance)
        return _one(replace(instance, transfer_syntax=syntax), await open_instance(instance, syntax, backend))
    given: dict[int, str] = {}

    async def open_file(instance: StoredInstance) -> ByteStream:
        syntax = chosen.syntax_of(instance)
        try:
            opened = await open_instance(instance, syntax, backend)
        except NotDecodable:
            if instance is chosen.first[0]:
                raise
            syntax = instance.transfer_syntax
            opened = await open_instance(instance, syntax, backend)
        given[instance.version] = syntax
        return opened

    return await begun(_files(given, read_ahead(_instances(chosen, backend), open_file, backend.settings.read_ahead)))


async def _one(instance: StoredInstance, chunks: ByteStream) -> Files:
    yield instance, chunks


async def open_instance(instance: StoredInstance, transfer_syntax: str, backend: Backend) -> ByteStream:
    """Return the file of an instance in a transfer syntax."""
    if transfer_syntax == instance.transfer_syntax:
        return await reader_of(instance, backend)(0, instance.length_bytes)
    return await transcoded(await source_of(instance, backend), transfer_syntax, backend)


async def _files(given: dict[int, str], opened: Files) -> Files:
    """Yield files with the transfer syntaxes that they are *given* in, by version."""
    async with aclosing(opened):
        async for instance, chunks in opened:
            yield replace(instance, transfer_syntax=given.pop(instance.version)), chunks


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
