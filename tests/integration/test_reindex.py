"""Indexing what was stored before a tag: beside Stores and deletes, in steps that may die or come twice."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, select

from shared.backend import Backend, open_backend
from shared.errors import NotFound, Unavailable
from shared.index import query_tags
from shared.index.migrate import migrate
from shared.index.tables import instance, query_tag_value
from shared.model import (
    DEFAULT_PARTITION,
    Buffer,
    Level,
    Operation,
    OperationStatus,
    QueryTag,
    Scope,
    StoreTerms,
    TagStatus,
)
from shared.services import operations
from shared.services.acceptance import StoreRequest
from shared.services.cleanup import clean_up
from shared.services.consolidation import consolidate_quiet
from shared.services.delete import delete
from shared.services.query_tags import add, tidy
from shared.services.query_tags import delete as delete_tag
from shared.services.store import store
from shared.settings import Settings
from shared.storage.blobs import Record
from shared.versions import RULES
from tests.factories import part10

_AGE = "00101010"
_INSTANCE = QueryTag("00200012", "IS", Level.INSTANCE)
_STUDY = QueryTag(_AGE, "AS", Level.STUDY)


@dataclass
class Clock:
    """A clock that goes on by *pace* whenever it is asked."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    pace: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        self.now += self.pace
        return self.now


def opened(folder: Path, clock: Clock) -> Backend:
    url = f"sqlite:///{folder / 'index.db'}"
    return replace(open_backend(Settings(dicom_sql_url=url, dicom_storage_folder=str(folder))), now=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def backend(tmp_path: Path, clock: Clock) -> AsyncIterator[Backend]:
    migrate(f"sqlite:///{tmp_path / 'index.db'}")
    found = opened(tmp_path, clock)
    yield found
    await found.close()


async def send(backend: Backend, *files: bytes, replaces: bool = False) -> None:
    """Store files in one request."""

    async def one(file: bytes) -> AsyncIterator[Buffer]:
        yield bytearray(file)

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        for file in files:
            yield one(file)

    terms = StoreTerms(backend.now() + timedelta(days=3) if replaces else None)
    outcomes = await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["1"], terms), backend)
    assert [outcome.failure for outcome in outcomes] == [None] * len(files)


def uids(study: int, number: int = 1) -> dict[str, Any]:
    return {
        "StudyInstanceUID": f"1.2.{study}",
        "SeriesInstanceUID": f"1.2.{study}.1",
        "SOPInstanceUID": f"1.2.{study}.1.{number}",
    }


def file(study: int, number: int = 1, age: str | None = "045Y", acquisition: object = 1) -> bytes:
    return part10(**uids(study, number), PatientAge=age, AcquisitionNumber=acquisition)


async def finish(name: str, backend: Backend) -> Operation:
    """Do all that is left of an operation."""
    while await operations.advance(name, backend):
        pass
    return await operations.find(name, backend)


def _values(connection: Connection, path: str) -> dict[int, str | float]:
    number = query_tags.find(connection, path).number
    rows = connection.execute(select(query_tag_value).where(query_tag_value.c.tag_id == number))
    return {row.owner_id: row.number if row.text is None else row.text for row in rows}


async def values(backend: Backend, path: str) -> dict[int, str | float]:
    return await backend.index.read(_values, path)


def _published(connection: Connection) -> dict[int, str]:
    return {version: uid for version, uid in connection.execute(select(instance.c.version, instance.c.sop_uid))}  # noqa: C416


async def by_instance(backend: Backend) -> Mapping[str, float]:
    """Return what the instance tag is indexed by, by SOP Instance UID; every row is one of a published instance."""
    names = await backend.index.read(_published)
    return {names[owner]: float(value) for owner, value in (await values(backend, _INSTANCE.path)).items()}


async def tag(backend: Backend, path: str) -> QueryTag:
    return await backend.index.read(query_tags.find, path)


async def test_stored_before(backend: Backend, clock: Clock) -> None:
    """What was stored before a tag is indexed, whether its metadata lie in a row or in a document of its series."""
    await send(backend, file(1, age="010Y"), file(2, age="020Y"))
    clock.now += timedelta(days=1)
    await consolidate_quiet(backend)
    await send(backend, file(3, age="030Y"))
    name = await add([_STUDY], backend)
    assert (await tag(backend, _AGE)).status is TagStatus.ADDING

    done = await finish(name, backend)

    assert (done.status, done.percent) == (OperationStatus.SUCCEEDED, 100)
    assert sorted(map(str, (await values(backend, _AGE)).values())) == ["010y", "020y", "030y"]
    assert (await tag(backend, _AGE)).status is TagStatus.READY
    assert (await tag(backend, _AGE)).operation is None


async def test_nothing_stored(backend: Backend) -> None:
    """A tag of an empty service is ready at once."""
    assert (await finish(await add([_STUDY], backend), backend)).status is OperationStatus.SUCCEEDED


async def test_invalid_value(backend: Backend) -> None:
    """A value that breaks a rule is an error of the tag and disables it; the operation succeeds all the same."""
    await send(backend, file(1, age="45"), file(2))
    name = await add([_STUDY, _INSTANCE], backend)

    done = await finish(name, backend)

    found = await tag(backend, _AGE)
    assert done.status is OperationStatus.SUCCEEDED
    assert (found.status, found.is_enabled) == (TagStatus.READY, False)
    [error] = await backend.index.read(query_tags.find_errors, found.number, None, limit=9, offset=0)
    assert (error.study, error.instance, error.message) == ("1.2.1", "1.2.1.1.1", "no age of 4 characters")
    assert (await tag(backend, _INSTANCE.path)).is_enabled
    await delete(Scope(1, "1.2.1"), backend)
    assert await backend.index.read(query_tags.find_errors, found.number, None, limit=9, offset=0) == []
    assert not (await tag(backend, _AGE)).is_enabled


async def test_progress(backend: Backend, clock: Clock) -> None:
    """A step begins where the last one ended, from the newest instance to the oldest; progress is their share."""
    await send(backend, *(file(1, number, acquisition=number) for number in range(250)))
    name = await add([_INSTANCE], backend)
    clock.pace = timedelta(seconds=10)
    seen = []

    while await operations.advance(name, backend):
        seen.append(((await operations.find(name, backend)).percent, len(await values(backend, _INSTANCE.path))))

    assert seen == [(40, 100), (80, 200), (99, 250)]
    assert (await operations.find(name, backend)).percent == 100


async def test_other_process(backend: Backend, tmp_path: Path, clock: Clock) -> None:
    """A process that has not heard of a tag yet indexes what it stores; nor does it index for one that is gone."""
    await send(backend, file(1))
    other = opened(tmp_path, clock)
    name = await add([_STUDY, _INSTANCE], other)
    await delete_tag(_INSTANCE.path, other)
    await finish(name, other)

    await send(backend, file(2, age="020Y"))

    assert sorted(map(str, (await values(backend, _AGE)).values())) == ["020y", "045y"]
    await other.close()


async def test_beside_store(backend: Backend, tmp_path: Path, clock: Clock) -> None:
    """Whatever is stored, replaced and deleted meanwhile, in another process too: each instance has its value."""
    random, other = Random(5), opened(tmp_path, clock)  # noqa: S311 - no secret
    expected: dict[str, float] = {}
    await send(backend, *(file(1, number, acquisition=number) for number in range(600)))
    expected |= {uids(1, number)["SOPInstanceUID"]: number for number in range(600)}
    clock.pace = timedelta(seconds=1)
    name = await add([_INSTANCE, _STUDY], backend)

    async def change(at: Backend, study: int) -> None:
        for turn in range(25):
            value = random.randrange(1000)
            number = random.randrange(10)
            key = uids(study, number)["SOPInstanceUID"]
            if turn % 3 == 2 and key in expected:
                del expected[key]
                await delete(Scope(1, f"1.2.{study}", f"1.2.{study}.1", key), at)
            else:
                await send(at, file(study, number, f"{turn:03d}Y", value), replaces=True)
                expected[key] = value
            old = uids(1, 24 * turn + study % 2)["SOPInstanceUID"]
            if old in expected:
                await send(at, file(1, 24 * turn + study % 2, acquisition=-value), replaces=True)
                expected[old] = -value

    done, *_ = await asyncio.gather(finish(name, backend), change(backend, 2), change(other, 3))

    assert done.status is OperationStatus.SUCCEEDED
    assert await by_instance(backend) == expected
    assert set((await values(backend, _AGE)).values()) <= {"045y", *(f"{turn:03d}y" for turn in range(25))}
    await other.close()


class _Dying:
    """A record store whose process dies when it saves an operation."""

    def __init__(self, records: Any) -> None:
        self._records = records

    async def save(self, kind: str, name: str, body: bytes, *, etag: str | None) -> Record:
        if kind == "operations" and etag is not None:
            raise Unavailable("dead")
        saved: Record = await self._records.save(kind, name, body, etag=etag)
        return saved

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)


async def test_dies(backend: Backend, clock: Clock) -> None:
    """A process that dies between the work and its checkpoint leaves an operation that the timer finds and goes on."""
    await send(backend, *(file(1, number, acquisition=number) for number in range(150)))
    name = await add([_INSTANCE], backend)
    assert await operations.due(backend) == [name]
    clock.pace = timedelta(seconds=10)
    assert not await operations.advance(name, replace(backend, records=_Dying(backend.records)))
    clock.pace = timedelta(0)
    assert len(await values(backend, _INSTANCE.path)) == 100
    assert (await operations.find(name, backend)).status is OperationStatus.NOT_STARTED

    clock.now += timedelta(minutes=2)
    assert await operations.due(backend) == [name]
    assert await operations.due(backend) == []
    done = await finish(name, backend)

    assert done.status is OperationStatus.SUCCEEDED
    assert await by_instance(backend) == {uids(1, number)["SOPInstanceUID"]: number for number in range(150)}
    clock.now += timedelta(minutes=2)
    assert await operations.due(backend) == []


async def test_delivered_twice(backend: Backend, clock: Clock) -> None:
    """Of two deliveries of one message one goes on; both have done the same."""
    await send(backend, *(file(1, number, acquisition=number) for number in range(150)))
    name = await add([_INSTANCE], backend)
    clock.pace = timedelta(seconds=10)

    went_on = await asyncio.gather(*(operations.advance(name, backend) for _ in range(2)))
    await finish(name, backend)

    assert sorted(went_on) == [False, True]
    assert len(await values(backend, _INSTANCE.path)) == 150
    assert not await operations.advance(name, backend)
    assert not await operations.advance("0" * 32, backend)


async def test_dies_before_record(backend: Backend) -> None:
    """A process that dies between adding the tags and recording the operation leaves what the cleanup timer begins."""
    await send(backend, file(1))
    await backend.index.write(query_tags.add, [_STUDY], "a" * 32)
    with pytest.raises(NotFound):
        await operations.find("a" * 32, backend)

    await tidy(backend)
    await tidy(backend)

    assert await operations.due(backend) == ["a" * 32]
    assert (await finish("a" * 32, backend)).status is OperationStatus.SUCCEEDED
    assert (await tag(backend, _AGE)).status is TagStatus.READY


async def test_dies_while_deleting(backend: Backend) -> None:
    """A delete that died is ended by the cleanup timer."""
    await add([_STUDY], backend)
    await backend.index.write(query_tags.begin_delete, _AGE)

    await tidy(backend)

    with pytest.raises(NotFound):
        await tag(backend, _AGE)


async def test_tag_deleted_meanwhile(backend: Backend, clock: Clock) -> None:
    """A tag that is deleted while it is added is passed over; the other one becomes ready."""
    await send(backend, *(file(1, number) for number in range(150)))
    name = await add([_INSTANCE, _STUDY], backend)
    clock.pace = timedelta(seconds=10)
    assert await operations.advance(name, backend)

    await delete_tag(_INSTANCE.path, backend)
    done = await finish(name, backend)

    assert done.status is OperationStatus.SUCCEEDED
    assert len(await values(backend, _AGE)) == 1
    with pytest.raises(NotFound):
        await tag(backend, _INSTANCE.path)


async def test_fails(backend: Backend) -> None:
    """An operation that fails leaves its tags not ready; they can be deleted, and others added."""
    await send(backend, file(1))
    name = await add([_STUDY], backend)

    await operations.fail(name, backend)

    assert (await operations.find(name, backend)).status is OperationStatus.FAILED
    assert not await operations.advance(name, backend)
    assert (await tag(backend, _AGE)).status is TagStatus.ADDING
    assert await operations.due(backend) == []
    await finish(await add([_INSTANCE], backend), backend)
    await delete_tag(_AGE, backend)
    await finish(await add([_STUDY], backend), backend)
    assert list((await values(backend, _AGE)).values()) == ["045y"]


async def test_lost_metadata(backend: Backend, tmp_path: Path, clock: Clock) -> None:
    """Instances whose metadata are lost are passed over; the others are indexed."""
    await send(backend, file(1))
    clock.now += timedelta(days=1)
    await consolidate_quiet(backend)
    for document in list(tmp_path.rglob("*.json.gz")):  # noqa: ASYNC240 - nobody waits
        document.unlink()
    await send(backend, file(2))
    name = await add([_INSTANCE], backend)

    assert (await finish(name, backend)).status is OperationStatus.SUCCEEDED
    assert set(await by_instance(backend)) == {uids(2)["SOPInstanceUID"]}
    await clean_up(backend)
