"""Which index answers which search: the plans of SQLite, in an index with more matches than a statement names."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, select

from bench.index import Shape, accession_number, fill, patient_id, patient_name, study_uid
from shared.dicom.attributes import KEYS
from shared.index.search import search
from shared.index.tables import instance, query_tag_value
from shared.model import Attribute, Condition, Kept, Level, Query, Scope
from tests.integration.index_samples import open_database

_SHAPE = Shape(studies=800, series=2, instances=2)
_ALL, _STUDY = Scope(1), Scope(1, study_uid(7))
_SERIES = Scope(1, study_uid(7), f"{study_uid(7)}.0")
_NAME = patient_name(7)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with open_database(tmp_path_factory.mktemp("index")) as engine:
        if engine.dialect.name != "sqlite":
            pytest.skip("SQL Server keeps its own statistics")
        with engine.begin() as connection:
            fill(connection, _SHAPE, range(_SHAPE.studies))
            rows = connection.execute(select(instance.c.version)).scalars()
            connection.execute(insert(query_tag_value), [_value(9, version, "common") for version in rows])
            connection.execute(insert(query_tag_value), [_value(3, 5, "x")])
        yield from _connected(engine)


def _connected(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


def _value(tag: int, owner: int, text: str) -> dict[str, object]:
    return {"tag_id": tag, "owner_id": owner, "partition_id": 1, "version": owner, "text": text, "number": 3}


def tagged(level: Level, of: Level, value: str, vr: str = "LO", number: int = 3) -> Query:
    """Return a search by an extended query tag; number 9 is one that every instance has."""
    attribute = Attribute("00111001", "00111001", vr, of, kept=Kept.TAG, number=number)
    return Query(level, _ALL, (Condition(attribute, value),))


def asking(level: Level, scope: Scope = _ALL, /, **conditions: str) -> Query:
    by_keyword = {one.keyword: one for one in KEYS.values()}
    asked = tuple(Condition(by_keyword[name], value) for name, value in conditions.items())
    return Query(level, scope, asked)


def path(name: str) -> str:
    return f"RequestAttributesSequence.{name}"


_STUDIES, _SERIES_OF, _INSTANCES = Level.STUDY, Level.SERIES, Level.INSTANCE
_FUZZY = replace(asking(_STUDIES, PatientName=_NAME[:5]), fuzzy=True)
_EXTERNAL = Attribute("001912FF", "001912FF", "", Level.STUDY, kept=Kept.EXTERNAL)

PLANS: dict[str, tuple[Query, str]] = {
    "newest studies": (asking(_STUDIES), "ix_study_partition_id "),
    "newest series": (asking(_SERIES_OF), "ix_series_partition_id "),
    "newest instances": (asking(_INSTANCES), "ix_instance_partition_id "),
    "study": (asking(_STUDIES, StudyInstanceUID=study_uid(7)), "sqlite_autoindex_study_1"),
    "studies": (asking(_STUDIES, StudyInstanceUID=f"{study_uid(7)},{study_uid(8)}"), "sqlite_autoindex_study_1"),
    "patient": (asking(_STUDIES, PatientID=patient_id(7)), "ix_study_partition_id_patient_id"),
    "patient's prefix": (asking(_STUDIES, PatientID="pat00*"), "ix_study_partition_id_patient_id"),
    "name": (asking(_STUDIES, PatientName=_NAME), "ix_study_partition_id_patient_name"),
    "name's prefix": (asking(_STUDIES, PatientName="smi*"), "ix_study_partition_id_patient_name"),
    "words": (_FUZZY, "ix_name_word_partition_id_keyword_word"),
    "birth date": (asking(_STUDIES, PatientBirthDate="19500101"), "ix_study_partition_id_patient_birth_date"),
    "accession": (asking(_STUDIES, AccessionNumber=accession_number(7)), "ix_study_partition_id_accession_number"),
    "referring": (asking(_STUDIES, ReferringPhysicianName="House7^Greg"), "ix_study_partition_id_referring"),
    "dates": (asking(_STUDIES, StudyDate="20100101-20100201"), "ix_study_partition_id_study_date"),
    "dates and times": (
        asking(_STUDIES, StudyDate="20100101-20100201", StudyTime="10-12"),
        "ix_study_partition_id_study_date",
    ),
    "study id": (asking(_STUDIES, StudyID="S7"), "ix_study_partition_id_study_id"),
    "description": (asking(_STUDIES, StudyDescription="head r*"), "ix_study_partition_id_study_description"),
    "rare modality": (asking(_STUDIES, ModalitiesInStudy="NM"), "ix_series_partition_id_modality"),
    "modality": (asking(_STUDIES, ModalitiesInStudy="CT"), "ix_series_study_id_modality"),
    "modality and year": (
        asking(_STUDIES, ModalitiesInStudy="CT", StudyDate="20100101-20100201"),
        "ix_study_partition_id_study_date",
    ),
    "external": (
        replace(Query(_STUDIES, _ALL, (Condition(_EXTERNAL, "x"),)), external=True),
        "ix_external_key_partition_id_tag",
    ),
    "study's tag": (tagged(_STUDIES, _STUDIES, "x"), "ix_query_tag_value_partition_id_tag_id_text"),
    "study's number": (tagged(_STUDIES, _STUDIES, "3", "IS"), "ix_query_tag_value_partition_id_tag_id_number"),
    "tag's prefix": (tagged(_STUDIES, _STUDIES, "x*"), "ix_query_tag_value_partition_id_tag_id_text"),
    "tag's words": (
        replace(tagged(_STUDIES, _STUDIES, "x", "PN"), fuzzy=True),
        "ix_query_tag_word_partition_id_tag_id_word",
    ),
    "tag of series": (tagged(_SERIES_OF, _SERIES_OF, "x"), "ix_query_tag_value_partition_id_tag_id_text"),
    "instances by study's tag": (tagged(_INSTANCES, _STUDIES, "x"), "ix_query_tag_value_partition_id_tag_id_text"),
    "instance's tag": (tagged(_INSTANCES, _INSTANCES, "x"), "ix_query_tag_value_partition_id_tag_id_text"),
    "common tag": (tagged(_INSTANCES, _INSTANCES, "common", number=9), "ix_instance_partition_id "),
    "no tag": (replace(tagged(_INSTANCES, _INSTANCES, '""'), matches_empty=True), "ix_instance_partition_id "),
    "series by uid": (asking(_SERIES_OF, SeriesInstanceUID=_SERIES.series or ""), "sqlite_autoindex_series_1"),
    "series of a patient": (asking(_SERIES_OF, PatientID=patient_id(7)), "ix_series_study_id_modality"),
    "series of a study": (asking(_SERIES_OF, _STUDY), "ix_series_study_id_modality"),
    "series by modality": (asking(_SERIES_OF, Modality="NM"), "ix_series_partition_id_modality"),
    "series by step date": (
        asking(_SERIES_OF, PerformedProcedureStepStartDate="20100101-20100103"),
        "ix_series_partition_id_performed",
    ),
    "series by model": (asking(_SERIES_OF, ManufacturerModelName="Gradient 1"), "ix_series_partition_id_manufacturer"),
    "series by step": (
        asking(_SERIES_OF, _ALL, **{path("ScheduledProcedureStepID"): "SPS7"}),
        "ix_request_item_partition_id_scheduled",
    ),
    "series by procedure": (
        asking(_SERIES_OF, _ALL, **{path("RequestedProcedureID"): "RP7"}),
        "ix_request_item_partition_id_requested",
    ),
    "instance by uid": (asking(_INSTANCES, SOPInstanceUID="1.2"), "sqlite_autoindex_instance_1"),
    "instances of a number": (asking(_INSTANCES, InstanceNumber="7"), "ix_instance_partition_id_instance_number"),
    "instances of a number in a study": (
        asking(_INSTANCES, Scope(1, study_uid(7)), InstanceNumber="7"),
        "ix_instance_study_id",
    ),
    "instances of a class": (asking(_INSTANCES, SOPClassUID="1.2"), "ix_instance_partition_id_sop_class_uid"),
    "instances of a patient": (asking(_INSTANCES, PatientID=patient_id(7)), "ix_instance_study_id"),
    "instances of a study": (asking(_INSTANCES, _STUDY), "ix_instance_study_id"),
    "instances of a series": (asking(_INSTANCES, _SERIES), "ix_instance_series_id"),
    "instances of a modality in a study": (asking(_INSTANCES, _STUDY, Modality="CT"), "ix_instance_s"),
    "instances of few series": (asking(_INSTANCES, Modality="NM"), "ix_instance_series_id"),
    "instances of many series": (asking(_INSTANCES, Modality="CT"), "ix_instance_partition_id "),
    "instances of many studies": (asking(_INSTANCES, StudyDate="20000101-"), "ix_instance_partition_id "),
}


@pytest.mark.parametrize(("query", "index"), PLANS.values(), ids=PLANS)
def test_plan(connection: Connection, query: Query, index: str) -> None:
    """A search is answered from the index made for it, and reads no table whole."""
    plan: list[str] = []

    def explain(*given: Any) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(f"EXPLAIN QUERY PLAN {given[2]}", given[3])
        plan.extend(str(row[3]) for row in cursor.fetchall())

    event.listen(connection, "before_cursor_execute", explain)
    try:
        search(connection, query)
    finally:
        event.remove(connection, "before_cursor_execute", explain)

    assert any(index in step for step in plan), plan
    assert [step for step in plan if step.startswith("SCAN")] == []


@pytest.mark.parametrize(
    ("query", "studies"),
    [
        (asking(_STUDIES, PatientID=patient_id(7)), [8, 7, 6]),
        (asking(_STUDIES, AccessionNumber=accession_number(7)), [7]),
        (asking(_STUDIES, ModalitiesInStudy="NM"), [799, 699, 599, 499, 399, 299, 199, 99]),
        (replace(asking(_STUDIES, ModalitiesInStudy="CT"), limit=2), [797, 795]),
        (replace(asking(_INSTANCES, Modality="CT"), limit=5), [797, 797, 797, 797, 795]),
        (replace(asking(_SERIES_OF, StudyDate="20000101-", ModalitiesInStudy="NM"), limit=3), [799, 799, 699]),
    ],
)
def test_few_and_many(connection: Connection, query: Query, studies: list[int]) -> None:
    """Few matching studies and many are answered alike, newest first."""
    found, _ = search(connection, query)

    assert [match.scope.study for match in found] == [study_uid(number) for number in studies]
