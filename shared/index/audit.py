"""Reads that hold the index against itself, for `services/consistency.py`; nothing is ever written here.

Each rule is one statement, so that it sees one moment of a live index: a transaction that commits meanwhile is seen
as a whole or not at all. Statements look at a window of versions, so that none grows with the index.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    case,
    cast,
    func,
    make_url,
    null,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.exc import ArgumentError

from shared.errors import Unavailable
from shared.index.garbage import TRIED_OFTEN, chunks
from shared.index.tables import (
    change_feed,
    change_feed_clock,
    deleted_instance,
    document_entry,
    external_key,
    external_value,
    frame_page,
    instance,
    instance_metadata,
    name_word,
    partition,
    query_tag_value,
    reservation,
    series,
    series_document,
    study,
    study_expiry,
)
from shared.index.tag_values import IS_OUTDATED, ORPHANS
from shared.model import DEFAULT_PARTITION, ChangeAction, InstanceKey

WINDOW = 2**18
"""Versions that one statement looks at."""

_UIDS_AT_ONCE = 1000
"""In one statement: each of them reads the change feed from somewhere to its end."""


@dataclass(frozen=True, slots=True)
class Known:
    """A version that the index knows; `length_bytes` of its file if it is published, else None."""

    version: int
    length_bytes: int | None


@dataclass(frozen=True, slots=True)
class Stated:
    """What the row of an instance says of its attributes; `attributes` what searches return, by tag."""

    sop_class: str
    instance_number: float | None
    attributes: Mapping[str, Any]


def require_database(url: str) -> None:
    """Raise `Unavailable` where opening the database would make one: a check changes nothing."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Unavailable("The database's URL cannot be read; sqlite:///path is one.") from error
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise Unavailable("The database that DICOM_SQL_URL names does not exist.")


def last_version(connection: Connection) -> int:
    """Return the highest version that a table names, 0 when there is none."""
    return max(connection.execute(statement).scalar() or 0 for statement in _LAST)


def known_between(connection: Connection, spans: Sequence[tuple[int, int]]) -> dict[int, Known]:
    """Return the versions from first to last of each span that are published, reserved or waiting for removal."""
    return _known(connection, lambda version: or_(*(version.between(first, last) for first, last in spans)))


def known_of(connection: Connection, versions: Sequence[int]) -> dict[int, Known]:
    """Return those of some hundred *versions* that are published, reserved or waiting for removal."""
    return _known(connection, lambda version: version.in_(versions))


def keys_of(connection: Connection, versions: Sequence[int]) -> dict[int, InstanceKey]:
    """Return what those of some hundred *versions* that are published are called."""
    rows = connection.execute(_KEYS, {"versions": versions})
    return {version: InstanceKey(*key) for version, *key in rows}


def stated_after(connection: Connection, version: int, limit: int) -> dict[int, Stated]:
    """Return what the rows of at most *limit* published versions above one say, by version, in order."""
    rows = connection.execute(_STATED, {"after": version, "limit": limit})
    return {
        version: Stated(sop_class, instance_number, orjson.loads(attributes))
        for version, sop_class, instance_number, attributes in rows
    }


def broken(connection: Connection, rule: str, first: int) -> list[int]:
    """Return the numbers in the window from *first* on that break one of `RULES`, in order."""
    return list(connection.execute(RULES[rule], _window(first)).scalars())


def is_feed_ahead(connection: Connection) -> bool:
    """Whether an entry of the change feed is later than its clock, so that later ones could come before it."""
    return connection.execute(_AHEAD).first() is not None


def unnamed_partitions(connection: Connection) -> list[int]:
    """Return the partitions that are not found by their name, and the default one where it is missing or another."""
    rows = {key: (name, folded) for key, name, folded in connection.execute(_PARTITIONS)}
    unnamed = {key for key, (name, folded) in rows.items() if folded != name.lower()}
    name, _ = rows.get(DEFAULT_PARTITION.key, ("", ""))
    return sorted(unnamed if name == DEFAULT_PARTITION.name else unnamed | {DEFAULT_PARTITION.key})


def broken_feed(connection: Connection, first: int) -> Mapping[str, list[int]]:
    """Return the versions in the window from *first* on whose change feed entries break one of `FEED_RULES`, by rule.

    A published version has one entry, of its creation or of the update that it is. One that is not published any more
    has that too, and behind it either the entry of its delete or an entry of a later version of the same instance.
    """
    found: dict[str, list[int]] = {rule: [] for rule in FEED_RULES}
    found["entry_missing"] += connection.execute(_WITHOUT_ENTRY, _window(first)).scalars()
    unfinished = []
    for version, begun, begins, deleted, deletes, published in connection.execute(_ENTRIES, _window(first)):
        if begins > 1 or deletes > 1:
            found["entry_twice"].append(version)
        elif begins == 0 or (deletes and deleted < begun):
            found["entry_without_begin"].append(version)
        elif published is not None:
            found["entry_of_delete"].append(version)
        else:
            unfinished.append(version)
    for chunk in chunks(unfinished, _UIDS_AT_ONCE):
        found["entry_without_end"] += _last_of_their_instances(connection, chunk)
    return found


def _known(connection: Connection, within: Callable[[ColumnElement[int]], ColumnElement[bool]]) -> dict[int, Known]:
    statement = union_all(*(select(*columns).where(within(columns[0])) for columns in _KNOWN))
    found: dict[int, Known] = {}
    for version, length in connection.execute(statement):
        if length is not None or version not in found:
            found[version] = Known(version, length)
    return found


def _last_of_their_instances(connection: Connection, versions: Sequence[int]) -> list[int]:
    """Return those of *versions*, each with one entry, whose instances have no later entry."""
    entries = connection.execute(_BEGIN_OF, {"versions": versions}).all()
    asked = {"sop": [entry.sop_uid for entry in entries], "from": min(entry.sequence for entry in entries)}
    last = {tuple(key): sequence for sequence, *key in connection.execute(_LAST_OF, asked)}
    return sorted(version for sequence, version, *key in entries if last[tuple(key)] == sequence)


def _window(first: int) -> dict[str, int]:
    return {"first": first, "last": first + WINDOW - 1}


def _within(column: ColumnElement[int]) -> ColumnElement[bool]:
    return column.between(bindparam("first"), bindparam("last"))


def _without(column: ColumnElement[int], other: ColumnElement[int]) -> Select[Any]:
    """Select the numbers in *column* that are not in *other*."""
    return select(column).distinct().where(_within(column), ~select(other).where(other == column).exists())


def _without_metadata() -> Select[Any]:
    """Select the instances whose metadata are neither beside their row nor in a document in use."""
    entry = (
        select(document_entry.c.version)
        .join(series_document, series_document.c.id == document_entry.c.document_id)
        .where(document_entry.c.version == instance.c.version, series_document.c.due_at.is_(None))
    )
    return _without(instance.c.version, instance_metadata.c.version).where(~entry.exists())


def _in_both(table: Table, other: Table) -> Select[Any]:
    return select(table.c.version).join(other, other.c.version == table.c.version).where(_within(table.c.version))


def _parent_differs(parent: Table, number: str, *names: str) -> Select[Any]:
    """Select the instances whose row of *parent* is not there or has another of *names* than theirs."""
    differs = [parent.c[name] != instance.c[name] for name in names]
    joined = instance.outerjoin(parent, parent.c.id == instance.c[number])
    return (
        select(instance.c.version)
        .select_from(joined)
        .where(_within(instance.c.version), or_(parent.c.id.is_(None), *differs))
    )


def _without_partition() -> Select[Any]:
    joined = instance.outerjoin(partition, partition.c.id == instance.c.partition_id)
    return select(instance.c.version).select_from(joined).where(_within(instance.c.version), partition.c.id.is_(None))


def _either(*statements: Select[Any]) -> Select[Any]:
    numbers = union(*statements).subquery()
    return select(numbers.c[0]).order_by(numbers.c[0])


RULES: Mapping[str, Select[Any]] = {
    "to_be_removed": _either(_in_both(instance, reservation), _in_both(instance, deleted_instance)),
    "metadata_missing": _either(_without_metadata()),
    "rows_without_instance": _either(
        *(_without(table.c.version, instance.c.version) for table in (instance_metadata, document_entry, frame_page))
    ),
    "study_row_differs": _either(_parent_differs(study, "study_id", "partition_id", "study_uid")),
    "series_row_differs": _either(_parent_differs(series, "series_id", "partition_id", "study_id", "series_uid")),
    "partition_missing": _either(_without_partition()),
    "entry_without_partition": _either(
        select(change_feed.c.version)
        .select_from(change_feed.outerjoin(partition, partition.c.id == change_feed.c.partition_id))
        .where(_within(change_feed.c.version), partition.c.id.is_(None))
    ),
    "removal_failing": _either(
        select(deleted_instance.c.version).where(
            _within(deleted_instance.c.version), deleted_instance.c.attempts >= TRIED_OFTEN
        )
    ),
    "study_empty": _either(_without(study.c.id, instance.c.study_id)),
    "series_empty": _either(_without(series.c.id, instance.c.series_id)),
    "rows_without_study": _either(
        *(_without(table.c.study_id, study.c.id) for table in (name_word, study_expiry, external_value, external_key))
    ),
    "tag_rows_without_owner": _either(
        *(select(number).distinct().where(_within(number), clause) for number, clause in ORPHANS)
    ),
    "tag_value_outdated": _either(
        select(query_tag_value.c.owner_id)
        .distinct()
        .where(_within(query_tag_value.c.owner_id), IS_OUTDATED, ~ORPHANS[0][1])
    ),
}
"""By name, what selects the numbers that break a rule: versions, or numbers of study and series rows."""

_CLOCK = select(change_feed_clock.c.last).where(change_feed_clock.c.id == 1).scalar_subquery()
_PARTITIONS = select(partition.c.id, partition.c.name, partition.c.folded_name)
_AHEAD = select(change_feed.c.sequence).where(or_(_CLOCK.is_(None), change_feed.c.timestamp > _CLOCK)).limit(1)
FEED_RULES = ("entry_missing", "entry_twice", "entry_without_begin", "entry_of_delete", "entry_without_end")
"""What `broken_feed` finds."""

_LAST = [
    select(func.max(column))
    for column in (
        instance.c.version,
        instance_metadata.c.version,
        document_entry.c.version,
        frame_page.c.version,
        reservation.c.version,
        deleted_instance.c.version,
        study.c.id,
        series.c.id,
        change_feed.c.version,
    )
]
_KNOWN = [
    (instance.c.version, instance.c.length_bytes),
    *((table.c.version, cast(null(), BigInteger).label("length_bytes")) for table in (reservation, deleted_instance)),
]
_UIDS = ("partition_id", "study_uid", "series_uid", "sop_uid")
_KEYS = select(instance.c.version, *(instance.c[name] for name in _UIDS)).where(
    instance.c.version.in_(bindparam("versions", expanding=True))
)

_STATED = (
    select(instance.c.version, instance.c.sop_class_uid, instance.c.instance_number, instance.c.attributes)
    .where(instance.c.version > bindparam("after"))
    .order_by(instance.c.version)
    .limit(bindparam("limit"))
)

_IS_DELETE = change_feed.c.action == ChangeAction.DELETE.value
_BY_VERSION = (
    select(
        change_feed.c.version,
        func.max(case((_IS_DELETE, None), else_=change_feed.c.sequence)).label("begun"),
        func.sum(case((_IS_DELETE, 0), else_=1)).label("begins"),
        func.max(case((_IS_DELETE, change_feed.c.sequence))).label("deleted"),
        func.sum(case((_IS_DELETE, 1), else_=0)).label("deletes"),
    )
    .where(_within(change_feed.c.version))
    .group_by(change_feed.c.version)
    .subquery()
)
# All but the many versions that begin and are published, or begin and then are deleted.
_ENTRIES = (
    select(_BY_VERSION, instance.c.version.label("published"))
    .select_from(_BY_VERSION.outerjoin(instance, instance.c.version == _BY_VERSION.c.version))
    .where(
        or_(
            _BY_VERSION.c.begins != 1,
            _BY_VERSION.c.deletes != case((instance.c.version.is_(None), 1), else_=0),
            _BY_VERSION.c.deleted < _BY_VERSION.c.begun,
        )
    )
    .order_by(_BY_VERSION.c.version)
)
_WITHOUT_ENTRY = (
    select(instance.c.version)
    .where(
        _within(instance.c.version),
        ~select(change_feed.c.version).where(change_feed.c.version == instance.c.version).exists(),
    )
    .order_by(instance.c.version)
)
_BEGIN_OF = select(change_feed.c.sequence, change_feed.c.version, *(change_feed.c[name] for name in _UIDS)).where(
    change_feed.c.version.in_(bindparam("versions", expanding=True)), ~_IS_DELETE
)
_LAST_OF = (
    select(func.max(change_feed.c.sequence), *(change_feed.c[name] for name in _UIDS))
    .where(change_feed.c.sequence >= bindparam("from"), change_feed.c.sop_uid.in_(bindparam("sop", expanding=True)))
    .group_by(*(change_feed.c[name] for name in _UIDS))
)
