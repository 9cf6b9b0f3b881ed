"""Header fields about whole studies: expiry and external metadata at Store, and the wish to see it (store.md)."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.dicom.external import VRS, tag_problem, value_problem
from shared.errors import InvalidRequest
from shared.model import ExternalValue

EXPIRY_TIME = "msdicom-expiry-time-milliseconds"
EXPIRY_OPTION = "msdicom-expiry-option"
EXPIRY_LEVEL = "msdicom-expiry-level"
SHOW_EXTERNAL = "msdicom-request-meta"

_EXTERNAL = "msdicom-meta-"
_MILLISECONDS = re.compile(r"0*[1-9][0-9]{0,17}")
_NAME = re.compile(r"([A-Za-z]{2})-([0-9A-Fa-f]{8})")
_MOST_EXTERNAL = 100
_LONGEST_VALUE = 1024
_LAST_YEAR = 9999


def read_expiry(fields: Iterable[tuple[str, str]], received_at: datetime) -> datetime | None:
    """Return when the studies of a Store are to be deleted, None for never.

    Raises
    ------
    InvalidRequest
        A field has a value that is not known, or says how a study expires but not when.
    """
    given = _given(fields)
    for name, only in ((EXPIRY_OPTION, "RelativeToNow"), (EXPIRY_LEVEL, "Study")):
        if name in given and given[name].lower() != only.lower():
            raise InvalidRequest(f"{name} is not {only}, the only value there is.")
    milliseconds = given.get(EXPIRY_TIME)
    if milliseconds is None:
        if given:
            raise InvalidRequest(f"{next(iter(given))} was sent without {EXPIRY_TIME}.")
        return None
    if not _MILLISECONDS.fullmatch(milliseconds):
        raise InvalidRequest(f"{EXPIRY_TIME} is no whole number of milliseconds above 0.")
    try:
        return received_at + timedelta(milliseconds=int(milliseconds))
    except OverflowError as error:
        raise InvalidRequest(f"{EXPIRY_TIME} ends after the year {_LAST_YEAR}.") from error


def read_external(fields: Iterable[tuple[str, str]]) -> tuple[ExternalValue, ...]:
    """Return the external values that a Store's header gives its studies, by `msdicom-meta-{VR}-{ggggeeee}`.

    Raises
    ------
    InvalidRequest
        One of them cannot be, or is given twice; the text names it, never its value.
    """
    values: dict[str, ExternalValue] = {}
    for name, text in fields:
        if not name.startswith(_EXTERNAL):
            continue
        value = _external_value(name.removeprefix(_EXTERNAL), text)
        if value.tag in values:
            raise InvalidRequest(f"External attribute {value.tag} is given more than once.")
        values[value.tag] = value
    if len(values) > _MOST_EXTERNAL:
        raise InvalidRequest(f"{len(values)} external attributes; at most {_MOST_EXTERNAL} in one request.")
    return tuple(values[tag] for tag in sorted(values))


def wants_external(fields: Iterable[tuple[str, str]]) -> bool:
    """Return whether an answer is to show external metadata too (`msdicom-request-meta: true`).

    Raises
    ------
    InvalidRequest
        The field is neither true nor false.
    """
    found = [value.strip().lower() for name, value in fields if name == SHOW_EXTERNAL]
    if not set(found) <= {"true", "false"}:
        raise InvalidRequest(f"{SHOW_EXTERNAL} is neither true nor false.")
    return "true" in found


def _given(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the fields about expiry by name."""
    given: dict[str, str] = {}
    for name, value in fields:
        if name not in {EXPIRY_TIME, EXPIRY_OPTION, EXPIRY_LEVEL}:
            continue
        if name in given:
            raise InvalidRequest(f"{name} is given more than once.")
        given[name] = value.strip()
    return given


def _external_value(name: str, text: str) -> ExternalValue:
    found = _NAME.fullmatch(name)
    if found is None:
        raise InvalidRequest("A header field that begins with msdicom-meta- does not end with {VR}-{ggggeeee}.")
    value = ExternalValue(found[2].upper(), found[1].upper(), _decoded(text).strip(" "))
    if value.vr not in VRS:
        raise InvalidRequest(
            f"External attribute {value.tag} cannot have VR {value.vr}; one of {' '.join(sorted(VRS))}."
        )
    problem = tag_problem(value.tag) or value_problem(value)
    if len(value.value) > _LONGEST_VALUE:
        problem = f"{len(value.value)} characters; at most {_LONGEST_VALUE}"
    if problem:
        raise InvalidRequest(f"External attribute {value.tag} of VR {value.vr}: {problem}.")
    return value


def _decoded(text: str) -> str:
    """Return a field's value as UTF-8 where it is: servers read header fields as ISO 8859-1 (RFC 9110 §5.5)."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
