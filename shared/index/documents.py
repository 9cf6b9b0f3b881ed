"""Series documents: which are written, in use or to be removed, and what waits for one.

A document is begun before its blob is written, used by one transaction, and given up by any that leaves it without
an entry. Those that read a row while it is in use find its blob until the row is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    select,
    true,
    update,
)

from shared.index.garbage import chunks
from shared.index.instances import STUDY_ID
from shared.index.tables import (
    change_feed,
    document_entry,
    instance,
    instance_metadata,
    partition,
    series,
    series_document,
)
from shared.model import ChangeAction, Scope

_RECENT = 1000
"""Entries of the change feed that are looked at for the highest version of a time: they are nearly in order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the metadata of a version begin to be found: a line, from 0, of a segment of a document."""

    version: int
    start: int
    length: int
    line: int


@dataclass(frozen=True, slots=True)
class Lines:
    """The part of a document that holds its instances: where it lies, compressed, and what it is inflated."""

    start: int
    end: int
    crc: int
    inflated: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document that holds what its series has, no more and no less."""

    number: int
    base: str
    length_bytes: int
    lines: Lines


@dataclass(frozen=True, slots=True)
class InUse:
    """A document that is, or is not, in use, for who compares rows and blobs."""

    number: int
    length_bytes: int
    is_used: bool


def begin(connection: Connection, series_id: int, base: str, now: datetime, due_at: datetime) -> int:
    """Return the number of a new document, which names its blob; given up at *due_at* unless it is used by then."""
    row = {
        "series_id": series_id,
        "base": base,
        **dict.fromkeys(("instances", "length_bytes", "lines_start", "lines_end", "lines_crc", "lines_inflated"), 0),
        "is_stale": False,
        "created_at": now,
        "due_at": due_at,
        "attempts": 0,
    }
    return int(connection.execute(_BEGIN, row).scalar_one())


def use(connection: Connection, document: Document, series_id: int, entries: Sequence[Entry], due_at: datetime) -> bool:
    """Let readers find the metadata of *entries* in a document whose blob is durable, and nowhere else.

    Of what it was made from some may be gone: then it is stale from the beginning. Documents of the series that
    nothing is found in any more are due at *due_at*. Returns whether it could be used: not, if it came too late.
    """
    published: set[int] = set()
    for chunk in chunks([entry.version for entry in entries]):
        published.update(connection.execute(_PUBLISHED, {"versions": chunk}).scalars())
    kept = [entry for entry in entries if entry.version in published]
    claimed = {
        "number": document.number,
        "length_bytes": document.length_bytes,
        "lines_start": document.lines.start,
        "lines_end": document.lines.end,
        "lines_crc": document.lines.crc,
        "lines_inflated": document.lines.inflated,
        "instances": len(entries),
        "is_stale": len(kept) < len(entries),
    }
    if connection.execute(_USE, claimed).rowcount != 1:
        return False
    for some in chunks(kept):
        versions = {"versions": [entry.version for entry in some]}
        connection.execute(_FORGET_ENTRIES, versions)
        connection.execute(_FORGET_METADATA, versions)
        connection.execute(_ADD_ENTRIES, [_row(document.number, entry) for entry in some])
    connection.execute(_MARK_OTHERS_STALE, {"of": series_id, "number": document.number})
    connection.execute(_GIVE_UP_OF_SERIES, {"of": series_id, "due": due_at})
    return True


def give_up_unused(connection: Connection, due_at: datetime) -> None:
    """Note documents of which everything was deleted or replaced: their blobs are due at *due_at*."""
    connection.execute(_GIVE_UP, {"due": due_at})


def whole_documents(connection: Connection, scope: Scope, *, limit: int) -> list[Document]:
    """Return the documents of a series, or of all of a study, that hold what the series have; [] when one has none.

    Nothing of a document that is not stale has been deleted, so it holds what its series has if their numbers agree.
    """
    asked = {"partition": scope.partition, "study": scope.study, "limit": limit + 1}
    statement = _OF_STUDY
    if scope.series is not None:
        asked["series"], statement = scope.series, _OF_SERIES
    rows = connection.execute(statement, asked).all()
    if len(rows) > limit or any(row.id is None for row in rows):
        return []
    return [Document(row.id, row.base, row.length_bytes, Lines(*row[3:7])) for row in rows]


def stale_series(connection: Connection, *, limit: int) -> list[int]:
    """Return the rows of series, some, whose document holds what was deleted or replaced."""
    return list(connection.execute(_STALE, {"limit": limit}).scalars())


def waiting_series(connection: Connection, newest: int, *, after: int, limit: int) -> tuple[list[int], int | None]:
    """Return the rows of series that have metadata outside of a document and no version above *newest*.

    Looks at *limit* versions above *after*, and returns the last of them, None when it was the last of all.
    """
    waiting = connection.execute(_WAITING, {"after": after, "newest": newest, "limit": limit}).all()
    quiet = [
        series_id
        for chunk in chunks(list(dict.fromkeys(series_id for _, series_id in waiting)))
        for series_id in connection.execute(_QUIET, {"ids": chunk, "newest": newest}).scalars()
    ]
    return quiet, waiting[-1].version if len(waiting) == limit else None


def newest_version(connection: Connection, before: datetime) -> int:
    """Return the highest version that was published up to *before*, 0 when none was."""
    return connection.execute(_NEWEST, {"before": before}).scalar() or 0


def partition_and_base(connection: Connection, series_id: int) -> tuple[str, str] | None:
    """Return the name of the partition of a series, by its row, and the base of its document, "" without one.

    None when the series is not there any more.
    """
    row = connection.execute(_PARTITION_AND_BASE, {"series_id": series_id}).first()
    return None if row is None else (row.name, row.base or "")


def take_due(connection: Connection, now: datetime, again_at: datetime, limit: int) -> list[int]:
    """Return documents whose blobs may go now, and count an attempt: nobody can use them any more.

    Those that are not forgotten are due once more at *again_at*.
    """
    numbers = list(connection.execute(_DUE, {"now": now, "limit": limit}).scalars())
    taken: list[int] = []
    for chunk in chunks(numbers):
        taken += connection.execute(_TAKE, {"numbers": chunk, "now": now, "again": again_at}).scalars()
    return sorted(taken)


def forget(connection: Connection, numbers: Sequence[int]) -> None:
    """Drop documents whose blobs are gone."""
    for chunk in chunks(numbers):
        connection.execute(_FORGET, {"numbers": chunk})


def known(connection: Connection, *, after: int, limit: int) -> list[InUse]:
    """Return at most *limit* documents whose number is above *after*, by number."""
    return [_in_use(row) for row in connection.execute(_KNOWN, {"after": after, "limit": limit})]


def known_of(connection: Connection, number: int) -> InUse | None:
    """Return what is known of one document; None when nothing is."""
    row = connection.execute(_KNOWN_ONE, {"number": number}).first()
    return None if row is None else _in_use(row)


def _in_use(row: Any) -> InUse:
    return InUse(row.id, row.length_bytes, row.due_at is None)


def _row(number: int, entry: Entry) -> dict[str, int]:
    return {
        "version": entry.version,
        "document_id": number,
        "segment_start": entry.start,
        "segment_bytes": entry.length,
        "line": entry.line,
    }


_IS_USED = series_document.c.due_at.is_(None)
_IS_EMPTY = ~select(document_entry.c.version).where(document_entry.c.document_id == series_document.c.id).exists()


def _whole(*within: ColumnElement[bool]) -> Select[Any]:
    """Select the document of each series, with nothing in its columns where it is not whole."""
    count = (
        select(func.count())
        .select_from(instance)
        .where(instance.c.series_id == series.c.id)
        .correlate(series)
        .scalar_subquery()
    )
    is_whole = and_(
        series_document.c.series_id == series.c.id,
        _IS_USED,
        series_document.c.is_stale == false(),
        series_document.c.instances == count,
    )
    return (
        select(
            series_document.c.id,
            series_document.c.base,
            series_document.c.length_bytes,
            series_document.c.lines_start,
            series_document.c.lines_end,
            series_document.c.lines_crc,
            series_document.c.lines_inflated,
        )
        .select_from(series.outerjoin(series_document, is_whole))
        .where(*within)
        .order_by(series.c.id)
        .limit(bindparam("limit"))
    )


_BEGIN = insert(series_document).returning(series_document.c.id)
# Locked, so that a delete on Azure SQL comes wholly before or wholly after: it must find the entries to mark as stale.
_PUBLISHED = (
    select(instance.c.version)
    .where(instance.c.version.in_(bindparam("versions", expanding=True)))
    .with_hint(instance, "WITH (UPDLOCK)", "mssql")
)
_USE = (
    update(series_document)
    .where(series_document.c.id == bindparam("number"), ~_IS_USED, series_document.c.attempts == 0)
    .values(
        {
            "due_at": None,
            **{
                name: bindparam(name)
                for name in (
                    "instances", "is_stale", "length_bytes", "lines_start", "lines_end", "lines_crc", "lines_inflated",
                )
            },
        }
    )
)  # fmt: skip
_FORGET_ENTRIES, _FORGET_METADATA = (
    delete(table).where(table.c.version.in_(bindparam("versions", expanding=True)))
    for table in (document_entry, instance_metadata)
)
_ADD_ENTRIES = insert(document_entry)
_MARK_OTHERS_STALE = (
    update(series_document)
    .where(series_document.c.series_id == bindparam("of"), series_document.c.id != bindparam("number"), _IS_USED)
    .values(is_stale=true())
)
_GIVE_UP = (
    update(series_document)
    .where(_IS_USED, series_document.c.is_stale == true(), _IS_EMPTY)
    .values(due_at=bindparam("due"))
)
_GIVE_UP_OF_SERIES = _GIVE_UP.where(series_document.c.series_id == bindparam("of"))
_OF_STUDY = _whole(series.c.study_id == STUDY_ID)
_OF_SERIES = _whole(series.c.study_id == STUDY_ID, series.c.series_uid == bindparam("series"))
_STALE = (
    select(series_document.c.series_id)
    .where(_IS_USED, series_document.c.is_stale == true())
    .group_by(series_document.c.series_id)
    .order_by(func.min(series_document.c.id))
    .limit(bindparam("limit"))
)
_WAITING = (
    select(instance_metadata.c.version, instance.c.series_id)
    .join(instance, instance.c.version == instance_metadata.c.version)
    .where(instance_metadata.c.version > bindparam("after"), instance_metadata.c.version <= bindparam("newest"))
    .order_by(instance_metadata.c.version)
    .limit(bindparam("limit"))
)
_QUIET = (
    select(instance.c.series_id)
    .where(instance.c.series_id.in_(bindparam("ids", expanding=True)))
    .group_by(instance.c.series_id)
    .having(func.max(instance.c.version) <= bindparam("newest"))
    .order_by(instance.c.series_id)
)
_PUBLISHED_LAST = (
    select(change_feed.c.version)
    .where(change_feed.c.action != ChangeAction.DELETE.value, change_feed.c.timestamp <= bindparam("before"))
    .order_by(change_feed.c.sequence.desc())
    .limit(_RECENT)  # not a parameter: for SQL Server SQLAlchemy would leave the order of a subquery out
    .subquery()
)
_NEWEST = select(func.max(_PUBLISHED_LAST.c.version))
_PARTITION_AND_BASE = (
    select(partition.c.name, series_document.c.base)
    .select_from(series)
    .join(partition, partition.c.id == series.c.partition_id)
    .outerjoin(series_document, and_(series_document.c.series_id == series.c.id, _IS_USED))
    .where(series.c.id == bindparam("series_id"))
    .order_by(series_document.c.id.desc())
    .limit(1)
)
_DUE = (
    select(series_document.c.id)
    .where(series_document.c.due_at <= bindparam("now"))
    .order_by(series_document.c.due_at, series_document.c.id)
    .limit(bindparam("limit"))
)
_TAKE = (
    update(series_document)
    .where(series_document.c.id.in_(bindparam("numbers", expanding=True)), series_document.c.due_at <= bindparam("now"))
    .values(due_at=bindparam("again"), attempts=series_document.c.attempts + 1)
    .returning(series_document.c.id)
)
_FORGET = delete(series_document).where(series_document.c.id.in_(bindparam("numbers", expanding=True)), ~_IS_USED)
_KNOWN_ALL = select(series_document.c.id, series_document.c.length_bytes, series_document.c.due_at)
_KNOWN = (
    _KNOWN_ALL.where(series_document.c.id > bindparam("after")).order_by(series_document.c.id).limit(bindparam("limit"))
)
_KNOWN_ONE = _KNOWN_ALL.where(series_document.c.id == bindparam("number"))
