"""The data dictionary says what pydicom's says (`shared/dicom/data_dictionary.py`)."""

from collections.abc import Callable

import pytest
from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries
from pydicom.charset import convert_encodings

from shared.dicom.charset import _ORDINARY
from shared.dicom.data_dictionary import entry, keyword_for_tag, private_vr, tag_for_keyword


def test_every_tag() -> None:
    """Each row, and the way from keyword to tag and back, is pydicom's."""
    for tag, row in DicomDictionary.items():
        assert entry(tag) == row
        assert keyword_for_tag(tag) == datadict.keyword_for_tag(tag)
        if row[4]:
            assert tag_for_keyword(row[4]) == datadict.tag_for_keyword(row[4])


@pytest.mark.parametrize("digits", ["0", "2", "A", "1"])
def test_repeating(digits: str) -> None:
    """The tags of repeating groups are those that pydicom knows, in groups of even numbers alone."""
    for mask in RepeatersDictionary:
        tag = int(mask.replace("x", digits), 16)
        try:
            known = datadict.get_entry(tag)
        except KeyError:
            with pytest.raises(KeyError):
                entry(tag)
        else:
            assert entry(tag) == known


def test_private() -> None:
    """Each row of each creator, in one block and in another, has the VR that pydicom finds."""
    found = 0
    for creator, rows in private_dictionaries.items():
        for mask in rows:
            for block, digit in (("10", "1"), ("A5", "F")):
                name = mask[:4].replace("x", digit) + mask[4:].replace("xx", block)
                assert _or_none(private_vr, name, creator) == _or_none(datadict.private_dictionary_VR, name, creator)
                found += 1
    assert found > 20_000


def _or_none(vr_of: Callable[[int, str], str], name: str, creator: str) -> str | None:
    try:
        return vr_of(int(name, 16), creator)
    except KeyError:
        return None


@pytest.mark.parametrize(("tag", "creator"), [(0x00091001, "nobody"), (0x000910FF, "SIEMENS CT VA0  COAD"), (1, "")])
def test_unknown_private(tag: int, creator: str) -> None:
    """Neither a creator that is not known has a VR, nor an element that its creator does not have."""
    with pytest.raises(KeyError):
        private_vr(tag, creator)


@pytest.mark.parametrize("tag", [0x00091001, 0x00090010, 0x0008FFFF, 0xFFFFFFFF])
def test_unknown(tag: int) -> None:
    """What the standard does not name has no row and no keyword."""
    with pytest.raises(KeyError):
        entry(tag)
    assert keyword_for_tag(tag) == ""


@pytest.mark.parametrize("keyword", ["", "NoSuchKeyword", "patientname"])
def test_unknown_keyword(keyword: str) -> None:
    """Retired elements without a keyword are not found by none."""
    assert tag_for_keyword(keyword) is None


@pytest.mark.parametrize("terms", _ORDINARY, ids=" ".join)
def test_ordinary_character_sets(terms: tuple[str, ...]) -> None:
    """The sets for which pydicom is not asked are those that it would name."""
    assert convert_encodings([*terms]) == [_ORDINARY[terms]]
