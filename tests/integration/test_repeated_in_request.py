"""Files of one key in one PUT: each counts against the newest before it (store.md, "Upsert"; issue 3)."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from shared.backend import Backend, open_backend
from shared.dicom.reports import FailureReason
from shared.errors import DependencyFailed, DicomwebError
from shared.index.instances import find
from shared.index.migrate import migrate
from shared.index.tables import change_feed
from shared.model import DEFAULT_PARTITION, Buffer, Outcome, Scope, StoreTerms
from shared.services.acceptance import StoreRequest
from shared.services.store import store
from shared.settings import Settings
from shared.storage.blobs import instance_blob
from shared.versions import RULES
from tests.factories import part10

REPLACES = StoreTerms(replaced_due_at=datetime(2999, 1, 1, tzinfo=UTC))
FILES = {
    name: part10(StudyInstanceUID="1.2", SeriesInstanceUID="1.2.3", SOPInstanceUID="1.2.3.4", PatientID=name)
    for name in "AB"
}
BATCHES = {"one batch": 10**6, "a batch for each": len(FILES["A"]) * 3 // 2, "streamed": len(FILES["A"]) - 1}


@pytest.fixture(params=BATCHES.values(), ids=list(BATCHES))
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """An embedded backend, which takes files in one way or another."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    settings = Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url, batch_bytes=request.param)
    opened = open_backend(settings)
    yield opened
    await opened.close()


async def put(backend: Backend, sent: str) -> list[Outcome]:
    async def one(file: bytes) -> AsyncIterator[Buffer]:
        yield file

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        for name in sent:
            yield one(FILES[name])

    return await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"], REPLACES), backend)


async def changes(backend: Backend) -> list[str]:
    """Return the actions of the change feed, in order."""

    def read(connection: Connection) -> list[str]:
        return list(connection.execute(select(change_feed.c.action).order_by(change_feed.c.sequence)).scalars())

    return await backend.index.read(read)


@pytest.mark.parametrize(
    ("sent", "updates"), [("A", 0), ("AA", 0), ("AB", 1), ("BB", 1), ("BA", 2), ("ABB", 1), ("BBAA", 2), ("BAB", 3)]
)
async def test_versions(backend: Backend, sent: str, updates: int) -> None:
    """Only what differs makes a version, and the last file is the one that stays."""
    await put(backend, "A")

    outcomes = await put(backend, sent)

    assert [outcome.failure for outcome in outcomes] == [None] * len(sent)
    assert await changes(backend) == ["Create"] + ["Update"] * updates
    [stored] = await backend.index.read(find, Scope(DEFAULT_PARTITION.key, "1.2"), limit=10)
    blob = await backend.blobs.read(instance_blob(stored.version))
    assert b"".join([chunk async for chunk in blob])[132:] == FILES[sent[-1]][132:]


@pytest.mark.parametrize("backend", [BATCHES["one batch"]], indirect=True)
async def test_failure(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that stands for an equal one before it fails with that one's bytes."""
    await put(backend, "A")

    async def write(blobs: Sequence[tuple[str, Buffer]]) -> list[DicomwebError | None]:
        return [DependencyFailed("injected") for _ in blobs]

    monkeypatch.setattr(backend.blobs, "write", write)
    outcomes = await put(backend, "ABB")

    failed = FailureReason.PROCESSING_FAILURE
    assert [outcome.failure for outcome in outcomes] == [None, failed, failed]
    assert await changes(backend) == ["Create"]
