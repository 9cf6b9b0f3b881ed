"""Statements as SQL Server would get them, and what it would refuse of them; no server is needed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import create_engine

from tests.sql_server import URL, Server

MOST_PARAMETERS = 2100
"""Of a statement."""

_SQLITE_ONLY = re.compile(
    r"\bLIMIT\b|\|\||\bON CONFLICT\b|\bGLOB\b|\bREPLACE INTO\b|\bIS (?:NOT )?[01?]|\bUSING\b|"
    r"\b(?:ifnull|instr|length|substr|printf|typeof|julianday|strftime|json_\w+|group_concat|random)\(|"
    r"\([^()]+,[^()]+\) (?:IN|[<>=])",  # SQL Server compares no rows
    re.IGNORECASE,
)
_INNERMOST = re.compile(r"\([^()]*\)")


def server_sql(statement: Any) -> str:
    """Return a statement as SQL Server would get it."""
    return str(statement.compile(dialect=_DIALECT))


def faults(sql: str) -> list[str]:
    """Return why SQL Server would refuse *sql*, as far as that can be told from its text."""
    found = [f"only SQLite knows {match[0]!r}" for match in [_SQLITE_ONLY.search(sql)] if match]
    for query in _queries(sql):
        is_ordered, is_cut = "ORDER BY" in query, "TOP " in query or "FETCH " in query
        if "TOP " in query and "OFFSET " in query:
            found.append("TOP together with OFFSET")
        if "FETCH " in query and not is_ordered:
            found.append("FETCH without ORDER BY")
        if query.startswith("(") and is_ordered and not is_cut:
            found.append("ORDER BY in a subquery without TOP")
        order = re.split(r"\b(?:OFFSET|FETCH)\b", query.partition("ORDER BY")[2])[0].rstrip(") \n").split(",")
        columns = [re.sub(r" (?:ASC|DESC)$", "", column.strip()) for column in order]
        if len(columns) != len(set(columns)):
            found.append("a column twice in ORDER BY")
    return found


def parameters(statement: Any, given: Mapping[str, Any]) -> int:
    """Return how many parameters a statement has with these values: each of a list is one."""
    compiled = statement.compile(dialect=_DIALECT, column_keys=list(given))
    values = [(bind, given.get(bind.key, bind.value)) for bind in set(getattr(compiled, "binds", {}).values())]
    return sum(len(value) if bind.expanding and value is not None else 1 for bind, value in values)


def _queries(sql: str) -> Iterator[str]:
    """Yield each query of a statement without those inside it; those inside begin with a parenthesis."""
    sql = re.sub(r"'[^']*'", "''", sql)
    sql = re.sub(r"\bOVER \([^()]*\)", "OVER", sql)  # the order of a window is none of a query
    while found := _INNERMOST.search(sql):
        yield from re.split(r"\bUNION(?: ALL)?\b", found[0])
        sql = f"{sql[: found.start()]}…{sql[found.end() :]}"
    yield from re.split(r"\bUNION(?: ALL)?\b", sql)


def _dialect() -> Any:
    dialect = create_engine(URL, module=Server()).dialect
    dialect._supports_offset_fetch = True  # type: ignore[attr-defined]  # every version since 2012; known once connected
    return dialect


_DIALECT = _dialect()
