"""Writes that put right what `audit` has found, where that is safe beside a live service.

Each takes numbers that a rule found in one moment's view of the index, and none can take away what is published.
"""

from collections.abc import Callable, Mapping, Sequence

import orjson
from sqlalchemy import Connection, bindparam, delete, select, update

from shared.index import outdated, studies
from shared.index.audit import Stated
from shared.index.garbage import chunks
from shared.index.tables import (
    deleted_instance,
    document_entry,
    external_key,
    external_value,
    frame_page,
    instance,
    instance_metadata,
    name_word,
    reservation,
    study,
    study_expiry,
)
from shared.index.tag_values import ORPHANS
from shared.model import Level

Repair = Callable[[Connection, Sequence[int]], None]


def _keep_published(connection: Connection, versions: Sequence[int]) -> None:
    """Take published versions off the lists of what is to be removed."""
    for chunk in chunks(versions):
        for statement in _KEEP:
            connection.execute(statement, {"numbers": chunk})


def _drop_rows_of_versions(connection: Connection, versions: Sequence[int]) -> None:
    for chunk in chunks(versions):
        for statement in _DROP_OF_VERSIONS:
            connection.execute(statement, {"numbers": chunk})


def _drop_rows_of_studies(connection: Connection, numbers: Sequence[int]) -> None:
    for chunk in chunks(numbers):
        for statement in _DROP_OF_STUDIES:
            connection.execute(statement, {"numbers": chunk})


def _drop_studies(connection: Connection, numbers: Sequence[int]) -> None:
    studies.remove_empty(connection, numbers, [])


def _drop_series(connection: Connection, numbers: Sequence[int]) -> None:
    studies.remove_empty(connection, [], numbers)


def _drop_tag_rows(connection: Connection, numbers: Sequence[int]) -> None:
    for chunk in chunks(numbers):
        for statement in _DROP_OF_TAGS:
            connection.execute(statement, {"numbers": chunk})


def _mark_outdated(connection: Connection, numbers: Sequence[int]) -> None:
    """Let `services/renewal.py` look at studies and series of these numbers."""
    outdated.mark(connection, [(level, number) for level in (Level.STUDY, Level.SERIES) for number in numbers])


def restate(connection: Connection, rows: Mapping[int, Stated]) -> None:
    """Let the rows of published versions say what their metadata say, which never change."""
    for version, said in rows.items():
        cells = {"class": said.sop_class, "number": said.instance_number}
        connection.execute(_RESTATE, {"of": version, **cells, "shown": orjson.dumps(said.attributes).decode()})


REPAIRS: Mapping[str, Repair] = {
    "to_be_removed": _keep_published,
    "rows_without_instance": _drop_rows_of_versions,
    "rows_without_study": _drop_rows_of_studies,
    "series_empty": _drop_series,  # before the studies, that their rows refer to
    "study_empty": _drop_studies,
    "tag_rows_without_owner": _drop_tag_rows,
    "tag_value_outdated": _mark_outdated,
}
"""By the rule of `audit.RULES` that finds what each puts right."""

_RESTATE = (
    update(instance)
    .where(instance.c.version == bindparam("of"))
    .values(sop_class_uid=bindparam("class"), instance_number=bindparam("number"), attributes=bindparam("shown"))
)
_KEEP = [
    delete(table).where(
        table.c.version.in_(bindparam("numbers", expanding=True)),
        select(instance.c.version).where(instance.c.version == table.c.version).exists(),
    )
    for table in (reservation, deleted_instance)
]
_DROP_OF_VERSIONS = [
    delete(table).where(
        table.c.version.in_(bindparam("numbers", expanding=True)),
        ~select(instance.c.version).where(instance.c.version == table.c.version).exists(),
    )
    for table in (instance_metadata, document_entry, frame_page)
]
_DROP_OF_STUDIES = [
    delete(table).where(
        table.c.study_id.in_(bindparam("numbers", expanding=True)),
        ~select(study.c.id).where(study.c.id == table.c.study_id).exists(),
    )
    for table in (name_word, study_expiry, external_value, external_key)
]
_DROP_OF_TAGS = [
    delete(number.table).where(number.in_(bindparam("numbers", expanding=True)), clause) for number, clause in ORPHANS
]
