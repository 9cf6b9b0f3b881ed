"""The query of the change feed: windows of sequence numbers or of time, as the version has them (change-feed.md)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shared.errors import InvalidRequest
from shared.model import FeedWindow
from shared.versions import VersionRules
from shared.web.endpoint import uid

Parameter = Callable[[str], str | None]
"""Returns the value of a query parameter by its name in lower case."""

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_LAST_SEQUENCE = 2**63 - 1
_FIRST_TIME = datetime(1, 1, 1, tzinfo=UTC)
_LAST_TIME = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
_BEYOND_MICROSECONDS = re.compile(r"\.[0-9]{6}[0-9]*[1-9]", re.ASCII)
_MODALITY = re.compile(r"[A-Z0-9 _]{1,16}", re.ASCII)
_FLAGS = {"true": True, "false": False}


def read_window(parameter: Parameter, rules: VersionRules) -> FeedWindow:
    """Return the part of the change feed that a query asks for.

    Raises
    ------
    InvalidRequest
        A parameter cannot be read, or is out of its range.
    """
    is_by_time = rules.feed_window == "time"
    start = _time(parameter, "startTime", _FIRST_TIME) if is_by_time else None
    end = _time(parameter, "endTime", _LAST_TIME) if is_by_time else None
    if start is not None and end is not None and end <= start:
        raise InvalidRequest("endTime must be later than startTime.")
    return FeedWindow(
        whole_number(parameter, "offset", 0, lowest=0, highest=_LAST_SEQUENCE),
        whole_number(parameter, "limit", rules.feed_limit, lowest=1, highest=rules.feed_most),
        start,
        end,
        tuple(uid(one, "sopClassUid") for one in _values(parameter, "sopClassUid")),
        tuple(_modality(one) for one in _values(parameter, "modality")),
    )


def whole_number(parameter: Parameter, name: str, default: int, *, lowest: int, highest: int) -> int:
    """Return a whole number of a query; raise `InvalidRequest` where it is none, or out of its range."""
    text = parameter(name.lower())
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not lowest <= int(text) <= highest:
        raise InvalidRequest(f"{name} is not a whole number from {lowest} to {highest}.")
    return int(text)


def read_include_metadata(parameter: Parameter) -> bool:
    """Return whether entries come with metadata: unless the client says otherwise."""
    text = parameter("includemetadata")
    if text is None:
        return True
    if text.lower() not in _FLAGS:
        raise InvalidRequest("includeMetadata is neither true nor false.")
    return _FLAGS[text.lower()]


def _time(parameter: Parameter, name: str, default: datetime) -> datetime:
    """Return a time with its zone; one finer than microseconds is the next of these, as every entry's time is one.

    What lies beyond the first or last time, as the largest that .NET can write does, is that time.
    """
    text = parameter(name.lower())
    if text is None:
        return default
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise InvalidRequest(f"{name} is not a date and time of ISO 8601.") from error
    if found.tzinfo is None:
        raise InvalidRequest(f"{name} names no time zone: it ends in neither Z nor an offset (%2B for a plus).")
    try:
        return found.astimezone(UTC) + timedelta(microseconds=bool(_BEYOND_MICROSECONDS.search(text)))
    except OverflowError:
        return _FIRST_TIME if found.year == _FIRST_TIME.year else _LAST_TIME


def _values(parameter: Parameter, name: str) -> list[str]:
    text = parameter(name.lower())
    return [] if text is None else text.split(",")


def _modality(text: str) -> str:
    found = text.strip().upper()
    if not _MODALITY.fullmatch(found):
        raise InvalidRequest("modality is not a code of 1 to 16 characters.")
    return found
