"""The change feed: one entry for every instance that was created, updated or deleted.

Entries are readable in the order of their sequence: an entry never appears behind one that was already readable. On
SQLite that is so by itself, as one transaction writes at a time. Elsewhere those that append wait for each other at
the row of `change_feed_clock`, until the commit; so appending comes last in a transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, insert, select, update

from shared.index.tables import change_feed, change_feed_clock, instance, partition
from shared.model import ChangeAction, FeedEntry, FeedWindow, InstanceKey

_APPEND = insert(change_feed)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one version of an instance; `modality` as it is indexed."""

    action: ChangeAction
    version: int
    key: InstanceKey
    sop_class: str
    modality: str | None


def append(connection: Connection, changes: Sequence[Change], now: datetime) -> int:
    """Add an entry for each change, in this order; they are readable when the caller's transaction commits.

    Their time is *now*, or that of the last entry where a clock is behind. Returns the revision of the list of extended
    query tags, which stays as it is until that commit; 0 where nothing changed, and where there never was a tag.
    """
    if not changes:
        return 0
    timestamp, tag_revision = _settle(connection, now)
    rows = [
        {
            "partition_id": change.key.partition,
            "study_uid": change.key.study,
            "series_uid": change.key.series,
            "sop_uid": change.key.instance,
            "version": change.version,
            "action": change.action.value,
            "timestamp": timestamp,
            "sop_class_uid": change.sop_class,
            # Code strings are upper case (PS3.5 §6.2), so folding lost nothing.
            "modality": change.modality and change.modality.upper(),
        }
        for change in changes
    ]
    connection.execute(_APPEND, rows if len(rows) > 1 else rows[0])
    return tag_revision


def settle(connection: Connection, until: datetime) -> datetime:
    """See to it that no later entry has a time before *until*; return the earliest that it can have."""
    return _settle(connection, until)[0]


def _settle(connection: Connection, until: datetime) -> tuple[datetime, int]:
    last, tag_revision = connection.execute(_SETTLE, {"until": until}).one()
    return last, tag_revision


def last_time(connection: Connection) -> datetime:
    """Return the time before which no further entry comes."""
    last: datetime = connection.execute(_LAST_TIME).scalar_one()
    return last


def read_window(connection: Connection, window: FeedWindow) -> list[FeedEntry]:
    """Return the entries of a window of sequence numbers or of time, with what has become of their instances."""
    chosen = _filters(window)
    if window.start is None or window.end is None:
        within = (change_feed.c.sequence > bindparam("after"), change_feed.c.sequence <= bindparam("last"))
        statement = _ENTRIES.where(*within, *chosen).order_by(change_feed.c.sequence)
        asked = {"after": window.offset, "last": min(window.offset + window.limit, _LAST_SEQUENCE)}
        return _read(connection, statement, asked)
    within = (change_feed.c.timestamp >= bindparam("start"), change_feed.c.timestamp < bindparam("end"))
    statement = (
        _ENTRIES.where(*within, *chosen)
        .order_by(change_feed.c.timestamp, change_feed.c.sequence)
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
    )
    asked_in_time = {"start": window.start, "end": window.end, "limit": window.limit, "offset": window.offset}
    return _read(connection, statement, asked_in_time)


def read_after(connection: Connection, sequence: int, limit: int) -> list[FeedEntry]:
    """Return at most *limit* entries behind a sequence number, in order."""
    return _read(connection, _AFTER, {"after": sequence, "limit": limit})


def read_latest(connection: Connection, partitions: frozenset[str] | None, *, by_time: bool) -> FeedEntry | None:
    """Return the entry with the latest time, or the highest sequence number; None where there is none.

    Of those in *partitions*, by their names in lower case; None: in all.
    """
    statement = (_LATEST_BY_TIME if by_time else _LATEST).where(*_of(partitions))
    found = _read(connection, statement, {})
    return found[0] if found else None


def last_sequence(connection: Connection) -> int:
    """Return the sequence number of the last entry, 0 where there is none."""
    return connection.execute(_LAST).scalar() or 0


def last_before(connection: Connection, moment: datetime) -> int:
    """Return the sequence number of the last entry that is older than *moment*, 0 where there is none."""
    return connection.execute(_LAST_BEFORE, {"moment": moment}).scalar() or 0


def live_versions(connection: Connection, sequences: Sequence[int]) -> dict[int, int | None]:
    """Return, for some hundred entries by their sequence, the version in which their instance lives; None: in none."""
    rows = connection.execute(_LIVE, {"sequences": sequences})
    return {row.sequence: row.live for row in rows}


def _read(connection: Connection, statement: Select[Any], asked: Mapping[str, object]) -> list[FeedEntry]:
    return [
        FeedEntry(
            row.sequence,
            InstanceKey(row.partition_id, row.study_uid, row.series_uid, row.sop_uid),
            row.partition_name,
            ChangeAction(row.action),
            row.timestamp,
            row.version,
            row.live,
            row.sop_class_uid,
            row.modality,
        )
        for row in connection.execute(statement, asked)
    ]


def _filters(window: FeedWindow) -> list[ColumnElement[bool]]:
    chosen = ((change_feed.c.sop_class_uid, window.sop_classes), (change_feed.c.modality, window.modalities))
    filters = [column.in_(values) for column, values in chosen if values]
    return filters + _of(window.partitions)


def _of(partitions: frozenset[str] | None) -> list[ColumnElement[bool]]:
    return [] if partitions is None else [partition.c.folded_name.in_(sorted(partitions))]


_LAST_SEQUENCE = 2**63 - 1
_SETTLE = (
    update(change_feed_clock)
    .where(change_feed_clock.c.id == 1)
    .values(
        last=case((change_feed_clock.c.last < bindparam("until"), bindparam("until")), else_=change_feed_clock.c.last)
    )
    .returning(change_feed_clock.c.last, change_feed_clock.c.tag_revision)
)
_LAST_TIME = select(change_feed_clock.c.last).where(change_feed_clock.c.id == 1)
_WITH_INSTANCE = change_feed.outerjoin(
    instance,
    and_(
        instance.c.partition_id == change_feed.c.partition_id,
        instance.c.sop_uid == change_feed.c.sop_uid,
        instance.c.series_uid == change_feed.c.series_uid,
        instance.c.study_uid == change_feed.c.study_uid,
    ),
)
_ENTRIES = select(
    change_feed.c.sequence,
    change_feed.c.partition_id,
    partition.c.name.label("partition_name"),
    change_feed.c.study_uid,
    change_feed.c.series_uid,
    change_feed.c.sop_uid,
    change_feed.c.version,
    change_feed.c.action,
    change_feed.c.timestamp,
    change_feed.c.sop_class_uid,
    change_feed.c.modality,
    instance.c.version.label("live"),
).select_from(_WITH_INSTANCE.join(partition, partition.c.id == change_feed.c.partition_id))
_AFTER = (
    _ENTRIES.where(change_feed.c.sequence > bindparam("after"))
    .order_by(change_feed.c.sequence)
    .limit(bindparam("limit"))
)
_LATEST = _ENTRIES.order_by(change_feed.c.sequence.desc()).limit(1)
_LATEST_BY_TIME = _ENTRIES.order_by(change_feed.c.timestamp.desc(), change_feed.c.sequence.desc()).limit(1)
_LAST = select(change_feed.c.sequence).order_by(change_feed.c.sequence.desc()).limit(1)
_LAST_BEFORE = (
    select(change_feed.c.sequence)
    .where(change_feed.c.timestamp < bindparam("moment"))
    .order_by(change_feed.c.timestamp.desc(), change_feed.c.sequence.desc())
    .limit(1)
)
_LIVE = (
    select(change_feed.c.sequence, instance.c.version.label("live"))
    .select_from(_WITH_INSTANCE)
    .where(change_feed.c.sequence.in_(bindparam("sequences", expanding=True)))
)
