"""What services work on: index, blobs, records and settings in one value, made once per process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from shared.index import partitions
from shared.index.database import Index, open_index
from shared.model import Partition
from shared.settings import Settings, read_settings
from shared.storage.blobs import BlobStore, RecordStore

_MAX_REMEMBERED = 10_000


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Backend:
    """Handed down as the last argument; `now` is the clock."""

    settings: Settings
    index: Index
    blobs: BlobStore
    records: RecordStore
    now: Callable[[], datetime] = _now
    _partitions: dict[str, Partition] = field(default_factory=dict)

    async def partition(self, name: str, *, create: bool) -> Partition | None:
        """Return the partition called *name*, whatever the case of its letters; None where there is none.

        With *create* it is added. Partitions are never removed, so what was found once holds.
        """
        known = self._partitions.get(name.lower())
        if known is None:
            if create:
                known = await self.index.write(partitions.find_or_add, name, self.now())
            else:
                known = await self.index.read(partitions.find, name)
            if known is not None and len(self._partitions) < _MAX_REMEMBERED:
                self._partitions[name.lower()] = known
        return known

    async def close(self) -> None:
        """Give back connections."""
        await self.index.close()
        await self.blobs.close()
        await self.records.close()


@cache
def backend() -> Backend:
    """Return the process's backend; the first call opens it, since start-up must be short."""
    return open_backend(read_settings())


def open_backend(settings: Settings) -> Backend:
    """Return a backend over the storage that *settings* name."""
    blobs, records = _stores(settings)
    return Backend(settings, open_index(settings.dicom_sql_url), blobs, records)


def _stores(settings: Settings) -> tuple[BlobStore, RecordStore]:
    """Return the stores; each kind is imported only where it is used, since start-up must be short."""
    if settings.dicom_storage_folder:
        from shared.storage.folder import FolderBlobs, FolderRecords

        folder = Path(settings.dicom_storage_folder)
        return FolderBlobs(folder / "blobs"), FolderRecords(folder / "records")

    raise NotImplementedError
