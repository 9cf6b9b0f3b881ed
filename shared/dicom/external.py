"""External metadata: values of a study that no file holds, from a client's text to DICOM JSON (store.md)."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.dicom.names import GROUPS
from shared.dicom.strict import broken_rule
from shared.dicom.values import number
from shared.model import ExternalValue

_CREATOR = "Microsoft"
"""Value of the Private Creator elements, as the reference gives it."""

_FIRST_VALUE = 0x1000
_NOT_PRIVATE = frozenset({0x0001, 0x0003, 0x0005, 0x0007, 0xFFFF})
"""Odd groups that no private element may have (PS3.5 §7.8)."""

_RANGES: Mapping[str, tuple[int, int]] = {
    "IS": (-(2**31), 2**31 - 1),
    "SL": (-(2**31), 2**31 - 1),
    "SS": (-(2**15), 2**15 - 1),
    "UL": (0, 2**32 - 1),
    "US": (0, 2**16 - 1),
}
_REALS = frozenset({"FD", "FL"})
_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "PN", "SH", "TM", "UI"})

VRS = _TEXTS | _REALS | frozenset(_RANGES)
"""VRs that an external value may have."""


def tag_problem(tag: str) -> str | None:
    """Return why no external value can have this *tag* of 8 hexadecimal digits; None when one can."""
    group, element = int(tag[:4], 16), int(tag[4:], 16)
    if group % 2 == 0 or group in _NOT_PRIVATE:
        return "the group is not a private one"
    return None if element >= _FIRST_VALUE else "the element belongs to private creators"


def value_problem(value: ExternalValue) -> str | None:
    """Return why the text is no value of the VR; None when it is one. An empty text is a value of all."""
    text = value.value
    if not text:
        return None
    if value.vr in _TEXTS:
        if "\\" in text:
            return "several values; one is expected"
        return broken_rule(_element(value), value.vr)
    found = number(text, value.vr)
    least, most = _RANGES.get(value.vr, (None, None))
    if found is None or (least is not None and most is not None and not least <= found <= most):
        return f"no number that {value.vr} can hold"
    return None


def with_external(dataset: Mapping[str, Any], values: Iterable[ExternalValue]) -> dict[str, Any]:
    """Return a DICOM JSON object with the external values of its study, and the private creators of their blocks.

    A creator that the data set has stays: it speaks for the other elements of that block.
    """
    merged = dict(dataset)
    for value in values:
        merged.setdefault(f"{value.tag[:4]}00{value.tag[4:6]}", {"vr": "LO", "Value": [_CREATOR]})
        merged[value.tag] = _element(value)
    return {tag: merged[tag] for tag in sorted(merged)}


def _element(value: ExternalValue) -> dict[str, Any]:
    if not value.value:
        return {"vr": value.vr}
    shown: object = value.value
    if value.vr == "PN":
        groups = zip(GROUPS, value.value.split("=", 2), strict=False)
        shown = {name: group for name, group in groups if group}
    elif value.vr not in _TEXTS:
        shown = number(value.value, value.vr)
    return {"vr": value.vr, "Value": [shown]}
