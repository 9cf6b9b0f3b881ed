"""Rows of studies and series: of each attribute the newest non-empty value wins, by version."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from shared.dicom.attributes import REQUEST_ATTRIBUTES, REQUEST_KEYS, SEARCHABLE, tag_of
from shared.dicom.values import index_value, words
from shared.index.failures import Overtaken
from shared.index.garbage import chunks
from shared.index.tables import (
    external_key,
    external_value,
    instance,
    name_word,
    request_item,
    series,
    study,
    study_expiry,
)
from shared.model import InstanceKey, Level, NewInstance

_OWN_UID = {Level.STUDY: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID"}
_TABLES = {Level.STUDY: study, Level.SERIES: series}
_COLUMNS = {
    level: {a.keyword: a.column for a in SEARCHABLE.values() if a.level is level and a.keyword != uid}
    for level, uid in _OWN_UID.items()
}
"""Columns of values by keyword, without the UID that names the row."""

_MOST_REQUESTS = 100
"""Items of a series that are searched; a hostile file has thousands."""

_REQUESTS = tag_of(REQUEST_ATTRIBUTES)
_NAMES = {a.keyword: a.column for a in SEARCHABLE.values() if a.level is Level.STUDY and a.vr == "PN"}


@dataclass(frozen=True, slots=True)
class Parent:
    """A row of a study or series; `newest` is its newest version and `revision` None while it is not stored."""

    id: int
    newest: int
    revision: int | None
    values: Mapping[str, str | float]
    attributes: Mapping[str, Any]
    expires_at: datetime | None = None
    """Of a study; `terms.py` changes it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the index holds of the keys of a batch, all of one partition; of instances the version."""

    studies: dict[str, Parent]
    series: dict[tuple[str, str], Parent]
    instances: dict[InstanceKey, int]


def look_up(connection: Connection, partition_id: int, keys: Sequence[InstanceKey]) -> Known:
    """Return which of the instances, and of their series and studies, are stored."""
    known = Known({}, {}, {})
    if len(keys) == 1:
        key = keys[0]
        one = {"partition": partition_id, "study": key.study, "series": key.series, "sop": key.instance}
        _collect(known, partition_id, connection.execute(_LOOK_UP_ONE, one))
        return known
    for chunk in chunks(keys):
        many = {
            "partition": partition_id,
            "study": list({key.study for key in chunk}),
            "series": list({key.series for key in chunk}),
            "sop": list({key.instance for key in chunk}),
        }
        _collect(known, partition_id, connection.execute(_LOOK_UP_MANY, many))
    return known


def merge(connection: Connection, known: Known, instances: Sequence[NewInstance]) -> Known:
    """Bring the rows of the instances' studies and series up to date and return them.

    Rows that say nothing new are not written. An instance that is published after a newer one fills only what
    is still empty.

    Raises
    ------
    Overtaken
        When another transaction changed such a row at the same time.
    """
    studies, all_series = dict(known.studies), dict(known.series)
    for one in sorted(instances, key=lambda one: one.version):
        uid, pair = one.key.study, (one.key.study, one.key.series)
        studies[uid] = _merged(studies.get(uid), one, Level.STUDY)
        all_series[pair] = _merged(all_series.get(pair), one, Level.SERIES)
    merged = Known(studies, all_series, known.instances)
    save(connection, known, merged, instances[0].key.partition)
    return merged


def save(connection: Connection, before: Known, after: Known, partition_id: int) -> None:
    """Write those rows of *after* that say something else than *before*, with what is looked up beside them.

    Raises
    ------
    Overtaken
        As `merge`.
    """
    _save(
        connection,
        Level.STUDY,
        ((before.studies.get(uid), row, {"study_uid": uid}) for uid, row in after.studies.items()),
        partition_id,
    )
    _save_words(connection, before.studies, after.studies, partition_id)
    _save(
        connection,
        Level.SERIES,
        (
            (before.series.get(pair), row, {"series_uid": pair[1], "study_id": after.studies[pair[0]].id})
            for pair, row in after.series.items()
        ),
        partition_id,
    )
    _save_requests(connection, before.series, after.series, partition_id)


def in_doubt(known: Known, merged: Known, instances: Sequence[NewInstance]) -> set[tuple[Level, int]]:
    """Return the rows that may say something of an instance which *instances* replace, by level and number.

    A row is not in doubt when the newest instances are those that are stored and say all that it says. It is where one
    of them is published after a newer one and says something else: what the row says may be of one that is older still.
    """
    replacing = [one for one in instances if one.key in known.instances]
    rows = {(one.key.study, None) for one in replacing} | {(one.key.study, one.key.series) for one in replacing}
    found = set()
    for study_uid, series_uid in rows:
        level = Level.STUDY if series_uid is None else Level.SERIES
        uids = (study_uid, series_uid or "")
        row = merged.studies[study_uid] if series_uid is None else merged.series[uids]
        before = known.studies[study_uid] if series_uid is None else known.series[uids]
        of_row = [one for one in instances if one.key.study == study_uid and series_uid in {None, one.key.series}]
        said = {key for one in of_row for part in (one.values, one.attributes) for key in orjson.loads(part[level])}
        is_newest = before.newest < min(one.version for one in of_row)
        if not (is_newest and said.issuperset(row.values) and said.issuperset(row.attributes)):
            found.add((level, row.id))
    return found | {
        (level, row.id)
        for one in instances
        for level, row in (
            (Level.STUDY, known.studies.get(one.key.study)),
            (Level.SERIES, known.series.get((one.key.study, one.key.series))),
        )
        if row is not None and one.version < row.newest and _says_else(one, row, level)
    }


def _says_else(one: NewInstance, row: Parent, level: Level) -> bool:
    values, attributes = (orjson.loads(said[level]) for said in (one.values, one.attributes))
    values.pop(_OWN_UID[level], None)
    said = ((values, row.values), (attributes, row.attributes))
    return any(there.get(key, value) != value for here, there in said for key, value in here.items())


def remove_empty(connection: Connection, study_ids: Sequence[int], series_ids: Sequence[int]) -> None:
    """Remove those of the series and studies that have no instance left."""
    for chunk in chunks(series_ids):
        for statement in (_REMOVE_REQUESTS, _REMOVE_SERIES):
            connection.execute(statement, {"ids": chunk})
    for chunk in chunks(study_ids):
        for statement in (*_REMOVE_OF_STUDIES, _REMOVE_STUDIES):
            connection.execute(statement, {"ids": chunk})


def _look_up(*, many: bool) -> Select[Any]:
    def given(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
        return column.in_(bindparam(name, expanding=True)) if many else column == bindparam(name)

    return (
        select(
            *_selected(study, study.c.study_uid, Level.STUDY),
            study_expiry.c.expires_at,
            *_selected(series, series.c.series_uid, Level.SERIES),
            instance.c.sop_uid,
            instance.c.version,
        )
        .select_from(study)
        .outerjoin(study_expiry, study_expiry.c.study_id == study.c.id)
        .outerjoin(
            series,
            and_(
                series.c.partition_id == study.c.partition_id,
                given(series.c.series_uid, "series"),
                series.c.study_id == study.c.id,
            ),
        )
        .outerjoin(
            instance,
            and_(
                instance.c.partition_id == series.c.partition_id,
                given(instance.c.sop_uid, "sop"),
                instance.c.series_id == series.c.id,
            ),
        )
        .where(study.c.partition_id == bindparam("partition"), given(study.c.study_uid, "study"))
    )


def _selected(table: Table, uid: ColumnElement[str], level: Level) -> list[ColumnElement[Any]]:
    children = instance.alias()
    parent = children.c.study_id if level is Level.STUDY else children.c.series_id
    newest = select(func.max(children.c.version)).where(parent == table.c.id).scalar_subquery()
    columns = [uid, table.c.id, newest, table.c.revision, table.c.attributes]
    columns += [table.c[column] for column in _COLUMNS[level].values()]
    return [column.label(f"{table.name}_{number}") for number, column in enumerate(columns)]


def _collect(known: Known, partition_id: int, rows: Iterable[Sequence[Any]]) -> None:
    for row in rows:
        study_uid, series_uid, sop_uid, version = row[0], row[_SERIES_AT], row[-2], row[-1]
        if study_uid not in known.studies:
            stored = _parent(row[1 : _SERIES_AT - 1], Level.STUDY)
            known.studies[study_uid] = replace(stored, expires_at=row[_SERIES_AT - 1])
        if series_uid is None:
            continue
        if (study_uid, series_uid) not in known.series:
            known.series[study_uid, series_uid] = _parent(row[_SERIES_AT + 1 : -2], Level.SERIES)
        if sop_uid is not None:
            known.instances[InstanceKey(partition_id, study_uid, series_uid, sop_uid)] = version


def _parent(row: Sequence[Any], level: Level) -> Parent:
    number, newest, revision, attributes = row[:4]
    values = {key: value for key, value in zip(_COLUMNS[level], row[4:], strict=True) if value is not None}
    return Parent(number, newest or 0, revision, values, orjson.loads(attributes))


def _merged(row: Parent | None, one: NewInstance, level: Level) -> Parent:
    values = orjson.loads(one.values[level])
    values.pop(_OWN_UID[level], None)
    attributes = orjson.loads(one.attributes[level])
    if row is None:
        return Parent(one.version, one.version, None, values, attributes)
    if one.version < row.newest:
        return replace(row, values={**values, **row.values}, attributes={**attributes, **row.attributes})
    return replace(
        row, newest=one.version, values={**row.values, **values}, attributes={**row.attributes, **attributes}
    )


def _save(
    connection: Connection,
    level: Level,
    rows: Iterable[tuple[Parent | None, Parent, Mapping[str, str | int]]],
    partition_id: int,
) -> None:
    new = []
    for before, row, names in rows:
        if before is not None and before.values == row.values and before.attributes == row.attributes:
            continue
        cells = {column: row.values.get(key) for key, column in _COLUMNS[level].items()}
        text = orjson.dumps(row.attributes).decode()
        if row.revision is None:
            new.append(
                {"id": row.id, "partition_id": partition_id, "revision": 0, "attributes": text, **names, **cells}
            )
            continue
        changed = {"row": row.id, "read": row.revision, "revision": row.revision + 1, "attributes": text, **cells}
        if connection.execute(_UPDATE[level], changed).rowcount != 1:
            raise Overtaken("Another request changed the same study first; send the request again.")
    if new:
        connection.execute(_INSERT[level], new if len(new) > 1 else new[0])


def _save_words(
    connection: Connection, before: Mapping[str, Parent], after: Mapping[str, Parent], partition_id: int
) -> None:
    rows = []
    for uid, row in after.items():
        old = before[uid].values if uid in before else {}
        for keyword in _NAMES:
            name = row.values.get(keyword)
            if name == old.get(keyword):
                continue
            if uid in before:  # words may be there without a name, where something went wrong
                connection.execute(_REPLACE_WORDS, {"row": row.id, "name": keyword})
            if name is None:
                continue
            place = {"study_id": row.id, "keyword": keyword, "partition_id": partition_id}
            rows += [{**place, "position": position, "word": word} for position, word in words(str(name))]
    if rows:
        connection.execute(_INSERT_WORDS, rows)


def _save_requests(
    connection: Connection,
    before: Mapping[tuple[str, str], Parent],
    after: Mapping[tuple[str, str], Parent],
    partition_id: int,
) -> None:
    """Keep the items of the Request Attributes Sequence that a search of the series returns."""
    rows = []
    for uids, row in after.items():
        element = row.attributes.get(_REQUESTS)
        old = before[uids].attributes.get(_REQUESTS) if uids in before else None
        if element == old:
            continue
        if uids in before:
            connection.execute(_REPLACE_REQUESTS, {"row": row.id})
        for position, item in enumerate(element["Value"][:_MOST_REQUESTS] if element else ()):
            values = {one.column: index_value(item.get(tag), one.vr) for tag, one in REQUEST_KEYS.items()}
            rows.append({"series_id": row.id, "position": position, "partition_id": partition_id, **values})
    if rows:
        connection.execute(_INSERT_REQUESTS, rows)


_SERIES_AT = 6 + len(_COLUMNS[Level.STUDY])
_LOOK_UP_ONE = _look_up(many=False)
_LOOK_UP_MANY = _look_up(many=True)
_INSERT = {level: insert(table) for level, table in _TABLES.items()}
_UPDATE = {
    level: update(table)
    .where(table.c.id == bindparam("row"), table.c.revision == bindparam("read"))
    .values({name: bindparam(name) for name in ("revision", "attributes", *_COLUMNS[level].values())})
    for level, table in _TABLES.items()
}
_INSERT_WORDS = insert(name_word)
_REPLACE_WORDS = delete(name_word).where(
    name_word.c.study_id == bindparam("row"), name_word.c.keyword == bindparam("name")
)
_INSERT_REQUESTS = insert(request_item)
_REPLACE_REQUESTS = delete(request_item).where(request_item.c.series_id == bindparam("row"))
_REMOVE_REQUESTS = delete(request_item).where(
    request_item.c.series_id.in_(bindparam("ids", expanding=True)),
    ~select(instance.c.version).where(instance.c.series_id == request_item.c.series_id).exists(),
)
_REMOVE_SERIES = delete(series).where(
    series.c.id.in_(bindparam("ids", expanding=True)),
    ~select(instance.c.version).where(instance.c.series_id == series.c.id).exists(),
)
_REMOVE_OF_STUDIES = [
    delete(table).where(
        table.c.study_id.in_(bindparam("ids", expanding=True)),
        ~select(series.c.id).where(series.c.study_id == table.c.study_id).exists(),
    )
    for table in (name_word, study_expiry, external_value, external_key)
]
_REMOVE_STUDIES = delete(study).where(
    study.c.id.in_(bindparam("ids", expanding=True)),
    ~select(series.c.id).where(series.c.study_id == study.c.id).exists(),
)
