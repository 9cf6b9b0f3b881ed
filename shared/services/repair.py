"""Put right what is safe to put right; everything else is for a person to decide (docs/operations.md)."""

from collections.abc import Sequence
from datetime import datetime

from shared.backend import Backend
from shared.index import audit, change_feed
from shared.index.repair import REPAIRS, restate
from shared.services import events
from shared.services.consistency import unknown_thumbnails
from shared.services.renewal import renew
from shared.services.values import PARENTS, differing_instances, differing_parents
from shared.storage.blobs import StoredBlob, thumbnail_of

_TOGETHER = 200


async def repair(backend: Backend, *, is_deep: bool = False) -> dict[str, int]:
    """Put right what the rules of `index.repair` cover, and return how many cases of each there were.

    It may run beside the service. No blob is removed but thumbnails, and nothing of what is published.

    Parameters
    ----------
    is_deep
        Whether the values of rows are put right by the metadata, too.
    """
    done: dict[str, int] = {}
    last = await backend.index.read(audit.last_version)
    for rule, put_right in REPAIRS.items():  # all of one before the next: rows of studies go after those of series
        for first in range(0, last + 1, audit.WINDOW):
            if numbers := await backend.index.read(audit.broken, rule, first):
                await backend.index.write(put_right, numbers)
                done[rule] = done.get(rule, 0) + len(numbers)
    if count := await _remove_thumbnails(backend):
        done["thumbnail_unknown"] = count
    position = await events.load(backend)
    if position is not None and position.sequence > await backend.index.read(change_feed.last_sequence):
        await events.begin_anew(position.etag, backend)  # as the publisher would, if it ran first
        done["event_position"] = 1
    return {**done, **await _restate(backend)} if is_deep else done


async def _restate(backend: Backend) -> dict[str, int]:
    """Let rows say what the metadata of their instances say."""
    done: dict[str, int] = {}
    async for version, said in differing_instances(backend):
        await backend.index.write(restate, {version: said})
        done["instance_values_differ"] = done.get("instance_values_differ", 0) + 1
    for name, level in PARENTS.items():
        async for number in differing_parents(level, backend):
            await renew([(level, number)], backend)
            done[name] = done.get(name, 0) + 1
    return done


async def _remove_thumbnails(backend: Backend) -> int:
    """Remove the thumbnails of versions that the index does not know; they could be made anew."""
    begun, removed = backend.now(), 0
    some: list[StoredBlob] = []
    async for blob in backend.blobs.list():
        some += [blob] if thumbnail_of(blob.name) is not None else []
        if len(some) == _TOGETHER:
            removed += await _remove(some, begun, backend)
            some.clear()
    return removed + await _remove(some, begun, backend)


async def _remove(thumbnails: Sequence[StoredBlob], begun: datetime, backend: Backend) -> int:
    names = [blob.name for blob in await unknown_thumbnails(thumbnails, begun, backend)]
    errors = await backend.blobs.delete(names) if names else []
    return sum(error is None for error in errors)
