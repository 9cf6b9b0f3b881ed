"""Metadata before, while and after they are consolidated into documents: the same for every reader."""

import asyncio
import gzip
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from sqlalchemy import ClauseElement, Connection, func, select

from shared.backend import Backend, open_backend
from shared.dicom.native_model import from_xml
from shared.errors import NotFound
from shared.index import documents
from shared.index.documents import Document, Entry, Lines
from shared.index.migrate import migrate
from shared.index.tables import document_entry, instance_metadata, series, series_document
from shared.model import DEFAULT_PARTITION, NO_TERMS, Buffer, ExternalValue, Level, Query, Scope
from shared.services import consolidation, metadata
from shared.services.acceptance import StoreRequest
from shared.services.cleanup import clean_up
from shared.services.consistency import check
from shared.services.consolidation import consolidate, consolidate_quiet
from shared.services.delete import delete
from shared.services.documents import metadata_of
from shared.services.search import search
from shared.services.store import store
from shared.settings import Settings
from shared.storage.azure import AzureBlobs
from shared.storage.blobs import document_blob
from shared.storage.credentials import blob_service
from shared.versions import RULES
from shared.web.urls import Urls
from tests.factories import part10
from tests.server_sql import server_sql

BASE, OTHER = "http://localhost/v2", 'https://other.example:8443/a"b/v1'
STUDY = Scope(1, "1.2")
SERIES = Scope(1, "1.2", "1.2.3")
PAST = datetime(2000, 1, 1, tzinfo=UTC)
TERMS = replace(NO_TERMS, replaced_due_at=datetime(2999, 1, 1, tzinfo=UTC))


@dataclass
class Clock:
    """A clock that the test sets."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
async def backend(tmp_path: Path, clock: Clock) -> AsyncIterator[Backend]:
    """An empty embedded backend with that clock."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = replace(open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url)), now=clock)
    yield opened
    await opened.close()


async def put(backend: Backend, *numbers: int, series: str = "1.2.3", **attributes: Any) -> None:
    """Store instances of the study by number, or replace them."""

    async def one(number: int) -> AsyncIterator[Buffer]:
        uids = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": series, "SOPInstanceUID": f"{series}.{number + 1}"}
        yield part10(**uids, pixel_bytes=10, **{"ImageComments": "x" * 3000, **attributes})

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        for number in numbers:
            yield one(number)

    outcomes = await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"], TERMS), backend)
    assert not any(outcome.failure for outcome in outcomes)


async def series_rows(backend: Backend) -> Sequence[int]:
    return await backend.index.read(lambda c: c.execute(select(series.c.id).order_by(series.c.id)).scalars().all())


async def consolidate_all(backend: Backend, base: str = BASE) -> None:
    for row in await series_rows(backend):
        assert await consolidate(row, base, backend)


async def count(backend: Backend, table: Any) -> int:
    def counted(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()

    return await backend.index.read(counted)


async def read(backend: Backend, scope: Scope = STUDY, base: str = BASE) -> list[dict[str, Any]]:
    """Return the metadata of a scope as every reader sees them, which must all see the same."""
    array = await metadata.retrieve_metadata(scope, base, backend)
    found: list[dict[str, Any]] = orjson.loads(b"".join([piece async for piece in array]))
    document = await metadata.retrieve_series_document(scope, base, backend)
    if document is not None:
        body = b"".join([chunk async for chunk in document.chunks])
        assert len(body) == document.length_bytes
        lying = orjson.loads(gzip.decompress(body))
        assert sorted(lying, key=_uid) == sorted(found, key=_uid)
    return sorted(found, key=_uid)


def _uid(one: dict[str, Any]) -> str:
    return str(one["00080018"]["Value"][0])


def uids(found: Sequence[dict[str, Any]]) -> set[str]:
    names = [_uid(one) for one in found]
    assert len(set(names)) == len(names)
    return set(names)


async def is_whole(backend: Backend, scope: Scope = SERIES, base: str = BASE) -> bool:
    document = await metadata.retrieve_series_document(scope, base, backend)
    if document is not None:
        await document.chunks.aclose()
    return document is not None


async def assert_clean(backend: Backend) -> None:
    assert (await check(backend, is_deep=True)).findings == {}


@pytest.mark.parametrize("scope", [STUDY, SERIES, Scope(1, "1.2", "1.2.3", "1.2.3.2")], ids=["study", "series", "one"])
async def test_same(backend: Backend, scope: Scope) -> None:
    """Consolidation changes nothing of what is read."""
    await put(backend, *range(70))
    await put(backend, *range(3), series="1.2.4")
    before = await read(backend, scope)

    await consolidate_all(backend)

    assert await read(backend, scope) == before
    assert await is_whole(backend, scope) == (scope.instance is None)
    assert await count(backend, instance_metadata) == 0
    assert await count(backend, document_entry) == 73
    await assert_clean(backend)


@pytest.mark.parametrize("consolidated", [None, BASE, OTHER, ""], ids=["rows", "same", "other base", "no base"])
@pytest.mark.parametrize("base", [BASE, OTHER])
async def test_bulk_data_uri(backend: Backend, consolidated: str | None, base: str) -> None:
    """A bulk value is named by a URL of the request's own base, wherever the metadata lie (PS3.18 §10.4.1.1.5)."""
    text = f'"BulkDataURI":"{OTHER}/studies/7FE00010'
    await put(backend, 0, ImageComments=text)
    if consolidated is not None:
        await consolidate_all(backend, consolidated)

    [found] = await read(backend, base=base)

    url = f"{base}/studies/1.2/series/1.2.3/instances/1.2.3.1/bulkdata/7FE00010"
    assert found["7FE00010"] == {"vr": "OB", "BulkDataURI": url}
    assert found["00204000"]["Value"] == [text]


async def test_available_transfer_syntax(backend: Backend) -> None:
    """Metadata tell the transfer syntax of the file (clients.md)."""
    await put(backend, 0)

    [found] = await read(backend)

    assert found["00083002"] == {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}


async def test_lies_as_asked(backend: Backend) -> None:
    """What lies there serves the base that it was written for alone, and whole series alone."""
    await put(backend, 0, 1)
    await put(backend, 0, series="1.2.4")
    first, _ = await series_rows(backend)
    assert not await is_whole(backend)
    await consolidate(first, BASE, backend)

    assert await is_whole(backend)
    assert not await is_whole(backend, base=OTHER)
    assert not await is_whole(backend, STUDY)
    assert not await is_whole(backend, Scope(1, "1.9", "1.2.3"))
    assert not await is_whole(backend, Scope(2, "1.2", "1.2.3"))


async def test_stored_later(backend: Backend) -> None:
    """What is stored after the consolidation is read with what was before, and is in the next document."""
    await put(backend, *range(5))
    await consolidate_all(backend)
    await put(backend, *range(5, 8))

    assert not await is_whole(backend)
    assert uids(await read(backend)) == {f"1.2.3.{number + 1}" for number in range(8)}

    await consolidate_all(backend)
    assert await is_whole(backend)
    assert len(await read(backend)) == 8
    assert await count(backend, instance_metadata) == 0


@pytest.mark.parametrize("is_replaced", [False, True], ids=["deleted", "replaced"])
async def test_gone(backend: Backend, clock: Clock, is_replaced: bool) -> None:
    """What was deleted or replaced is not served from a document, and its bytes are removed after the grace period."""
    await put(backend, 0, 1, 2, PatientID="OLD")
    await consolidate_all(backend)
    if is_replaced:
        await put(backend, 1, PatientID="NEW")
    else:
        await delete(Scope(1, "1.2", "1.2.3", "1.2.3.2"), backend)
        await put(backend, 3, PatientID="NEW")  # as many as the document holds

    def patients(found: Sequence[dict[str, Any]]) -> list[str]:
        return [one["00100020"]["Value"][0] for one in found]

    expected = ["OLD", "NEW", "OLD"] if is_replaced else ["OLD", "OLD", "NEW"]
    assert not await is_whole(backend)
    assert patients(await read(backend)) == expected

    await consolidate_quiet(backend)
    assert patients(await read(backend)) == expected
    assert await count(backend, series_document) == 2
    await assert_clean(backend)

    clock.now += timedelta(days=4)
    await clean_up(backend)
    assert await count(backend, series_document) == 1
    with pytest.raises(NotFound):
        await backend.blobs.read(document_blob(1))
    assert patients(await read(backend)) == expected


async def test_all_gone(backend: Backend, clock: Clock) -> None:
    """The document of a series that was deleted is removed after the grace period."""
    await put(backend, 0, 1)
    await consolidate_all(backend)
    await delete(STUDY, backend)

    with pytest.raises(NotFound):
        await metadata.retrieve_metadata(STUDY, BASE, backend)
    assert not await is_whole(backend)
    await consolidate_quiet(backend)
    await assert_clean(backend)
    clock.now += timedelta(days=4)
    await clean_up(backend)

    assert await count(backend, series_document) == 0
    assert [blob.name async for blob in backend.blobs.list()] == []


async def test_stored_again(backend: Backend) -> None:
    """A series that was deleted and stored again has nothing of the document before."""
    await put(backend, 0, PatientID="OLD")
    await consolidate_all(backend)
    await delete(STUDY, backend)
    await put(backend, 0, PatientID="NEW")

    assert not await is_whole(backend)
    assert [one["00100020"]["Value"] for one in await read(backend)] == [["NEW"]]


async def test_read_while_replaced(backend: Backend, clock: Clock) -> None:
    """Who has begun to read a document reads on when another has taken its place, for as long as the grace period."""
    await put(backend, *range(3))
    await consolidate_all(backend)
    document = await metadata.retrieve_series_document(SERIES, BASE, backend)
    array = await metadata.retrieve_metadata(SERIES, BASE, backend)
    await put(backend, 3)
    await consolidate_all(backend)
    clock.now += timedelta(days=2)
    await clean_up(backend)

    assert document is not None
    assert len(orjson.loads(gzip.decompress(b"".join([chunk async for chunk in document.chunks])))) == 3
    assert len(orjson.loads(b"".join([piece async for piece in array]))) == 3


async def test_gone_while_written(backend: Backend) -> None:
    """A document whose instance was deleted while it was written is stale from the beginning."""
    await put(backend, 0, 1, 2)
    [row] = await series_rows(backend)
    number = await backend.index.write(documents.begin, row, BASE, PAST, backend.now())
    entries = [Entry(version, 0, 10, version) for version in (1, 2, 3)]
    await delete(Scope(1, "1.2", "1.2.3", "1.2.3.2"), backend)
    await put(backend, 3)

    used = Document(number, BASE, 10, Lines(0, 10, 0, 0))
    assert await backend.index.write(documents.use, used, row, entries, backend.now())

    assert not await is_whole(backend)
    assert await backend.index.read(documents.stale_series, limit=9) == [row]
    assert await count(backend, document_entry) == 2


async def test_too_late(backend: Backend, clock: Clock) -> None:
    """A document that cleanup has taken is not used any more: its blob may be gone."""
    await put(backend, 0)
    [row] = await series_rows(backend)
    number = await backend.index.write(documents.begin, row, BASE, clock.now, clock.now + timedelta(hours=1))
    clock.now += timedelta(hours=2)
    assert await backend.index.write(documents.take_due, clock.now, clock.now + timedelta(days=1), 10) == [number]

    late = Document(number, BASE, 10, Lines(0, 10, 0, 0))
    assert not await backend.index.write(documents.use, late, row, [Entry(1, 0, 10, 0)], clock.now)

    assert await count(backend, instance_metadata) == 1
    assert len(await read(backend)) == 1


async def test_crash_while_written(backend: Backend, clock: Clock) -> None:
    """A document that was begun and never used is removed, and nothing is missed."""
    await put(backend, 0)
    [row] = await series_rows(backend)
    number = await backend.index.write(documents.begin, row, BASE, clock.now, clock.now + timedelta(hours=1))
    await backend.blobs.write([(document_blob(number), b"half")])
    await assert_clean(backend)
    assert await clean_up(backend) == 0

    clock.now += timedelta(hours=2)
    assert await clean_up(backend) == 1

    assert await count(backend, series_document) == 0
    assert len(await read(backend)) == 1


async def test_two_at_once(backend: Backend) -> None:
    """Of two consolidations of a series at once one document stays, whichever comes last."""
    await put(backend, *range(5))
    [row] = await series_rows(backend)

    assert await asyncio.gather(*(consolidate(row, BASE, backend) for _ in range(3))) == [True] * 3

    assert await is_whole(backend)
    assert len(await read(backend)) == 5
    used = [one async for one in _used(backend)]
    assert len(used) == 1


async def _used(backend: Backend) -> AsyncIterator[int]:
    for one in await backend.index.read(documents.known, after=0, limit=100):
        if one.is_used:
            yield one.number


async def test_older_comes_last(backend: Backend) -> None:
    """A document that was read before another was used takes nothing from it that it has not got itself."""
    await put(backend, 0, 1)
    [row] = await series_rows(backend)
    await consolidate(row, BASE, backend)
    old = await backend.index.write(documents.begin, row, BASE, PAST, backend.now())
    chunks = await backend.blobs.read(document_blob(1))
    copy = b"".join([chunk async for chunk in chunks])
    await backend.blobs.write([(document_blob(old), copy)])
    entries = await backend.index.read(_entries)
    await put(backend, 2)
    await consolidate(row, BASE, backend)

    document = Document(old, BASE, len(copy), Lines(0, 0, 0, 0))
    assert await backend.index.write(documents.use, document, row, entries, PAST)

    assert len(await read(backend)) == 3
    assert not await is_whole(backend)
    assert len([one async for one in _used(backend)]) == 2
    await consolidate_quiet(backend)
    assert await is_whole(backend)
    assert len([one async for one in _used(backend)]) == 1
    await assert_clean(backend)


def _entries(connection: Connection) -> list[Entry]:
    rows = connection.execute(select(document_entry)).all()
    return [Entry(row.version, row.segment_start, row.segment_bytes, row.line) for row in rows]


async def test_quiet(backend: Backend, clock: Clock) -> None:
    """The timer consolidates a series five minutes after the last store into it, not before."""
    await put(backend, 0, 1)
    clock.now += timedelta(minutes=4)
    await put(backend, 0, series="1.2.4")
    assert await consolidate_quiet(backend) == 0

    clock.now += timedelta(minutes=2)
    assert await consolidate_quiet(backend) == 1
    assert await count(backend, document_entry) == 2
    await put(backend, 2)
    clock.now += timedelta(minutes=4)
    assert await consolidate_quiet(backend) == 1
    assert await count(backend, document_entry) == 3

    clock.now += timedelta(minutes=2)
    assert await consolidate_quiet(backend) == 1
    assert await consolidate_quiet(backend) == 0
    assert await count(backend, instance_metadata) == 0
    await assert_clean(backend)


async def test_growing(backend: Backend, clock: Clock) -> None:
    """A series that somebody still stores into is left alone, however long its first instances wait."""
    await put(backend, 0)
    clock.now += timedelta(minutes=4)
    await put(backend, 1)
    clock.now += timedelta(minutes=4)

    assert await consolidate_quiet(backend) == 0
    clock.now += timedelta(minutes=2)
    assert await consolidate_quiet(backend) == 1


def test_statements_on_server() -> None:
    """Every statement can be told to SQL Server, and what decides what is still published locks it there."""
    statements = [one for name, one in vars(documents).items() if isinstance(one, ClauseElement) and name[0] == "_"]
    assert len(statements) > 15

    assert all(server_sql(one) for one in statements)
    assert "UPDLOCK" in server_sql(documents._PUBLISHED)


async def test_pages_of_waiting(backend: Backend, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much waits in front of it, every quiet series is found once."""
    monkeypatch.setattr(consolidation, "_LOOKED_AT", 3)
    for number in range(4):
        await put(backend, *range(2), series=f"1.2.{number + 3}")
    clock.now += timedelta(minutes=6)

    assert await consolidate_quiet(backend) == 4
    assert await count(backend, document_entry) == 8


@pytest.mark.parametrize("public_url", ["", "https://public.example/"])
async def test_base_of_timer(backend: Backend, clock: Clock, public_url: str) -> None:
    """The timer writes for the base that the settings tell; the next time for that of the document before."""
    timed = replace(backend, settings=replace(backend.settings, public_url=public_url))
    await put(backend, 0)
    clock.now += timedelta(minutes=6)
    await consolidate_quiet(timed)
    assert await is_whole(backend, base="https://public.example/v2") == bool(public_url)

    await consolidate_all(backend, OTHER)
    await put(backend, 1)
    clock.now += timedelta(minutes=6)
    await consolidate_quiet(timed)

    assert await is_whole(backend, base=OTHER)


@pytest.mark.parametrize("base", ["http://ü/v2", "http://localhost/" + "x" * 1000], ids=["not ASCII", "long"])
async def test_base_that_cannot_be_kept(backend: Backend, base: str) -> None:
    """A base that the index cannot hold makes a document for none, whose URLs are right all the same."""
    await put(backend, 0)

    await consolidate_all(backend, base)

    assert not await is_whole(backend, base=base)
    [found] = await read(backend, base=base)
    assert found["7FE00010"]["BulkDataURI"].startswith(f"{base}/studies/1.2/")


@pytest.mark.parametrize("is_timed", [False, True], ids=["rows", "document without base"])
async def test_first_read(backend: Backend, clock: Clock, is_timed: bool) -> None:
    """The first read of a long series makes the document that the next one is answered with."""
    await put(backend, *range(60), ImageComments="short")
    await put(backend, *range(3), series="1.2.4", ImageComments="short")
    if is_timed:
        clock.now += timedelta(minutes=6)
        await consolidate_quiet(backend)

    await read(backend, Scope(1, "1.2", "1.2.3", "1.2.3.1"))
    assert not backend._beside
    await read(backend)
    await asyncio.gather(*backend._beside)

    assert await is_whole(backend)
    assert not await is_whole(backend, Scope(1, "1.2", "1.2.4"))
    assert len(await read(backend)) == 63


async def test_xml(backend: Backend) -> None:
    """Metadata in XML are one document of the Native DICOM Model for each instance (PS3.18 §8.7.3.2)."""
    await put(backend, 0, 1)
    external = [ExternalValue("00091010", "LO", "told")]

    found = [from_xml(one) async for one in await metadata.retrieve_metadata_documents(STUDY, BASE, backend, external)]

    array = await metadata.retrieve_metadata(STUDY, BASE, backend, external)
    assert found == orjson.loads(b"".join([piece async for piece in array]))
    assert found[1]["00091010"]["Value"] == ["told"]
    assert found[1]["7FE00010"]["BulkDataURI"].startswith(f"{BASE}/studies/1.2/series/1.2.3/instances/1.2.3.2/")


async def test_xml_of_nothing(backend: Backend) -> None:
    """Where nothing is stored there is no document: the error comes before the answer."""
    with pytest.raises(NotFound):
        await metadata.retrieve_metadata_documents(STUDY, BASE, backend)


@pytest.mark.parametrize("is_consolidated", [False, True])
async def test_search(backend: Backend, is_consolidated: bool) -> None:
    """A search for what only metadata have finds it, wherever they lie, with URLs of the request's base."""
    await put(backend, *range(5), ImageComments="wanted")
    if is_consolidated:
        await consolidate_all(backend)
        await put(backend, 5, ImageComments="wanted")

    query = Query(Level.INSTANCE, STUDY, include=("00204000", "7FE00010", "00083002"))
    found = await search(query, RULES["2"], Urls(OTHER).path, backend)

    assert len(found.datasets) == 5 + is_consolidated
    for one in found.datasets:
        assert one["00204000"]["Value"] == ["wanted"]
        assert one["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]
        assert one["7FE00010"]["BulkDataURI"].startswith(f"{OTHER}/studies/1.2/series/1.2.3/instances/1.2.3.")


async def test_metadata_of(backend: Backend) -> None:
    """The metadata of versions are found beside rows and in documents; what is not published has none."""
    await put(backend, *range(300), ImageComments="x" * 2000)
    await consolidate_all(backend)
    await put(backend, 300)

    found = await metadata_of([301, 1, 299, 77, 4711], BASE, backend)

    assert {version: _uid(orjson.loads(one)) for version, one in found.items()} == {
        version: f"1.2.3.{version}" for version in (301, 1, 299, 77)
    }


@pytest.mark.parametrize("damage", ["gone", "short"])
async def test_lost_blob(backend: Backend, damage: str) -> None:
    """A document whose blob is gone or short is never a short success, and the checker finds it."""
    await put(backend, *range(3))
    await consolidate_all(backend)
    [blob] = [one async for one in backend.blobs.list(prefix="documents/")]
    if damage == "gone":
        await backend.blobs.delete([blob.name])
    else:
        chunks = await backend.blobs.read(blob.name, length=30)
        await backend.blobs.write([(blob.name, b"".join([chunk async for chunk in chunks]))])

    with pytest.raises(NotFound):
        await metadata.retrieve_metadata(STUDY, BASE, backend)
    with pytest.raises(NotFound):
        await _lying(backend)
    report = await check(backend)
    assert {name: [one.version for one in finding.examples] for name, finding in report.findings.items()} == {
        "document_missing": [1]
    }


async def test_unfinished_answer(backend: Backend) -> None:
    """Who stops reading leaves nothing open, and begins no consolidation."""
    await put(backend, *range(60))
    await consolidate_all(backend)
    array = await metadata.retrieve_metadata(STUDY, OTHER, backend)
    document = await metadata.retrieve_series_document(SERIES, BASE, backend)
    assert document is not None
    await anext(document.chunks)

    await array.aclose()
    await document.chunks.aclose()

    assert not backend._beside


async def test_at_once(backend: Backend) -> None:
    """Readers see each instance once, old or new, while others store, replace, delete, consolidate and clean up."""
    await put(backend, *range(40), PatientID="0")
    chance, rounds = Random(7), 12  # noqa: S311 - the same requests each time
    stays = {f"1.2.3.{number + 1}" for number in range(20)}
    begun: dict[str, int] = dict.fromkeys(stays, 0)
    is_over = False

    async def write() -> None:
        nonlocal is_over
        for turn in range(1, rounds):
            some = chance.sample(range(20), 3)
            await put(backend, *some, PatientID=str(turn))
            begun.update({f"1.2.3.{number + 1}": turn for number in some})
            await delete(Scope(1, "1.2", "1.2.3", f"1.2.3.{19 + turn}"), backend) if turn > 1 else None
            await put(backend, 40 + turn, PatientID=str(turn))
        is_over = True

    async def consolidate_again() -> None:
        while not is_over:
            await consolidate_quiet(backend)
            await consolidate_all(backend)
            await clean_up(backend)

    async def read_again() -> int:
        reads = 0
        while not is_over:
            before = dict(begun)
            for found in (await _array(backend), await _lying(backend)):
                if found is None:
                    continue
                patients = {_uid(one): int(one["00100020"]["Value"][0]) for one in found}
                assert len(patients) == len(found)
                assert stays <= patients.keys()
                assert all(patients[uid] >= before[uid] for uid in stays)
                reads += 1
        return reads

    *_, reads = await asyncio.gather(write(), consolidate_again(), read_again())

    assert reads > 5
    await consolidate_all(backend)
    assert await is_whole(backend)
    assert stays <= uids(await read(backend))
    await assert_clean(backend)


async def _array(backend: Backend) -> list[dict[str, Any]]:
    array = await metadata.retrieve_metadata(SERIES, BASE, backend)
    found: list[dict[str, Any]] = orjson.loads(b"".join([piece async for piece in array]))
    return found


async def _lying(backend: Backend) -> list[dict[str, Any]] | None:
    document = await metadata.retrieve_series_document(SERIES, BASE, backend)
    if document is None:
        return None
    found: list[dict[str, Any]] = orjson.loads(gzip.decompress(b"".join([one async for one in document.chunks])))
    return found


async def test_azurite(backend: Backend, azurite: str) -> None:
    """Documents in Blob Storage are read in parts and as they lie, as those in a folder."""
    blobs = AzureBlobs(blob_service(azurite, None, None), container=f"test-{secrets.token_hex(8)}")
    remote = replace(backend, blobs=blobs)
    await put(remote, *range(70))
    await put(remote, 0, series="1.2.4")
    before = await read(remote)

    await consolidate_all(remote)
    await put(remote, 70)

    after = await read(remote)
    assert [one for one in after if _uid(one) != "1.2.3.71"] == before
    assert len(after) == len(before) + 1
    assert await is_whole(remote, Scope(1, "1.2", "1.2.4"))
    await blobs.close()
