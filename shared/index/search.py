"""Search: a `Query` becomes a SELECT of keys, and the rows of a page of them the matches (PS3.18 §10.6)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, bindparam, func, select

from shared.index.computed import compute
from shared.index.conditions import KEYS, PARTITION, TABLES, clauses_of, narrowed, parameters, within
from shared.index.tables import instance, series, study
from shared.model import Level, Match, Query, Scope

_LEVELS = tuple(Level)


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
    asked = {**parameters(query.scope), "limit": query.limit + 1, "offset": query.offset}
    keys = connection.execute(_page(connection, query), asked).scalars().all()
    page = keys[: query.limit]
    rows = connection.execute(_ROWS[query.level], {"keys": page}).all() if page else []
    found = list(_found(rows, query))
    computed = compute(connection, [(row.ids, row.version) for row in found], query)
    return (
        [Match(row.scope, row.version, row.attributes, values) for row, values in zip(found, computed, strict=True)],
        len(keys) > query.limit,
    )


def _page(connection: Connection, query: Query) -> Select[Any]:
    """Select the keys of the page and of one row more."""
    scope = query.scope
    if not query.conditions:
        return _unconditional(query.level, Scope(0, scope.study and "", scope.series and ""))
    clauses = [*narrowed(connection, query), *clauses_of(connection, query, query.level)]
    return _selected(query.level, [*within(scope, query.level), *clauses])


@cache
def _unconditional(level: Level, scope: Scope) -> Select[Any]:
    """Select the same for all scopes that name as much as *scope*: to compose it takes longer than to run it."""
    return _selected(level, [*within(scope, level)])


def _selected(level: Level, clauses: Sequence[ColumnElement[bool]]) -> Select[Any]:
    key = KEYS[level]
    # The partition begins the keys of the indexes.
    selected = select(key).where(TABLES[level].c.partition_id == PARTITION, *clauses).order_by(key.desc())
    return selected.limit(bindparam("limit")).offset(bindparam("offset"))


def _rows(level: Level) -> Select[Any]:
    """Select what is shown of a page's rows by their keys: composed once, not for every search."""
    key = KEYS[level]
    source: FromClause = TABLES[level]
    columns: list[ColumnElement[Any]] = [study.c.id, study.c.study_uid, study.c.attributes]
    if level is Level.STUDY:
        newest = select(func.max(instance.c.version)).where(instance.c.study_id == study.c.id)
        columns.append(newest.scalar_subquery())
    elif level is Level.SERIES:
        source = source.join(study, series.c.study_id == study.c.id)
        newest = select(func.max(instance.c.version)).where(instance.c.series_id == series.c.id)
        columns += [series.c.id, series.c.series_uid, series.c.attributes, newest.scalar_subquery()]
    else:
        source = source.join(series, instance.c.series_id == series.c.id).join(study, series.c.study_id == study.c.id)
        columns += [series.c.id, series.c.series_uid, series.c.attributes]
        columns += [instance.c.version, instance.c.sop_uid, instance.c.attributes]
    named = [column.label(f"c{number}") for number, column in enumerate(columns)]
    within = key.in_(bindparam("keys", expanding=True))
    return select(*named).select_from(source).where(within).order_by(key.desc())


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


_ROWS = {level: _rows(level) for level in Level}
