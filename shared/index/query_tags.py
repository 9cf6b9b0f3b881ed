"""The list of extended query tags. Who changes it counts `tag_revision` up, before anything else.

What follows from that for values is said in `tag_values.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from shared.dicom.query_tags import MOST_TAGS
from shared.errors import Conflict, InvalidRequest, NotFound, OperationRunning
from shared.index.tables import (
    change_feed_clock,
    instance,
    partition,
    query_tag,
    query_tag_error,
    query_tag_value,
    query_tag_word,
)
from shared.model import Level, QueryTag, TagError, TagList, TagStatus

_INDEXED = (TagStatus.ADDING.value, TagStatus.READY.value)


def read_list(connection: Connection) -> TagList:
    """Return the tags whose values are indexed, and the revision of the list."""
    rows = connection.execute(_LIST, {"statuses": _INDEXED}).all()
    return TagList(rows[0].tag_revision, tuple(_tag(row) for row in rows if row.id is not None))


def find(connection: Connection, path: str) -> QueryTag:
    """Return a tag or raise `NotFound`."""
    row = connection.execute(_FIND, {"path": path}).first()
    if row is None:
        raise NotFound("There is no extended query tag of this path.")
    return _tag(row)


def find_page(connection: Connection, *, limit: int, offset: int) -> list[QueryTag]:
    """Return at most *limit* tags, the first added first."""
    return [_tag(row) for row in connection.execute(_PAGE, {"limit": limit, "offset": offset})]


def find_paths(connection: Connection, paths: Sequence[str]) -> dict[str, QueryTag]:
    """Return those of some tags that there are, by path."""
    return {row.path: _tag(row) for row in connection.execute(_PATHS, {"paths": paths})}


def find_searched(connection: Connection, paths: Sequence[str]) -> dict[str, QueryTag]:
    """Do as `find_paths`, and say of each whether it has errors."""
    return {
        path: replace(tag, has_errors=connection.execute(_HAS_ERRORS, {"row": tag.number}).first() is not None)
        for path, tag in find_paths(connection, paths).items()
    }


def find_of(connection: Connection, operation: str) -> list[QueryTag]:
    """Return the tags that an operation is adding."""
    asked = {"operation": operation, "statuses": [TagStatus.ADDING.value]}
    return [_tag(row) for row in connection.execute(_OF_OPERATION, asked)]


def find_operations(connection: Connection) -> dict[str, list[str]]:
    """Return the operations that add tags, with the paths of these."""
    found: dict[str, list[str]] = {}
    for operation, path in connection.execute(_OPERATIONS):
        found.setdefault(operation, []).append(path)
    return found


def add(connection: Connection, tags: Sequence[QueryTag], operation: str) -> None:
    """Add tags, which *operation* will index what is stored for.

    Raises
    ------
    OperationRunning
        Another operation has not finished doing that.
    Conflict
        There is a tag of one of these paths.
    InvalidRequest
        There would be too many.
    """
    _change(connection)
    running = connection.execute(_OPERATIONS).first()
    if running is not None:
        raise OperationRunning("Tags are being added; only one such operation runs at a time.", running.operation)
    known = find_paths(connection, [tag.path for tag in tags])
    if known:
        raise Conflict(f"There is an extended query tag of this path already: {', '.join(sorted(known))}")
    count = connection.execute(_COUNT).scalar_one() + len(tags)
    if count > MOST_TAGS:
        raise InvalidRequest(f"There would be {count} extended query tags; {MOST_TAGS} are the most.")
    rows = [
        {
            "path": tag.path,
            "creator": tag.creator,
            "vr": tag.vr,
            "level": tag.level.value,
            "status": TagStatus.ADDING.value,
            "is_enabled": True,
            "operation": operation,
        }
        for tag in tags
    ]
    connection.execute(insert(query_tag), rows)


def set_enabled(connection: Connection, path: str, *, is_enabled: bool) -> QueryTag:
    """Let a tag be searched or not, and return it; raise `NotFound` where there is none."""
    connection.execute(_SET_ENABLED, {"of": path, "to": is_enabled})
    return find(connection, path)


def finish(connection: Connection, operation: str, *, is_done: bool) -> None:
    """End the adding of an operation's tags: they are ready, or for ever incomplete where it is not done."""
    status = TagStatus.READY if is_done else TagStatus.ADDING
    connection.execute(_FINISH, {"of": operation, "from": TagStatus.ADDING.value, "to": status.value})


def begin_delete(connection: Connection, path: str) -> int:
    """Let no value of a tag be written any more and return its number; raise `NotFound` where there is none."""
    _change(connection)
    tag = find(connection, path)
    connection.execute(_BEGIN_DELETE, {"row": tag.number, "to": TagStatus.DELETING.value})
    return tag.number


def find_deleting(connection: Connection) -> list[int]:
    """Return the numbers of tags whose removal was begun."""
    return list(connection.execute(_DELETING, {"status": TagStatus.DELETING.value}).scalars())


def find_incomplete(connection: Connection) -> list[int]:
    """Return the numbers of tags that nobody adds any more, and that are not ready."""
    return list(connection.execute(_INCOMPLETE, {"status": TagStatus.ADDING.value}).scalars())


def delete_some(connection: Connection, number: int, limit: int) -> bool:
    """Remove some of what is kept of a tag, in the end itself; return whether there is more to do."""
    for statement in _delete_some(limit):
        if connection.execute(statement, {"row": number}).rowcount:
            return True
    connection.execute(_DELETE, {"row": number})
    return False


def count_errors(connection: Connection, numbers: Sequence[int], within: frozenset[str] | None) -> dict[int, int]:
    """Return by tag how many errors there are in partitions, by names in lower case; None: in all."""
    statement = select(query_tag_error.c.tag_id, func.count()).select_from(_ERRORS_WITH_PLACE)
    statement = statement.where(query_tag_error.c.tag_id.in_(numbers), *_in(within)).group_by(query_tag_error.c.tag_id)
    return {number: count for number, count in connection.execute(statement)}  # noqa: C416 - as rows are no pairs


def find_errors(
    connection: Connection, number: int, within: frozenset[str] | None, *, limit: int, offset: int
) -> list[TagError]:
    """Return at most *limit* errors of a tag, the oldest first; *within* as for `count_errors`."""
    statement = _ERRORS.where(query_tag_error.c.tag_id == number, *_in(within)).limit(limit).offset(offset)
    return [TagError(*row) for row in connection.execute(statement)]


def _change(connection: Connection) -> None:
    connection.execute(_COUNT_UP)


def _in(within: frozenset[str] | None) -> list[ColumnElement[bool]]:
    return [] if within is None else [partition.c.folded_name.in_(sorted(within))]


def _tag(row: Row[Any]) -> QueryTag:
    return QueryTag(
        row.path,
        row.vr,
        Level(row.level),
        row.creator,
        row.id,
        TagStatus(row.status),
        row.is_enabled,
        row.operation,
    )


_TAGS: Select[Any] = select(query_tag)
_LIST = (
    select(change_feed_clock.c.tag_revision, query_tag)
    .select_from(change_feed_clock)
    .outerjoin(query_tag, query_tag.c.status.in_(bindparam("statuses", expanding=True)))
    .where(change_feed_clock.c.id == 1)
)
_FIND = _TAGS.where(query_tag.c.path == bindparam("path"))
_PAGE = _TAGS.order_by(query_tag.c.id).limit(bindparam("limit")).offset(bindparam("offset"))
_PATHS = _TAGS.where(query_tag.c.path.in_(bindparam("paths", expanding=True)))
_OF_OPERATION = _TAGS.where(
    query_tag.c.operation == bindparam("operation"), query_tag.c.status.in_(bindparam("statuses", expanding=True))
)
_OPERATIONS = (
    select(query_tag.c.operation, query_tag.c.path).where(query_tag.c.operation.is_not(None)).order_by(query_tag.c.id)
)
_COUNT = select(func.count()).select_from(query_tag)
_SET_ENABLED = update(query_tag).where(query_tag.c.path == bindparam("of")).values(is_enabled=bindparam("to"))
_FINISH = (
    update(query_tag)
    .where(query_tag.c.operation == bindparam("of"), query_tag.c.status == bindparam("from"))
    .values(operation=None, status=bindparam("to"))
)
_BEGIN_DELETE = (
    update(query_tag).where(query_tag.c.id == bindparam("row")).values(status=bindparam("to"), operation=None)
)
_DELETING = select(query_tag.c.id).where(query_tag.c.status == bindparam("status")).order_by(query_tag.c.id)
_INCOMPLETE = select(query_tag.c.id).where(query_tag.c.status == bindparam("status"), query_tag.c.operation.is_(None))
_COUNT_UP = (
    update(change_feed_clock)
    .where(change_feed_clock.c.id == 1)
    .values(tag_revision=change_feed_clock.c.tag_revision + 1)
)
_DELETE = delete(query_tag).where(query_tag.c.id == bindparam("row"))


_KEPT_OF_A_TAG = ((query_tag_value, "owner_id"), (query_tag_word, "owner_id"), (query_tag_error, "version"))


@cache
def _delete_some(limit: int) -> list[Delete]:
    """Return the statements, with *limit* in their text: SQLAlchemy would leave an order out beside a parameter."""
    return [_deleting(table, column, limit) for table, column in _KEPT_OF_A_TAG]


def _deleting(table: Table, column: str, limit: int) -> Delete:
    other = table.alias("page")
    page = select(other.c[column]).where(other.c.tag_id == bindparam("row")).order_by(other.c[column]).limit(limit)
    return delete(table).where(table.c.tag_id == bindparam("row"), table.c[column].in_(page))


_HAS_ERRORS = select(query_tag_error.c.version).where(query_tag_error.c.tag_id == bindparam("row")).limit(1)
_ERRORS_WITH_PLACE = query_tag_error.join(instance, instance.c.version == query_tag_error.c.version).join(
    partition, partition.c.id == instance.c.partition_id
)
_ERRORS: Select[Any] = (
    select(
        partition.c.name,
        instance.c.study_uid,
        instance.c.series_uid,
        instance.c.sop_uid,
        query_tag_error.c.created_at,
        query_tag_error.c.message,
    )
    .select_from(_ERRORS_WITH_PLACE)
    .order_by(query_tag_error.c.created_at, query_tag_error.c.version)
)
