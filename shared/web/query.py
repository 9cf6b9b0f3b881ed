"""The query string of a search as a `Query` (PS3.18 §8.3.4; search.md)."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

from shared.dicom.attributes import KEYS, tag_of
from shared.dicom.external import tag_problem
from shared.errors import InvalidRequest
from shared.model import Attribute, Condition, Kept, Level, Query, Scope

MAX_LIMIT = 200
_MAX_OFFSET = 2**31 - 1
_MAX_DEPTH = 8
_TAG = re.compile(r"[0-9A-Fa-f]{8}")

_LEVELS = tuple(Level)
_PASSED_OVER = frozenset({"accept", "charset"})
"""Parameters that are not about what is searched (PS3.18 §8.3.3)."""


def read_query(raw: str, level: Level, scope: Scope, *, external: bool = False) -> Query:
    """Return the query that *raw*, the query string as it was sent, asks of *level* within *scope*.

    Parameters
    ----------
    external
        Whether external metadata is asked for: private tags can be matched then.

    Raises
    ------
    InvalidRequest
        A parameter is unknown, not allowed at this route, given twice, empty or out of range; the text names it.
    """
    given: dict[str, str] = {}
    keys: list[tuple[str, str]] = []
    include: list[str] = []
    for name, value in _parameters(raw):
        option = name.lower()
        if option in _OPTIONS:
            if option in given:
                raise InvalidRequest(f"{option} is given more than once.")
            given[option] = value
        elif option == "includefield":
            include += [part.strip() for part in value.split(",")]
        elif option not in _PASSED_OVER:
            keys.append((name, value))
    options = {name: read(name, given.get(name, default)) for name, (default, read) in _OPTIONS.items()}
    return Query(
        level,
        scope,
        _conditions(keys, level, scope, may_be_empty=bool(options["emptyvaluematching"]), external=external),
        tuple(_path(field) for field in include if field.lower() != "all"),
        any(field.lower() == "all" for field in include),
        limit=options["limit"],
        offset=options["offset"],
        fuzzy=bool(options["fuzzymatching"]),
        matches_empty=bool(options["emptyvaluematching"]),
        matches_each=bool(options["multiplevaluematching"]),
        external=external,
    )


def _parameters(raw: str) -> list[tuple[str, str]]:
    """Return names and values decoded and without surrounding blanks; `+` is a blank."""
    pairs = (pair.partition("=") for pair in raw.split("&") if pair)
    return [(unquote_plus(name).strip(), unquote_plus(value).strip()) for name, _, value in pairs]


def _conditions(
    keys: list[tuple[str, str]], level: Level, scope: Scope, *, may_be_empty: bool, external: bool
) -> tuple[Condition, ...]:
    conditions: dict[str, Condition] = {}
    for name, value in keys:
        attribute = _attribute(name, external=external)
        if attribute.level not in _searchable_levels(level, scope):
            raise InvalidRequest(f"{attribute.keyword} cannot be searched at this resource.")
        if not may_be_empty and not value.strip(" \0"):
            raise InvalidRequest(f"{attribute.keyword} has no value to match.")
        if attribute.tag in conditions:
            raise InvalidRequest(f"{attribute.keyword} is given more than once.")
        conditions[attribute.tag] = Condition(attribute, value)
    return tuple(conditions.values())


def _attribute(name: str, *, external: bool) -> Attribute:
    """Return the attribute that a query matches under a name: the table's, or one of external metadata."""
    path = _path(name)
    if path in KEYS:
        return KEYS[path]
    if external and "." not in path and tag_problem(path) is None:
        return Attribute(path, path, "", Level.STUDY, kept=Kept.EXTERNAL)
    raise InvalidRequest(f"{name} is not an attribute that can be searched.")


def _searchable_levels(level: Level, scope: Scope) -> tuple[Level, ...]:
    """Return the levels whose attributes a route matches: from below its scope down to its results."""
    first = 0 if scope.study is None else _LEVELS.index(scope.level) + 1
    return _LEVELS[first : _LEVELS.index(level) + 1]


def _path(name: str) -> str:
    """Return the tags of an attribute, or of a path of sequences to one (PS3.18 §8.3.4.1)."""
    names = name.split(".")
    if len(names) > _MAX_DEPTH:
        raise InvalidRequest(f"A path of {len(names)} attributes; at most {_MAX_DEPTH} are taken.")
    return ".".join(_tag(one.strip(), of=name) for one in names)


def _tag(name: str, *, of: str) -> str:
    """Return the tag, as 8 upper-case hexadecimal digits, of an attribute named by keyword or by tag."""
    if _TAG.fullmatch(name):
        return name.upper()
    try:
        return tag_of(name)
    except KeyError as error:
        raise InvalidRequest(
            f"{of!r} is not an attribute: a keyword of PS3.6 or 8 hexadecimal digits is expected, with full stops"
            " between where it is in a sequence."
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


_OPTIONS: Mapping[str, tuple[str, Callable[[str, str], int]]] = {
    "limit": ("100", _whole_number(1, MAX_LIMIT)),
    "offset": ("0", _whole_number(0, _MAX_OFFSET)),
    "fuzzymatching": ("false", _flag),
    "emptyvaluematching": ("false", _flag),
    "multiplevaluematching": ("false", _flag),
}
"""Each parameter that is not an attribute: its default and how it is read; names compare without case."""
