"""Which attributes an instance must have to be stored, and what counts as a UID (store.md, "Required attributes")."""

import re
from collections.abc import Mapping
from typing import Any

from shared.dicom.attributes import tag_of
from shared.model import FailedAttribute

_UID = re.compile(r"[0-9.]{0,63}[0-9]")

_REQUIRED_UIDS = tuple(map(tag_of, ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")))
_PATIENT_ID = tag_of("PatientID")

_CONTROL = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f]")
_LONGEST_LO = 64


def is_uid(text: str) -> bool:
    """Return whether *text* is 1 to 64 digits and dots that end in a digit (common.md, "UIDs").

    Departs from PS3.5 §9.1: leading zeros of a component and empty components are let through, as the reference does.
    """
    return _UID.fullmatch(text) is not None


def uid_value(dataset: Mapping[str, Any], tag: str) -> str:
    """Return the UID in an element without its padding, or "" when there is none."""
    value = dataset.get(tag, {}).get("Value") or [""]
    return str(value[0] or "").rstrip(" \0")


def missing_or_invalid(dataset: Mapping[str, Any]) -> list[FailedAttribute]:
    """Return every required attribute for which an instance cannot be stored, in any version.

    *dataset* is a DICOM JSON object (PS3.18 §F.2).
    """
    failed = [
        FailedAttribute(tag, "not one UID of 1 to 64 digits and dots")
        for tag in _REQUIRED_UIDS
        if not _is_single_uid(dataset.get(tag, {}))
    ]
    if _PATIENT_ID not in dataset:
        failed.append(FailedAttribute(_PATIENT_ID, "the attribute is required"))
    elif problem := _patient_id_problem(dataset):
        failed.append(FailedAttribute(_PATIENT_ID, problem))
    return failed


def empty_patient_id(dataset: Mapping[str, Any]) -> list[FailedAttribute]:
    """Return the Patient ID when it is there without a value: a warning or a failure, as the version decides."""
    if _PATIENT_ID in dataset and not _patient_id(dataset).strip(" \0"):
        return [FailedAttribute(_PATIENT_ID, "the attribute has no value")]
    return []


def _is_single_uid(element: Mapping[str, Any]) -> bool:
    values = element.get("Value", [])
    return (
        element.get("vr") == "UI" and len(values) == 1 and isinstance(values[0], str) and is_uid(values[0].rstrip(" "))
    )


def _patient_id(dataset: Mapping[str, Any]) -> str:
    values = dataset[_PATIENT_ID].get("Value") or [""]
    return "\\".join(str(value or "") for value in values)


def _patient_id_problem(dataset: Mapping[str, Any]) -> str | None:
    """Return what keeps the Patient ID from being an LO of one value (PS3.5 §6.2)."""
    if dataset[_PATIENT_ID].get("vr") != "LO":
        return "the VR is not LO"
    text = _patient_id(dataset).rstrip("\0")
    if len(text) > _LONGEST_LO:
        return f"{len(text)} characters, over {_LONGEST_LO}"
    if "\\" in text:
        return "several values; one is expected"
    if _CONTROL.search(text):
        return "a control character"
    return None
