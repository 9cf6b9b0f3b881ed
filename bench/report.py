"""The structured report of the benchmark: a Comprehensive SR of `ELEMENTS` elements in nested content items."""

from collections.abc import Mapping

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from bench.names import PLACEHOLDERS

ELEMENTS = 1385
"""Of the data set, those of all items among them: what a long report of a workstation has."""

_PER_CONTAINER = 12
"""Content items of one container."""


def report(study_level: Mapping[str, str]) -> Dataset:
    """Return the data set that reports are written from, with placeholders where they differ."""
    found = Dataset()
    for keyword, value in study_level.items():
        setattr(found, keyword, value)
    found.SOPClassUID = ComprehensiveSRStorage
    found.SOPInstanceUID = PLACEHOLDERS.instance
    found.StudyInstanceUID = PLACEHOLDERS.study
    found.SeriesInstanceUID = PLACEHOLDERS.series
    found.InstanceNumber = PLACEHOLDERS.number
    found.Modality = "SR"
    found.CompletionFlag = "COMPLETE"
    found.VerificationFlag = "UNVERIFIED"
    found.ContentDate = "20240131"
    found.ContentTime = "101700"
    found.ValueType = "CONTAINER"
    found.ContinuityOfContent = "SEPARATE"
    found.ConceptNameCodeSequence = Sequence([_code("121111", "Summary")])
    found.ContentSequence = Sequence()
    _fill(found)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return found


def _fill(found: Dataset) -> None:
    """Add containers of texts and measurements, and in the end single elements, until there are `ELEMENTS`."""
    number = 0
    while (left := ELEMENTS - count(found)) >= count(_container(number, 1)):
        items = next(size for size in range(_PER_CONTAINER, 0, -1) if count(_container(number, size)) <= left)
        found.ContentSequence.append(_container(number, items))
        number += 1
    block = found.private_block(0x0019, "BENCH REPORT", create=True)
    for offset in range(ELEMENTS - count(found)):
        block.add_new(offset + 1, "LO", "private text")


def count(dataset: Dataset) -> int:
    """Return the number of elements, those of all items among them."""
    return sum(1 + (sum(map(count, element.value)) if element.VR == "SQ" else 0) for element in dataset)


def _container(number: int, items: int) -> Dataset:
    item = _item("CONTAINER", "121070", f"Findings {number}")
    item.ContinuityOfContent = "SEPARATE"
    item.ContentSequence = Sequence([_measurement(index) if index % 2 else _text(index) for index in range(items)])
    return item


def _text(number: int) -> Dataset:
    item = _item("TEXT", "121071", "Finding")
    item.TextValue = f"Nothing that anyone would have to look at again in region {number} of the phantom."
    return item


def _measurement(number: int) -> Dataset:
    item = _item("NUM", "103339001", "Long axis")
    value = Dataset()
    value.NumericValue = f"{number}.25"
    value.MeasurementUnitsCodeSequence = Sequence([_code("mm", "millimeter")])
    item.MeasuredValueSequence = Sequence([value])
    return item


def _item(value_type: str, code: str, meaning: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = value_type
    item.ConceptNameCodeSequence = Sequence([_code(code, meaning)])
    return item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "99BENCH"
    item.CodeMeaning = meaning
    return item
