"""A large index, written directly: what searches are measured on needs millions of rows and no files.

Everything follows from an instance's number, so that a load client knows what there is to be found.
"""

import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, insert

from shared.dicom.attributes import SEARCHABLE
from shared.dicom.values import index_value, words
from shared.index.database import open_engine
from shared.index.migrate import migrate
from shared.index.tables import (
    change_feed,
    instance,
    instance_metadata,
    name_word,
    request_item,
    reservation,
    series,
    study,
)
from shared.model import ChangeAction, Level

_AT_ONCE = 100
"""Studies of one transaction."""

_FIRST_DAY = date(2010, 1, 1)
_DAYS = 5000
_LAST = [
    "Smith",
    "Jones",
    "Taylor",
    "Brown",
    "Wilson",
    "Evans",
    "Thomas",
    "Roberts",
    "Walker",
    "Wright",
    "Müller",
    "García",
    "Yamada",
    "Novák",
    "Kowalski",
]
_FIRST = [
    "John",
    "Mary",
    "James",
    "Anna",
    "Robert",
    "Linda",
    "David",
    "Susan",
    "Paul",
    "Karen",
    "Ivan",
    "Ute",
    "Ken",
    "Olga",
    "Luis",
]
_MODALITIES = ("CT", "MR", "US", "CR", "DX", "MG", "PT", "NM")
_CLASSES: Mapping[str, str] = {
    modality: f"1.2.840.10008.5.1.4.1.1.{number}"
    for modality, number in zip(_MODALITIES, (2, 4, "6.1", 1, "1.1", "1.2", 128, 20), strict=True)
}
_TRANSFER_SYNTAX = "1.2.840.10008.1.2.1"
_NOW = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shape:
    """How many studies an index has, series of each, and instances of each of these."""

    studies: int = 10_000
    series: int = 4
    instances: int = 25

    @property
    def total(self) -> int:
        """How many instances that makes."""
        return self.studies * self.series * self.instances


def study_uid(number: int) -> str:
    """Return the UID of study *number*; those of series and instances go on from there."""
    return f"2.25.9{number * 7919 % 10_000_019:08d}{number:07d}"


def patient_id(number: int) -> str:
    """Return the Patient ID of study *number*; some patients have several studies."""
    return f"PAT{number // 3 * 7907 % 1_000_003:07d}"


def accession_number(number: int) -> str:
    """Return the Accession Number of study *number*."""
    return f"ACC{number * 7901 % 10_000_019:08d}"


def study_date(number: int) -> date:
    """Return the date of study *number*: about as the studies were stored, some of them later."""
    return _FIRST_DAY + timedelta(days=(number + number * 31 % 400) % _DAYS)


def station(number: int) -> str:
    """Return the Station Name of study *number*, which only metadata have."""
    return f"ROOM{number * 7877 % 10_000_019:08d}"


def patient_name(number: int) -> str:
    """Return the Patient's Name of study *number*."""
    return f"{_LAST[number // 3 % len(_LAST)]}{number // 45 % 97}^{_FIRST[number // 3 % 7 + number // 9 % 8]}"


def build(url: str, shape: Shape) -> float:
    """Make the index at a database URL and return the seconds that it took."""
    began = time.perf_counter()
    migrate(url)
    engine = open_engine(url, writes=True)
    for start in range(0, shape.studies, _AT_ONCE):
        with engine.begin() as connection:
            fill(connection, shape, range(start, min(start + _AT_ONCE, shape.studies)))
    engine.dispose()
    return time.perf_counter() - began


def database_url(folder: Path) -> str:
    """Return the URL of the database that the local host keeps below its DATA *folder*."""
    return f"sqlite:///{folder / 'index.db'}"


def fill(connection: Connection, shape: Shape, numbers: Sequence[int]) -> None:
    """Write the rows of the studies of some *numbers*, as publishing them one by one would."""
    tables = (study, name_word, series, request_item, instance, instance_metadata, change_feed)
    rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in tables}
    for number in numbers:
        _add_study(rows, shape, number)
    for table in tables:
        connection.execute(insert(table), rows[table.name])
    last = {"version": (numbers[-1] + 1) * shape.series * shape.instances, "reserved_at": _NOW}
    connection.execute(insert(reservation), last)  # versions go on behind the last
    connection.execute(reservation.delete())


def _add_study(rows: dict[str, list[dict[str, Any]]], shape: Shape, number: int) -> None:
    uid, first = study_uid(number), number * shape.series * shape.instances + 1
    cells, attributes = _values(Level.STUDY, dict(_of_study(number)))
    metadata = zlib.compress(orjson.dumps({"00081010": {"vr": "SH", "Value": [station(number)]}}), 1)
    rows["study"].append(_row(first, cells, attributes, study_uid=uid))
    for keyword in ("PatientName", "ReferringPhysicianName"):
        for position, word in words(str(cells[SEARCHABLE[keyword].column])):
            place = {"study_id": first, "keyword": keyword, "position": position}
            rows["name_word"].append({**place, "partition_id": 1, "word": word})
    for series_number in range(shape.series):
        first_row = len(rows["instance"])
        _add_series(rows, shape, number, series_number)
        versions = [row["version"] for row in rows["instance"][first_row:]]
        rows["instance_metadata"] += [{"version": version, "dicom_json": metadata} for version in versions]


def _add_series(rows: dict[str, list[dict[str, Any]]], shape: Shape, number: int, series_number: int) -> None:
    study_id = number * shape.series * shape.instances + 1
    first = study_id + series_number * shape.instances
    uid, series_uid = study_uid(number), f"{study_uid(number)}.{series_number}"
    modality = _modality(number, series_number)
    cells, attributes = _values(
        Level.SERIES,
        {
            "SeriesInstanceUID": series_uid,
            "Modality": modality,
            "SeriesNumber": series_number + 1,
            "SeriesDescription": f"Axial {number % 40}",
            "BodyPartExamined": ("CHEST", "HEAD", "KNEE")[number % 3],
            "PerformedProcedureStepStartDate": f"{study_date(number):%Y%m%d}",
            "PerformedProcedureStepStartTime": f"{8 + number % 10:02d}1500",
            "ManufacturerModelName": f"Gradient {number % 12}",
        },
    )
    rows["series"].append(_row(first, cells, attributes, series_uid=series_uid, study_id=study_id))
    step = {"scheduled_procedure_step_id": f"sps{number}", "requested_procedure_id": f"rp{number}"}
    rows["request_item"].append({"series_id": first, "position": 0, "partition_id": 1, **step})
    for version in range(first, first + shape.instances):
        sop_uid = f"{series_uid}.{version * 7919 % 10_000_019}"
        own: dict[str, str | int] = {
            "SOPInstanceUID": sop_uid,
            "SOPClassUID": _CLASSES[modality],
            "InstanceNumber": version - first + 1,
        }
        cells, attributes = _values(Level.INSTANCE, own)
        names = {"study_uid": uid, "series_uid": series_uid, "study_id": study_id, "series_id": first}
        rows["instance"].append(
            {
                "version": version,
                "partition_id": 1,
                "transfer_syntax_uid": _TRANSFER_SYNTAX,
                "length_bytes": 1000,
                "attributes": attributes,
                **cells,
                **names,
            }
        )
        rows["change_feed"].append(
            {
                "partition_id": 1,
                "study_uid": uid,
                "series_uid": series_uid,
                "sop_uid": sop_uid,
                "version": version,
                "action": ChangeAction.CREATE.value,
                "timestamp": _NOW,
                "sop_class_uid": _CLASSES[modality],
                "modality": modality.lower(),
            }
        )


def _modality(number: int, series_number: int) -> str:
    """Return a modality: half of the studies are of CT, one of a hundred of NM; the last series is of another."""
    own = "NM" if number % 100 == 99 else "CT" if number % 2 else _MODALITIES[1 + number // 2 % 6]
    return "PT" if series_number and series_number % 4 == 3 and number % 5 == 0 else own


def _of_study(number: int) -> Iterator[tuple[str, str]]:
    yield "StudyInstanceUID", study_uid(number)
    yield "PatientName", patient_name(number)
    yield "PatientID", patient_id(number)
    yield "PatientBirthDate", f"{1930 + number % 80}{1 + number % 12:02d}{1 + number % 28:02d}"
    yield "PatientSex", "FMO"[number % 3]
    yield "AccessionNumber", accession_number(number)
    yield "ReferringPhysicianName", f"House{number % 50}^Greg"
    yield "StudyDate", f"{study_date(number):%Y%m%d}"
    yield "StudyTime", f"{8 + number % 10:02d}{number % 60:02d}00"
    yield "StudyID", f"S{number % 1000}"
    yield "StudyDescription", f"{('Thorax', 'Head', 'Knee')[number % 3]} routine {number % 50}"


def _values(level: Level, values: Mapping[str, str | int]) -> tuple[dict[str, Any], str]:
    """Return the cells of values by column, and their DICOM JSON."""
    elements: dict[str, Any] = {}
    cells: dict[str, Any] = {}
    for attribute in SEARCHABLE.values():
        if attribute.level is level:
            value = values[attribute.keyword]
            element = {"vr": attribute.vr, "Value": [{"Alphabetic": value} if attribute.vr == "PN" else value]}
            elements[attribute.tag] = element
            cells[attribute.column] = index_value(element, attribute.vr)
    return cells, orjson.dumps(elements).decode()


def _row(number: int, cells: Mapping[str, Any], attributes: str, **names: str | int) -> dict[str, Any]:
    return {"id": number, "partition_id": 1, "revision": 0, "attributes": attributes, **cells, **names}
