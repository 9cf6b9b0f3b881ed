"""The query string of a search as a `Query` (PS3.18 §8.3.4; search.md)."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from urllib.parse import unquote_plus

from shared.dicom.attributes import KEYS, tag_of
from shared.dicom.external import tag_problem
from shared.errors import InvalidRequest
from shared.model import Attribute, Condition, Kept, Level, Query, QueryTag, Scope, TagStatus

MAX_LIMIT = 200
_MAX_OFFSET = 2**31 - 1
_MAX_DEPTH = 8
_TAG = re.compile(r"[0-9A-Fa-f]{8}")

NO_TAGS: Mapping[str, QueryTag] = MappingProxyType({})

_LEVELS = tuple(Level)
_PASSED_OVER = frozenset({"accept", "charset"})
"""Parameters that are not about what is searched (PS3.18 §8.3.3)."""


def read_query(
    raw: str, level: Level, scope: Scope, *, external: bool = False, tags: Mapping[str, QueryTag] = NO_TAGS
) -> Query:
    """Return the query that *raw*, the query string as it was sent, asks of *level* within *scope*.

    Parameters
    ----------
    external
        Whether external metadata is asked for: private tags can be matched then.
    tags
        The extended query tags of those that `other_tags` gives, by path.

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
    found = [_condition(name, value, level, scope, external=external, tags=tags) for name, value in keys]
    asked = [one for one in found if one.attribute.kept is Kept.TAG]
    creators = ((one.attribute.tag, tags[one.attribute.tag].creator) for one in asked)
    options = {name: read(name, given.get(name, default)) for name, (default, read) in _OPTIONS.items()}
    return Query(
        level,
        scope,
        _checked(found, may_be_empty=bool(options["emptyvaluematching"])),
        tuple(_path(field) for field in include if field.lower() != "all"),
        any(field.lower() == "all" for field in include),
        limit=options["limit"],
        offset=options["offset"],
        fuzzy=bool(options["fuzzymatching"]),
        matches_empty=bool(options["emptyvaluematching"]),
        matches_each=bool(options["multiplevaluematching"]),
        external=external,
        private=tuple((tag, creator) for tag, creator in creators if creator),
        erroneous=tuple(one.attribute.keyword for one in asked if tags[one.attribute.tag].has_errors),
    )


def other_tags(raw: str, level: Level, scope: Scope) -> list[str]:
    """Return the tags that a query string asks for and that the table has not for this resource."""
    found = []
    levels = _searchable_levels(level, scope)
    for name, _ in _parameters(raw):
        with suppress(InvalidRequest):
            path = _path(name)
            if "." not in path and not (path in KEYS and KEYS[path].level in levels):
                found.append(path)
    return found


def _parameters(raw: str) -> list[tuple[str, str]]:
    """Return names and values decoded and without surrounding blanks; `+` is a blank."""
    pairs = (pair.partition("=") for pair in raw.split("&") if pair)
    return [(unquote_plus(name).strip(), unquote_plus(value).strip()) for name, _, value in pairs]


def _condition(
    name: str, value: str, level: Level, scope: Scope, *, external: bool, tags: Mapping[str, QueryTag]
) -> Condition:
    """Return the condition on an attribute of the table, of external metadata or with an extended query tag."""
    path, levels = _path(name), _searchable_levels(level, scope)
    attribute = KEYS.get(path)
    if attribute is None and external and "." not in path and tag_problem(path) is None:
        attribute = Attribute(path, path, "", Level.STUDY, kept=Kept.EXTERNAL)
    if path in tags and (attribute is None or attribute.level not in levels):
        attribute = _tagged(name, tags[path])
    if attribute is None:
        raise InvalidRequest(f"{name} is not an attribute that can be searched.")
    if attribute.level not in levels:
        raise InvalidRequest(f"{attribute.keyword} cannot be searched at this resource.")
    return Condition(attribute, value)


def _tagged(name: str, tag: QueryTag) -> Attribute:
    if tag.status is not TagStatus.READY:
        raise InvalidRequest(f"{name} is an extended query tag that is not ready.")
    if not tag.is_enabled:
        raise InvalidRequest(f"{name} is an extended query tag that is disabled.")
    return Attribute(name, tag.path, tag.vr, tag.level, kept=Kept.TAG, number=tag.number)


def _checked(found: list[Condition], *, may_be_empty: bool) -> tuple[Condition, ...]:
    conditions: dict[str, Condition] = {}
    for one in found:
        attribute = one.attribute
        if not may_be_empty and not one.value.strip(" \0"):
            raise InvalidRequest(f"{attribute.keyword} has no value to match.")
        if attribute.tag in conditions:
            raise InvalidRequest(f"{attribute.keyword} is given more than once.")
        conditions[attribute.tag] = one
    return tuple(conditions.values())


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
