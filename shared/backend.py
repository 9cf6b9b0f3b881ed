"""What services work on: index, blobs, records and settings in one value, made once per process."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import metrics
from shared.entity_tags import TagKey, tag_of
from shared.errors import Unavailable
from shared.index import partitions, query_tags
from shared.index.database import Index, open_index
from shared.model import DEFAULT_PARTITION, Partition, TagList
from shared.settings import Settings, read_settings
from shared.storage.audit_table import AuditTable
from shared.storage.blobs import BlobStore, RecordStore
from shared.turns import Decoding

if TYPE_CHECKING:
    from shared.storage.events import EventSink

_MAX_REMEMBERED = 10_000
_YOUNG_CONTAINERS = 10_000
_TAGS_KNOWN = timedelta(seconds=5)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Backend:
    """Handed down as the last argument.

    Parameters
    ----------
    now
        The clock.
    audit
        Where audit records are kept beside the log; None where there is no Table Storage.
    long_header
        Held by the Store that works on a long header: memory is for one at a time.
    events
        Where events go; None: nowhere.
    noted
        When this process last noted what `activity` keeps.
    decoding
        Held while pixel data is decoded or encoded: processors and memory are for a few at a time, since a frame may
        take hundreds of megabytes.
    """

    settings: Settings
    index: Index
    blobs: BlobStore
    records: RecordStore
    now: Callable[[], datetime] = _now
    audit: AuditTable | None = None
    long_header: asyncio.Lock = field(default_factory=asyncio.Lock)
    decoding: Decoding = field(default_factory=Decoding)
    events: "EventSink | None" = None
    noted: dict[str, datetime] = field(default_factory=dict)
    _partitions: dict[str, Partition] = field(default_factory=dict)
    _tags: list[tuple[datetime, TagList]] = field(default_factory=list)
    _beside: set[asyncio.Task[object]] = field(default_factory=set)
    _tag_key: TagKey = field(default_factory=TagKey)

    def begin_beside(self, work: Coroutine[Any, Any, object]) -> None:
        """Do *work* beside the requests, unless something of the kind is being done: a timer does it then."""
        if self._beside:
            work.close()
            return
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def default_partition(self) -> Partition:
        """Return the one partition of a service without them.

        Raises
        ------
        Unavailable
            The database has others: what they hold would be out of reach (data-partitions.md, "switching off").
        """
        if DEFAULT_PARTITION.name.lower() not in self._partitions:
            if await self.index.read(partitions.has_others):
                raise Unavailable(
                    "The database has data partitions, and the service is set up without (DATA_PARTITIONS)."
                )
            self._remember(DEFAULT_PARTITION)
        return DEFAULT_PARTITION

    async def find_partition(self, name: str) -> Partition | None:
        """Return the partition called *name*, whatever the case of its letters; None where there is none."""
        known = self._partitions.get(name.lower())
        return known or self._remember(await self.index.read(partitions.find, name))

    async def add_partition(self, name: str) -> Partition:
        """Return the partition called *name*, which is added if nobody has yet."""
        added = await self.index.write(partitions.find_or_add, name, self.now())
        self._remember(added)
        return added

    async def query_tags(self) -> TagList:
        """Return the extended query tags as they were some seconds ago at most.

        A Store reads headers by it. Which values are kept is decided when it publishes (`index/tag_values.py`).
        """
        now = self.now()
        if self._tags and now - self._tags[0][0] < _TAGS_KNOWN:
            return self._tags[0][1]
        self._tags[:] = [(now, await self.index.read(query_tags.read_list))]
        return self._tags[0][1]

    def forget_query_tags(self) -> None:
        """See to it that the tags are read again: this process has changed them."""
        self._tags.clear()

    async def entity_tag(self, *state: object) -> str:
        """Return the entity tag of a representation, of which *state* says what changes it."""
        return tag_of(await self._tag_key.of(self.records), *state)

    async def close(self) -> None:
        """Finish what is done beside the requests, and give back connections."""
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self.index.close()
        await self.blobs.close()
        await self.records.close()
        if self.audit is not None:
            await self.audit.close()
        if self.events is not None:
            await self.events.close()

    def _remember(self, found: Partition | None) -> Partition | None:
        """Keep what was found: partitions are never removed."""
        if found is not None and len(self._partitions) < _MAX_REMEMBERED:
            self._partitions[found.name.lower()] = found
        return found


@cache
def backend() -> Backend:
    """Return the process's backend; the first call opens it, since start-up must be short."""
    settings = read_settings()
    if settings.metrics_to:
        metrics.start(settings.metrics_to)
    opened = open_backend(settings)
    # A header becomes thousands of containers, none of them in a cycle: looking for garbage at each 700 of them took
    # 7 % of the samples of a profile of Store. And what is there now stays as long as the process.
    gc.set_threshold(_YOUNG_CONTAINERS, 20, 20)
    gc.freeze()
    return opened


def open_backend(settings: Settings) -> Backend:
    """Return a backend over the storage that *settings* name."""
    blobs, records = _stores(settings)
    decoding = Decoding(settings.decoding_at_once, settings.decoding_queue)
    index = open_index(settings.dicom_sql_url, settings.dicom_identity_client_id)
    audit, events = open_audit_table(settings), _events(settings)
    return Backend(settings, index, blobs, records, audit=audit, decoding=decoding, events=events)


def open_audit_table(settings: Settings) -> AuditTable | None:
    """Return the table of audit records; None where there is no Table Storage."""
    if settings.dicom_storage_folder:
        return None
    from shared.storage.azure_audit import AzureAuditTable
    from shared.storage.credentials import table_service

    connection, client_id = settings.dicom_storage_connection_string, settings.dicom_identity_client_id
    service = table_service(connection, settings.dicom_table_url, client_id)
    return AzureAuditTable(service, on_loss=metrics.audit_record_lost)


def _stores(settings: Settings) -> tuple[BlobStore, RecordStore]:
    """Return the stores; each kind is imported only where it is used, since start-up must be short."""
    if settings.dicom_storage_folder:
        from shared.storage.folder import FolderBlobs, FolderRecords

        folder = Path(settings.dicom_storage_folder)
        return FolderBlobs(folder / "blobs"), FolderRecords(folder / "records")
    from shared.storage.azure import AzureBlobs, AzureRecords
    from shared.storage.credentials import blob_service, table_service

    connection, client_id = settings.dicom_storage_connection_string, settings.dicom_identity_client_id
    blobs = blob_service(connection, settings.dicom_blob_url, client_id)
    tables = table_service(connection, settings.dicom_table_url, client_id)
    concurrency = settings.blob_concurrency
    return AzureBlobs(blobs, container=settings.dicom_container, concurrency=concurrency), AzureRecords(tables)


def _events(settings: Settings) -> "EventSink | None":
    """Return where events go; imported only where they are on, as the stores."""
    if settings.event_webhook_url:
        from shared.storage.events import WebhookEvents

        return WebhookEvents(settings.event_webhook_url)
    if settings.event_grid_url:
        from shared.identity import credential
        from shared.storage.event_grid import EventGridEvents

        return EventGridEvents(settings.event_grid_url, credential(settings.dicom_identity_client_id))
    return None
