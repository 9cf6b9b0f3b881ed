"""The data dictionary (PS3.6 §6): pydicom's table, read without pydicom.

Importing any part of pydicom imports NumPy, Pillow and its decoders where they are installed, a third of a second of
each cold start. The table is data: a file of it is executed by itself.
"""

from collections.abc import Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """A row; what of it says nothing is ""."""

    vr: str
    vm: str
    name: str
    retired: str
    keyword: str


def entry(tag: int) -> Entry:
    """Return the row of a standard *tag*; repeating groups have one for all (PS3.5 §7.6).

    Raises
    ------
    KeyError
        There is none; private tags have none here.
    """
    found = _TAGS.get(tag)
    if found is None and not tag >> 16 & 1:
        found = next((row for value, mask, row in _REPEATING if tag & mask == value), None)
    if found is None:
        raise KeyError(tag)
    return Entry(*found)


def tag_for_keyword(keyword: str) -> int | None:
    """Return the tag of a keyword; None where the dictionary has no such keyword."""
    return _keywords().get(keyword)


def keyword_for_tag(tag: int) -> str:
    """Return the keyword of a tag; "" where there is none."""
    try:
        return entry(tag).keyword
    except KeyError:
        return ""


@cache
def _keywords() -> Mapping[str, int]:
    return {row[4]: tag for tag, row in _TAGS.items() if row[4]}


_Row = tuple[str, str, str, str, str]


def _tables() -> tuple[Mapping[int, _Row], Mapping[str, _Row]]:
    package = PathFinder.find_spec("pydicom")
    if package is None or package.origin is None:
        raise ImportError("pydicom is not installed")
    path = Path(package.origin).with_name("_dicom_dict.py")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("pydicom has no data dictionary")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DicomDictionary, module.RepeatersDictionary


_TAGS, _masks = _tables()
_REPEATING = [
    (int(mask.replace("x", "0"), 16), int("".join("0" if digit == "x" else "F" for digit in mask), 16), row)
    for mask, row in _masks.items()
]
"""The digits that count of the tags of a repeating group, which these are, and their row."""
