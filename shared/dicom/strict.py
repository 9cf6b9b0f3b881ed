"""The minimum rules: what the first value of a required or indexed attribute must be (store.md, "Minimum rules").

They are the reference's, so that what it stores is stored here; less than PS3.5 §6.2 asks.
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.dicom.names import GROUPS
from shared.dicom.value_rules import (
    LONGEST,
    Judge,
    group_problem,
    integer_problem,
    is_date,
    is_date_time,
    is_time,
    is_uid,
    string_problem,
    too_long,
)

_AGE_CHARACTERS = 4


def broken_rule(element: Mapping[str, Any], vr: str, *, trims_nuls: bool = False) -> str | None:
    """Return which minimum rule a DICOM JSON attribute (PS3.18 §F.2) breaks that should be of *vr*; None when none.

    Parameters
    ----------
    trims_nuls
        NULs at the end of the value do not count; otherwise they are a fault.
    """
    if element["vr"] != vr:
        return f"the VR is {element['vr']}; {vr} is expected"
    value = first_text(element)
    if isinstance(value, str):
        value = value.rstrip("\0") if trims_nuls else value
        if value.endswith("\0"):
            return "a NUL at the end"
    rule = _RULES.get(vr)
    return None if rule is None or value is None or value == "" else rule(value)


def first_text(element: Mapping[str, Any]) -> Any:
    """Return the first value, a name as in the file with `=` between its groups; None when there is none."""
    values = element.get("Value")
    value = values[0] if values else None
    if isinstance(value, Mapping):
        return "=".join(value.get(group) or "" for group in GROUPS).rstrip("=")
    return value


def _at_most(longest: int) -> Judge:
    return lambda text: too_long(text, longest) if len(text) > longest else None


def _passes(is_valid: Callable[[str], bool], problem: str) -> Judge:
    return lambda text: None if is_valid(text) else problem


def _name_problem(text: str) -> str | None:
    groups = text.split("=", len(GROUPS) - 1)
    return next(filter(None, map(group_problem, groups)), None)


_RULES: Mapping[str, Callable[[Any], str | None]] = {
    "AE": _at_most(LONGEST["AE"]),
    "AS": _passes(lambda text: len(text) == _AGE_CHARACTERS, "no age of 4 characters"),
    "CS": _at_most(LONGEST["CS"]),
    "DA": _passes(is_date, "no date of the form yyyyMMdd"),
    "DT": _passes(lambda text: is_date_time(text, any_offset=True), "no date and time yyyyMMddHHmmss.f"),
    "IS": integer_problem,
    "LO": lambda text: string_problem(text, LONGEST["LO"]),
    "PN": _name_problem,
    "SH": _at_most(LONGEST["SH"]),
    "TM": _passes(is_time, "no time of the form HHmmss.f"),
    "UI": _passes(is_uid, "no UID of 1 to 64 digits and dots"),
}
"""By VR. Numbers of a fixed length are right when they could be read; a wrong length shows as another VR."""
