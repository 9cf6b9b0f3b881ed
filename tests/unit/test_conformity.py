"""Every element against its VR and Value Multiplicity (`shared/dicom/conformity.py`; PS3.5 §6.2, §6.4, PS3.6)."""

from typing import Any

import pytest

from shared.dicom.attributes import tag_of
from shared.dicom.conformity import problems
from shared.dicom.limits import MAX_DEPTH


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def found(dataset: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {tag: (one.tag, one.problem) for tag, one in problems(dataset).items()}


@pytest.mark.parametrize(
    ("keyword", "vr", "count", "problem"),
    [
        ("PatientID", "LO", 1, None),
        ("PatientID", "LO", 2, "2 values; 1 expected"),
        ("Rows", "US", 2, "2 values; 1 expected"),
        ("ImageType", "CS", 1, "1 value; at least 2 expected"),
        ("ImageType", "CS", 5, None),
        ("OtherPatientIDs", "LO", 50, None),
        ("PixelSpacing", "DS", 2, None),
        ("PixelSpacing", "DS", 3, "3 values; 2 expected"),
        ("ImageOrientationPatient", "DS", 6, None),
        ("ImageOrientationPatient", "DS", 5, "5 values; 6 expected"),
        ("ContourData", "DS", 9, None),
        ("ContourData", "DS", 3, None),
        ("ContourData", "DS", 8, "8 values; a multiple of 3 expected"),
        ("VerticesOfThePolygonalShutter", "IS", 4, None),
        ("VerticesOfThePolygonalShutter", "IS", 5, "5 values; a multiple of 2 expected"),
        ("LUTData", "US", 4096, None),
        ("PixelAspectRatio", "IS", 0, None),
        ("PixelAspectRatio", "IS", 1, "1 value; 2 expected"),
        ("FilterThicknessMinimum", "DS", 7, None),
        ("CollimatorShape", "CS", 4, "4 values; 1 to 3 expected"),
    ],
)
def test_multiplicity(keyword: str, vr: str, count: int, problem: str | None) -> None:
    """There are as many values as the dictionary says; an empty attribute has none, whatever it says."""
    tag = tag_of(keyword)
    value = "R" if vr == "CS" else 1 if vr in {"US", "IS"} else 1.5 if vr in {"DS", "FD"} else "x"

    assert found({tag: element(vr, *[value] * count)}) == ({tag: (tag, problem)} if problem else {})


def test_empty_values_count() -> None:
    """Empty values count as values."""
    assert found({"00100020": element("LO", None, None)}) == {"00100020": ("00100020", "2 values; 1 expected")}


@pytest.mark.parametrize(
    ("tag", "count", "is_good"),
    [
        ("60003000", 1, True),
        ("60020050", 2, True),
        ("60020050", 3, False),
        ("50FE0005", 2, False),
        ("002031FF", 3, True),
    ],
)
def test_repeating_groups(tag: str, count: int, is_good: bool) -> None:
    """Overlays, curves and other repeating groups are in the dictionary too."""
    assert (found({tag: element("US", *[1] * count)}) == {}) is is_good


@pytest.mark.parametrize("tag", ["00100FFF", "0043101B", "FFFEFFFF"])
def test_unknown(tag: str) -> None:
    """What the dictionary does not know may have any number of values."""
    assert found({tag: element("US", 1, 2, 3, 4, 5)}) == {}


@pytest.mark.parametrize("creator", ["GEMS_PARM_01", None])
def test_private_multiplicity(creator: str | None) -> None:
    """So may private attributes: how many there are is their maker's to say (PS3.5 §7.8).

    pydicom's private dictionary wants 4 values in (0043,xx40) of GE; the CT files that GE's scanners write have one.
    """
    dataset = {"00431010": element("LO", creator)} if creator else {}

    assert found({**dataset, "00431040": element("FL", 1.5), "00431041": element("FL", 1.5, 2.5)}) == {}


def test_private_values() -> None:
    """The values of private attributes keep the rules of their VR."""
    assert found({"00091010": element("LO", "ANY"), "00091001": element("DA", "2024")}) == {
        "00091001": ("00091001", "no date of the form yyyyMMdd")
    }


def test_private_creator() -> None:
    """A Private Creator has one value (PS3.5 §7.8.1)."""
    assert found({"00090010": element("LO", "A", "B")}) == {"00090010": ("00090010", "2 values; 1 expected")}


def test_vr_of_the_file() -> None:
    """The VR is the file's, whatever the dictionary says."""
    assert found({"00080020": element("LO", "yesterday")}) == {}
    assert found({"00100020": element("DA", "yesterday")}) != {}


def test_nested() -> None:
    """A nested attribute is named, and found under the outermost sequence; only the first of it."""
    bad = {"00080020": element("DA", "1"), "00080030": element("TM", "1")}
    inner = {"0040A730": element("SQ", {}, {"00080018": element("UI", "1.2")}, bad)}

    other = {"00080090": element("DA", "1")}

    assert found({"00081115": element("SQ", {}, inner, bad, other), "00081140": element("SQ", {}, {})}) == {
        "00081115": ("00080020", "no date of the form yyyyMMdd")
    }


def test_items_are_not_values() -> None:
    """A sequence may have any number of items."""
    assert found({"00081032": element("SQ", *[{}] * 50)}) == {}


def test_sequence_that_is_none() -> None:
    """Where the dictionary has a sequence and the file another VR, values may be as many."""
    assert found({"00081032": element("US", 1, 2)}) == {}


def test_all() -> None:
    """Every attribute with a problem is found, in the order of the data set, and none without."""
    dataset = {
        "00080020": element("DA", "x"),
        "00080021": element("DA", "20240101"),
        "00080022": element("DA", "y"),
        "00090010": element("LO"),
        "00090011": {"vr": "OB", "InlineBinary": "AAA="},
        "00100010": {"vr": "PN", "Value": []},
        "7FE00010": {"vr": "OW"},
    }

    assert list(found(dataset)) == ["00080020", "00080022"]


def test_deep() -> None:
    """As deep as sequences are read, they are checked."""
    dataset: dict[str, Any] = {"00080020": element("DA", "x")}
    for _ in range(MAX_DEPTH):
        dataset = {"0040A730": element("SQ", dataset)}

    assert found(dataset) == {"0040A730": ("00080020", "no date of the form yyyyMMdd")}


def test_same_item() -> None:
    """An item that is the same object in several places is named for each sequence that has it."""
    good, bad = {"00100020": element("LO", "A1")}, {"00100020": element("LO", "A1", "A2")}
    sequences = {
        f"0008111{n}": element("SQ", *items) for n, items in enumerate([[good, good], [good, bad], [bad, good]])
    }

    assert list(found(sequences)) == ["00081111", "00081112"]
