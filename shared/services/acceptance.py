"""What a Store asks for beside its files, and whether a file's header lets it be stored."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from shared.dicom.attributes import INDEXED_BY_REFERENCE, tag_of
from shared.dicom.header import Header
from shared.dicom.query_tags import places
from shared.dicom.reports import FailureReason, WarningReason
from shared.dicom.validation import Findings, examine, uid_value
from shared.model import NO_TAGS, NO_TERMS, FailedAttribute, InstanceKey, Outcome, Partition, StoreTerms, TagList
from shared.versions import VersionRules

_STUDY = tag_of("StudyInstanceUID")
_SERIES = tag_of("SeriesInstanceUID")
_INSTANCE = tag_of("SOPInstanceUID")
_CLASS = tag_of("SOPClassUID")
_IMPLICIT_VR = "1.2.840.10008.1.2"
_MOST_WARNINGS = 100
"""Told of one instance; a hostile header has millions."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What the request says beside its body; `study` is the UID of the path, if it has one.

    `tags` are the extended query tags by which it is judged.
    """

    partition: Partition
    study: str | None
    rules: VersionRules
    terms: StoreTerms = NO_TERMS
    tags: TagList = NO_TAGS

    @property
    def replaces(self) -> bool:
        """Whether an instance takes the place of a stored one of its key."""
        return self.terms.replaced_due_at is not None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the header of one file decides.

    Parameters
    ----------
    outcome
        A failure, or what holds unless storing fails.
    key
        Complete unless the outcome is a failure.
    left_out
        Top-level tags that neither the index nor the metadata shows.
    """

    outcome: Outcome
    key: InstanceKey
    left_out: frozenset[str] = frozenset()


def accept(header: Header, request: StoreRequest, taken: Container[InstanceKey]) -> Acceptance:
    """Decide what the header alone can decide (store.md, "Validation of values", "Study UID match").

    Parameters
    ----------
    taken
        Keys of the files that the request has stored already.
    """
    dataset = header.dataset
    uids = (uid_value(dataset, tag) for tag in (_STUDY, _SERIES, _INSTANCE))
    key = InstanceKey(request.partition.key, *uids)
    named = Outcome(key, uid_value(dataset, _CLASS) or None)
    findings = examine(header, is_strict=request.rules.validates_strictly, indexed=_indexed(header, request.tags))
    if findings.failed:
        return Acceptance(failed(named, FailureReason.CANNOT_UNDERSTAND, *findings.failed), key)
    if request.study is not None and key.study.lower() != request.study.lower():
        mismatch = FailedAttribute(_STUDY, "not the study of the path")
        return Acceptance(failed(named, FailureReason.STUDY_MISMATCH, mismatch), key)
    if key in taken and not request.replaces:
        return Acceptance(failed(named, FailureReason.ALREADY_STORED), key)
    outcome = Outcome(
        key,
        named.sop_class,
        warning=_warning(header, findings),
        attributes=findings.warned[:_MOST_WARNINGS],
        multiple=findings.multiple,
    )
    return Acceptance(outcome, key, findings.left_out)


def failed(outcome: Outcome, reason: FailureReason, *attributes: FailedAttribute) -> Outcome:
    """Return the outcome of the same instance when it is not stored."""
    return Outcome(outcome.key, outcome.sop_class, failure=reason, attributes=attributes)


def _indexed(header: Header, tags: TagList) -> Mapping[str, str]:
    """Return the VR that each attribute must have whose value is indexed, by tag."""
    if not tags.tags:
        return INDEXED_BY_REFERENCE
    return {**INDEXED_BY_REFERENCE, **{place: tag.vr for tag, place in places(header.dataset, tags.tags)}}


def _warning(header: Header, findings: Findings) -> WarningReason | None:
    """Return what is not as it should be with an instance that is stored."""
    if header.transfer_syntax == _IMPLICIT_VR:
        return WarningReason.DATA_SET_MISMATCH
    return WarningReason.ATTRIBUTES if findings.warned else None
