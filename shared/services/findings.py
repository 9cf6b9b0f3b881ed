"""What a check of index, blobs and change feed can find, and what it found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MEANINGS: Mapping[str, str] = {
    "blob_missing": "published instances whose blob is not there",
    "blob_of_other_length": "published instances whose blob has another length than the index says",
    "blob_unknown": "blobs that the index does not know",
    "thumbnail_unknown": "thumbnails of versions that the index does not know",
    "blob_unreadable": "published instances whose blob is not a readable DICOM file",
    "blob_of_other_instance": "published instances whose blob holds another instance",
    "to_be_removed": "published instances whose blob is to be removed",
    "metadata_missing": "published instances without metadata",
    "document_missing": "series documents in use whose blob is not there, or has another length than the index says",
    "document_unknown": "blobs of series documents that the index does not know",
    "rows_without_instance": "versions with metadata or frames that are not published",
    "study_row_differs": "published instances whose study's row is missing or is another study's",
    "series_row_differs": "published instances whose series' row is missing or is another series'",
    "study_values_differ": "rows of studies that do not say what the metadata of their instances say",
    "series_values_differ": "rows of series that do not say what the metadata of their instances say",
    "instance_values_differ": "published instances whose row does not say what their metadata say",
    "partition_missing": "published instances whose partition has no row",
    "partition_unnamed": "partitions that no request finds by their name, or the default that is none",
    "entry_without_partition": "entries in the change feed whose partition has no row: nobody is told of them",
    "removal_failing": "versions whose blobs could not be removed five times",
    "study_empty": "rows of studies without instances",
    "series_empty": "rows of series without instances",
    "rows_without_study": "numbers of studies that have words, values or an expiry and no row",
    "tag_rows_without_owner": "numbers with values, words or errors of extended query tags, and no row or no tag",
    "tag_value_outdated": "numbers of rows with a value of an extended query tag whose instance is gone",
    "entry_missing": "published instances without an entry in the change feed",
    "entry_twice": "versions with two entries of the same kind in the change feed",
    "entry_without_begin": "versions whose change feed entry of a delete has none of a creation before it",
    "entry_of_delete": "published instances whose delete is in the change feed",
    "feed_ahead": "change feeds with an entry that is later than its clock",
    "event_position": "positions of events behind the end of the change feed: events would be left out",
    "operation_standing_still": "operations of which nothing was heard for an hour",
    "tag_incomplete": "numbers of extended query tags whose operation failed: searches by them find nothing",
    "entry_without_end": "versions that are published no more and whose change feed does not say so",
}
"""Everything that can be found, and what its numbers are: versions, or where it says so rows or documents."""


@dataclass(frozen=True, slots=True)
class Example:
    """One case of a finding: its version or row, the age in seconds of a blob, and what was found."""

    version: int | None
    age_s: int | None = None
    detail: str = ""


@dataclass(slots=True)
class Finding:
    """How often something was found, and the first cases of it."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What was looked at and what was found; `is_clean` when nothing was."""

    instances: int = 0
    blobs: int = 0
    documents: int = 0
    headers: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether index, blobs and change feed agree."""
        return not self.findings
