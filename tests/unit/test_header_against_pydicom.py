"""`shared/dicom/header.py` against pydicom, which is the judge: on real files and on made ones.

What the comparison leaves out or evens out:

- Group lengths and delimiters that pydicom shows as elements are not compared.
- Text is compared without blanks and NULs around it: pydicom strips NULs, and fewer blanks.
- An empty value is None, an empty sequence has no Value, and an empty component group is not there.
- A number that JSON has none for is its name.
- Where pydicom leaves the VR at "OB or OW" it is OW.
- An element that pydicom fails to convert (an IS of "1A") counts as equal when it is there.
"""

from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError

from shared.dicom.header import BulkValue, Header, read_header
from shared.errors import UnreadableFile

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
    pytest.mark.filterwarnings("ignore::UserWarning:tests"),
]

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PYDICOM_DATA = Path(pydicom.__file__).parent / "data"
FILES = {
    **{path.relative_to(DATA).as_posix(): path for path in sorted(DATA.rglob("*.dcm")) if "bomb" not in path.name},
    **{
        f"pydicom/{path.relative_to(PYDICOM_DATA).as_posix()}": path
        for path in sorted(PYDICOM_DATA.rglob("*"))
        if path.is_file() and path.read_bytes()[128:132] == b"DICM"
    },
}

REFUSED = {
    "corpus/damaged/cut-at-133.dcm": "cut within the file meta information",
    "corpus/damaged/cut-at-200.dcm": "cut within the file meta information",
    "corpus/damaged/cut-at-340.dcm": "cut within the header",
    "corpus/damaged/length-2gb.dcm": "cut within the header, as its lengths have it",
    "corpus/damaged/length-ffffffff.dcm": "an OB of undefined length without fragments",
    "corpus/fuzz/flipped-02.dcm": "file meta information without VR",
    "corpus/fuzz/flipped-03.dcm": "cut within the header, as its lengths have it",
    "corpus/fuzz/flipped-04.dcm": "cut within the header, as its lengths have it",
    "corpus/fuzz/flipped-06.dcm": "cut within the file meta information, as its lengths have it",
    "corpus/fuzz/flipped-08.dcm": "no transfer syntax",
    "corpus/fuzz/flipped-10.dcm": "file meta information without VR",
    "corpus/fuzz/flipped-11.dcm": "cut within the header, as its lengths have it",
    "corpus/hostile/nested-200.dcm": "nested deeper than is let through; pydicom reads it on Python 3.12 and later",
    "corpus/invalid/meta_missing_tsyntax.dcm": "no transfer syntax",
    "pydicom/test_files/meta_missing_tsyntax.dcm": "no transfer syntax",
    "pydicom/test_files/rtplan_truncated.dcm": "cut within the header",
}
"""What pydicom reads, silently leaving out what is missing, and we do not read."""

READ_BY_PYDICOM = {
    "pydicom/test_files/dicomdirtests/DICOMDIR-nooffset": "an item that is longer than its sequence",
}

BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
UNCONVERTED = {"vr": "pydicom cannot convert the value"}


def as_pydicom_reads(dataset: Dataset, *, is_top: bool = True) -> dict[str, Any]:
    """DICOM JSON of a data set by pydicom, without bulk data."""
    found: dict[str, Any] = {}
    for number in dataset.keys():  # noqa: SIM118 -- iterating a Dataset gives elements
        tag = f"{number:08X}"
        if tag.endswith("0000") or tag.startswith("FFFE"):
            continue
        element = dataset[number]
        if element.VR == "SQ":
            items = [as_pydicom_reads(item, is_top=False) for item in element.value]
            found[tag] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
            continue
        is_pixel_data = is_top and tag in ("7FE00008", "7FE00009", "7FE00010")
        is_bulk = (
            is_pixel_data or element.is_undefined_length or (element.VR in BINARY and len(element.value or b"") > 1024)
        )
        if element.VR in BINARY and element.value and is_bulk:
            continue
        try:
            found[tag] = element.to_json_dict(None, 0)
            found[tag]["vr"] = found[tag]["vr"].replace("OB or OW", "OW")
        except (ValueError, TypeError, IndexError, OverflowError):
            found[tag] = UNCONVERTED
    return found


def even(dataset: dict[str, Any]) -> dict[str, Any]:
    """Even out what the module's docstring lists."""
    return {tag: _even_element(element) for tag, element in dataset.items()}


def _even_element(element: dict[str, Any]) -> dict[str, Any]:
    if "Value" not in element:
        return element
    values = [even(value) if element["vr"] == "SQ" else _even_value(value) for value in element["Value"]]
    return {"vr": element["vr"], "Value": values} if values not in ([], [None]) else {"vr": element["vr"]}


def _even_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {group: text.rstrip(" \0") for group, text in value.items() if text} or None
    if isinstance(value, str):
        return value.strip(" \0") or None
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if value != value else str(value)  # noqa: PLR0124 -- that is how to know it
    return value


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Name the elements that differ, and look past those that pydicom cannot convert."""
    assert sorted(ours) == sorted(theirs)
    for tag, element in theirs.items():
        if element["vr"] == "SQ" == ours[tag]["vr"]:
            for ours_item, their_item in zip(ours[tag].get("Value", []), element.get("Value", []), strict=True):
                assert_same(ours_item, their_item)
        elif element != UNCONVERTED:
            assert {tag: ours[tag]} == {tag: element}


def value_at(dataset: Dataset, bulk: BulkValue) -> bytes:
    """The bytes that pydicom has for a bulk value."""
    *outer, tag = bulk.path.split("/")
    for sequence, number in zip(outer[::2], outer[1::2], strict=True):
        dataset = dataset[int(sequence, 16)].value[int(number) - 1]
    value = dataset[int(tag, 16)].value
    assert isinstance(value, bytes)
    return value


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is absent")
@pytest.mark.parametrize("name", FILES)
def test_file(name: str) -> None:
    """A real file has the same elements, values and bulk data as for pydicom; if not, it is known why."""
    file = FILES[name].read_bytes()
    try:
        dataset = pydicom.dcmread(BytesIO(file))
        expected = even(as_pydicom_reads(dataset))
    except (InvalidDicomError, NotImplementedError, OSError, RecursionError, ValueError):
        with pytest.raises(UnreadableFile):
            read_header(file)
        return
    if name in REFUSED:
        with pytest.raises(UnreadableFile):
            read_header(file)
        return

    header = read_header(file)

    assert_same(even(header.dataset), expected)
    assert (header.read_by != "pass") == (name in READ_BY_PYDICOM)
    assert (header.pixel_data is not None) == any(dataset.get(tag) for tag in (0x7FE00008, 0x7FE00009, 0x7FE00010))
    if not header.is_deflated:
        for bulk in header.bulk:
            value = value_at(dataset, bulk)
            assert file[bulk.offset : bulk.offset + len(value)] == value
            assert bulk.length is None or len(value) == min(bulk.length, len(file) - bulk.offset)


def test_read_by_pass() -> None:
    """The help of pydicom is for what nobody else can read: a handful of files at most."""
    assert len(READ_BY_PYDICOM) + len(REFUSED) <= len(FILES) // 20


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\\\0\x1b", exclude_categories=["Cc", "Cs"]), max_size=16
)
CODE = st.text("ABC 019_", max_size=16)
NUMBER = st.floats(allow_nan=False, allow_infinity=False, width=32)
FIXED = {  # a VR may have an element of its own and several values
    "AE": (0x00080054, CODE),
    "AT": (0x00280009, st.integers(0, 2**32 - 1)),
    "CS": (0x00080008, CODE),
    "DA": (0x00080022, st.dates().map(lambda day: f"{day:%Y%m%d}" if day.year > 999 else "20200101")),
    "DS": (0x00281050, st.decimals(-9999, 9999, places=3).map(str)),
    "FD": (0x00189073, st.floats()),
    "FL": (0x00700022, NUMBER),
    "IS": (0x00200013, st.integers(-(2**31), 2**31 - 1).map(str)),
    "LO": (0x00081030, TEXT),
    "PN": (0x00101001, TEXT),
    "SH": (0x00080050, TEXT),
    "SL": (0x00186020, st.integers(-(2**31), 2**31 - 1)),
    "SS": (0x00189219, st.integers(-(2**15), 2**15 - 1)),
    "SV": (0x00720082, st.integers(-(2**63), 2**63 - 1)),
    "UC": (0x00080119, TEXT),
    "UI": (0x00080018, st.from_regex(r"[1-9](\.[1-9]){0,12}", fullmatch=True)),
    "UL": (0x00081161, st.integers(0, 2**32 - 1)),
    "US": (0x00280010, st.integers(0, 2**16 - 1)),
    "UV": (0x00720083, st.integers(0, 2**64 - 1)),
}
SINGLE = {
    "LT": (0x00104000, TEXT),
    "OB": (0x00282000, st.binary(max_size=1500).map(lambda value: value + bytes(len(value) % 2))),
    "OW": (0x60003000, st.binary(max_size=1500).map(lambda value: value + bytes(len(value) % 2))),
    "ST": (0x00080081, TEXT),
    "UN": (0x00111001, st.binary(max_size=64).map(lambda value: value + bytes(len(value) % 2))),
    "UR": (0x00081190, st.just("http://a/b")),
    "UT": (0x0040A160, TEXT),
}


@st.composite
def datasets(draw: st.DrawFn, depth: int = 2) -> Dataset:
    """A data set with some of all VRs, and sequences within sequences."""
    dataset = Dataset()
    for vr in draw(st.sets(st.sampled_from(sorted(FIXED)))):
        tag, value = FIXED[vr]
        dataset.add_new(tag, vr, draw(st.lists(value, max_size=3)))
    for vr in draw(st.sets(st.sampled_from(sorted(SINGLE)))):
        tag, value = SINGLE[vr]
        dataset.add_new(tag, vr, draw(value))
    if depth:
        for tag in draw(st.sets(st.sampled_from([0x00081115, 0x0040A730, 0x52009230]))):
            items = draw(st.lists(datasets(depth=depth - 1), max_size=3))
            dataset.add_new(tag, "SQ", items)
            dataset[tag].is_undefined_length = draw(st.booleans())
            for item in items:
                item.is_undefined_length_sequence_item = draw(st.booleans())
    return dataset


@hypothesis.given(datasets(), st.sampled_from(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]))
@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_made_dataset(dataset: Dataset, syntax: str) -> None:
    """What pydicom writes is read as pydicom reads it, in all three native transfer syntaxes, by the pass alone."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    written = BytesIO()
    dataset.preamble = bytes(128)
    pydicom.dcmwrite(written, dataset, enforce_file_format=False)
    file = written.getvalue()

    header: Header = read_header(file)

    assert header.read_by == "pass"
    assert_same(even(header.dataset), even(as_pydicom_reads(pydicom.dcmread(BytesIO(file)))))
