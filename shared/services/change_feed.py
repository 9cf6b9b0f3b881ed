"""The change feed as its readers see it: entries with the state of their instances, and metadata (change-feed.md)."""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC

import orjson

from shared.backend import Backend
from shared.errors import NotFound
from shared.index import change_feed
from shared.model import ByteStream, ChangeAction, FeedEntry, FeedWindow
from shared.services.documents import metadata_of
from shared.services.streams import begun

log = logging.getLogger(__name__)

_TOGETHER = 16
"""Entries whose metadata are in memory at once."""
_TRIES = 3

Base = Callable[[str], str]
"""Returns what URLs in metadata begin with, before `/studies`, by the name of a partition."""


async def read_entries(window: FeedWindow, backend: Backend) -> list[FeedEntry]:
    """Return the entries of a window, all there will ever be where its end has passed."""
    end = window.end
    if end is not None and end <= backend.now() and end > await backend.index.read(change_feed.last_time):
        # Later entries must be behind the window, whichever process's clock gives them their time.
        await backend.index.write(change_feed.settle, end)
    return await backend.index.read(change_feed.read_window, window)


async def read_latest(partitions: frozenset[str] | None, backend: Backend) -> FeedEntry | None:
    """Return the newest entry in *partitions*, all for None; None where nothing has happened yet."""
    return await backend.index.read(change_feed.read_latest, partitions)


async def written(entries: Sequence[FeedEntry], base: Base | None, backend: Backend) -> ByteStream:
    """Return entries as a JSON array, in pieces.

    Parameters
    ----------
    base
        None: without metadata.
    """
    return await begun(_array(entries, base, backend))


async def written_one(entry: FeedEntry, base: Base | None, backend: Backend) -> bytes:
    """Return one entry as a JSON object; *base* as in `written`."""
    [document] = await _documents([entry], base, backend)
    return document


async def _array(entries: Sequence[FeedEntry], base: Base | None, backend: Backend) -> AsyncGenerator[bytes, None]:
    opened = b"["
    for start in range(0, len(entries), _TOGETHER):
        documents = await _documents(entries[start : start + _TOGETHER], base, backend)
        yield opened + b",".join(documents)
        opened = b","
    yield b"]" if entries else b"[]"


async def _documents(entries: Sequence[FeedEntry], base: Base | None, backend: Backend) -> list[bytes]:
    """Return the JSON objects of some entries; of those with metadata the state is that of the metadata."""
    live = {entry.sequence: entry.live for entry in entries}
    found: dict[int, bytes] = {}
    if base is not None:
        for _ in range(_TRIES):
            found |= await _metadata(entries, live, found, base, backend)
            if all(version is None or version in found for version in live.values()):
                break
            # Some instances were replaced or deleted meanwhile.
            live |= await backend.index.read(change_feed.live_versions, [entry.sequence for entry in entries])
    return [_document(entry, live[entry.sequence], found) for entry in entries]


async def _metadata(
    entries: Sequence[FeedEntry],
    live: Mapping[int, int | None],
    known: Mapping[int, bytes],
    base: Base,
    backend: Backend,
) -> dict[int, bytes]:
    by_partition: dict[str, set[int]] = {}
    for entry in entries:
        version = live[entry.sequence]
        if version is not None and version not in known:
            by_partition.setdefault(entry.partition_name, set()).add(version)
    found: dict[int, bytes] = {}
    for name, versions in by_partition.items():
        found |= await _metadata_of(sorted(versions), base(name), backend)
    return found


async def _metadata_of(versions: Sequence[int], base: str, backend: Backend) -> dict[int, bytes]:
    """Return metadata by version; where a document was lost, of the others: the feed must go on."""
    try:
        return await metadata_of(versions, base, backend)
    except NotFound:
        if len(versions) == 1:
            log.warning("change feed: the metadata of version %d are not there", versions[0])
            return {}
    middle = len(versions) // 2
    return {
        **await _metadata_of(versions[:middle], base, backend),
        **await _metadata_of(versions[middle:], base, backend),
    }


def _document(entry: FeedEntry, live: int | None, metadata: Mapping[int, bytes]) -> bytes:
    fields = {
        "sequence": entry.number,
        "partitionName": entry.partition_name,
        "studyInstanceUid": entry.key.study,
        "seriesInstanceUid": entry.key.series,
        "sopInstanceUid": entry.key.instance,
        "sopClassUid": entry.sop_class,
        "modality": entry.modality,
        "action": entry.action.value,
        "timestamp": entry.timestamp.astimezone(UTC).isoformat(),
        "state": _state(entry, live),
        "metadata": orjson.Fragment(metadata[live]) if live is not None and live in metadata else None,
    }
    return orjson.dumps({name: value for name, value in fields.items() if value is not None})


def _state(entry: FeedEntry, live: int | None) -> str:
    """Return what has become of the version that an entry tells of (change-feed.md, "State")."""
    if live is None:
        return "Deleted"
    return "Current" if live == entry.version and entry.action is not ChangeAction.DELETE else "Replaced"
