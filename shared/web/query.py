"""The query string of a search as a `Query` (PS3.18 §8.3.4; search.md)."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

from shared.dicom.attributes import SEARCHABLE, keyword_of, tag_of
from shared.errors import InvalidRequest
from shared.model import Condition, Level, Query, Scope

MAX_LIMIT = 200
_MAX_OFFSET = 2**31 - 1
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_MODALITIES_IN_STUDY = "ModalitiesInStudy"

_LEVELS = tuple(Level)


def read_query(raw: str, level: Level, scope: Scope) -> Query:
    """Return the query that *raw*, the query string as it was sent, asks of *level* within *scope*.

    Raises
    ------
    InvalidRequest
        A parameter is unknown, not allowed at this route, given twice, empty or out of range; the text names it.
    """
    options: dict[str, str] = {}
    conditions: dict[str, Condition] = {}
    include: list[str] = []
    for name, value in _parameters(raw):
        if name.lower() in _OPTIONS:
            if name.lower() in options:
                raise InvalidRequest(f"{name.lower()} is given more than once.")
            options[name.lower()] = value
        elif name.lower() == "includefield":
            include += [part.strip() for part in value.split(",")]
        else:
            condition = _condition(name, value, level, scope)
            if condition.keyword in conditions:
                raise InvalidRequest(f"{condition.keyword} is given more than once.")
            conditions[condition.keyword] = condition
    everything = any(field.lower() == "all" for field in include)
    return Query(
        level,
        scope,
        tuple(conditions.values()),
        tuple(_tag(field) for field in include if field.lower() != "all"),
        everything,
        limit=_OPTIONS["limit"]("limit", options.get("limit", "100")),
        offset=_OPTIONS["offset"]("offset", options.get("offset", "0")),
        fuzzy=bool(_OPTIONS["fuzzymatching"]("fuzzymatching", options.get("fuzzymatching", "false"))),
    )


def _parameters(raw: str) -> list[tuple[str, str]]:
    """Return names and values decoded and without surrounding blanks; `+` is a blank."""
    pairs = (pair.partition("=") for pair in raw.split("&") if pair)
    return [(unquote_plus(name).strip(), unquote_plus(value).strip()) for name, _, value in pairs]


def _condition(name: str, value: str, level: Level, scope: Scope) -> Condition:
    keyword = _keyword(name)
    searched = Level.STUDY if keyword == _MODALITIES_IN_STUDY else None
    if keyword in SEARCHABLE:
        searched = SEARCHABLE[keyword].level
    if searched is None:
        raise InvalidRequest(f"{name} is not an attribute that can be searched.")
    if searched not in _searchable_levels(level, scope):
        raise InvalidRequest(f"{keyword} cannot be searched at this resource.")
    if not value.strip(" \0"):
        raise InvalidRequest(f"{keyword} has no value to match.")
    return Condition(keyword, value)


def _searchable_levels(level: Level, scope: Scope) -> tuple[Level, ...]:
    """Return the levels whose attributes a route matches: from below its scope down to its results."""
    first = 0 if scope.study is None else _LEVELS.index(scope.level) + 1
    return _LEVELS[first : _LEVELS.index(level) + 1]


def _keyword(name: str) -> str:
    """Return the keyword of an attribute named by keyword or by 8 hexadecimal digits."""
    return keyword_of(_tag(name)) or name


def _tag(name: str) -> str:
    """Return the tag, as 8 upper-case hexadecimal digits, of an attribute named by keyword or by tag."""
    if _TAG.fullmatch(name):
        return name.upper()
    try:
        return tag_of(name)
    except KeyError as error:
        raise InvalidRequest(
            f"{name!r} is not an attribute: a keyword of PS3.6 or 8 hexadecimal digits is expected."
        ) from error


def _whole_number(low: int, high: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_OFFSET)) and low <= int(text) <= high):
            raise InvalidRequest(f"{name} is {text!r}; expected a whole number from {low} to {high}.")
        return int(text)

    return read


def _flag(name: str, text: str) -> int:
    if text.lower() not in {"true", "false"}:
        raise InvalidRequest(f"{name} is {text!r}; expected true or false.")
    return text.lower() == "true"


_OPTIONS: Mapping[str, Callable[[str, str], int]] = {
    "limit": _whole_number(1, MAX_LIMIT),
    "offset": _whole_number(0, _MAX_OFFSET),
    "fuzzymatching": _flag,
}
"""How each parameter that is not an attribute is read; names compare without case."""
