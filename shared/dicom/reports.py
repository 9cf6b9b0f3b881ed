"""The response dataset of a Store, and the Failure and Warning Reasons in it (PS3.18 §10.5.3, §I.2)."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, TypeAlias

from shared.dicom.attributes import tag_of
from shared.model import FailedAttribute, InstanceKey, Outcome

Json: TypeAlias = dict[str, Any]


class FailureReason(IntEnum):
    """Values of (0008,1197) that this service gives (PS3.18 Table I.2-1; store.md, "Reason codes")."""

    PROCESSING_FAILURE = 0x0110
    CANNOT_UNDERSTAND = 0xA900
    """The content is not a readable DICOM file, or a required attribute breaks a rule."""
    STUDY_MISMATCH = 0xA901
    """The Study Instance UID is not the one of the request's path."""
    ALREADY_STORED = 45070


class WarningReason(IntEnum):
    """Values of (0008,1196) that this service gives (PS3.18 Table I.2-2)."""

    ATTRIBUTES = 1
    """Some attributes broke a rule; the Failed Attributes Sequence names them."""
    DATA_SET_MISMATCH = 0xB007
    """The data set does not match its SOP class; the reference raises it for implicit VR."""


_RETRIEVE_URL = tag_of("RetrieveURL")
_FAILED_SOP_SEQUENCE = tag_of("FailedSOPSequence")
_REFERENCED_SOP_SEQUENCE = tag_of("ReferencedSOPSequence")
_REFERENCED_SOP_CLASS = tag_of("ReferencedSOPClassUID")
_REFERENCED_SOP_INSTANCE = tag_of("ReferencedSOPInstanceUID")
_FAILURE_REASON = tag_of("FailureReason")
_WARNING_REASON = tag_of("WarningReason")
_FAILED_ATTRIBUTES = tag_of("FailedAttributesSequence")
_ERROR_COMMENT = tag_of("ErrorComment")
_LONGEST_LO = 64
"""Characters of a value with the VR of Error Comment (PS3.5 §6.2)."""


def store_report(
    outcomes: Sequence[Outcome],
    instance_url: Callable[[InstanceKey], str],
    study_url: str | None,
    *,
    lists_failed_attributes: bool,
) -> Json:
    """Return the Store Instances Response Module of a request (PS3.18 §10.5.3.3).

    Parameters
    ----------
    outcomes
        One for each instance, in the order of the request.
    instance_url
        Where a stored instance can be retrieved.
    study_url
        Where the study of the request's path can be retrieved; None when the path names none.
    lists_failed_attributes
        Whether a stored instance has a Failed Attributes Sequence even when it is clean.
    """
    stored = [outcome for outcome in outcomes if outcome.failure is None]
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    report: Json = {}
    if study_url is not None and stored:
        report[_RETRIEVE_URL] = _element("UR", study_url)
    if failed:
        report[_FAILED_SOP_SEQUENCE] = _element("SQ", *map(_failed_item, failed))
    if stored:
        items = [_stored_item(one, instance_url, lists_failed_attributes) for one in stored]
        report[_REFERENCED_SOP_SEQUENCE] = _element("SQ", *items)
    return report


def _stored_item(outcome: Outcome, instance_url: Callable[[InstanceKey], str], lists_failed_attributes: bool) -> Json:
    item = _names(outcome)
    if outcome.key is not None:
        item[_RETRIEVE_URL] = _element("UR", instance_url(outcome.key))
    if outcome.warning is not None:
        item[_WARNING_REASON] = _element("US", outcome.warning)
    if lists_failed_attributes:
        item[_FAILED_ATTRIBUTES] = _failed_attributes(outcome.attributes)
    return item


def _failed_item(outcome: Outcome) -> Json:
    item = _names(outcome)
    item[_FAILURE_REASON] = _element("US", int(outcome.failure or FailureReason.PROCESSING_FAILURE))
    if outcome.attributes:
        item[_FAILED_ATTRIBUTES] = _failed_attributes(outcome.attributes)
    return item


def _names(outcome: Outcome) -> Json:
    item: Json = {}
    if outcome.sop_class:
        item[_REFERENCED_SOP_CLASS] = _element("UI", outcome.sop_class)
    if outcome.key is not None and outcome.key.instance:
        item[_REFERENCED_SOP_INSTANCE] = _element("UI", outcome.key.instance)
    return item


def _failed_attributes(attributes: Sequence[FailedAttribute]) -> Json:
    return _element("SQ", *({_ERROR_COMMENT: _element("LO", _comment(one))} for one in attributes))


def _comment(attribute: FailedAttribute) -> str:
    tag = attribute.tag.lower()
    comment = f"DICOM100: ({tag[:4]},{tag[4:]}) - {attribute.problem}" if tag else f"DICOM100: {attribute.problem}"
    return comment[:_LONGEST_LO]


def _element(vr: str, *values: Any) -> Json:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}
