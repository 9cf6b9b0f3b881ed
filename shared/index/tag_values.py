"""Values of extended query tags: written when an instance is published or indexed later, and gone with it.

Whoever writes or removes any holds the row of `change_feed_clock` until its commit: publishing and deleting because
they append to the change feed, indexing what was stored before because it asks for its turn. So they come one after
another, on every engine, and each sees all that the ones before it did. Three things follow.

- No instance is missed. A tag is added in a transaction that counts `tag_revision` up in that row. A Store that had its
  turn before is published, and found by the operation that the tag begins with. A Store that has its turn later gets
  the new revision with its turn: where that is not the one its values were read by, they are read again, from its
  metadata, by the list as it is now. What a process remembers of the list decides nothing.
- None is indexed twice: a value's key is its tag and the study, series or instance that has it, and of two instances of
  a study the value of the higher version stays, whichever comes first. So a step that is done again changes nothing.
- Nothing is left of what is deleted: values go after the turn has come, when nobody who still saw the instance can
  write any more; who indexes looks for its instances only then.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, insert, or_, select, update

from shared.dicom.query_tags import read_tags
from shared.dicom.values import NUMBERS, words
from shared.index.change_feed import settle
from shared.index.garbage import chunks
from shared.index.query_tags import read_list
from shared.index.tables import (
    instance,
    outdated_row,
    query_tag,
    query_tag_error,
    query_tag_value,
    query_tag_word,
    series,
    study,
)
from shared.model import Level, NewInstance, TagStatus, TagValue


@dataclass(frozen=True, slots=True)
class Place:
    """A published instance by its version, with the rows that it belongs to."""

    version: int
    partition: int
    study: int
    series: int

    def owner(self, level: Level) -> int:
        """Return the number of the row to which a value of *level* belongs."""
        return {Level.STUDY: self.study, Level.SERIES: self.series, Level.INSTANCE: self.version}[level]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a stored instance: values, and by the number of a tag why there is none."""

    values: tuple[TagValue, ...]
    problems: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Row:
    """A value that is to be kept."""

    partition: int
    version: int
    value: TagValue

    @property
    def cells(self) -> dict[str, str | float | None]:
        is_number = self.value.vr in NUMBERS
        return {"text": None, "number": None} | {"number" if is_number else "text": self.value.value}


def keep_published(connection: Connection, revision: int, published: Sequence[tuple[NewInstance, Place]]) -> None:
    """Keep the values of instances that are being published, by the list of tags of *revision*, the current one."""
    found: list[tuple[Place, Sequence[TagValue]]]
    found = [(place, _written(one)) for one, place in published if one.tag_revision == revision]
    others = [(one, place) for one, place in published if one.tag_revision != revision]
    if others:
        tags = read_list(connection).tags
        found += [(place, read_tags(orjson.loads(zlib.decompress(one.metadata)), tags)[0]) for one, place in others]
    _keep(connection, found)


def keep_stored(connection: Connection, operation: str, readings: Mapping[int, Reading], now: datetime) -> None:
    """Keep what was read of stored instances, by version, for those tags that *operation* still adds.

    Instances that are gone are passed over. A tag's first error disables it.
    """
    settle(connection, now)  # asks for the turn
    asked = {"operation": operation, "status": TagStatus.ADDING.value}
    tags = set(connection.execute(_TAGS_OF, asked).scalars())
    places = [
        Place(*row) for chunk in chunks(sorted(readings)) for row in connection.execute(_PLACES, {"versions": chunk})
    ]
    _keep(connection, [(p, [one for one in readings[p.version].values if one.tag in tags]) for p in places])
    problems = {
        (tag, place.version): message
        for place in places
        for tag, message in readings[place.version].problems.items()
        if tag in tags
    }
    if problems:
        _keep_errors(connection, problems, now)


def owners_of(connection: Connection, owners: Sequence[int], versions: Sequence[int]) -> set[tuple[Level, int]]:
    """Return those studies and series of *owners* that have a value of one of some versions, by level and number."""
    return {
        (Level(level), owner)
        for some in chunks(owners)
        for few in chunks(versions)
        for level, owner in connection.execute(_OWNERS_OF, {"owners": some, "versions": few})
    }


def valued(connection: Connection, level: Level, owner: int) -> set[int]:
    """Return the tags of a *level* of which a study or series has a value."""
    return set(connection.execute(_VALUED, {"level": level.value, "owner": owner}).scalars())


def renew(connection: Connection, level: Level, owner: int, found: Iterable[tuple[Place, Iterable[TagValue]]]) -> None:
    """Remove the values of a study or series whose instance is gone, and keep those *found* of its instances.

    The caller has its turn.
    """
    for statement in _REMOVE_GONE:
        connection.execute(statement, {"level": level.value, "owner": owner})
    _keep(connection, found)


def extent(connection: Connection) -> tuple[int, int]:
    """Return the highest version of all published instances, and how many these are."""
    highest, count = connection.execute(_EXTENT).one()
    return highest or 0, count


def versions_below(connection: Connection, version: int, limit: int) -> list[int]:
    """Return at most *limit* published versions below one, the highest first."""
    return list(connection.execute(_BELOW, {"version": version, "limit": limit}).scalars())


def forget(connection: Connection, versions: Sequence[int], studies: Sequence[int], series_ids: Sequence[int]) -> None:
    """Remove what is kept of instances that are gone, and of those of the studies and series that went with them."""
    for chunk in chunks(versions):
        connection.execute(_FORGET_ERRORS, {"versions": chunk})
    gone = {Level.INSTANCE: versions, Level.SERIES: series_ids, Level.STUDY: studies}
    for level, owners in gone.items():
        for chunk in chunks(owners):
            for statement in _FORGET[level]:
                connection.execute(statement, {"owners": chunk})


def _written(one: NewInstance) -> list[TagValue]:
    values = orjson.loads(one.tag_values) if one.tag_values else ()
    return [TagValue(tag, Level(level), vr, value) for tag, level, vr, value in values]


def _keep(connection: Connection, found: Iterable[tuple[Place, Iterable[TagValue]]]) -> None:
    """Keep values, of each study, series or instance that of the highest version."""
    rows: dict[tuple[int, int], _Row] = {}
    for place, values in found:
        for value in values:
            key = (value.tag, place.owner(value.level))
            if key not in rows or rows[key].version < place.version:
                rows[key] = _Row(place.partition, place.version, value)
    if not rows:
        return
    stored = _stored(connection, rows)
    newer = {key: row for key, row in rows.items() if key not in stored or stored[key][0] < row.version}
    same = [key for key, row in newer.items() if key in stored and stored[key][1] == row.value.value]
    if same:
        connection.execute(_TOUCH, [{"tag": tag, "owner": at, "by": rows[tag, at].version} for tag, at in same])
    changed = {key: newer[key] for key in newer.keys() - same}
    replaced = [{"tag": tag, "owner": owner} for tag, owner in changed if (tag, owner) in stored]
    if replaced:
        for statement in _REPLACE:
            connection.execute(statement, replaced)
    _insert(connection, changed)


def _stored(connection: Connection, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, str | float]]:
    """Return version and value of what is kept already, and maybe more than was asked for."""
    tags, owners = (sorted(set(numbers)) for numbers in zip(*keys, strict=True))
    return {
        (row.tag_id, row.owner_id): (row.version, row.number if row.text is None else row.text)
        for chunk in chunks(owners)
        for row in connection.execute(_STORED, {"tags": tags, "owners": chunk})
    }


def _insert(connection: Connection, rows: Mapping[tuple[int, int], _Row]) -> None:
    if not rows:
        return
    values = [
        {"tag_id": tag, "owner_id": at, "partition_id": row.partition, "version": row.version, **row.cells}
        for (tag, at), row in rows.items()
    ]
    connection.execute(_INSERT, values)
    names = [
        {"tag_id": tag, "owner_id": at, "partition_id": row.partition, "position": position, "word": word}
        for (tag, at), row in rows.items()
        if row.value.vr == "PN"
        for position, word in words(str(row.value.value))
    ]
    if names:
        connection.execute(_INSERT_WORDS, names)


def _keep_errors(connection: Connection, problems: Mapping[tuple[int, int], str], now: datetime) -> None:
    tags, versions = (sorted(set(numbers)) for numbers in zip(*problems, strict=True))
    with_errors = set(connection.execute(_WITH_ERRORS, {"tags": tags}).scalars())
    known = {
        (tag, version)
        for chunk in chunks(versions)
        for tag, version in connection.execute(_KNOWN_ERRORS, {"versions": chunk})
    }
    rows = [
        {"tag_id": tag, "version": version, "created_at": now, "message": message[:_MESSAGE]}
        for (tag, version), message in problems.items()
        if (tag, version) not in known
    ]
    if rows:
        connection.execute(insert(query_tag_error), rows)
    first = [tag for tag in tags if tag not in with_errors]
    if first:
        connection.execute(_DISABLE, {"tags": first})


_MESSAGE = 200
_EXTENT = select(func.max(instance.c.version), func.count()).select_from(instance)
_BELOW = (
    select(instance.c.version)
    .where(instance.c.version < bindparam("version"))
    .order_by(instance.c.version.desc())
    .limit(bindparam("limit"))
)
_TAGS_OF = select(query_tag.c.id).where(
    query_tag.c.operation == bindparam("operation"), query_tag.c.status == bindparam("status")
)
_PLACES = select(instance.c.version, instance.c.partition_id, instance.c.study_id, instance.c.series_id).where(
    instance.c.version.in_(bindparam("versions", expanding=True))
)
_STORED = select(
    query_tag_value.c.tag_id,
    query_tag_value.c.owner_id,
    query_tag_value.c.version,
    query_tag_value.c.text,
    query_tag_value.c.number,
).where(
    query_tag_value.c.tag_id.in_(bindparam("tags", expanding=True)),
    query_tag_value.c.owner_id.in_(bindparam("owners", expanding=True)),
)
_TOUCH = (
    update(query_tag_value)
    .where(query_tag_value.c.tag_id == bindparam("tag"), query_tag_value.c.owner_id == bindparam("owner"))
    .values(version=bindparam("by"))
)
_REPLACE = [
    delete(table).where(table.c.tag_id == bindparam("tag"), table.c.owner_id == bindparam("owner"))
    for table in (query_tag_value, query_tag_word)
]
_INSERT = insert(query_tag_value)
_INSERT_WORDS = insert(query_tag_word)
_WITH_ERRORS = (
    select(query_tag_error.c.tag_id).where(query_tag_error.c.tag_id.in_(bindparam("tags", expanding=True))).distinct()
)
_KNOWN_ERRORS = select(query_tag_error.c.tag_id, query_tag_error.c.version).where(
    query_tag_error.c.version.in_(bindparam("versions", expanding=True))
)
_DISABLE = update(query_tag).where(query_tag.c.id.in_(bindparam("tags", expanding=True))).values(is_enabled=False)
_FORGET_ERRORS = delete(query_tag_error).where(query_tag_error.c.version.in_(bindparam("versions", expanding=True)))


def _gone(level: Level, owner: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the clause that there is no such row any more, for numbers of a *level*."""
    key = {Level.STUDY: study.c.id, Level.SERIES: series.c.id, Level.INSTANCE: instance.c.version}[level]
    return ~select(key).where(key == owner).exists()


def _forgetting(level: Level, table: Table) -> Any:
    of_level = select(query_tag.c.id).where(query_tag.c.level == level.value)
    owner = table.c.owner_id
    named = owner.in_(bindparam("owners", expanding=True))
    return delete(table).where(table.c.tag_id.in_(of_level), named, _gone(level, owner))


_FORGET = {level: [_forgetting(level, table) for table in (query_tag_value, query_tag_word)] for level in Level}
_OWNERS_OF = (
    select(query_tag.c.level, query_tag_value.c.owner_id)
    .join(query_tag_value, query_tag_value.c.tag_id == query_tag.c.id)
    .where(
        query_tag.c.level != Level.INSTANCE.value,
        query_tag_value.c.owner_id.in_(bindparam("owners", expanding=True)),
        query_tag_value.c.version.in_(bindparam("versions", expanding=True)),
    )
)
_OF_LEVEL = select(query_tag.c.id).where(query_tag.c.level == bindparam("level"))
_VALUED = select(query_tag_value.c.tag_id).where(
    query_tag_value.c.tag_id.in_(_OF_LEVEL), query_tag_value.c.owner_id == bindparam("owner")
)
_IS_GONE = ~select(instance.c.version).where(instance.c.version == query_tag_value.c.version).exists()
_REMOVE_GONE = [
    delete(query_tag_word).where(
        query_tag_word.c.owner_id == bindparam("owner"), query_tag_word.c.tag_id.in_(_VALUED.where(_IS_GONE))
    ),
    delete(query_tag_value).where(
        query_tag_value.c.tag_id.in_(_OF_LEVEL), query_tag_value.c.owner_id == bindparam("owner"), _IS_GONE
    ),
]


def _tag_is_gone(table: Table) -> ColumnElement[bool]:
    return ~select(query_tag.c.id).where(query_tag.c.id == table.c.tag_id).exists()


def _owner_is_gone(table: Table) -> ColumnElement[bool]:
    of = {level: select(query_tag.c.id).where(query_tag.c.level == level.value) for level in Level}
    gone = (and_(table.c.tag_id.in_(tags), _gone(level, table.c.owner_id)) for level, tags in of.items())
    return or_(_tag_is_gone(table), *gone)


_OF_INSTANCE = select(instance.c.version).where(instance.c.version == query_tag_error.c.version)
ORPHANS: Sequence[tuple[ColumnElement[int], ColumnElement[bool]]] = (
    (query_tag_value.c.owner_id, _owner_is_gone(query_tag_value)),
    (query_tag_word.c.owner_id, _owner_is_gone(query_tag_word)),
    (query_tag_error.c.version, or_(_tag_is_gone(query_tag_error), ~_OF_INSTANCE.exists())),
)
"""Of each table the numbers of owners, and the clause that their tag or they are gone: no row should be so."""

IS_OUTDATED = and_(
    _IS_GONE, ~select(outdated_row.c.level).where(outdated_row.c.owner_id == query_tag_value.c.owner_id).exists()
)
"""The clause that a value is of an instance that is gone, and that nobody is about to replace it."""
