"""Whether an instance can be stored, and which of its attributes break a rule (store.md, "Validation of values")."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.dicom.attributes import INDEXED_BY_REFERENCE, keyword_of, tag_of
from shared.dicom.conformity import problems
from shared.dicom.header import Header
from shared.dicom.strict import broken_rule
from shared.dicom.value_rules import is_uid
from shared.model import FailedAttribute

__all__ = ["Findings", "examine", "is_uid", "uid_value"]

_NAMING_UIDS = tuple(map(tag_of, ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")))
_REQUIRED_UIDS = (tag_of("SOPClassUID"), *_NAMING_UIDS)
_PATIENT_ID = tag_of("PatientID")
_REQUIRED: Mapping[str, str] = {**dict.fromkeys(_REQUIRED_UIDS, "UI"), _PATIENT_ID: "LO"}
_NO_VALUE = FailedAttribute(_PATIENT_ID, "the attribute has no value")
_TAG_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with an instance.

    Parameters
    ----------
    failed
        Attributes for which it cannot be stored, by tag.
    warned
        Attributes that break a rule in an instance that can, one for each of the data set, by its tag; a nested
        attribute is named itself.
    left_out
        Tags of the data set that neither the index nor the metadata shall show.
    multiple
        Keywords, or else tags, of examined attributes with several values, of which only the first counts.
    """

    failed: tuple[FailedAttribute, ...] = ()
    warned: tuple[FailedAttribute, ...] = ()
    left_out: frozenset[str] = frozenset()
    multiple: tuple[str, ...] = ()


def examine(header: Header, *, is_strict: bool, indexed: Mapping[str, str] = INDEXED_BY_REFERENCE) -> Findings:
    """Check the header of an instance.

    Parameters
    ----------
    is_strict
        Required and *indexed* attributes must keep the minimum rules, and Patient ID must have a value. Otherwise
        only required attributes must keep them, and every attribute is checked against PS3.5 for a warning.
    indexed
        The expected VR of each attribute whose value is indexed, by tag.
    """
    examined = {**indexed, **_REQUIRED} if is_strict else _REQUIRED
    failed = _failed(header, examined, is_strict=is_strict)
    multiple = tuple(
        keyword_of(tag) or tag for tag in sorted(examined) if len(header.dataset.get(tag, {}).get("Value", ())) > 1
    )
    if failed or is_strict:
        return Findings(failed=failed, multiple=multiple)
    found = problems(header.dataset)
    for path, problem in reversed(header.faults):
        found[path[:_TAG_DIGITS]] = FailedAttribute(path[-_TAG_DIGITS:], problem)
    left_out = frozenset(found).difference(_NAMING_UIDS)
    if indexed is not INDEXED_BY_REFERENCE:
        _add_other_vrs(found, header.dataset, indexed)
    if not _has_value(header.dataset[_PATIENT_ID]):
        found.setdefault(_PATIENT_ID, _NO_VALUE)
    return Findings(warned=tuple(found[tag] for tag in sorted(found)), left_out=left_out, multiple=multiple)


def _add_other_vrs(found: dict[str, FailedAttribute], dataset: Mapping[str, Any], indexed: Mapping[str, str]) -> None:
    """Name attributes that will not be indexed since their VR is another than expected; metadata show them."""
    for tag in indexed.keys() - INDEXED_BY_REFERENCE.keys() - found.keys():
        element = dataset.get(tag)
        if element is not None and element.get("Value") and element["vr"] != indexed[tag]:
            found[tag] = FailedAttribute(
                tag, f"the VR is {element['vr']}; {indexed[tag]} is expected, so it is not indexed"
            )


def uid_value(dataset: Mapping[str, Any], tag: str) -> str:
    """Return the UID in an element without its padding, or "" when there is none."""
    value = dataset.get(tag, {}).get("Value") or [""]
    return str(value[0] or "").rstrip(" \0")


def _failed(header: Header, examined: Mapping[str, str], *, is_strict: bool) -> tuple[FailedAttribute, ...]:
    """Return every examined attribute that keeps an instance from being stored."""
    dataset = header.dataset
    # A long binary value is not in the data set, and one whose length does not fit has another VR there.
    hidden = {value.path: {"vr": value.vr} for value in header.bulk if value.path in examined}
    faults = {path: problem for path, problem in header.faults if path in examined}
    failed = []
    for tag in sorted(examined):
        problem = _problem(tag, dataset.get(tag) or hidden.get(tag), examined[tag], is_strict=is_strict)
        if problem:
            failed.append(FailedAttribute(tag, faults.get(tag, problem)))
    return tuple(failed)


def _problem(tag: str, element: Mapping[str, Any] | None, vr: str, *, is_strict: bool) -> str | None:
    """Return what is wrong with one examined attribute (store.md, "Required attributes", "Minimum rules")."""
    if element is None:
        return "the attribute is required" if tag in _REQUIRED else None
    problem = broken_rule(element, vr, trims_nuls=not is_strict)
    if problem or tag not in _REQUIRED:
        return problem
    values = element.get("Value", ())
    if tag in _REQUIRED_UIDS and len(values) > 1:
        return f"{len(values)} values; 1 expected"
    is_needed = is_strict or tag in _REQUIRED_UIDS
    return _NO_VALUE.problem if is_needed and not _has_value(element) else None


def _has_value(element: Mapping[str, Any]) -> bool:
    """Return whether one of the values is more than blanks and NULs."""
    return any(str(value or "").strip(" \0") for value in element.get("Value", ()))
