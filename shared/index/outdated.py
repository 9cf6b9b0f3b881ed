"""Rows of studies and series some of whose values may be of an instance that is gone.

A delete or a replacement marks them in its own transaction. What the instances that are left say is read afterwards, as
it may lie in blobs (`services/renewal.py`); a mark goes with the transaction that brings its row up to date.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Select, and_, bindparam, delete, func, insert, literal, select
from sqlalchemy.engine import Connection

from shared.index import studies, tag_values
from shared.index.change_feed import settle
from shared.index.failures import Overtaken
from shared.index.garbage import chunks
from shared.index.query_tags import read_list
from shared.index.studies import Known, Parent
from shared.index.tables import instance, outdated_row, series, study
from shared.index.tag_values import Place
from shared.model import InstanceKey, Level, QueryTag, TagList, TagValue

Owner: TypeAlias = tuple[Level, int]
"""A study or series, by the number of its row."""

_KEYS = {Level.STUDY: study.c.id, Level.SERIES: series.c.id}
_MEMBERS = {Level.STUDY: instance.c.study_id, Level.SERIES: instance.c.series_id}
_UIDS = {Level.STUDY: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A row as it was found: what it has values of, and which instances it has.

    Parameters
    ----------
    state
        Highest version, number and sum of versions of its instances: whatever happens to one of them changes it.
    values, attributes, valued
        What it has: of searched attributes by keyword, of shown ones by tag, and numbers of extended query tags.
    tags
        The extended query tags of its level.
    """

    key: InstanceKey
    state: tuple[int, int, int]
    values: Mapping[str, str | float]
    attributes: Mapping[str, Any]
    valued: frozenset[int]
    tags: tuple[QueryTag, ...]
    tag_revision: int


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest values that the instances of a row have: by keyword, by tag, and by extended query tag."""

    values: Mapping[str, str | float]
    attributes: Mapping[str, Any]
    tags: Mapping[int, tuple[int, TagValue]]
    """With the version that each is of."""
    is_of_all: bool = True
    """Whether the metadata of all instances that were asked for were there."""


def mark(connection: Connection, owners: Iterable[Owner]) -> None:
    """Note studies and series, those of them that are still there; the caller has its turn (`tag_values.py`)."""
    wanted = set(owners)
    for level, statement in _MARK.items():
        for numbers in chunks(sorted(number for one, number in wanted if one is level)):
            connection.execute(statement, {"numbers": numbers})


def find(connection: Connection, *, limit: int) -> list[Owner]:
    """Return at most *limit* rows that are marked."""
    return [(Level(level), number) for level, number in connection.execute(_FIND, {"limit": limit})]


def find_in(connection: Connection, partition: int, study_uids: Iterable[str]) -> list[Owner]:
    """Return the rows of some studies that are marked."""
    return [
        (Level(level), number)
        for uids in chunks(sorted(study_uids))
        for statement in _FIND_IN
        for level, number in connection.execute(statement, {"of": partition, "uids": uids})
    ]


def look(connection: Connection, owners: Iterable[Owner]) -> dict[Owner, Seen | None]:
    """Return what rows have; None for one that is gone, and with it then its mark."""
    listed = read_list(connection)
    looked: dict[tuple[int, str], Known] = {}
    # What is looked up of a series has its study beside it.
    ordered = sorted(set(owners), key=lambda owner: (owner[0] is Level.STUDY, owner[1]))
    return {owner: _seen(connection, owner, listed, looked) for owner in ordered}


def _seen(connection: Connection, owner: Owner, listed: TagList, looked: dict[tuple[int, str], Known]) -> Seen | None:
    row = connection.execute(_KEY[owner[0]], {"row": owner[1]}).first()
    state = _state(connection, owner)
    if row is None or not state[1]:
        return None
    partition, study_uid, series_uid = row
    key = InstanceKey(partition, study_uid, series_uid, "")
    known = None if series_uid else looked.get((partition, study_uid))
    known = looked[partition, study_uid] = known or studies.look_up(connection, partition, [key])
    parent = _parent(known, key)
    return Seen(
        key,
        state,
        parent.values,
        parent.attributes,
        frozenset(tag_values.valued(connection, *owner)),
        tuple(tag for tag in listed.tags if tag.level is owner[0]),
        listed.revision,
    )


def is_marked(connection: Connection, owner: Owner) -> bool:
    """Return whether a row waits to be brought up to date."""
    return connection.execute(_IS_MARKED, {"of": owner[0].value, "row": owner[1]}).first() is not None


def without_uid(values: Mapping[str, str | float], level: Level) -> dict[str, str | float]:
    """Return values as a row has them: the UID that names it is none of them."""
    return {keyword: value for keyword, value in values.items() if keyword != _UIDS[level]}


def rows_after(connection: Connection, level: Level, number: int, limit: int) -> list[int]:
    """Return at most *limit* numbers of rows of a level above one, in order."""
    return list(connection.execute(_ROWS_AFTER[level], {"after": number, "limit": limit}).scalars())


def versions_below(connection: Connection, owner: Owner, version: int, limit: int) -> list[int]:
    """Return at most *limit* versions of a row's instances below one, the highest first."""
    return list(connection.execute(_BELOW[owner[0]], {"row": owner[1], "below": version, "limit": limit}).scalars())


def forget(connection: Connection, owner: Owner) -> None:
    """Take a mark away."""
    connection.execute(_FORGET, {"of": owner[0].value, "row": owner[1]})


def renew(connection: Connection, found: Sequence[tuple[Owner, Seen, Newest]], now: datetime) -> list[Owner]:
    """Give rows the newest values and take their marks away; return those that are not as they were *seen* any more.

    Raises
    ------
    Overtaken
        One changed in this very moment.
    """
    changed = {owner for owner, seen, newest in found if not _says(seen, newest, owner[0])}
    late = []
    revision = read_list(connection).revision if changed else 0
    for owner, seen, newest in found:
        if owner in changed and not _is_as(connection, owner, seen, revision):
            late.append(owner)
        elif owner in changed:
            _save(connection, owner, seen.key, newest)
    settle(connection, now)  # asks for the turn
    revision = read_list(connection).revision
    for owner, seen, newest in found:
        if owner in late:
            continue
        if not _is_as(connection, owner, seen, revision):
            if owner in changed:
                raise Overtaken("Another request changed the same study first.")
            late.append(owner)
            continue
        if owner in changed:
            level, number = owner
            values = [
                (Place(version, seen.key.partition, number, number), [value]) for version, value in newest.tags.values()
            ]
            tag_values.renew(connection, level, number, values)
        forget(connection, owner)
    return late


def _says(seen: Seen, newest: Newest, level: Level) -> bool:
    """Return whether a row says the newest values already, and there are none of extended query tags."""
    is_same = (without_uid(newest.values, level), newest.attributes) == (seen.values, seen.attributes)
    return is_same and not seen.valued and not newest.tags


def _save(connection: Connection, owner: Owner, key: InstanceKey, newest: Newest) -> None:
    known = studies.look_up(connection, key.partition, [key])
    values = without_uid(newest.values, owner[0])
    row = replace(_parent(known, key), values=values, attributes=newest.attributes)
    after = (
        replace(known, studies={key.study: row})
        if owner[0] is Level.STUDY
        else replace(known, series={(key.study, key.series): row})
    )
    studies.save(connection, known, after, key.partition)


def _is_as(connection: Connection, owner: Owner, seen: Seen, revision: int) -> bool:
    return _state(connection, owner) == seen.state and revision == seen.tag_revision


def _state(connection: Connection, owner: Owner) -> tuple[int, int, int]:
    highest, count, total = connection.execute(_STATE[owner[0]], {"row": owner[1]}).one()
    return highest or 0, count, total or 0


def _parent(known: Known, key: InstanceKey) -> Parent:
    return known.series[key.study, key.series] if key.series else known.studies[key.study]


def _marking(level: Level) -> Any:
    key = _KEYS[level]
    is_marked = (
        select(outdated_row.c.owner_id)
        .where(outdated_row.c.level == level.value, outdated_row.c.owner_id == key)
        .exists()
    )
    chosen = select(literal(level.value), key).where(key.in_(bindparam("numbers", expanding=True)), ~is_marked)
    return insert(outdated_row).from_select(["level", "owner_id"], chosen)


def _marked_in(level: Level) -> Select[Any]:
    chosen = select(outdated_row.c.level, outdated_row.c.owner_id).select_from(study)
    if level is Level.SERIES:
        chosen = chosen.join(series, series.c.study_id == study.c.id)
    is_marked = and_(outdated_row.c.level == level.value, outdated_row.c.owner_id == _KEYS[level])
    return chosen.join(outdated_row, is_marked).where(
        study.c.partition_id == bindparam("of"), study.c.study_uid.in_(bindparam("uids", expanding=True))
    )


_MARK = {level: _marking(level) for level in _KEYS}
_FIND = (
    select(outdated_row.c.level, outdated_row.c.owner_id)
    .order_by(outdated_row.c.level, outdated_row.c.owner_id)
    .limit(bindparam("limit"))
)
_FIND_IN = [_marked_in(level) for level in _KEYS]
_KEY: dict[Level, Select[Any]] = {
    Level.STUDY: select(study.c.partition_id, study.c.study_uid, literal("")).where(study.c.id == bindparam("row")),
    Level.SERIES: select(study.c.partition_id, study.c.study_uid, series.c.series_uid)
    .join(series, series.c.study_id == study.c.id)
    .where(series.c.id == bindparam("row")),
}
_STATE = {
    level: select(func.max(instance.c.version), func.count(), func.sum(instance.c.version)).where(
        member == bindparam("row")
    )
    for level, member in _MEMBERS.items()
}
_BELOW = {
    level: select(instance.c.version)
    .where(member == bindparam("row"), instance.c.version < bindparam("below"))
    .order_by(instance.c.version.desc())
    .limit(bindparam("limit"))
    for level, member in _MEMBERS.items()
}
_IS_MARKED = select(outdated_row.c.level).where(
    outdated_row.c.level == bindparam("of"), outdated_row.c.owner_id == bindparam("row")
)
_ROWS_AFTER = {
    level: select(key).where(key > bindparam("after")).order_by(key).limit(bindparam("limit"))
    for level, key in _KEYS.items()
}
_FORGET = delete(outdated_row).where(
    outdated_row.c.level == bindparam("of"), outdated_row.c.owner_id == bindparam("row")
)
