"""Search: a `Query` becomes one SELECT, and its rows the matches (PS3.4 §C.2.2.2, PS3.18 §10.6)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, Table, func, select

from shared.dicom.attributes import SEARCHABLE, Attribute, tag_of
from shared.errors import InvalidRequest
from shared.index.matching import has_wildcards, match, match_any, match_words
from shared.index.tables import instance, series, study
from shared.model import Condition, Level, Match, Query, Scope

_TABLES: Mapping[Level, Table] = {Level.STUDY: study, Level.SERIES: series, Level.INSTANCE: instance}
_KEYS: Mapping[Level, ColumnElement[int]] = {
    Level.STUDY: study.c.id,
    Level.SERIES: series.c.id,
    Level.INSTANCE: instance.c.version,
}
_STUDY_IDS: Mapping[Level, ColumnElement[int]] = {
    Level.STUDY: study.c.id,
    Level.SERIES: series.c.study_id,
    Level.INSTANCE: instance.c.study_id,
}
_LEVELS = tuple(Level)
_MODALITIES = "ModalitiesInStudy"
_MODALITY = SEARCHABLE["Modality"]


@dataclass(frozen=True, slots=True)
class _Found:
    """A row of a page; `ids` are the numbers of its study and, below that, its series."""

    ids: Mapping[Level, int]
    scope: Scope
    version: int
    attributes: Mapping[Level, Mapping[str, Any]]


def search(connection: Connection, query: Query) -> tuple[list[Match], bool]:
    """Return a page of what matches, newest first, and whether more remains behind it.

    Studies and series stand in the order of their first version, instances in that of their own.

    Raises
    ------
    InvalidRequest
        When a value is not one of its attribute's VR, or the attribute is not one of the query's level.
    """
    rows = connection.execute(_statement(query)).all()
    found = list(_found(rows[: query.limit], query))
    computed = _compute(connection, found, query)
    return (
        [Match(row.scope, row.version, row.attributes, values) for row, values in zip(found, computed, strict=True)],
        len(rows) > query.limit,
    )


def _statement(query: Query) -> Select[Any]:
    """Compose the SELECT: the page's keys first, so that only its rows are read and sorted whole."""
    page = _page(query).subquery("page")
    key = _KEYS[query.level]
    source: FromClause = page.join(_TABLES[query.level], key == page.c.key)
    columns: list[ColumnElement[Any]] = [study.c.id, study.c.study_uid, study.c.attributes]
    if query.level is Level.STUDY:
        newest = select(func.max(instance.c.version)).where(instance.c.study_id == study.c.id)
        columns.append(newest.scalar_subquery())
    elif query.level is Level.SERIES:
        source = source.join(study, series.c.study_id == study.c.id)
        newest = select(func.max(instance.c.version)).where(instance.c.series_id == series.c.id)
        columns += [series.c.id, series.c.series_uid, series.c.attributes, newest.scalar_subquery()]
    else:
        source = source.join(series, instance.c.series_id == series.c.id).join(study, series.c.study_id == study.c.id)
        columns += [series.c.id, series.c.series_uid, series.c.attributes]
        columns += [instance.c.version, instance.c.sop_uid, instance.c.attributes]
    named = [column.label(f"c{number}") for number, column in enumerate(columns)]
    return select(*named).select_from(source).order_by(key.desc())


def _page(query: Query) -> Select[Any]:
    """Select the keys of the page and of one row more."""
    key, table = _KEYS[query.level], _TABLES[query.level]
    asked = {attribute.level for c in query.conditions if (attribute := SEARCHABLE.get(c.keyword)) is not None}
    source: FromClause = table
    if query.level is Level.INSTANCE and Level.SERIES in asked:
        source = source.join(series, instance.c.series_id == series.c.id)
    if query.level is not Level.STUDY and Level.STUDY in asked:
        source = source.join(study, _STUDY_IDS[query.level] == study.c.id)
    # The partition of every table: it begins the keys of their indexes.
    clauses = [_TABLES[level].c.partition_id == query.scope.partition for level in {query.level, *asked}]
    clauses += [*_within(query), *(_clause(condition, query) for condition in query.conditions)]
    return (
        select(key.label("key"))
        .select_from(source)
        .where(*clauses)
        .order_by(key.desc())
        .limit(query.limit + 1)
        .offset(query.offset)
    )


def _within(query: Query) -> Iterator[ColumnElement[bool]]:
    """Yield the clauses of the study and series that the path names."""
    scope = query.scope
    if scope.study is None:
        return
    parent = study.alias("parent")
    study_id = select(parent.c.id).where(parent.c.partition_id == scope.partition, parent.c.study_uid == scope.study)
    if scope.series is None or query.level is Level.STUDY:
        yield _STUDY_IDS[query.level] == study_id.scalar_subquery()
        return
    child = series.alias("child")
    series_id = select(child.c.id).where(
        child.c.partition_id == scope.partition,
        child.c.series_uid == scope.series,
        child.c.study_id == study_id.scalar_subquery(),
    )
    own = series.c.id if query.level is Level.SERIES else instance.c.series_id
    yield own == series_id.scalar_subquery()


def _clause(condition: Condition, query: Query) -> ColumnElement[bool]:
    study_id, partition_id = _STUDY_IDS[query.level], query.scope.partition
    if condition.keyword == _MODALITIES:
        member = series.alias("member")
        has = match_any(_MODALITY, member.c.modality, condition.value)
        return select(member.c.id).where(member.c.study_id == study_id, has).exists()
    attribute = SEARCHABLE.get(condition.keyword)
    if attribute is None or _LEVELS.index(attribute.level) > _LEVELS.index(query.level):
        raise InvalidRequest(f"{condition.keyword} is no attribute that a search for {query.level.value} can match.")
    if _is_fuzzy(attribute, condition, query):
        return match_words(attribute, partition_id, study_id, condition.value)
    return match(attribute, _TABLES[attribute.level].c[attribute.column], condition.value)


def _is_fuzzy(attribute: Attribute, condition: Condition, query: Query) -> bool:
    return query.fuzzy and attribute.vr == "PN" and not has_wildcards(condition.value)


def _found(rows: Sequence[Row[Any]], query: Query) -> Iterator[_Found]:
    parsed: dict[tuple[Level, int], Mapping[str, Any]] = {}  # the rows of a page share studies and series

    def parse(level: Level, number: int, text: str) -> Mapping[str, Any]:
        if (level, number) not in parsed:
            parsed[level, number] = orjson.loads(text)
        return parsed[level, number]

    for row in rows:
        cells = tuple(row)
        version = cells[-1] if query.level is not Level.INSTANCE else cells[6]
        ids: dict[Level, int] = {}
        uids: list[str] = []
        attributes: dict[Level, Mapping[str, Any]] = {}
        for level, start in zip(_LEVELS[: _LEVELS.index(query.level) + 1], (0, 3, 6), strict=False):
            number, uid, text = cells[start : start + 3]
            ids[level], attributes[level] = number, parse(level, number, text)
            uids.append(uid)
        yield _Found(ids, Scope(query.scope.partition, *uids), version, attributes)


def _compute(connection: Connection, found: Sequence[_Found], query: Query) -> list[dict[str, Any]]:
    """Return for each row the computed attributes that the query asks for, by tag."""
    computed: list[dict[str, Any]] = [{} for _ in found]
    asked = {tag_of(condition.keyword) for condition in query.conditions} | set(query.include)
    for tag, (level, compute) in _COMPUTED.items():
        if not found or not (query.include_all or tag in asked) or level not in found[0].ids:
            continue
        values = compute(connection, sorted({row.ids[level] for row in found}))
        for row, attributes in zip(found, computed, strict=True):
            if row.ids[level] in values:
                attributes[tag] = values[row.ids[level]]
    return computed


def _count(member: ColumnElement[int]) -> Callable[[Connection, Sequence[int]], dict[int, Any]]:
    """Return a function that counts rows by their study or series, *member*, as an attribute of VR IS."""

    def count(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
        rows = connection.execute(select(member, func.count()).where(member.in_(ids)).group_by(member))
        return {number: {"vr": "IS", "Value": [total]} for number, total in rows}

    return count


def _modalities(connection: Connection, study_ids: Sequence[int]) -> dict[int, Any]:
    """Return the distinct modalities of studies, in the upper case of code strings (PS3.5 §6.2)."""
    rows = connection.execute(
        select(series.c.study_id, series.c.modality)
        .where(series.c.study_id.in_(study_ids), series.c.modality.is_not(None))
        .distinct()
        .order_by(series.c.study_id, series.c.modality)
    )
    modalities: dict[int, Any] = {}
    for study_id, modality in rows:
        modalities.setdefault(study_id, {"vr": "CS", "Value": []})["Value"].append(modality.upper())
    return modalities


_COMPUTED: Mapping[str, tuple[Level, Callable[[Connection, Sequence[int]], dict[int, Any]]]] = {
    tag_of(_MODALITIES): (Level.STUDY, _modalities),
    tag_of("NumberOfStudyRelatedSeries"): (Level.STUDY, _count(series.c.study_id)),
    tag_of("NumberOfStudyRelatedInstances"): (Level.STUDY, _count(instance.c.study_id)),
    tag_of("NumberOfSeriesRelatedInstances"): (Level.SERIES, _count(instance.c.series_id)),
}
"""Attributes that are counted when asked for, by tag: whose they are and how."""
