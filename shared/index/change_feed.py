"""The change feed: one entry for every instance that was created, updated or deleted.

Entries are readable in the order of their sequence: an entry never appears behind one that was already readable. On
SQLite that is so by itself, as one transaction writes at a time. Elsewhere those that append wait for each other at
the row of `change_feed_clock`, until the commit; so appending comes last in a transaction.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)

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
    """Return the entries of a window of numbers or of time, with what has become of their instances."""
    seen = _keys(connection, window.partitions)
    entries = _ENTRIES.where(*_filters(window), *_of(change_feed, seen))
    asked: dict[str, object]
    if window.start is None or window.end is None:
        asked = {"after": window.offset, "last": min(window.offset + window.limit, _LAST_SEQUENCE)}
        statement = entries.where(_is_numbered(window, seen)).order_by(change_feed.c.sequence)
    else:
        asked = {"start": window.start, "end": window.end, "limit": window.limit, "offset": window.offset}
        within = (change_feed.c.timestamp >= bindparam("start"), change_feed.c.timestamp < bindparam("end"))
        ordered = entries.where(*within).order_by(change_feed.c.timestamp, change_feed.c.sequence)
        statement = ordered.limit(bindparam("limit")).offset(bindparam("offset"))
    return _numbered(connection, _read(connection, statement, asked), seen)


def read_after(connection: Connection, sequence: int, limit: int) -> list[FeedEntry]:
    """Return at most *limit* entries behind a sequence number, in order."""
    return _read(connection, _AFTER, {"after": sequence, "limit": limit})


def read_latest(connection: Connection, partitions: frozenset[str] | None) -> FeedEntry | None:
    """Return the newest entry, which has the highest number and the latest time; None where there is none.

    Of those in *partitions*, by their names in lower case; None: in all.
    """
    seen = _keys(connection, partitions)
    found = _numbered(connection, _read(connection, _LATEST.where(*_of(change_feed, seen)), {}), seen)
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
    return [column.in_(values) for column, values in chosen if values]


def _keys(connection: Connection, partitions: frozenset[str] | None) -> Sequence[int] | None:
    """Return the keys of partitions by their names in lower case; None: of all."""
    if partitions is None:
        return None
    return connection.execute(_KEYS, {"names": sorted(partitions)}).scalars().all()


def _of(feed: FromClause, seen: Sequence[int] | None) -> list[ColumnElement[bool]]:
    """Return the condition that entries of *feed* are of the partitions *seen*."""
    return [] if seen is None else [feed.c.partition_id.in_(seen)]


def _is_numbered(window: FeedWindow, seen: Sequence[int] | None) -> ColumnElement[bool]:
    """Return the condition that the number of an entry, for who sees the partitions *seen*, is within a window."""
    if seen is None:
        return and_(change_feed.c.sequence > bindparam("after"), change_feed.c.sequence <= bindparam("last"))
    page = select(_SEEN.c.sequence).where(*_of(_SEEN, seen)).order_by(_SEEN.c.sequence)
    return change_feed.c.sequence.in_(page.limit(window.limit).offset(window.offset))


def _numbered(connection: Connection, entries: list[FeedEntry], seen: Sequence[int] | None) -> list[FeedEntry]:
    """Return *entries* with the numbers, from 1, that they have among those of the partitions *seen*."""
    if seen is None or not entries:
        return entries
    numbers = Counter[int]()
    sequences = sorted(entry.sequence for entry in entries)
    for key in seen:
        more = connection.execute(_COUNT, {"partition": key, "sequences": sequences}).scalars()
        numbers.update(dict(zip(sequences, accumulate(more), strict=True)))
    return [replace(entry, number=numbers[entry.sequence]) for entry in entries]


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
_LAST = select(change_feed.c.sequence).order_by(change_feed.c.sequence.desc()).limit(1)
_LAST_BEFORE = (
    select(change_feed.c.sequence)
    .where(change_feed.c.timestamp < bindparam("moment"))
    .order_by(change_feed.c.timestamp.desc(), change_feed.c.sequence.desc())
    .limit(1)
)
_KEYS = select(partition.c.id).where(partition.c.folded_name.in_(bindparam("names", expanding=True)))
_PAGE = (
    select(
        change_feed.c.sequence,
        func.lag(change_feed.c.sequence, 1, 0).over(order_by=change_feed.c.sequence).label("before"),
    )
    .where(change_feed.c.sequence.in_(bindparam("sequences", expanding=True)))
    .subquery("page")
)
_SEEN = change_feed.alias("seen")
# One partition at a time: of several SQLite would read whole entries instead of the index.
_COUNT = (
    select(
        select(func.count())
        .where(
            _SEEN.c.partition_id == bindparam("partition"),
            _SEEN.c.sequence > _PAGE.c.before,
            _SEEN.c.sequence <= _PAGE.c.sequence,
        )
        .correlate(_PAGE)
        .scalar_subquery()
    )
    .select_from(_PAGE)
    .order_by(_PAGE.c.sequence)
)
"""Of each entry, how many there are in a partition from behind the one before it."""
_LIVE = (
    select(change_feed.c.sequence, instance.c.version.label("live"))
    .select_from(_WITH_INSTANCE)
    .where(change_feed.c.sequence.in_(bindparam("sequences", expanding=True)))
)
