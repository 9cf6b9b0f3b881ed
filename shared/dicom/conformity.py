"""Every element of a data set, nested and private ones too, against its VR and Value Multiplicity (PS3.5 §6.2, §6.4).

The multiplicities are those of pydicom's dictionary. What a tag and VR ask of values is a `Rule`, made once for each
combination and kept in a bounded cache: the check runs for each instance that is stored. The cache is one for each
VR, since a tag alone is a key that costs less than a tag and a VR.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from shared.dicom.data_dictionary import entry
from shared.dicom.elements import READERS
from shared.dicom.value_rules import CHECKS, GOOD, Check
from shared.model import FailedAttribute

Rule: TypeAlias = tuple[Callable[[str], object] | None, range, Check | None]
"""What tells a single value that is good, for text; how many values there may be; and what they must look like."""

_UNBOUNDED = sys.maxsize
_ONE = range(1, 2)
_ONE_OR_MORE = range(1, _UNBOUNDED)
_MULTIPLICITY = re.compile(r"(\d+)(?:-(\d*)(n?))?")
_LAST_CREATOR = 0xFF


def problems(dataset: Mapping[str, Any]) -> dict[str, FailedAttribute]:
    """Return what is wrong with each attribute of a DICOM JSON object (PS3.18 §F.2), by its tag.

    Only the first problem of each; that of a sequence names the nested attribute. An item that is there several times,
    as the same object, is checked once.
    """
    return _problems(dataset, set())


def _problems(dataset: Mapping[str, Any], good: set[int]) -> dict[str, FailedAttribute]:
    """Do what `problems` does; *good* are the identities of items known to be, and gets more of them."""
    found: dict[str, FailedAttribute] = {}
    for tag, element in dataset.items():
        values = element.get("Value")
        if not values:  # empty or binary
            continue
        vr = element["vr"]
        if vr == "SQ":
            nested = _nested(values, good)
            if nested is not None:
                found[tag] = nested
            continue
        is_good, counts, check = _RULES[vr](tag)
        if is_good is not None and len(values) == 1 and values[0] is not None and is_good(values[0]):
            continue
        if len(values) not in counts:
            found[tag] = _failed(tag, _miscount(len(values), counts))
        elif check is not None:
            problem = check(values)
            if problem is not None:
                found[tag] = _failed(tag, problem)
    return found


def _nested(items: Sequence[Mapping[str, Any]], good: set[int]) -> FailedAttribute | None:
    """Return the first problem of the items of a sequence."""
    for item in items:
        if id(item) not in good:
            found = _problems(item, good)
            if found:
                return next(iter(found.values()))
            good.add(id(item))
    return None


@lru_cache(maxsize=4096)
def _failed(tag: str, problem: str) -> FailedAttribute:
    """Return the same object for the same problem: of a request's instances all may have it, until the answer."""
    return FailedAttribute(tag, problem)


def _rules(vr: str) -> Callable[[str], Rule]:
    check, good = CHECKS.get(vr), GOOD.get(vr)

    @lru_cache(maxsize=2048)
    def rule(tag: str) -> Rule:
        counts = _counts(int(tag, 16))
        return good if 1 in counts else None, counts, check

    return rule


_RULES = {vr: _rules(vr) for vr in READERS["<"]}


def _counts(tag: int) -> range:
    """Return how many values an attribute may have; any number of those that the standard does not define.

    The multiplicity of private attributes is their maker's to say (PS3.5 §7.8), and changes with his products:
    pydicom's private dictionary gives others than ordinary files of GE, Fuji and Elscint have.
    """
    if tag >> 16 & 1:
        return _ONE if tag & 0xFFFF <= _LAST_CREATOR else _ONE_OR_MORE
    try:
        found = entry(tag)
        # Of a sequence, the dictionary counts the sequences.
        return _ONE_OR_MORE if found.vr == "SQ" else _range(found.vm)
    except KeyError:
        return _ONE_OR_MORE


def _range(multiplicity: str) -> range:
    """Return the numbers that a VM of the dictionary stands for: "3", "1-2", "1-n", "2-2n" (PS3.6 §6)."""
    found = _MULTIPLICITY.fullmatch(multiplicity)
    if found is None:
        return _ONE_OR_MORE
    least = int(found[1])
    if found[3]:
        return range(least, _UNBOUNDED, int(found[2] or 1))
    return range(least, int(found[2] or least) + 1)


def _miscount(count: int, counts: range) -> str:
    found = f"{count} value{'s' if count > 1 else ''}"
    if len(counts) == 1:
        return f"{found}; {counts.start} expected"
    if counts.step > 1:
        return f"{found}; a multiple of {counts.step} expected"
    if counts.stop == _UNBOUNDED:
        return f"{found}; at least {counts.start} expected"
    return f"{found}; {counts.start} to {counts[-1]} expected"
