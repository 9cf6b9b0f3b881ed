"""Instances: reserve a version, publish what is durable, find it, delete it. Rows appear and go as a whole."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from itertools import groupby
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, insert, select
from sqlalchemy import delete as delete_from

from shared.errors import InvalidRequest
from shared.index import change_feed, studies
from shared.index.garbage import chunks, discard, release
from shared.index.tables import instance, instance_metadata, reservation, series, study
from shared.model import ChangeAction, InstanceKey, Level, NewInstance, Scope, StoredInstance

_PUBLISHED_AT_ONCE = 200
"""Instances: statements with the values of thousands take memory, and no less time for each."""


class Refusal(Enum):
    """Why an instance was not published."""

    ALREADY_STORED = "another instance of that key was first"
    RESERVATION_LOST = "the reservation expired"


def reserve(connection: Connection, keys: Sequence[InstanceKey], now: datetime) -> list[int | None]:
    """Return a new version for each key, to name its blob; None where an instance of that key is published."""
    stored = {key for partition_id, group in _by_partition(keys) for key in _stored(connection, partition_id, group)}
    free = sum(key not in stored for key in keys)
    rows = [{"reserved_at": now}] * free
    versions = iter(connection.execute(_RESERVE, rows if free > 1 else rows[0]).scalars().all() if free else ())
    return [None if key in stored else next(versions) for key in keys]


def publish(connection: Connection, instances: Sequence[NewInstance], now: datetime) -> list[Refusal | None]:
    """Make instances visible with all that is searched and read of them; return why each is not, None where it is.

    What was refused is discarded: its blob is due now. A version that is published already counts as published,
    so a call whose commit nobody heard of can be made again.
    """
    reserved = release(connection, [one.version for one in instances])
    lost = _unpublished(connection, [one.version for one in instances if one.version not in reserved])
    refused = dict.fromkeys(lost, Refusal.RESERVATION_LOST)
    waiting = [one for one in instances if one.version in reserved]
    for partition_id, group in groupby(
        sorted(waiting, key=lambda one: one.key.partition), lambda one: one.key.partition
    ):
        for page in chunks(list(group), _PUBLISHED_AT_ONCE):
            refused |= _publish(connection, partition_id, page, now)
    discard(connection, list(refused), now)
    return [refused.get(one.version) for one in instances]


def abandon(connection: Connection, versions: Sequence[int], now: datetime) -> None:
    """Give reservations up; their blobs are due now. A version that was published after all stays."""
    release(connection, versions)
    discard(connection, _unpublished(connection, versions), now)


def find(connection: Connection, scope: Scope, *, after: int = 0, limit: int) -> list[StoredInstance]:
    """Return at most *limit* instances of the scope whose version is above *after*, by version."""
    rows = connection.execute(_FIND[_depth(scope)], {**_uids(scope), "after": after, "limit": limit})
    return [
        StoredInstance(version, InstanceKey(scope.partition, study_uid, series_uid, sop_uid), syntax, length)
        for version, study_uid, series_uid, sop_uid, syntax, length in rows
    ]


def read_metadata(connection: Connection, scope: Scope, *, after: int = 0, limit: int) -> list[tuple[int, bytes]]:
    """Return versions with their DICOM JSON, compressed with zlib, as `find` does."""
    rows = connection.execute(_READ_METADATA[_depth(scope)], {**_uids(scope), "after": after, "limit": limit})
    return [(version, dicom_json) for version, dicom_json in rows]


def metadata_of(connection: Connection, versions: Sequence[int]) -> dict[int, bytes]:
    """Return the DICOM JSON, compressed with zlib, of each of the versions that is published."""
    return {
        version: dicom_json
        for chunk in chunks(versions)
        for version, dicom_json in connection.execute(_METADATA_OF, {"versions": chunk})
    }


def find_first(connection: Connection, scope: Scope, *, limit: int) -> tuple[list[StoredInstance], set[str]]:
    """Return what `find` does, and the transfer syntaxes of all instances in the scope."""
    found = find(connection, scope, limit=limit)
    if len(found) < limit:
        return found, {one.transfer_syntax for one in found}
    return found, set(connection.execute(_TRANSFER_SYNTAXES[_depth(scope)], _uids(scope)).scalars())


def state(connection: Connection, scope: Scope) -> tuple[int, int] | None:
    """Return the highest version in the scope and the number of instances; None when there are none.

    Any store, update or delete in the scope changes the pair.
    """
    highest, count = connection.execute(_STATE[_depth(scope)], _uids(scope)).one()
    return (highest, count) if count else None


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
    for chunk in chunks(versions):
        connection.execute(_DELETE_METADATA, {"versions": chunk})
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
    change_feed.append(connection, changes, now)
    discard(connection, versions, due_at)
    studies.remove_empty(connection, sorted({row.study_id for row in gone}), series_ids)
    return len(gone)


def _by_partition(keys: Sequence[InstanceKey]) -> list[tuple[int, list[InstanceKey]]]:
    ordered = sorted(set(keys), key=lambda key: key.partition)
    return [(partition_id, list(group)) for partition_id, group in groupby(ordered, lambda key: key.partition)]


def _stored(connection: Connection, partition_id: int, keys: Sequence[InstanceKey]) -> list[InstanceKey]:
    """Return the keys of published instances that have a SOP Instance UID of *keys*."""
    if len(keys) == 1:
        given: list[tuple[Select[Any], object]] = [(_STORED_ONE, keys[0].instance)]
    else:
        given = [(_STORED_MANY, list({key.instance for key in chunk})) for chunk in chunks(keys)]
    return [
        InstanceKey(partition_id, *row)
        for statement, uids in given
        for row in connection.execute(statement, {"partition": partition_id, "sop": uids})
    ]


def _unpublished(connection: Connection, versions: Sequence[int]) -> list[int]:
    published = {
        version
        for chunk in chunks(versions)
        for version in connection.execute(_PUBLISHED, {"versions": chunk}).scalars()
    }
    return [version for version in versions if version not in published]


def _publish(
    connection: Connection, partition_id: int, instances: Sequence[NewInstance], now: datetime
) -> dict[int, Refusal]:
    """Publish instances of one partition whose reservations hold; return those whose key is taken."""
    known = studies.look_up(connection, partition_id, [one.key for one in instances])
    taken, refused, accepted = set(known.instances), {}, []
    for one in instances:
        if one.key in taken:
            refused[one.version] = Refusal.ALREADY_STORED
        else:
            taken.add(one.key)
            accepted.append(one)
    if not accepted:
        return refused
    parents = studies.merge(connection, known, accepted)
    rows = [_row(one, parents) for one in accepted]
    documents = [{"version": one.version, "dicom_json": one.metadata} for one in accepted]
    connection.execute(_INSERT, rows if len(rows) > 1 else rows[0])
    connection.execute(_INSERT_METADATA, documents if len(documents) > 1 else documents[0])
    change_feed.append(connection, [_creation(one) for one in accepted], now)
    return refused


def _row(one: NewInstance, parents: studies.Known) -> dict[str, object]:
    return {
        "version": one.version,
        "partition_id": one.key.partition,
        "study_id": parents.studies[one.key.study].id,
        "series_id": parents.series[one.key.study, one.key.series].id,
        "study_uid": one.key.study,
        "series_uid": one.key.series,
        "sop_uid": one.key.instance,
        "sop_class_uid": one.sop_class,
        "instance_number": orjson.loads(one.values[Level.INSTANCE]).get("InstanceNumber"),
        "transfer_syntax_uid": one.transfer_syntax,
        "length_bytes": one.length_bytes,
        "attributes": one.attributes[Level.INSTANCE].decode(),
    }


def _creation(one: NewInstance) -> change_feed.Change:
    modality = orjson.loads(one.values[Level.SERIES]).get("Modality")
    return change_feed.Change(ChangeAction.CREATE, one.version, one.key, one.sop_class, modality)


def _depth(scope: Scope) -> int:
    """Count the UIDs that the scope gives: 0 for a partition, 3 for an instance."""
    return sum(uid is not None for uid in (scope.study, scope.series, scope.instance))


def _uids(scope: Scope) -> dict[str, object]:
    given = {"partition": scope.partition, "study": scope.study, "series": scope.series, "sop": scope.instance}
    return {name: value for name, value in given.items() if value is not None}


_STUDY_ID = (
    select(study.c.id)
    .where(study.c.partition_id == bindparam("partition"), study.c.study_uid == bindparam("study"))
    .scalar_subquery()
)
_SERIES_ID = (
    select(series.c.id)
    .where(
        series.c.partition_id == bindparam("partition"),
        series.c.series_uid == bindparam("series"),
        series.c.study_id == _STUDY_ID,
    )
    .scalar_subquery()
)
_WITHIN: tuple[tuple[ColumnElement[bool], ...], ...] = (
    (instance.c.partition_id == bindparam("partition"),),
    (instance.c.study_id == _STUDY_ID,),
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


_STORED = select(instance.c.study_uid, instance.c.series_uid, instance.c.sop_uid).where(
    instance.c.partition_id == bindparam("partition")
)
_STORED_ONE = _STORED.where(instance.c.sop_uid == bindparam("sop"))
_STORED_MANY = _STORED.where(instance.c.sop_uid.in_(bindparam("sop", expanding=True)))
_RESERVE = insert(reservation).returning(reservation.c.version)
_PUBLISHED = select(instance.c.version).where(instance.c.version.in_(bindparam("versions", expanding=True)))
_INSERT = insert(instance)
_INSERT_METADATA = insert(instance_metadata)
_FOUND = select(
    instance.c.version,
    instance.c.study_uid,
    instance.c.series_uid,
    instance.c.sop_uid,
    instance.c.transfer_syntax_uid,
    instance.c.length_bytes,
)
_METADATA = select(instance.c.version, instance_metadata.c.dicom_json).join(
    instance_metadata, instance_metadata.c.version == instance.c.version
)
_METADATA_OF = select(instance_metadata.c.version, instance_metadata.c.dicom_json).where(
    instance_metadata.c.version.in_(bindparam("versions", expanding=True))
)
_TRANSFER_SYNTAXES = [select(instance.c.transfer_syntax_uid).where(*within).distinct() for within in _WITHIN]
_FIND = [_page(_FOUND, within) for within in _WITHIN]
_READ_METADATA = [_page(_METADATA, within) for within in _WITHIN]
_STATE = [select(func.max(instance.c.version), func.count()).where(*within) for within in _WITHIN]
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
_DELETE_METADATA = delete_from(instance_metadata).where(
    instance_metadata.c.version.in_(bindparam("versions", expanding=True))
)
