"""The data dictionary says what pydicom's says (`shared/dicom/data_dictionary.py`)."""

import pytest
from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.charset import convert_encodings

from shared.dicom.charset import _ORDINARY
from shared.dicom.data_dictionary import entry, keyword_for_tag, tag_for_keyword


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
