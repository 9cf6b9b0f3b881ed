"""The checker finds each disagreement of index, blobs and change feed, and nothing where there is none."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, text, update

from shared import check as command
from shared.backend import Backend, open_backend
from shared.dicom.attributes import KEYS, tag_of
from shared.index import audit, outdated
from shared.index.migrate import migrate
from shared.index.publishing import publish, reserve, reserve_any
from shared.index.search import search
from shared.index.tables import (
    change_feed,
    deleted_instance,
    document_entry,
    frame_page,
    instance,
    instance_metadata,
    series,
    series_document,
    study,
)
from shared.model import NO_TERMS, Condition, Level, Query, QueryTag, Scope, StoreTerms
from shared.services import operations, query_tags
from shared.services.cleanup import clean_up
from shared.services.consistency import check
from shared.services.consolidation import consolidate
from shared.services.delete import delete as delete_scope
from shared.services.events import load, save
from shared.services.findings import MEANINGS, Example, Report
from shared.services.renewal import renew_all
from shared.services.repair import repair
from shared.settings import Settings
from shared.storage.blobs import StoredBlob, document_blob, instance_blob, thumbnail_blob
from tests.factories import part10
from tests.integration.index_samples import new_instance
from tests.server_sql import server_sql

ROOT = Path(__file__).parents[2]
NAME = KEYS[tag_of("PatientName")]
NOW = datetime(2024, 5, 1, 8, tzinfo=UTC)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """An embedded backend with six instances: two studies, of which the first has two series."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url))
    await _store(opened, *(f"1.{n // 4}.{n // 2}.{n}" for n in range(6)))
    yield opened
    await opened.close()


async def _store(backend: Backend, *uids: str, terms: StoreTerms = NO_TERMS) -> list[int]:
    """Store an instance for each SOP Instance UID, whose beginning names series and study; return their versions."""
    now = datetime.now(UTC)
    values: list[dict[str, Any]] = [
        dict(zip(_UIDS, (uid.rsplit(".", 2)[0], uid.rsplit(".", 1)[0], uid), strict=True)) for uid in uids
    ]
    versions = await backend.index.write(reserve_any, [new_instance(0, one).key for one in values], now)
    files = [part10(**one) for one in values]
    await backend.blobs.write([(instance_blob(v), file) for v, file in zip(versions, files, strict=True)])
    instances = [
        replace(new_instance(version, {**one, "PatientName": "Doe^John"}), length_bytes=len(file), terms=terms)
        for version, one, file in zip(versions, values, files, strict=True)
    ]
    assert not any(await backend.index.write(publish, instances, now))
    return versions


async def _found(backend: Backend, **options: Any) -> dict[str, list[int | None]]:
    """Return the numbers of each finding of a check."""
    report = await check(backend, **options)
    assert report.findings.keys() <= MEANINGS.keys()
    assert all(finding.count == len(finding.examples) for finding in report.findings.values())
    return {name: [one.version for one in finding.examples] for name, finding in report.findings.items()}


def _an_hour_later(backend: Backend) -> Backend:
    return replace(backend, now=lambda: datetime.now(UTC) + timedelta(hours=1))


def _execute(connection: Connection, statement: Any) -> None:
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    connection.execute(statement)


async def _change(backend: Backend, statement: Any) -> None:
    await backend.index.write(_execute, statement)


def _without_keys(backend: Backend, sql: str) -> None:
    """Change the database as no client of ours could: without its foreign keys."""
    connection = sqlite3.connect(backend.settings.dicom_sql_url.removeprefix("sqlite:///"))
    connection.execute(sql)
    connection.commit()
    connection.close()


async def test_clean(backend: Backend) -> None:
    """A store in which everything agrees has no findings, and the report says how much was looked at."""
    assert await check(backend, is_deep=True) == Report(instances=6, blobs=6, headers=6)


async def test_empty(tmp_path: Path) -> None:
    """A service that was never used is clean."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    backend = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url))

    assert (await check(backend, is_deep=True)).is_clean
    await backend.close()


async def test_after_every_kind_of_change(backend: Backend) -> None:
    """Deletes, replacements, deletes of what was replaced and stored again, reservations and cleanup are clean."""
    terms = StoreTerms(replaced_due_at=NOW)
    await _store(backend, "1.0.0.0", "1.0.0.1", terms=terms)
    await _store(backend, "1.0.0.0", terms=terms)
    await delete_scope(Scope(1, "1.0", "1.0.0", "1.0.0.0"), backend)
    await delete_scope(Scope(1, "1.1"), backend)
    await _store(backend, "1.1.2.4")
    await backend.index.write(reserve, [new_instance(0).key] * 3, NOW)
    await backend.blobs.check()
    assert (await check(backend, is_deep=True)).is_clean

    later = replace(backend, now=lambda: datetime.now(UTC) + timedelta(days=400))
    assert await clean_up(later) > 0
    assert (await check(later, is_deep=True)).is_clean


async def test_blob_missing(backend: Backend) -> None:
    """A published instance whose blob is gone is found."""
    await backend.blobs.delete([instance_blob(2), instance_blob(6)])

    assert await _found(backend) == {"blob_missing": [2, 6]}


async def test_blob_of_other_length(backend: Backend) -> None:
    """A blob that is longer or shorter than the index says is found."""
    await backend.blobs.write([(instance_blob(2), b""), (instance_blob(3), bytes(10_000))])

    report = await check(backend)

    assert [one.version for one in report.findings["blob_of_other_length"].examples] == [2, 3]
    assert report.findings["blob_of_other_length"].examples[0].detail.startswith("0 bytes, ")


@pytest.mark.parametrize("version", [0, 7, 300, 70_000, 10**11])
async def test_blob_unknown(backend: Backend, version: int) -> None:
    """A blob that is neither an instance's, nor reserved, nor to be removed is found, with its age and length."""
    await backend.blobs.write([(instance_blob(version), b"bytes")])
    backend = _an_hour_later(backend)

    report = await check(backend)

    assert list(report.findings) == ["blob_unknown"]
    [example] = report.findings["blob_unknown"].examples
    assert (example.version, example.detail) == (version, "5 bytes")
    assert 3590 < (example.age_s or 0) < 3700


async def test_blob_of_strange_name(backend: Backend) -> None:
    """A blob whose name is no instance's is counted; its name, which may be anyone's, is not told."""
    await backend.blobs.write([("Doe-John.dcm", b"bytes"), ("instances/fff/000000000001.dcm", b"bytes")])

    report = await check(_an_hour_later(backend))

    assert report.findings["blob_unknown"].count == 2
    assert "Doe" not in str(report)


async def test_thumbnails(backend: Backend) -> None:
    """Thumbnails of versions that the index does not know are found, and removed by a repair; the others stay."""
    published, waiting, unknown = (thumbnail_blob(version) for version in (1, 5, 70_000))
    await backend.blobs.write([(name, b"picture") for name in (published, waiting, unknown)])
    await delete_scope(Scope(1, "1.1", "1.1.2", "1.1.2.4"), backend)
    assert (await check(replace(backend, now=lambda: datetime.now(UTC) - timedelta(hours=1)))).is_clean
    later = _an_hour_later(backend)

    report = await check(later)
    assert await repair(later) == {"thumbnail_unknown": 1}

    assert list(report.findings) == ["thumbnail_unknown"]
    assert [(one.version, one.detail) for one in report.findings["thumbnail_unknown"].examples] == [(70_000, "7 bytes")]
    assert await _found(later) == {}
    names = [blob.name async for blob in backend.blobs.list()]
    assert [name in names for name in (published, waiting, unknown)] == [True, True, False]


async def test_many_thumbnails(backend: Backend) -> None:
    """However many thumbnails are left over, all are found and removed."""
    await backend.blobs.write([(thumbnail_blob(version), b"picture") for version in range(1000, 1403)])
    later = _an_hour_later(backend)

    assert (await check(later)).findings["thumbnail_unknown"].count == 403
    assert await repair(later) == {"thumbnail_unknown": 403}
    assert (await check(later)).is_clean


async def test_young_blob(backend: Backend) -> None:
    """A blob that is younger than the check is not judged: its Store may be under way."""
    before = replace(backend, now=lambda: datetime.now(UTC) - timedelta(hours=1))
    await backend.blobs.write([(instance_blob(7), b"bytes")])

    assert (await check(before)).is_clean


@pytest.mark.parametrize(
    ("content", "finding"),
    [(bytes(500), "blob_unreadable"), (part10(StudyInstanceUID="1.2.3"), "blob_of_other_instance")],
    ids=["not DICOM", "another instance"],
)
async def test_deep(backend: Backend, content: bytes, finding: str) -> None:
    """A deep check finds a file that is not readable or names another instance; a quick one does not read it."""
    await backend.blobs.write([(instance_blob(4), content)])
    await _change(backend, update(instance).where(instance.c.version == 4).values(length_bytes=len(content)))

    assert await _found(backend) == {}
    assert await _found(backend, is_deep=True) == {finding: [4]}


_VALUES = [
    (update(study).where(study.c.id == 1).values(patient_name="roe^jane"), "study_values_differ", 1),
    (update(study).where(study.c.id == 5).values(patient_name=None), "study_values_differ", 5),
    (update(study).where(study.c.id == 1).values(study_description="x"), "study_values_differ", 1),
    (update(study).where(study.c.id == 1).values(attributes="{}"), "study_values_differ", 1),
    (update(series).where(series.c.id == 3).values(modality="ct"), "series_values_differ", 3),
    (
        update(series).where(series.c.id == 3).values(attributes='{"00080060":{"vr":"CS","Value":["CT"]}}'),
        "series_values_differ",
        3,
    ),
    (update(instance).where(instance.c.version == 4).values(instance_number=9), "instance_values_differ", 4),
    (update(instance).where(instance.c.version == 4).values(sop_class_uid="1.2"), "instance_values_differ", 4),
    (update(instance).where(instance.c.version == 4).values(attributes="{}"), "instance_values_differ", 4),
]
"""Values that are not those of the metadata, each with what is found and where."""


@pytest.mark.parametrize(("statement", "finding", "number"), _VALUES)
@pytest.mark.parametrize("is_consolidated", [False, True], ids=["rows", "documents"])
async def test_values(backend: Backend, statement: Any, finding: str, number: int, is_consolidated: bool) -> None:
    """A deep check finds rows that say something else than the metadata, and a deep repair lets them say the same."""
    if is_consolidated:
        for one in (1, 3, 5):
            await consolidate(one, "https://a", backend)
    await _change(backend, statement)

    assert await _found(backend) == {}
    assert await _found(backend, is_deep=True) == {finding: [number]}
    assert await repair(backend) == {}
    assert await repair(backend, is_deep=True) == {finding: 1}
    assert await _found(backend, is_deep=True) == {}
    matches, _ = await backend.index.read(search, Query(Level.STUDY, Scope(1), (Condition(NAME, "Doe^John"),)))
    assert len(matches) == 2


async def test_values_that_wait(backend: Backend) -> None:
    """A row that waits to be brought up to date is no finding, nor one whose metadata are lost: nothing is known."""
    await _change(backend, update(study).where(study.c.id == 1).values(patient_name="roe^jane"))
    await backend.index.write(outdated.mark, [(Level.STUDY, 1)])
    assert await _found(backend, is_deep=True) == {}

    await backend.index.write(outdated.forget, (Level.STUDY, 1))
    await _change(backend, delete(instance_metadata).where(instance_metadata.c.version.in_([1, 2, 3, 4])))
    assert await _found(backend, is_deep=True) == {"metadata_missing": [1, 2, 3, 4]}
    assert await repair(backend, is_deep=True) == {}


_ENTRY = {
    "partition_id": 1,
    "study_uid": "1.0",
    "series_uid": "1.0.0",
    "sop_uid": "1.0.0.0",
    "timestamp": NOW,
    "sop_class_uid": "1.2.840",
}


@pytest.mark.parametrize(
    ("statement", "findings"),
    [
        pytest.param(
            insert(deleted_instance).values(version=2, due_at=NOW, attempts=0), {"to_be_removed": [2]}, id="due"
        ),
        pytest.param(text("INSERT INTO reservation VALUES (3, '2024-01-01')"), {"to_be_removed": [3]}, id="reserved"),
        pytest.param(
            delete(instance_metadata).where(instance_metadata.c.version.in_([1, 5])),
            {"metadata_missing": [1, 5]},
            id="metadata missing",
        ),
        pytest.param(
            insert(instance_metadata).values(version=77, dicom_json=b""),
            {"rows_without_instance": [77]},
            id="metadata of nothing",
        ),
        pytest.param(
            insert(frame_page).values(
                version=78, first_frame=1, frame_count=1, offset_bytes=0, frame_bits=0, fragments=b""
            ),
            {"rows_without_instance": [78]},
            id="frames of nothing",
        ),
        pytest.param(
            update(study).where(study.c.id == 1).values(study_uid="1.7"),
            {"study_row_differs": [1, 2, 3, 4]},
            id="study",
        ),
        pytest.param(
            update(series).where(series.c.id == 3).values(series_uid="1.7"), {"series_row_differs": [3, 4]}, id="series"
        ),
        pytest.param(
            update(series).where(series.c.id == 3).values(study_id=5),
            {"series_row_differs": [3, 4]},
            id="series' study",
        ),
        pytest.param(
            insert(study).values(id=50, partition_id=1, study_uid="5", revision=0, attributes="{}"),
            {"study_empty": [50]},
            id="empty study",
        ),
        pytest.param(
            insert(series).values(id=51, partition_id=1, study_id=1, series_uid="5", revision=0, attributes="{}"),
            {"series_empty": [51]},
            id="empty series",
        ),
        pytest.param(delete(change_feed).where(change_feed.c.version == 4), {"entry_missing": [4]}, id="no entry"),
        pytest.param(
            insert(change_feed).values(_ENTRY | {"version": 1, "action": "Create"}), {"entry_twice": [1]}, id="twice"
        ),
        pytest.param(
            insert(change_feed).values(_ENTRY | {"version": 1, "action": "Delete"}),
            {"entry_of_delete": [1]},
            id="deleted",
        ),
        pytest.param(
            insert(change_feed).values(_ENTRY | {"version": 99, "action": "Delete"}),
            {"entry_without_begin": [99]},
            id="delete of nothing",
        ),
        pytest.param(
            insert(change_feed).values(_ENTRY | {"version": 99, "action": "Create"}),
            {"entry_without_end": [99]},
            id="never published",
        ),
        pytest.param(
            insert(change_feed).values(_ENTRY | {"version": 99, "action": "Update"}),
            {"entry_without_end": [99]},
            id="never published update",
        ),
        pytest.param(
            text("UPDATE change_feed SET version = 99 WHERE version = 1"),
            {"entry_missing": [1], "entry_without_end": [99]},
            id="entry of another version",
        ),
    ],
)
async def test_index(backend: Backend, statement: Any, findings: dict[str, list[int]]) -> None:
    """Rows that contradict each other are found, and nothing else is said to be wrong."""
    await _change(backend, statement)

    assert await _found(backend) == findings


@pytest.mark.parametrize(
    ("sql", "findings"),
    [
        ("DELETE FROM study WHERE id = 5", {"study_row_differs": [5, 6], "rows_without_study": [5]}),
        ("DELETE FROM series WHERE id = 3", {"series_row_differs": [3, 4]}),
        ("UPDATE name_word SET study_id = 9 WHERE study_id = 5", {"rows_without_study": [9]}),
        ("INSERT INTO study_expiry VALUES (9, '2024-01-01')", {"rows_without_study": [9]}),
        ("UPDATE change_feed SET partition_id = 9 WHERE version = 3", {"entry_without_partition": [3]}),
        ("UPDATE partition SET folded_name = 'x'", {"partition_unnamed": [1]}),
        ("UPDATE partition SET name = 'Other', folded_name = 'other'", {"partition_unnamed": [1]}),
        ("INSERT INTO partition VALUES (2, 'Ward', 'Ward', '2024-01-01')", {"partition_unnamed": [2]}),
        ("INSERT INTO external_value VALUES (9, '00190010', 'LO', 'x')", {"rows_without_study": [9]}),
    ],
)
async def test_index_without_keys(backend: Backend, sql: str, findings: dict[str, list[int]]) -> None:
    """What the database's own foreign keys should not let happen is found too."""
    _without_keys(backend, sql)

    assert await _found(backend) == findings


_UNTIDY = [
    ("INSERT INTO deleted_instance VALUES (2, '2024-01-01', 0)", "to_be_removed"),
    ("INSERT INTO reservation VALUES (3, '2024-01-01')", "to_be_removed"),
    ("INSERT INTO instance_metadata VALUES (77, x'00')", "rows_without_instance"),
    ("INSERT INTO frame_page VALUES (77, 1, 1, 0, 0, x'')", "rows_without_instance"),
    ("INSERT INTO study_expiry VALUES (9, '2024-01-01')", "rows_without_study"),
    ("INSERT INTO external_value VALUES (9, '00190010', 'LO', 'x')", "rows_without_study"),
    ("INSERT INTO external_key VALUES (9, '00190010', 1, 'LO', 'x', NULL)", "rows_without_study"),
]


@pytest.mark.parametrize(("sql", "finding"), _UNTIDY)
async def test_repair(backend: Backend, sql: str, finding: str) -> None:
    """What is safe to put right is put right, and is clean then; nothing that is published goes."""
    _without_keys(backend, sql)
    assert list(await _found(backend)) == [finding]

    assert await repair(backend) == {finding: 1}

    assert await check(backend, is_deep=True) == Report(instances=6, blobs=6, headers=6)
    assert await repair(backend) == {}


@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        ("INSERT INTO query_tag_value VALUES (4, 1, 1, 1, 'x', NULL)", "tag_rows_without_owner"),
        ("INSERT INTO query_tag_value VALUES (3, 9, 1, 1, 'x', NULL)", "tag_rows_without_owner"),
        ("INSERT INTO query_tag_word VALUES (3, 9, 0, 1, 'x')", "tag_rows_without_owner"),
        ("INSERT INTO query_tag_error VALUES (3, 9, '2024-01-01', 'x')", "tag_rows_without_owner"),
        ("INSERT INTO query_tag_value VALUES (3, 1, 1, 9, 'x', NULL)", "tag_value_outdated"),
    ],
)
async def test_repair_tags(backend: Backend, sql: str, finding: str) -> None:
    """Rows of extended query tags without a tag or an owner go; a value of what is gone is left to the timer."""
    _without_keys(backend, "INSERT INTO query_tag VALUES (3, '00101010', '', 'AS', 'study', 'ready', 1, NULL)")
    assert await _found(backend) == {}
    _without_keys(backend, sql)
    assert list(await _found(backend)) == [finding]

    assert await repair(backend) == {finding: 1}

    assert await _found(backend) == {}
    await renew_all(backend)
    assert await repair(backend) == {}


async def test_repair_empty_parents(backend: Backend) -> None:
    """Studies and series without instances are removed with what belongs to them."""
    _without_keys(backend, "DELETE FROM instance WHERE version > 4")
    _without_keys(backend, "DELETE FROM instance_metadata WHERE version > 4")

    assert await repair(backend) == {"series_empty": 1, "study_empty": 1}

    found = await _found(backend)
    assert not {"study_empty", "series_empty", "rows_without_study"} & set(found)
    assert await repair(backend) == {}


async def test_repair_nothing_else(backend: Backend) -> None:
    """What is lost, or unknown, stays as it is: a person decides on it."""
    await backend.blobs.delete([instance_blob(2)])
    await backend.blobs.write([(instance_blob(99), b"unknown")])
    later = _an_hour_later(backend)
    before = await _found(later)

    assert await repair(later) == {}

    assert set(before) == {"blob_missing", "blob_unknown"}
    assert await _found(later) == before


@pytest.mark.parametrize(
    ("sql", "findings"),
    [
        (
            "DELETE FROM partition",
            {
                "partition_missing": [1, 2, 3, 4, 5, 6],
                "entry_without_partition": [1, 2, 3, 4, 5, 6],
                "partition_unnamed": [1],
            },
        ),
        ("INSERT INTO deleted_instance VALUES (99, '2024-01-01', 5)", {"removal_failing": [99]}),
        ("DELETE FROM change_feed_clock", {"feed_ahead": [None]}),
        ("UPDATE change_feed_clock SET last = '2001-01-01 00:00:00.000000'", {"feed_ahead": [None]}),
    ],
)
async def test_index_beside_instances(backend: Backend, sql: str, findings: dict[str, list[int | None]]) -> None:
    """A lost partition, removals that keep failing, and a clock behind the change feed are found."""
    _without_keys(backend, sql)

    assert await _found(backend) == findings


@pytest.mark.parametrize(("minutes", "expected"), [(4, 0), (6, 6)])
async def test_event_position(backend: Backend, minutes: int, expected: int) -> None:
    """A position of events behind the end of the change feed is found, and set back as publishing does: 5 minutes."""
    later = datetime.now(UTC) + timedelta(minutes=minutes)
    backend = replace(backend, now=lambda: later)
    await save(6, None, backend)
    assert (await check(backend)).is_clean
    position = await load(backend)
    assert position is not None
    await save(7, position.etag, backend)

    assert await _found(backend) == {"event_position": [None]}
    assert await repair(backend) == {"event_position": 1}

    repaired = await load(backend)
    assert repaired is not None
    assert repaired.sequence == expected
    assert (await check(backend)).is_clean


async def test_operations(backend: Backend) -> None:
    """An operation of which nothing was heard for an hour is found, and so are tags whose operation failed for good."""
    name = await query_tags.add([QueryTag("00101010", "AS", Level.STUDY)], backend)
    hours_later = backend.now() + timedelta(hours=2)
    stalled = replace(backend, now=lambda: hours_later)
    assert await _found(backend) == {}
    report = await check(stalled)
    assert [one.detail for one in report.findings["operation_standing_still"].examples] == [name]

    await operations.fail(name, backend)

    assert list(await _found(stalled)) == ["tag_incomplete"]


async def test_delete_before_create(backend: Backend) -> None:
    """An entry of a delete that stands before the one of the creation is found."""
    await _change(backend, insert(change_feed).values(_ENTRY | {"version": 99, "action": "Delete"}))
    await _change(backend, insert(change_feed).values(_ENTRY | {"version": 99, "action": "Create"}))

    assert await _found(backend) == {"entry_without_begin": [99]}


async def test_deleted_without_entry(backend: Backend) -> None:
    """An instance that was removed without a word in the change feed is found, also one that was replaced before."""
    await _store(backend, "1.0.0.0", terms=StoreTerms(replaced_due_at=NOW))
    for version in (7, 2):
        for table in (instance, instance_metadata):
            await _change(backend, delete(table).where(table.c.version == version))
        await _change(backend, insert(deleted_instance).values(version=version, due_at=NOW, attempts=0))

    found = await _found(backend)

    assert found == {"entry_without_end": [2, 7], "series_empty": [1]}


async def test_examples(backend: Backend) -> None:
    """Everything is counted; examples are as many as wanted."""
    await backend.blobs.delete([instance_blob(version) for version in range(1, 7)])

    report = await check(backend, most_examples=2)

    assert report.findings["blob_missing"].count == 6
    assert report.findings["blob_missing"].examples == [Example(1), Example(2)]


class _Meanwhile:
    """A blob store during whose listings something happens, each time once the named blob has been listed."""

    def __init__(self, backend: Backend, happen: Callable[[], Awaitable[object]]) -> None:
        self._blobs, self._happen = backend.blobs, happen

    async def list(self, prefix: str = "", after: str = "") -> AsyncIterator[StoredBlob]:
        listed = [blob async for blob in self._blobs.list(prefix, after)]
        if not prefix:
            await self._happen()
        for blob in listed:
            yield blob

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


async def test_store_meanwhile(backend: Backend) -> None:
    """An instance that is stored between the look at the blobs and the look at the index is not missing its blob."""
    busy = replace(backend, blobs=_Meanwhile(backend, lambda: _store(backend, "1.0.0.9")))

    assert (await check(busy)).is_clean


async def test_removal_meanwhile(backend: Backend) -> None:
    """An instance that is deleted and cleaned up after its blob was listed leaves no unknown blob."""
    later = replace(backend, now=lambda: datetime.now(UTC) + timedelta(days=400))

    async def remove() -> None:
        await delete_scope(Scope(1, "1.0"), backend)
        assert await clean_up(later) == 4

    assert (await check(replace(later, blobs=_Meanwhile(backend, remove)))).is_clean


async def test_beside_a_live_service(backend: Backend) -> None:
    """Stores, replacements, deletes and cleanups beside checks raise no alarm, whatever the moment."""
    backend = replace(backend, settings=replace(backend.settings, delete_after_s=0))
    rounds = [0, 0, 0]

    async def work(number: int) -> None:
        while rounds[number] < 9:
            rounds[number] += 1
            uids = [f"2.{number}.1.{instance}" for instance in range(5)]
            await _store(backend, *uids, terms=StoreTerms(replaced_due_at=NOW))
            if rounds[number] % 3 == 0:
                await delete_scope(Scope(1, f"2.{number}"), backend)
                await clean_up(backend)

    working = asyncio.gather(*map(work, range(3)))
    reports: list[Report] = []
    while not working.done():
        reports.append(await check(backend, is_deep=len(reports) % 2 == 0))
    await working

    assert len(reports) > 1
    assert [report.findings for report in reports] == [{}] * len(reports)


async def test_documents(backend: Backend) -> None:
    """A store whose metadata are consolidated is clean, and its documents are counted."""
    for row in (1, 3):
        assert await consolidate(row, "", backend)

    assert await check(backend) == Report(instances=6, blobs=6, documents=2)


@pytest.mark.parametrize(
    ("statement", "findings"),
    [
        pytest.param(
            delete(document_entry).where(document_entry.c.version == 3), {"metadata_missing": [3]}, id="entry"
        ),
        pytest.param(
            update(series_document).where(series_document.c.id == 1).values(due_at=NOW),
            {"metadata_missing": [1, 2]},
            id="not in use",
        ),
        pytest.param(
            update(series_document).where(series_document.c.id == 2).values(length_bytes=1),
            {"document_missing": [2]},
            id="length",
        ),
        pytest.param(
            insert(document_entry).values(version=77, document_id=1, segment_start=0, segment_bytes=0, line=0),
            {"rows_without_instance": [77]},
            id="entry of nothing",
        ),
    ],
)
async def test_document_rows(backend: Backend, statement: Any, findings: dict[str, list[int]]) -> None:
    """Metadata that no document in use has, and documents that are not what their rows say, are found."""
    for row in (1, 3):
        await consolidate(row, "", backend)

    await _change(backend, statement)

    assert await _found(backend) == findings


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_document_blobs(backend: Backend, number: int) -> None:
    """A document in use without a blob, and a document's blob without a row, are found wherever they sort."""
    for row in (1, 3, 5):
        await consolidate(row, "", backend)
    [error] = await backend.blobs.delete([document_blob(number)])
    assert error is None
    await backend.blobs.write([(document_blob(7), b"x"), ("documents/stray", b"x")])

    found = await _found(_an_hour_later(backend))

    assert found == {"document_missing": [number], "document_unknown": [7], "blob_unknown": [None]}


@pytest.mark.parametrize("first", [0, 3])
async def test_window(backend: Backend, first: int) -> None:
    """A rule looks at the versions of its window alone, so that windows side by side see each version once."""
    await _change(backend, delete(instance_metadata))

    def within(connection: Connection) -> Sequence[int]:
        return connection.execute(audit.RULES["metadata_missing"], {"first": first, "last": first + 2}).scalars().all()

    assert await backend.index.read(within) == [v for v in range(first, first + 3) if v]


def test_rules_on_server() -> None:
    """Every rule can be told to SQL Server, and has a meaning."""
    others = (audit._ENTRIES, audit._WITHOUT_ENTRY, audit._BEGIN_OF, audit._LAST_OF, audit._KEYS, *audit._LAST)
    assert all(server_sql(rule) for rule in (*audit.RULES.values(), *others))
    assert {*audit.RULES, *audit.FEED_RULES} <= MEANINGS.keys()


@pytest.fixture
def settings(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend's settings in the environment."""
    monkeypatch.setenv("DICOM_STORAGE_FOLDER", backend.settings.dicom_storage_folder)
    monkeypatch.setenv("DICOM_SQL_URL", backend.settings.dicom_sql_url)


@pytest.mark.usefixtures("settings")
async def test_command_clean() -> None:
    """The command says how much it looked at and ends with 0."""
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "shared.check", "--deep"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        "Looked at 6 instances, 6 blobs, 0 series documents and 6 headers.\nIndex, blobs and change feed agree.\n"
    )


@pytest.mark.usefixtures("settings")
async def test_command_findings(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """The command tells each finding with its count and examples by version, and ends with 1."""
    await backend.blobs.delete([instance_blob(2), instance_blob(3)])

    code = await asyncio.to_thread(command.main, [])

    assert code == 1
    said = capsys.readouterr().out
    assert "blob_missing: 2 published instances whose blob is not there\n  2\n  3\n" in said
    assert "1.0.0" not in said


@pytest.mark.usefixtures("settings")
async def test_command_repair(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """Only when it is told to the command puts right what it can; it says what, and ends with 0 when all is well."""
    _without_keys(backend, "INSERT INTO reservation VALUES (3, '2024-01-01')")

    codes = [await asyncio.to_thread(command.main, given) for given in ([], ["--repair"], [])]

    assert codes == [1, 0, 0]
    assert f"Repaired to_be_removed: 1 {MEANINGS['to_be_removed']}\nLooked at 6" in capsys.readouterr().out


@pytest.mark.usefixtures("settings")
async def test_command_json(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """For machines the command writes one JSON object, with as many examples as they want."""
    await backend.blobs.delete([instance_blob(2), instance_blob(3)])

    code = await asyncio.to_thread(command.main, ["--json", "--examples", "1"])

    assert code == 1
    assert json.loads(capsys.readouterr().out) == {
        "clean": False,
        "looked_at": {"instances": 6, "blobs": 4, "documents": 0, "headers": 0},
        "repaired": {},
        "findings": {
            "blob_missing": {
                "meaning": MEANINGS["blob_missing"],
                "count": 2,
                "examples": [{"version": 2, "age_s": None, "detail": ""}],
            }
        },
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DICOM_SQL_URL", ""),
        ("DICOM_SQL_URL", "sqlite:///nowhere/index.db"),
        ("DICOM_SQL_URL", "postgres://x"),
        ("BLOB_CONCURRENCY", "none"),
    ],
    ids=["no database", "missing database", "another database", "wrong setting"],
)
@pytest.mark.usefixtures("settings")
def test_command_cannot_run(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with 2, and one line that says why, when it could not check; it makes no database."""
    monkeypatch.setenv(name, value)

    assert command.main([]) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert not Path("nowhere").exists()


def test_command_without_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that was never migrated cannot be checked."""
    (tmp_path / "index.db").touch()
    monkeypatch.setenv("DICOM_STORAGE_FOLDER", str(tmp_path))
    monkeypatch.setenv("DICOM_SQL_URL", f"sqlite:///{tmp_path / 'index.db'}")

    assert command.main([]) == 2
    assert "database" in capsys.readouterr().err
