"""The conditions of a query as clauses: where each kind of attribute is looked for (PS3.4 §C.2.2.2).

What is above the level of the results is looked up first. Few studies or series that match are given to the statement
by number, so that it begins with them; many are asked for row by row, newest first, so that it ends with the page.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, bindparam, false, func, or_, select, true

from shared.dicom.attributes import DATE_TIMES, tag_of
from shared.dicom.values import NUMBERS
from shared.errors import InvalidRequest
from shared.index.matching import (
    EMPTY,
    has_wildcards,
    is_range,
    is_universal,
    match,
    match_date_times,
    match_words,
    parts,
)
from shared.index.tables import external_key, instance, query_tag_value, request_item, series, study
from shared.model import Condition, Kept, Level, Query, Scope

TABLES: Mapping[Level, Table] = {Level.STUDY: study, Level.SERIES: series, Level.INSTANCE: instance}
KEYS: Mapping[Level, ColumnElement[int]] = {
    Level.STUDY: study.c.id,
    Level.SERIES: series.c.id,
    Level.INSTANCE: instance.c.version,
}
_PARENT: Mapping[tuple[Level, Level], ColumnElement[int]] = {
    (Level.SERIES, Level.STUDY): series.c.study_id,
    (Level.INSTANCE, Level.STUDY): instance.c.study_id,
    (Level.INSTANCE, Level.SERIES): instance.c.series_id,
}
_LEVELS = tuple(Level)
# Of subqueries: the statement around them may select from the same tables.
_member, _counted = series.alias("member"), instance.alias("counted")
_parent, _child = study.alias("parent"), series.alias("child")
PARTITION: ColumnElement[int] = bindparam("partition")
"""As `parameters` has it."""

_FEW = 300
"""Studies or series whose numbers are put into a statement: SQL Server takes 2,100 values."""

_READ = 600
"""Rows that are read to know whether they are few."""

_Clause: TypeAlias = Callable[[Connection, Condition, Query], ColumnElement[bool]]


def narrowed(connection: Connection, query: Query) -> Iterator[ColumnElement[bool]]:
    """Yield the clauses of the conditions above the query's level."""
    for level in _LEVELS[: _LEVELS.index(query.level)]:
        if any(condition.attribute.level is level for condition in query.conditions):
            yield _of_parents(connection, query, level, _PARENT[query.level, level])


def clauses_of(connection: Connection, query: Query, level: Level) -> list[ColumnElement[bool]]:
    """Return the clauses of those conditions that are of a *level*, for its table.

    Raises
    ------
    InvalidRequest
        When a value is not one of its attribute's VR, or the attribute is not one of the query's level.
    """
    _refuse_lower(query)
    conditions = {one.attribute.tag: one for one in query.conditions if one.attribute.level is level}
    clauses = [*_date_times(conditions)]
    clauses += _requests([one for one in conditions.values() if one.attribute.kept is Kept.REQUEST], query)
    for condition in conditions.values():
        if condition.attribute.kept is not Kept.REQUEST:
            clauses.append(_CLAUSES[condition.attribute.kept](connection, condition, query))
    return clauses


def _refuse_lower(query: Query) -> None:
    for condition in query.conditions:
        attribute = condition.attribute
        if _LEVELS.index(attribute.level) > _LEVELS.index(query.level):
            message = f"{attribute.keyword} is no attribute that a search for {query.level.value} can match."
            raise InvalidRequest(message)


def _of_parents(connection: Connection, query: Query, level: Level, parent: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the clause that the study or series of a row, *parent*, matches the conditions of that level."""
    table, key = TABLES[level], KEYS[level]
    clauses = [table.c.partition_id == PARTITION, *within(query.scope, level)]
    clauses += clauses_of(connection, query, level)
    few = _few(connection, select(key).where(*clauses), query)
    if few is not None:
        return parent.in_(few)
    return select(key).where(key == parent, *clauses).exists()


def _few(connection: Connection, statement: Select[Any], query: Query) -> list[int] | None:
    """Return the numbers that a statement selects; None when they are many."""
    rows = connection.execute(statement.limit(_READ + 1), parameters(query.scope)).scalars().all()
    numbers = sorted(set(rows))  # the series of a study each give its number
    return None if len(rows) > _READ or len(numbers) > _FEW else numbers


def parameters(scope: Scope) -> dict[str, object]:
    """Return what a statement is executed with that has clauses of this module."""
    return {"partition": scope.partition, "study": scope.study, "series": scope.series}


def within(scope: Scope, level: Level) -> Iterator[ColumnElement[bool]]:
    """Yield the clauses of the study and series that *scope* names, for the table of a *level*."""
    if scope.study is None:
        return
    study_id = (
        select(_parent.c.id)
        .where(_parent.c.partition_id == PARTITION, _parent.c.study_uid == bindparam("study"))
        .scalar_subquery()
    )
    if scope.series is None or level is Level.STUDY:
        yield (study.c.id if level is Level.STUDY else TABLES[level].c.study_id) == study_id
        return
    series_id = select(_child.c.id).where(
        _child.c.partition_id == PARTITION, _child.c.series_uid == bindparam("series"), _child.c.study_id == study_id
    )
    yield (series.c.id if level is Level.SERIES else instance.c.series_id) == series_id.scalar_subquery()


def _date_times(conditions: dict[str, Condition]) -> Iterator[ColumnElement[bool]]:
    """Yield the clauses of dates and times that are one range, and take these out of the conditions."""
    for date_keyword, time_keyword in DATE_TIMES.items():
        date, time = conditions.get(tag_of(date_keyword)), conditions.get(tag_of(time_keyword))
        if date is None or time is None or not (is_range(date.value) and is_range(time.value)):
            continue
        columns = (_column(date), _column(time))
        yield match_date_times((date.attribute, time.attribute), columns, (date.value, time.value))
        del conditions[date.attribute.tag], conditions[time.attribute.tag]


def _column(condition: Condition) -> ColumnElement[str]:
    return TABLES[condition.attribute.level].c[condition.attribute.column]


def _match(condition: Condition, column: ColumnElement[str], query: Query) -> ColumnElement[bool]:
    """Return the clause that a *column* matches, empty and universal matching among the kinds."""
    if query.matches_empty and condition.value == EMPTY:
        return column.is_(None)
    if query.matches_empty and is_universal(condition.attribute, condition.value):
        return true()
    return match(condition.attribute, column, condition.value)


def _of_column(connection: Connection, condition: Condition, query: Query) -> ColumnElement[bool]:
    del connection
    if _is_fuzzy(condition, query):
        return match_words(condition.attribute, query.scope.partition, study.c.id, condition.value)
    return _match(condition, _column(condition), query)


def _is_fuzzy(condition: Condition, query: Query) -> bool:
    if not query.fuzzy or condition.attribute.vr != "PN" or has_wildcards(condition.value):
        return False
    return not (query.matches_empty and condition.value in {"", EMPTY})


def _of_series(connection: Connection, condition: Condition, query: Query) -> ColumnElement[bool]:
    """Match by the series of a study: any of several values, or each of them when the query says so."""
    column = _member.c[condition.attribute.column]
    if query.matches_empty and condition.value == EMPTY:
        return ~select(_member.c.id).where(_member.c.study_id == study.c.id, column.is_not(None)).exists()
    values = [replace(condition, value=value) for value in parts(condition.value)]
    if any(is_universal(value.attribute, value.value) for value in values):
        return true()
    if query.matches_each:
        return and_(*(_has_series(connection, _match(value, column, query), query) for value in values))
    return _has_series(connection, or_(*(_match(value, column, query) for value in values)), query)


def _has_series(connection: Connection, clause: ColumnElement[bool], query: Query) -> ColumnElement[bool]:
    found = select(_member.c.study_id).where(_member.c.partition_id == PARTITION, clause)
    few = _few(connection, found, query)
    if few is not None:
        return study.c.id.in_(few)
    return select(_member.c.id).where(_member.c.study_id == study.c.id, clause).exists()


def _of_count(connection: Connection, condition: Condition, query: Query) -> ColumnElement[bool]:
    del connection
    member, of = _COUNTED[condition.attribute.keyword]
    total = select(func.count()).where(member == of).scalar_subquery()
    return _match(condition, total, query)


def _requests(conditions: Sequence[Condition], query: Query) -> Iterator[ColumnElement[bool]]:
    """Yield the clauses that one item of a series' Request Attributes Sequence matches all (PS3.4 §C.2.2.2.6)."""
    asked = [one for one in conditions if not is_universal(one.attribute, one.value)]
    clauses = [_match(one, request_item.c[one.attribute.column], query) for one in asked]
    if not asked:
        return
    if query.matches_empty and all(one.value == EMPTY for one in asked):
        item = select(request_item.c.series_id).where(request_item.c.series_id == series.c.id)
        yield or_(~item.exists(), item.where(*clauses).exists())
        return
    items = select(request_item.c.series_id).where(request_item.c.partition_id == query.scope.partition, *clauses)
    yield series.c.id.in_(items)


def _of_external(connection: Connection, condition: Condition, query: Query) -> ColumnElement[bool]:
    """Match by the external metadata of a study, whose VR is that which the studies that have the tag gave it."""
    tag, partition = condition.attribute.tag, query.scope.partition
    of_tag = (external_key.c.partition_id == partition, external_key.c.tag == tag)
    if query.matches_empty and condition.value == EMPTY:
        return ~select(external_key.c.study_id).where(external_key.c.study_id == study.c.id, *of_tag).exists()
    if query.matches_empty and not condition.value:
        return true()
    clauses, problem = [], None
    for vr in sorted(connection.execute(select(external_key.c.vr).where(*of_tag).distinct()).scalars()):
        one = replace(condition, attribute=replace(condition.attribute, vr=vr))
        try:
            clauses.append(_of_external_vr(one, query))
        except InvalidRequest as error:
            problem = error
    if problem is not None and not clauses:
        raise problem
    return or_(false(), *clauses)


def _of_external_vr(condition: Condition, query: Query) -> ColumnElement[bool]:
    attribute, partition = condition.attribute, query.scope.partition
    if _is_fuzzy(condition, query):
        return match_words(attribute, partition, study.c.id, condition.value)
    column = external_key.c.number if attribute.vr in NUMBERS else external_key.c.text
    found = select(external_key.c.study_id).where(
        external_key.c.partition_id == partition,
        external_key.c.tag == attribute.tag,
        external_key.c.vr == attribute.vr,
        match(attribute, column, condition.value),
    )
    return study.c.id.in_(found)


def _of_tag(connection: Connection, condition: Condition, query: Query) -> ColumnElement[bool]:
    """Match by the values of an extended query tag, which those are that have the key of its level's table."""
    attribute, partition, key = condition.attribute, query.scope.partition, KEYS[condition.attribute.level]
    mine = select(query_tag_value.c.owner_id).where(
        query_tag_value.c.tag_id == attribute.number, query_tag_value.c.owner_id == key
    )
    if query.matches_empty and condition.value == EMPTY:
        return ~mine.exists()
    if query.matches_empty and is_universal(attribute, condition.value):
        return true()
    if _is_fuzzy(condition, query):
        return match_words(attribute, partition, key, condition.value)
    clause = match(
        attribute, query_tag_value.c.number if attribute.vr in NUMBERS else query_tag_value.c.text, condition.value
    )
    of_tag = (query_tag_value.c.partition_id == partition, query_tag_value.c.tag_id == attribute.number)
    few = _few(connection, select(query_tag_value.c.owner_id).where(*of_tag, clause), query)
    return key.in_(few) if few is not None else mine.where(clause).exists()


_COUNTED: Mapping[str, tuple[ColumnElement[int], ColumnElement[int]]] = {
    "NumberOfStudyRelatedSeries": (_member.c.study_id, study.c.id),
    "NumberOfStudyRelatedInstances": (_counted.c.study_id, study.c.id),
    "NumberOfSeriesRelatedInstances": (_counted.c.series_id, series.c.id),
}
"""By keyword, whose rows are counted and for which row."""

_CLAUSES: Mapping[Kept, _Clause] = {
    Kept.COLUMN: _of_column,
    Kept.SERIES_COLUMN: _of_series,
    Kept.COUNT: _of_count,
    Kept.EXTERNAL: _of_external,
    Kept.TAG: _of_tag,
}
"""By where the index keeps an attribute, what matches it; requests are matched together."""
