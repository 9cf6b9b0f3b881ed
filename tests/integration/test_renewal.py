"""Of studies and series the newest non-empty value wins, also after deletes and replacements (search.md)."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from pydicom import Dataset
from sqlalchemy import Connection, select

from shared.backend import Backend
from shared.dicom.attributes import KEYS, tag_of
from shared.index import instances, outdated
from shared.index.migrate import migrate
from shared.index.publishing import publish, reserve_any
from shared.index.search import search
from shared.index.tables import name_word, query_tag_value, query_tag_word, request_item, series, study
from shared.model import DEFAULT_PARTITION, Condition, Level, NewInstance, Query, QueryTag, Scope
from shared.services import operations, renewal
from shared.services.consolidation import consolidate_quiet
from shared.services.delete import delete
from shared.services.query_tags import add
from tests.factories import part10
from tests.integration.index_samples import new_instance, uids
from tests.integration.test_reindex import Clock, opened, send

_STUDY, _SERIES = "1.2.1", "1.2.1.1"
_TAGS = (QueryTag("00101010", "AS", Level.STUDY), QueryTag("00081070", "PN", Level.SERIES))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def backend(tmp_path: Path, clock: Clock) -> AsyncIterator[Backend]:
    migrate(f"sqlite:///{tmp_path / 'index.db'}")
    found = opened(tmp_path, clock)
    yield found
    await found.close()


def file(number: int, **attributes: Any) -> bytes:
    """Return an instance of the study; no attribute of a study or series but those given and two."""
    uids = {"StudyInstanceUID": _STUDY, "SeriesInstanceUID": _SERIES, "SOPInstanceUID": f"{_SERIES}.{number}"}
    return part10(**uids | {"PatientName": None} | attributes)


def request(step: str) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID = step
    return item


async def found(backend: Backend, keyword: str, value: str, level: Level = Level.STUDY, *, fuzzy: bool = False) -> bool:
    query = Query(level, Scope(DEFAULT_PARTITION.key), (Condition(KEYS[tag_of(keyword)], value),), fuzzy=fuzzy)
    matches, _ = await backend.index.read(search, query)
    return bool(matches)


async def remove(backend: Backend, number: int) -> None:
    await delete(Scope(DEFAULT_PARTITION.key, _STUDY, _SERIES, f"{_SERIES}.{number}"), backend)


async def snapshot(backend: Backend) -> list[list[str]]:
    """Return all that the index says of studies and series, but for numbers."""

    def read(connection: Connection) -> list[list[str]]:
        of_rows = {"id", "partition_id", "revision"}
        columns = [[column for column in table.c if column.name not in of_rows] for table in (study, series)]
        columns[1].remove(series.c.study_id)
        columns += [[name_word.c.keyword, name_word.c.position, name_word.c.word]]
        columns += [[request_item.c.position, request_item.c.scheduled_procedure_step_id]]
        columns += [
            [query_tag_value.c.tag_id, query_tag_value.c.text],
            [query_tag_word.c.tag_id, query_tag_word.c.word],
        ]
        found = ([row._asdict() for row in connection.execute(select(*some))] for some in columns)
        return [sorted(repr(row | _parsed(row)) for row in rows) for rows in found]

    return await backend.index.read(read)


def _parsed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"attributes": sorted(orjson.loads(row["attributes"]).items())} if "attributes" in row else {}


async def marks(backend: Backend) -> int:
    return len(await backend.index.read(outdated.find, limit=99))


@pytest.mark.parametrize("is_consolidated", [False, True], ids=["rows", "document"])
async def test_delete(backend: Backend, clock: Clock, is_consolidated: bool) -> None:
    """With the newest instance go its values: those of the newest that is left are found and shown again."""
    await send(backend, file(1, PatientID="A", PatientName="Old^Name", Modality="CT", StudyTime="1000"))
    await send(
        backend, file(2, PatientID="B", PatientName="New^Name", Modality="MR", RequestAttributesSequence=[request("S")])
    )
    if is_consolidated:
        clock.now += timedelta(hours=1)
        await consolidate_quiet(backend)
    assert await found(backend, "PatientID", "B")

    await remove(backend, 2)

    for keyword, old, new in (
        ("PatientID", "A", "B"),
        ("ModalitiesInStudy", "CT", "MR"),
        ("PatientName", "Old^Name", "New^Name"),
    ):
        assert await found(backend, keyword, old)
        assert not await found(backend, keyword, new)
    assert await found(backend, "PatientName", "old", fuzzy=True)
    assert not await found(backend, "PatientName", "new", fuzzy=True)
    assert await found(backend, "StudyTime", "1000")
    matches, _ = await backend.index.read(search, Query(Level.SERIES, Scope(DEFAULT_PARTITION.key)))
    assert matches[0].attributes[Level.STUDY]["00100020"]["Value"] == ["A"]
    assert "00400275" not in matches[0].attributes[Level.SERIES]
    assert await marks(backend) == 0


async def test_last_value(backend: Backend) -> None:
    """What only the deleted instance had, the study has no more; names leave no words."""
    await send(backend, file(1))
    await send(backend, file(2, PatientName="Doe", AccessionNumber="7"))

    await remove(backend, 2)

    assert not await found(backend, "AccessionNumber", "7")
    assert (await snapshot(backend))[2] == []


async def test_replace(backend: Backend) -> None:
    """What the replaced instance had and its replacement has not is that of the newest other one, or gone."""
    await send(backend, file(1, AccessionNumber="1"))
    await send(backend, file(2, AccessionNumber="2", StudyID="2", SeriesNumber="2"))

    await send(backend, file(2, PatientSex="F"), replaces=True)

    assert await found(backend, "AccessionNumber", "1")
    assert not await found(backend, "StudyID", "2")
    assert not await found(backend, "SeriesNumber", "2", Level.SERIES)
    assert await found(backend, "PatientSex", "F")
    assert await marks(backend) == 0


async def test_query_tags(backend: Backend) -> None:
    """Values of extended query tags follow the same rule."""
    await send(backend, file(1, PatientAge="001Y", OperatorsName="One"))
    await send(backend, file(2, PatientAge="002Y", OperatorsName="Two"))
    await operations.advance(await add(_TAGS, backend), backend)

    await remove(backend, 2)

    assert (await snapshot(backend))[4:] == [
        ["{'tag_id': 1, 'text': '001y'}", "{'tag_id': 2, 'text': 'one'}"],
        ["{'tag_id': 2, 'word': 'one'}"],
    ]
    await send(backend, file(1), replaces=True)
    assert (await snapshot(backend))[4:] == [[], []]


@pytest.mark.parametrize("seed", range(3))
async def test_as_if_never_there(backend: Backend, tmp_path: Path, seed: int) -> None:
    """After any stores, replacements and deletes the index says what it says when only what is left was stored."""
    random = Random(seed)  # noqa: S311 - cases, not secrets
    await operations.advance(await add(_TAGS, backend), backend)
    left: dict[int, bytes] = {}
    for _ in range(20):
        number = random.randrange(4)
        if number in left and random.random() < 0.5:
            del left[number]
            await remove(backend, number)
        else:
            keywords = ["PatientName", "PatientAge", "OperatorsName", "StudyID", "SeriesNumber", "Modality"]
            made = {
                one: f"{random.randrange(3):03}Y"[: 3 if one == "SeriesNumber" else 4]
                for one in keywords
                if random.random() < 0.5
            }
            requests = [request(str(random.randrange(3)))] if random.random() < 0.5 else None
            content = file(number, **{"Modality": None, "RequestAttributesSequence": requests} | made)
            left.pop(number, None)
            left[number] = content
            await send(backend, content, replaces=True)
    (tmp_path / "other").mkdir()
    migrate(f"sqlite:///{tmp_path / 'other' / 'index.db'}")
    other = opened(tmp_path / "other", Clock())
    await operations.advance(await add(_TAGS, other), other)
    for content in left.values():
        await send(other, content)

    assert await snapshot(backend) == await snapshot(other)
    await other.close()


async def test_crash(backend: Backend) -> None:
    """Where the process dies behind the delete, the timer does the rest."""
    await send(backend, file(1, PatientID="A"))
    await send(backend, file(2, PatientID="B"))
    scope = Scope(DEFAULT_PARTITION.key, _STUDY, _SERIES, f"{_SERIES}.2")
    await backend.index.write(instances.delete, scope, backend.now(), backend.now())
    assert await found(backend, "PatientID", "B")

    await renewal.renew_all(backend)

    assert await found(backend, "PatientID", "A")
    assert await marks(backend) == 0


@pytest.mark.parametrize(("newest", "expected"), [(None, "late"), ("newest", "newest")])
async def test_published_late(backend: Backend, newest: str | None, expected: str) -> None:
    """What is published behind a newer instance counts where that one has no value, though an older one has one."""

    def of(number: int, version: int, study_id: str | None) -> NewInstance:
        return new_instance(version, {**uids(1, 1, number), **({"StudyID": study_id} if study_id else {})})

    keys = [of(number, 0, None).key for number in range(3)]
    versions = await backend.index.write(reserve_any, keys, backend.now())
    for number, study_id in ((0, "oldest"), (2, newest), (1, "late")):
        await backend.index.write(publish, [of(number, versions[number], study_id)], backend.now())

    await renewal.renew_all(backend)

    assert await found(backend, "StudyID", expected)
    assert await marks(backend) == 0


async def test_store_meanwhile(backend: Backend) -> None:
    """A row to which something was stored since it was read is read again."""
    await send(backend, file(1, PatientID="A"))
    await send(backend, file(2, PatientID="B"))
    scope = Scope(DEFAULT_PARTITION.key, _STUDY, _SERIES, f"{_SERIES}.2")
    await backend.index.write(instances.delete, scope, backend.now(), backend.now())
    owner = next(one for one in await backend.index.read(outdated.find, limit=9) if one[0] is Level.STUDY)
    seen = (await backend.index.read(outdated.look, [owner]))[owner]
    assert seen is not None
    await send(backend, file(3, PatientID="C"))

    found_before = [(owner, seen, outdated.Newest({"PatientID": "a"}, {}, {}))]

    assert await backend.index.write(outdated.renew, found_before, backend.now()) == [owner]
    assert await found(backend, "PatientID", "C")


async def test_series_gone(backend: Backend) -> None:
    """A series that goes takes its share of the study's values along; a mark of what is gone goes too."""
    await send(backend, file(1, PatientID="A"))
    await send(backend, part10(StudyInstanceUID=_STUDY, SeriesInstanceUID="1.2.1.2", PatientID="B"))

    await delete(Scope(DEFAULT_PARTITION.key, _STUDY, "1.2.1.2"), backend)

    assert await found(backend, "PatientID", "A")
    await backend.index.write(outdated.mark, [(Level.STUDY, 999)])
    assert await marks(backend) == 0
