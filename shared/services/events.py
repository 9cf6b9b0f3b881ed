"""Publish events from the change feed, which is the outbox: in its order, at least once each (events.md).

A record holds the sequence number of the last entry that the receiver acknowledged. A process that dies before it is
saved makes the next one send the same events again, with the same ids.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import orjson

from shared import metrics
from shared.backend import Backend
from shared.errors import Conflict, NotFound, Unavailable
from shared.index import change_feed
from shared.model import ChangeAction, FeedEntry
from shared.settings import Settings
from shared.storage.events import Event

log = logging.getLogger(__name__)

_KIND, _NAME = "events", "position"
_TOGETHER = 500
"""Events in one delivery: some 400 KB, of the megabyte that Event Grid takes."""
_LONGEST_RUN = timedelta(seconds=90)
_EARLIER = timedelta(minutes=5)
"""Before the first run: what stores may have been started with events on before what publishes them."""
_NAMESPACE = UUID("5f1c4a0e-3b0e-4d5f-9d0c-5d3b6c0f7a11")
_TYPES: Mapping[ChangeAction, str] = {
    ChangeAction.CREATE: "Microsoft.HealthcareApis.DicomImageCreated",
    ChangeAction.UPDATE: "Microsoft.HealthcareApis.DicomImageUpdated",
    ChangeAction.DELETE: "Microsoft.HealthcareApis.DicomImageDeleted",
}


@dataclass(frozen=True, slots=True)
class Position:
    """The last entry whose event was acknowledged; `etag` of the record that says so."""

    sequence: int
    etag: str


async def publish(backend: Backend) -> int:
    """Send the events of all entries behind the saved position, and return how many.

    The first run after events were switched on begins with what happened in the five minutes before it. A receiver
    that does not answer delays events and loses none.
    """
    if backend.events is None:
        return 0
    done, end = 0, backend.now() + _LONGEST_RUN
    try:
        position = await _begin(backend)
        while backend.now() < end and (
            entries := await backend.index.read(change_feed.read_after, position.sequence, _TOGETHER)
        ):
            await backend.events.send([event_of(entry, backend.settings) for entry in entries])
            position = await save(entries[-1].sequence, position.etag, backend)
            done += len(entries)
    except Conflict:
        log.info("events: another process publishes them")
    except Unavailable as error:
        log.warning("events: %d published, then: %s", done, error)
    with suppress(Unavailable):
        metrics.queue("events", *await waiting(backend), backend.now())
    return done


async def load(backend: Backend) -> Position | None:
    """Return the saved position; None where events have never been on."""
    try:
        record = await backend.records.load(_KIND, _NAME)
    except NotFound:
        return None
    return Position(int(orjson.loads(record.body)["sequence"]), record.etag)


async def save(sequence: int, etag: str | None, backend: Backend) -> Position:
    """Save a position, if nobody else has since *etag* was read.

    Raises
    ------
    Conflict
        Somebody has.
    """
    record = await backend.records.save(_KIND, _NAME, orjson.dumps({"sequence": sequence}), etag=etag)
    return Position(sequence, record.etag)


async def begin_anew(etag: str | None, backend: Backend) -> Position:
    """Save the position a little before now, as `save`."""
    sequence = await backend.index.read(change_feed.last_before, backend.now() - _EARLIER)
    return await save(sequence, etag, backend)


async def waiting(backend: Backend) -> tuple[int, datetime | None]:
    """Return how many entries wait to be published, at most, and since when the first of them does."""
    position = await load(backend)
    if backend.events is None or position is None:
        return 0, None
    entries = await backend.index.read(change_feed.read_after, position.sequence, 1)
    last = await backend.index.read(change_feed.last_sequence)
    return (max(last - position.sequence, 1), entries[0].timestamp) if entries else (0, None)


def event_of(entry: FeedEntry, settings: Settings) -> Event:
    """Return the event that tells of an entry (events.md): identifiers, and nothing of a patient."""
    host = urlsplit(settings.public_url).netloc
    partition = f"/partitions/{entry.partition_name}" if settings.data_partitions else ""
    key = entry.key
    event: dict[str, object] = {
        "id": str(uuid5(_NAMESPACE, f"{settings.public_url}/{entry.sequence}/{entry.timestamp.isoformat()}")),
        "subject": f"{host}/{settings.event_version}{partition}{_path(entry)}",
        "eventType": _TYPES[entry.action],
        "eventTime": entry.timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "dataVersion": "1",
        "data": {
            "partitionName": entry.partition_name,
            "imageStudyInstanceUid": key.study,
            "imageSeriesInstanceUid": key.series,
            "imageSopInstanceUid": key.instance,
            "serviceHostName": host,
            "sequenceNumber": entry.sequence,
        },
    }
    # Event Grid adds these itself, and refuses a topic that is not its own.
    return event if settings.event_grid_url else {**event, "topic": settings.event_topic, "metadataVersion": "1"}


def _path(entry: FeedEntry) -> str:
    return f"/studies/{entry.key.study}/series/{entry.key.series}/instances/{entry.key.instance}"


async def _begin(backend: Backend) -> Position:
    """Return the saved position; at the first time one a little before now, which is saved.

    So it is too where the change feed ends before the saved position: the database is an earlier one, and what happens
    in it has the numbers of what was published.
    """
    known = await load(backend)
    if known is not None and known.sequence <= await backend.index.read(change_feed.last_sequence):
        return known
    begun = await begin_anew(None if known is None else known.etag, backend)
    if known is not None:
        log.warning("events: the change feed ends before the saved position; going on behind entry %d", begun.sequence)
    return begun
