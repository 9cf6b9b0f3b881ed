"""What is replaced while it is being read is read once, old or new (store.md, "Upsert")."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from shared.backend import Backend, open_backend
from shared.index.migrate import migrate
from shared.model import DEFAULT_PARTITION, NO_TERMS, Buffer, Scope, Wish
from shared.services import metadata, retrieve
from shared.services.acceptance import StoreRequest
from shared.services.store import store
from shared.settings import Settings
from shared.versions import RULES
from tests.factories import part10

STUDY = Scope(DEFAULT_PARTITION.key, "1.2")
REPLACES = replace(NO_TERMS, replaced_due_at=datetime(2999, 1, 1, tzinfo=UTC))
INSTANCES = 140


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """An embedded backend that holds one study."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url))
    await put(opened, *range(INSTANCES), patient="A")
    yield opened
    await opened.close()


async def put(backend: Backend, *numbers: int, patient: str) -> None:
    async def one(number: int) -> AsyncIterator[Buffer]:
        yield part10(
            StudyInstanceUID="1.2",
            SeriesInstanceUID="1.2.3",
            SOPInstanceUID=f"1.2.3.{number + 1}",
            PatientID=patient,
            ImageComments="x" * 9000,
        )

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        for number in numbers:
            yield one(number)

    outcomes = await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"], REPLACES), backend)
    assert not any(outcome.failure for outcome in outcomes)


async def test_metadata(backend: Backend) -> None:
    """Metadata that was begun names each instance once, those replaced before their turn as they are now."""
    array = await metadata.retrieve_metadata(STUDY, "http://localhost/v2", backend)
    pieces = [await anext(array)]
    await put(backend, 0, INSTANCES - 1, patient="B")
    pieces += [piece async for piece in array]

    found = [(one["00080018"]["Value"][0], one["00100020"]["Value"][0]) for one in orjson.loads(b"".join(pieces))]
    assert len(found) == INSTANCES
    assert dict(found)["1.2.3.1"] == "A"
    assert dict(found)[f"1.2.3.{INSTANCES}"] == "B"


async def test_files(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are being retrieved come once each, with the bytes that they had when their turn came."""
    monkeypatch.setattr(retrieve, "_PAGE", 20)  # a study of two ordinary pages would take long to store
    [chosen] = await retrieve.choose(STUDY, [Wish(is_multipart=True, transfer_syntax="*")], backend)
    files = await retrieve.retrieve(chosen, backend)
    first, chunks = await anext(files)
    await chunks.aclose()
    await put(backend, 0, INSTANCES - 1, patient="B")

    names = [first.key.instance]
    async for instance, chunks in files:
        names.append(instance.key.instance)
        assert b"".join([chunk async for chunk in chunks])[128:132] == b"DICM"
    assert sorted(names) == sorted(f"1.2.3.{number + 1}" for number in range(INSTANCES))
