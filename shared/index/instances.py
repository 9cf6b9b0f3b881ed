"""Instances: find what is published, read what is kept of it, delete it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select, true, update
from sqlalchemy import delete as delete_from

from shared.errors import InvalidRequest
from shared.index import change_feed, outdated, studies, tag_values
from shared.index.garbage import chunks, discard
from shared.index.tables import (
    document_entry,
    frame_page,
    instance,
    instance_metadata,
    series,
    series_document,
    study,
)
from shared.model import ChangeAction, FramePage, InstanceKey, Level, Scope, StoredInstance


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document holds the metadata of an instance: a line, from 0, of the segment at `start` in its blob."""

    document: int
    start: int
    length: int
    line: int
    base: str


@dataclass(frozen=True, slots=True)
class KeptMetadata:
    """Where the metadata of a published version are; where something was lost, nowhere.

    Parameters
    ----------
    series_id
        The row of its series.
    dicom_json
        Compressed with zlib, as Store made it; None when they are in a document.
    """

    version: int
    series_id: int
    key: InstanceKey
    dicom_json: bytes | None
    place: Place | None


def stored_instances(connection: Connection, keys: Sequence[InstanceKey]) -> dict[InstanceKey, StoredInstance]:
    """Return those instances of *keys* that are published."""
    wanted = set(keys)
    found = (one for partition_id, group in _by_partition(keys) for one in _stored(connection, partition_id, group))
    return {one.key: one for one in found if one.key in wanted}


def find(connection: Connection, scope: Scope, *, after: int = 0, limit: int) -> list[StoredInstance]:
    """Return at most *limit* instances of the scope whose version is above *after*, by version."""
    rows = connection.execute(_FIND[_depth(scope)], {**_uids(scope), "after": after, "limit": limit})
    return [_stored_instance(scope.partition, row) for row in rows]


def read_metadata(connection: Connection, scope: Scope, *, after: int = 0, limit: int) -> list[KeptMetadata]:
    """Return where the metadata of instances are, which are those that `find` gives."""
    rows = connection.execute(_READ_METADATA[_depth(scope)], {**_uids(scope), "after": after, "limit": limit})
    return [_kept(row) for row in rows]


def read_series_metadata(connection: Connection, series_id: int, *, after: int = 0, limit: int) -> list[KeptMetadata]:
    """Do as `read_metadata` for a series, by the number of its row."""
    rows = connection.execute(_READ_SERIES_METADATA, {"series_id": series_id, "after": after, "limit": limit})
    return [_kept(row) for row in rows]


def metadata_of(connection: Connection, versions: Sequence[int]) -> list[KeptMetadata]:
    """Return where the metadata are of each of the versions that is published."""
    return [_kept(row) for chunk in chunks(versions) for row in connection.execute(_METADATA_OF, {"versions": chunk})]


def find_frame_page(connection: Connection, version: int, frame: int) -> FramePage | None:
    """Return the page that holds a *frame* of a published version, counted from 1; None where the table has none."""
    row = connection.execute(_FRAME_PAGE, {"of": version, "frame": frame}).first()
    page = None if row is None else FramePage(*row)
    return page if page is not None and frame < page.first_frame + page.frame_count else None


def find_first(connection: Connection, scope: Scope, *, limit: int) -> tuple[list[StoredInstance], set[str]]:
    """Return what `find` does, and the transfer syntaxes of all instances in the scope."""
    found = find(connection, scope, limit=limit)
    if len(found) < limit:
        return found, {one.transfer_syntax for one in found}
    return found, set(connection.execute(_TRANSFER_SYNTAXES[_depth(scope)], _uids(scope)).scalars())


def state(connection: Connection, scope: Scope) -> tuple[int, int, int] | None:
    """Return the highest version in the scope, the number of instances and the sum of their versions, if any.

    Any store, replacement or delete in the scope changes it. Not so the first two alone: one version may replace
    another below the highest.
    """
    highest, count, total = connection.execute(_STATE[_depth(scope)], _uids(scope)).one()
    return (highest, count, total) if count else None


def delete_in_turn(connection: Connection, scope: Scope, clock: Callable[[], datetime], grace: timedelta) -> int:
    """Do as `delete` at the time that *clock* shows when the writer's turn has come; blobs are due after *grace*."""
    now = clock()
    return delete(connection, scope, now, now + grace)


def delete(connection: Connection, scope: Scope, now: datetime, due_at: datetime) -> int:
    """Remove the instances of a study, a series or one alone, and parents left empty; return how many there were.

    Their blobs are due at *due_at*; the change feed tells of each.
    """
    if scope.study is None:
        raise InvalidRequest("A delete names a study.")
    gone = sorted(connection.execute(_DELETE[_depth(scope)], _uids(scope)).all(), key=lambda row: row.version)
    versions = [row.version for row in gone]
    series_ids = sorted({row.series_id for row in gone})
    modalities = {
        series_id: modality
        for chunk in chunks(series_ids)
        for series_id, modality in connection.execute(_MODALITIES, {"ids": chunk})
    }
    delete_beside(connection, versions)
    changes = [
        change_feed.Change(
            ChangeAction.DELETE,
            row.version,
            InstanceKey(scope.partition, row.study_uid, row.series_uid, row.sop_uid),
            row.sop_class_uid,
            modalities.get(row.series_id),
        )
        for row in gone
    ]
    discard(connection, versions, due_at)
    study_ids = sorted({row.study_id for row in gone})
    studies.remove_empty(connection, study_ids, series_ids)
    if change_feed.append(connection, changes, now):
        tag_values.forget(connection, versions, study_ids, series_ids)
    left = {*((Level.STUDY, number) for number in study_ids), *((Level.SERIES, number) for number in series_ids)}
    outdated.mark(connection, left)
    return len(gone)


def _by_partition(keys: Sequence[InstanceKey]) -> list[tuple[int, list[InstanceKey]]]:
    ordered = sorted(set(keys), key=lambda key: key.partition)
    return [(partition_id, list(group)) for partition_id, group in groupby(ordered, lambda key: key.partition)]


def _stored(connection: Connection, partition_id: int, keys: Sequence[InstanceKey]) -> list[StoredInstance]:
    """Return the published instances that have a SOP Instance UID of *keys*."""
    if len(keys) == 1:
        given: list[tuple[Select[Any], object]] = [(_STORED_ONE, keys[0].instance)]
    else:
        given = [(_STORED_MANY, list({key.instance for key in chunk})) for chunk in chunks(keys)]
    return [
        _stored_instance(partition_id, row)
        for statement, uids in given
        for row in connection.execute(statement, {"partition": partition_id, "sop": uids})
    ]


def _stored_instance(partition_id: int, row: Sequence[Any]) -> StoredInstance:
    version, study_uid, series_uid, sop_uid, syntax, length = row
    return StoredInstance(version, InstanceKey(partition_id, study_uid, series_uid, sop_uid), syntax, length)


def _kept(row: Sequence[Any]) -> KeptMetadata:
    version, series_id, partition_id, study_uid, series_uid, sop_uid, dicom_json, document, *place = row
    key = InstanceKey(partition_id, study_uid, series_uid, sop_uid)
    return KeptMetadata(version, series_id, key, dicom_json, None if document is None else Place(document, *place))


def delete_beside(connection: Connection, versions: Sequence[int]) -> None:
    """Remove what other tables hold of versions that are no instances any more; documents that hold some are stale."""
    for chunk in chunks(versions):
        for statement in _DELETE_BESIDE:
            connection.execute(statement, {"versions": chunk})


def _depth(scope: Scope) -> int:
    """Count the UIDs that the scope gives: 0 for a partition, 3 for an instance."""
    return sum(uid is not None for uid in (scope.study, scope.series, scope.instance))


def _uids(scope: Scope) -> dict[str, object]:
    given = {"partition": scope.partition, "study": scope.study, "series": scope.series, "sop": scope.instance}
    return {name: value for name, value in given.items() if value is not None}


STUDY_ID = (
    select(study.c.id)
    .where(study.c.partition_id == bindparam("partition"), study.c.study_uid == bindparam("study"))
    .scalar_subquery()
)
"""The row of the study that a scope names."""

_SERIES_ID = (
    select(series.c.id)
    .where(
        series.c.partition_id == bindparam("partition"),
        series.c.series_uid == bindparam("series"),
        series.c.study_id == STUDY_ID,
    )
    .scalar_subquery()
)
_WITHIN: tuple[tuple[ColumnElement[bool], ...], ...] = (
    (instance.c.partition_id == bindparam("partition"),),
    (instance.c.study_id == STUDY_ID,),
    (instance.c.series_id == _SERIES_ID,),
    (
        instance.c.partition_id == bindparam("partition"),
        instance.c.sop_uid == bindparam("sop"),
        instance.c.series_uid == bindparam("series"),
        instance.c.study_uid == bindparam("study"),
    ),
)
"""The instances of a scope by its depth; a series under another study has none."""


def _page(statement: Select[Any], within: tuple[ColumnElement[bool], ...]) -> Select[Any]:
    return (
        statement.where(*within, instance.c.version > bindparam("after"))
        .order_by(instance.c.version)
        .limit(bindparam("limit"))
    )


_FOUND = select(
    instance.c.version,
    instance.c.study_uid,
    instance.c.series_uid,
    instance.c.sop_uid,
    instance.c.transfer_syntax_uid,
    instance.c.length_bytes,
)
_STORED = _FOUND.where(instance.c.partition_id == bindparam("partition"))
_STORED_ONE = _STORED.where(instance.c.sop_uid == bindparam("sop"))
_STORED_MANY = _STORED.where(instance.c.sop_uid.in_(bindparam("sop", expanding=True)))
_FRAME_PAGE = (
    select(
        frame_page.c.first_frame,
        frame_page.c.frame_count,
        frame_page.c.offset_bytes,
        frame_page.c.frame_bits,
        frame_page.c.fragments,
    )
    .where(frame_page.c.version == bindparam("of"), frame_page.c.first_frame <= bindparam("frame"))
    .order_by(frame_page.c.first_frame.desc())
    .limit(1)
)
_METADATA = (
    select(
        instance.c.version,
        instance.c.series_id,
        instance.c.partition_id,
        instance.c.study_uid,
        instance.c.series_uid,
        instance.c.sop_uid,
        instance_metadata.c.dicom_json,
        document_entry.c.document_id,
        document_entry.c.segment_start,
        document_entry.c.segment_bytes,
        document_entry.c.line,
        series_document.c.base,
    )
    .select_from(instance)
    .outerjoin(instance_metadata, instance_metadata.c.version == instance.c.version)
    .outerjoin(document_entry, document_entry.c.version == instance.c.version)
    .outerjoin(series_document, series_document.c.id == document_entry.c.document_id)
)
_METADATA_OF = _METADATA.where(instance.c.version.in_(bindparam("versions", expanding=True)))
_TRANSFER_SYNTAXES = [select(instance.c.transfer_syntax_uid).where(*within).distinct() for within in _WITHIN]
_FIND = [_page(_FOUND, within) for within in _WITHIN]
_READ_METADATA = [_page(_METADATA, within) for within in _WITHIN]
_READ_SERIES_METADATA = _page(_METADATA, (instance.c.series_id == bindparam("series_id"),))
_STATE = [
    select(func.max(instance.c.version), func.count(), func.sum(instance.c.version)).where(*within)
    for within in _WITHIN
]
_DELETE = [
    delete_from(instance)
    .where(*within)
    .returning(
        instance.c.version,
        instance.c.study_id,
        instance.c.series_id,
        instance.c.study_uid,
        instance.c.series_uid,
        instance.c.sop_uid,
        instance.c.sop_class_uid,
    )
    for within in _WITHIN
]
_MODALITIES = select(series.c.id, series.c.modality).where(series.c.id.in_(bindparam("ids", expanding=True)))
_DELETE_BESIDE = [
    update(series_document)
    .where(
        series_document.c.id.in_(
            select(document_entry.c.document_id).where(
                document_entry.c.version.in_(bindparam("versions", expanding=True))
            )
        )
    )
    .values(is_stale=true()),
    *(
        delete_from(table).where(table.c.version.in_(bindparam("versions", expanding=True)))
        for table in (instance_metadata, document_entry, frame_page)
    ),
]
