"""What deletes and crashes leave is removed, and nothing that can be seen."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.backend import Backend, open_backend
from shared.errors import NotFound
from shared.index.garbage import backlog
from shared.index.instances import find
from shared.index.migrate import migrate
from shared.index.publishing import reserve
from shared.model import DEFAULT_PARTITION, Buffer, InstanceKey, Outcome, Scope
from shared.services.acceptance import StoreRequest
from shared.services.cleanup import clean_up
from shared.services.delete import delete
from shared.services.store import store
from shared.settings import Settings
from shared.storage.blobs import instance_blob
from shared.versions import RULES
from tests.factories import new_uid, part10

_DELETE_AFTER = timedelta(days=3)
_EXPIRES_AFTER = timedelta(days=1)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
async def backend(tmp_path: Path, clock: Clock) -> AsyncIterator[Backend]:
    """An embedded backend with that clock."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(
        Settings(
            dicom_storage_folder=str(tmp_path),
            dicom_sql_url=url,
            delete_after_s=int(_DELETE_AFTER.total_seconds()),
            reservation_expires_s=int(_EXPIRES_AFTER.total_seconds()),
            batch_bytes=100_000,
        )
    )
    yield replace(opened, now=clock)
    await opened.close()


async def _store(backend: Backend, *files: bytes) -> list[Outcome]:
    async def one(file: bytes) -> AsyncIterator[Buffer]:
        for start in range(0, len(file), 30_000):
            yield file[start : start + 30_000]

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        for file in files:
            yield one(file)

    return await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"]), backend)


async def _versions(backend: Backend) -> list[int]:
    found = await backend.index.read(find, Scope(DEFAULT_PARTITION.key), limit=1000)
    return [instance.version for instance in found]


async def _exists(backend: Backend, version: int) -> bool:
    try:
        chunks = await backend.blobs.read(instance_blob(version))
    except NotFound:
        return False
    return len([chunk async for chunk in chunks]) > 0


async def test_deleted(backend: Backend, clock: Clock) -> None:
    """The bytes of what was deleted stay until the grace period is over, then they go; others stay for ever."""
    gone, kept = new_uid(), new_uid()
    await _store(backend, part10(StudyInstanceUID=gone), part10(StudyInstanceUID=kept))
    first, second = await _versions(backend)
    await delete(Scope(DEFAULT_PARTITION.key, gone), backend)

    clock.now += _DELETE_AFTER - timedelta(seconds=1)
    assert await clean_up(backend) == 0
    assert await _exists(backend, first)

    clock.now += timedelta(seconds=2)
    assert await clean_up(backend) == 1
    assert not await _exists(backend, first)
    assert await _exists(backend, second)
    assert await backend.index.read(backlog) == (0, None)


async def test_dead_store(backend: Backend, clock: Clock) -> None:
    """A Store that died after it wrote its bytes leaves nothing once its reservation has expired."""
    key = InstanceKey(DEFAULT_PARTITION.key, new_uid(), new_uid(), new_uid())
    [version] = await backend.index.write(reserve, [key], clock.now)
    assert version is not None
    await backend.blobs.write([(instance_blob(version), b"left behind")])

    assert await clean_up(backend) == 0
    assert await _exists(backend, version)

    clock.now += _EXPIRES_AFTER + timedelta(seconds=1)
    assert await clean_up(backend) == 1
    assert not await _exists(backend, version)


@pytest.mark.parametrize("length", [1000, 500_000], ids=["in a batch", "streamed"])
async def test_broken_request(backend: Backend, clock: Clock, length: int) -> None:
    """A request that breaks off leaves no reservation, and bytes that go when nobody can write them any more."""
    good = part10(pixel_bytes=length)

    async def breaking() -> AsyncIterator[AsyncIterator[Buffer]]:
        async def whole() -> AsyncIterator[Buffer]:
            for start in range(0, len(good), 30_000):
                yield good[start : start + 30_000]

        yield whole()
        yield whole()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await store(breaking(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"]), backend)

    assert await _versions(backend) == []
    waiting, _ = await backend.index.read(backlog)
    assert waiting == (0 if length == 1000 else 1)
    assert await clean_up(backend) == 0
    clock.now += timedelta(hours=1)
    assert await clean_up(backend) == waiting


async def test_lost_reservation(backend: Backend, clock: Clock) -> None:
    """A Store so slow that cleanup took its reservation fails with 272 and shows nothing."""

    async def slow() -> AsyncIterator[AsyncIterator[Buffer]]:
        async def whole(file: bytes) -> AsyncIterator[Buffer]:
            yield file

        yield whole(part10(pixel_bytes=200_000))
        clock.now += _EXPIRES_AFTER + timedelta(seconds=1)
        await clean_up(backend)

    outcomes = await store(slow(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"]), backend)

    assert [outcome.failure for outcome in outcomes] == [272]
    assert await _versions(backend) == []
