"""Byte ranges and validators of a representation (RFC 9110 §13, §14)."""

import re
from collections.abc import Sequence

from shared.model import ByteRange

_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


def byte_range(fields: Sequence[str], length: int) -> ByteRange | None:
    """Return the part of a representation of *length* bytes that a `Range` asks for; None for all of it.

    Several ranges, other units and what cannot be read count as no range (RFC 9110 §14.2).

    Raises
    ------
    IndexError
        It begins behind the end.
    """
    match = _ONE_RANGE.fullmatch(fields[0]) if len(fields) == 1 else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, last = max(length - int(match[2]), 0), length - 1
    else:
        first, last = int(match[1]), min(int(match[2] or length), length - 1)
        if match[2] and int(match[2]) < first:
            return None
    if first >= length or last < first:
        raise IndexError(first)
    return ByteRange(first, last - first + 1)


def is_known(tag: str, conditions: Sequence[str]) -> bool:
    """Return whether *tag* is one that the client has by `If-None-Match` (RFC 9110 §13.1.2).

    Compared weakly, and also without quotes, as the reference writes tags.
    """
    known = {part.strip().removeprefix("W/").strip('"').lower() for value in conditions for part in value.split(",")}
    return "*" in known or tag.removeprefix("W/").strip('"').lower() in known


def is_matched(tag: str, conditions: Sequence[str]) -> bool:
    """Return whether *tag* is one of those that `If-Match` asks for, compared strongly (RFC 9110 §13.1.1)."""
    return not {tag, "*"}.isdisjoint(part.strip() for value in conditions for part in value.split(","))


def is_current(tag: str, conditions: Sequence[str]) -> bool:
    """Return whether a `Range` holds for the representation that has *tag*, as `If-Range` asks (RFC 9110 §13.1.5)."""
    return not conditions or conditions == [tag]
