"""Retrieve instances in their stored transfer syntax (PS3.18 §10.4), streamed in order with bounded read-ahead."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeAlias

from shared.backend import Backend
from shared.errors import NotAcceptable, NotFound
from shared.index.instances import find, find_first
from shared.model import AS_STORED, ByteStream, Scope, StoredInstance, Wish
from shared.services.streams import begun, read_ahead
from shared.storage.blobs import instance_blob

_PAGE = 500

Files: TypeAlias = AsyncGenerator[tuple[StoredInstance, ByteStream], None]


async def retrieve(scope: Scope, wishes: Sequence[Wish], backend: Backend) -> tuple[Wish, Files]:
    """Return the first wish that can be met, and the files of *scope* with their bytes, oldest version first.

    Raises
    ------
    NotFound
        Nothing is stored there.
    NotAcceptable
        The stored transfer syntaxes are not what any wish asks for.
    """
    first, stored = await backend.index.read(find_first, scope, limit=_PAGE)
    if not stored:
        raise NotFound("Nothing is stored under these UIDs.")
    wish = next(
        (wish for wish in wishes if wish.transfer_syntax == AS_STORED or stored == {wish.transfer_syntax}), None
    )
    if wish is None:
        raise NotAcceptable(
            f"Stored as transfer syntax {', '.join(sorted(stored))}; accept that, or transfer-syntax={AS_STORED}."
        )

    async def open_file(instance: StoredInstance) -> ByteStream:
        return await backend.blobs.read(instance_blob(instance.version))

    files = read_ahead(_instances(first, scope, backend), open_file, backend.settings.read_ahead)
    return wish, await begun(files)


async def _instances(page: list[StoredInstance], scope: Scope, backend: Backend) -> AsyncIterator[StoredInstance]:
    """Yield the published instances of *scope* by ascending version, its first *page* and those that follow.

    One that is replaced meanwhile comes again with a higher version; its bytes were given once and stay readable.
    """
    given: set[tuple[str, str]] = set()
    while page:
        for instance in page:
            name = (instance.key.series, instance.key.instance)
            if name not in given:
                yield instance
            given.add(name)
        if len(page) < _PAGE:
            return
        page = await backend.index.read(find, scope, after=page[-1].version, limit=_PAGE)
