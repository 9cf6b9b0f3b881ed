"""Which attributes can be extended query tags, and their values in a data set (`shared/dicom/query_tags.py`)."""

from typing import Any

import pytest

from shared.dicom.query_tags import VRS, new_tag, places, read_tags
from shared.errors import InvalidRequest
from shared.model import Level, QueryTag, TagValue

_PRIVATE = QueryTag("00111001", "SS", Level.INSTANCE, "ACME 1", 7)


@pytest.mark.parametrize(
    ("path", "vr", "creator", "expected"),
    [
        pytest.param("PatientAge", None, None, ("00101010", "AS"), id="keyword"),
        pytest.param("0010101a", "LO", None, ("0010101A", "LO"), id="outside the dictionary"),
        pytest.param("00101010", "as", None, ("00101010", "AS"), id="in any case"),
        pytest.param("SmallestImagePixelValue", "SS", None, ("00280106", "SS"), id="one of two VRs"),
        pytest.param("00111001", "SS", "ACME 1", ("00111001", "SS"), id="private"),
        pytest.param("00110010", None, None, ("00110010", "LO"), id="private creator"),
        pytest.param("PatientSex", None, None, ("00100040", "CS"), id="not searchable in the reference"),
    ],
)
def test_new_tag(path: str, vr: str | None, creator: str | None, expected: tuple[str, str]) -> None:
    """A path is normalised, and the VR taken from the dictionary where it tells one."""
    tag = new_tag(path, Level.SERIES, vr, creator)

    assert (tag.path, tag.vr) == expected
    assert (tag.level, tag.creator) == (Level.SERIES, creator or "")


@pytest.mark.parametrize(
    ("path", "vr", "creator"),
    [
        pytest.param("NoSuchKeyword", None, None, id="unknown keyword"),
        pytest.param("patientage", None, None, id="keyword in another case"),
        pytest.param("0010101", None, None, id="seven digits"),
        pytest.param("RequestAttributesSequence.RequestedProcedureID", None, None, id="dotted path"),
        pytest.param("PatientAge", "LO", None, id="another VR than the dictionary's"),
        pytest.param("PatientAge", "XX", None, id="no VR"),
        pytest.param("PatientWeight", None, None, id="DS"),
        pytest.param("RequestAttributesSequence", None, None, id="sequence"),
        pytest.param("SmallestImagePixelValue", None, None, id="VR that the dictionary leaves open"),
        pytest.param("0010101A", None, None, id="no VR outside the dictionary"),
        pytest.param("PatientAge", "AS", "ACME", id="creator of a standard tag"),
        pytest.param("00110010", None, "ACME", id="creator of a creator"),
        pytest.param("00111001", "SS", None, id="private without a creator"),
        pytest.param("00111001", "SS", " ", id="empty creator"),
        pytest.param("00111001", "SS", "A" * 65, id="long creator"),
        pytest.param("00111001", "SS", "A\\B", id="two creators"),
        pytest.param("00111001", None, "ACME", id="private without a VR"),
        pytest.param("00110101", "SS", "ACME", id="private outside of blocks"),
        pytest.param("00100000", "UL", None, id="group length"),
        pytest.param("00020010", "UI", None, id="file meta"),
        pytest.param("PatientID", None, None, id="searchable by default"),
        pytest.param("ModalitiesInStudy", None, None, id="computed by default"),
    ],
)
def test_refused(path: str, vr: str | None, creator: str | None) -> None:
    """What cannot be a tag is refused (extended-query-tags.md, "Add")."""
    with pytest.raises(InvalidRequest):
        new_tag(path, Level.STUDY, vr, creator)


def test_vrs() -> None:
    """The VRs are those of the specification."""
    assert " ".join(sorted(VRS)) == "AE AS CS DA DT FD FL IS LO PN SH SL SS TM UI UL US"


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"00110010": {"vr": "LO", "Value": ["ACME 1"]}}, "00111001"),
        ({"00110033": {"vr": "LO", "Value": ["ACME 1 "]}}, "00113301"),
        ({"00110010": {"vr": "LO", "Value": ["OTHER"]}}, None),
        ({"00130010": {"vr": "LO", "Value": ["ACME 1"]}}, None),
    ],
)
def test_place(dataset: dict[str, Any], expected: str | None) -> None:
    """A private tag lies in the block that its creator has reserved in the data set (PS3.5 §7.8.1)."""
    assert [place for _, place in places(dataset, [_PRIVATE])] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("vr", "element", "expected"),
    [
        ("AS", {"vr": "AS", "Value": ["045Y"]}, "045y"),
        ("AS", {"vr": "AS", "Value": ["045Y", "046Y"]}, "045y"),
        ("IS", {"vr": "IS", "Value": [3]}, 3),
        ("FD", {"vr": "FD", "Value": [1.5]}, 1.5),
        ("PN", {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]}, "muller^jorg"),
        ("DA", {"vr": "DA", "Value": ["20240501"]}, "20240501"),
        ("DA", {"vr": "DA", "Value": ["2024"]}, None),
        ("AS", {"vr": "AS"}, None),
        ("AS", {"vr": "LO", "Value": ["045Y"]}, None),
        ("IS", {"vr": "IS", "Value": ["x"]}, None),
        ("AS", {"vr": "AS", "Value": ["45"]}, None),
    ],
)
def test_values(vr: str, element: dict[str, Any], expected: str | float | None) -> None:
    """The first value is indexed, folded; an empty one, one of another VR and one that breaks a rule are not."""
    tag = QueryTag("00101010", vr, Level.STUDY, number=3)

    found, _ = read_tags({"00101010": element}, [tag])

    assert found == (() if expected is None else (TagValue(3, Level.STUDY, vr, expected),))
