"""Clauses that match one attribute against a query's value: one function for each kind of matching (PS3.4 §C.2.2.2)."""

import re
from collections.abc import Sequence
from functools import cache

from sqlalchemy import ColumnElement, FromClause, Table, and_, or_, select, true

from shared.dicom.values import LENGTHS, NUMBERS, TIMES, WORD_LENGTH, cut, earliest, fold, latest, number, words
from shared.errors import InvalidRequest
from shared.index.tables import name_word, query_tag_word
from shared.model import Attribute, Kept

EMPTY = '""'
"""The value that asks for an attribute without one (PS3.18 §8.3.4.5)."""

_WILDCARDS = re.compile(r"[*?]")
_WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_LIKE = str.maketrans({"*": "%", "?": "_", "%": r"\%", "_": r"\_", "[": r"\[", "\\": r"\\"})
_LITERAL = {key: value for key, value in _LIKE.items() if chr(key) not in "*?"}
_LIST = re.compile(r"[,\\]")
_UID = re.compile(r"[0-9.]{0,63}[0-9]", re.ASCII)
_MOST_WORDS = 32
_SURROGATES = (0xD800, 0xDFFF)


def match(attribute: Attribute, column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Return the clause that *column* matches *value* as the attribute's VR wants it.

    Raises
    ------
    InvalidRequest
        When the value is none of the VR; names the attribute.
    """
    if attribute.vr in NUMBERS:
        return _number(attribute, column, value)
    if attribute.vr in TIMES:
        return _moment(attribute, column, value)
    if attribute.vr == "UI":
        return _uid_list(attribute, column, value)
    if attribute.vr in _WILDCARD_VRS and _WILDCARDS.search(value):
        return _wildcard(attribute, column, value)
    folded = cut(fold(value, attribute.vr), LENGTHS[attribute.vr])
    return _name(column, folded) if attribute.vr == "PN" else column == folded


def parts(value: str) -> list[str]:
    """Return the values that commas or backslashes part: for code strings, which hold neither (PS3.5 §6.2)."""
    return [item.strip() for item in _LIST.split(value)]


def match_words(attribute: Attribute, partition_id: int, key: ColumnElement[int], value: str) -> ColumnElement[bool]:
    """Return the clause of fuzzy matching: the value's words begin consecutive words of the name, in order.

    *key* is that of the study, or of what the attribute's extended query tag is about.

    A value with wildcards is none of words: `match` takes it.
    """
    if '"' in value:
        raise InvalidRequest(f"{attribute.keyword}: fuzzy matching takes no quotation mark.")
    wanted = words(fold(value, "PN"))
    if not 0 < len(wanted) <= _MOST_WORDS:
        raise InvalidRequest(f"{attribute.keyword}: fuzzy matching takes 1 to {_MOST_WORDS} words.")
    is_tag = attribute.kept is Kept.TAG
    table, owner, name = (query_tag_word, "owner_id", "tag_id") if is_tag else (name_word, "study_id", "keyword")
    first = _word(table, 0)
    found = select(first.c[owner]).where(
        first.c.partition_id == partition_id,
        first.c[name] == (attribute.number if is_tag else attribute.keyword),
        _begins(first.c.word, cut(wanted[0][1], WORD_LENGTH)),
    )
    for position, word in wanted[1:]:
        other = _word(table, position)
        neighbour = and_(
            other.c[owner] == first.c[owner],
            other.c[name] == first.c[name],
            other.c.position == first.c.position + position,
            _begins(other.c.word, cut(word, WORD_LENGTH)),
        )
        found = found.join(other, neighbour)
    return key.in_(found)


@cache
def _word(table: Table, position: int) -> FromClause:
    """Return a table of words as that of the word at a *position*: SQLAlchemy copies each of its columns."""
    return table.alias(f"word_{position}")


def match_date_times(
    attributes: tuple[Attribute, Attribute],
    columns: tuple[ColumnElement[str], ColumnElement[str]],
    values: Sequence[str],
) -> ColumnElement[bool]:
    """Return the clause that a date and its time lie in one range, from the first date and time to the last.

    An end without a date is open; one without a time is that whole day (PS3.4 §C.2.2.2.5, "combined").
    """
    (date, time), (on, at) = attributes, columns
    (first_day, last_day), (first_time, last_time) = _range(date, values[0]), _range(time, values[1])
    ends = (first_day, first_time or ""), (last_day, last_time or "~")
    if first_day and last_day and ends[0] > ends[1]:
        raise InvalidRequest(f"{date.keyword} and {time.keyword}: the range ends before it begins.")
    clauses = []
    if first_day:
        later = and_(on == first_day, at >= first_time) if first_time else on == first_day
        clauses += [on >= first_day, or_(on > first_day, later)]
    if last_day:
        earlier = and_(on == last_day, at <= last_time) if last_time else on == last_day
        clauses += [on <= last_day, or_(on < last_day, earlier)]
    return and_(*clauses)


def is_range(value: str) -> bool:
    """Whether the value of a date or time is a range of two."""
    return "-" in value


def has_wildcards(value: str) -> bool:
    """Whether the value holds `*` or `?`."""
    return _WILDCARDS.search(value) is not None


def is_universal(attribute: Attribute, value: str) -> bool:
    """Whether the value matches everything, also what has none (PS3.4 §C.2.2.2.3)."""
    return not value.strip(" \0") or (attribute.vr in _WILDCARD_VRS and not value.strip().strip("*"))


def _number(attribute: Attribute, column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Match by value: `0003` is 3."""
    wanted = number(value, attribute.vr)
    if wanted is None:
        raise InvalidRequest(f"{attribute.keyword}: a number of VR {attribute.vr} is expected.")
    return column == wanted


def _moment(attribute: Attribute, column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Match a date or time, or a range: both ends inclusive, either may be open (PS3.4 §C.2.2.2.5)."""
    begin, end = _range(attribute, value)
    if not is_range(value):
        return column == begin
    if begin is not None and end is not None and begin > end:
        raise InvalidRequest(f"{attribute.keyword}: the range ends before it begins.")
    return and_(*([column >= begin] if begin else []), *([column <= end] if end else []))


def _range(attribute: Attribute, value: str) -> tuple[str | None, str | None]:
    """Return the first and the last moment of a range, None for an open end; of one moment only the first counts."""
    low, _, high = (part.strip() for part in value.partition("-"))
    begin, end = earliest(low, attribute.vr), latest(high, attribute.vr)
    if (low and begin is None) or (high and end is None) or not (low or high):
        raise InvalidRequest(f"{attribute.keyword}: a value of VR {attribute.vr}, or a range of two, is expected.")
    return begin, end


def _uid_list(attribute: Attribute, column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Match any UID of a list (PS3.4 §C.2.2.2.2); a backslash parts them as well as a comma."""
    uids = [item.strip(" \0") for item in _LIST.split(value)]
    if not all(_UID.fullmatch(uid) for uid in uids):
        raise InvalidRequest(f"{attribute.keyword}: a UID, or several parted by commas, is expected.")
    return column.in_(sorted(set(uids))) if len(uids) > 1 else column == uids[0]


def _wildcard(attribute: Attribute, column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Match `*` and `?` (PS3.4 §C.2.2.2.4); `*` alone matches the absent value too, as universal matching does."""
    if is_universal(attribute, value):
        return true()
    folded = re.sub(r"\*+", "*", fold(value, attribute.vr))
    patterns = _name_patterns(folded) if attribute.vr == "PN" and "=" not in folded else [folded.translate(_LIKE)]
    like = or_(*(column.like(pattern, escape="\\") for pattern in patterns))
    beginning = "" if patterns[-1].startswith("%") else _WILDCARDS.split(folded)[0]
    return and_(_begins(column, beginning), like) if beginning else like  # the beginning can use an index


def _name_patterns(folded: str) -> list[str]:
    """Return the patterns by which a value matches from the beginning of one component group to the end of one.

    The second and third group are not looked at for text of ASCII alone, which an index then finds by itself.
    """
    pattern = folded.translate(_LIKE)
    ends = [pattern] if folded.endswith("*") else [pattern, f"{pattern}=%"]
    if folded.isascii() or folded.startswith("*"):
        return ends
    return ends + [f"%={one}" for one in ends]


def _name(column: ColumnElement[str], folded: str) -> ColumnElement[bool]:
    """Match a whole name, or one component group when only one is given (PS3.5 §6.2.1).

    The second and third group are not looked at for text of ASCII alone, which an index then finds by itself.
    """
    if "=" in folded:
        return column == folded
    first = or_(column == folded, _begins(column, f"{folded}="))
    if folded.isascii():
        return first
    pattern = folded.translate(_LITERAL)
    return or_(first, *(column.like(one, escape="\\") for one in (f"%={pattern}", f"%={pattern}=%")))


def _begins(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Match a prefix by order alone, which every engine answers from an index."""
    after = _after(prefix)
    return column >= prefix if after is None else and_(column >= prefix, column < after)


def _after(prefix: str) -> str | None:
    """Return the least text above everything that begins with *prefix*; None when there is none."""
    for length in range(len(prefix), 0, -1):
        following = ord(prefix[length - 1]) + 1
        if following == _SURROGATES[0]:
            following = _SURROGATES[1] + 1
        if following <= 0x10FFFF:  # noqa: PLR2004 - the last character of Unicode
            return prefix[: length - 1] + chr(following)
    return None
