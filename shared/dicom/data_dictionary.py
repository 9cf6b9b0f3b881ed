"""The data dictionaries, the standard's (PS3.6 §6) and that of private elements: pydicom's tables without pydicom.

Importing any part of pydicom imports NumPy, Pillow and its decoders where they are installed, a third of a second of
each cold start and 40 MB. The tables are data: a file of one is executed by itself.
"""

from collections.abc import Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
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


def private_vr(tag: int, creator: str) -> str:
    """Return the VR of a private element of a *creator*, whichever block it is in (PS3.5 §7.8.1).

    Raises
    ------
    KeyError
        The dictionary has none.
    """
    rows, group, element = _private_tables()[creator], f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    names = (group + element, f"{group}xx{element[2:]}", f"{group[:2]}xxxx{element[2:]}")
    return rows[next((name for name in names if name in rows), names[0])][0]


@cache
def _keywords() -> Mapping[str, int]:
    return {row[4]: tag for tag, row in _TAGS.items() if row[4]}


@cache
def _private_tables() -> Mapping[str, Mapping[str, tuple[str, str, str, str]]]:
    """Return the rows of each creator, by tag; an "x" stands for any digit, as that of a block."""
    tables: Mapping[str, Mapping[str, tuple[str, str, str, str]]] = _module("_private_dict").private_dictionaries
    return tables


def _module(name: str) -> ModuleType:
    package = PathFinder.find_spec("pydicom")
    if package is None or package.origin is None:
        raise ImportError("pydicom is not installed")
    spec = spec_from_file_location(name, Path(package.origin).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError("pydicom has no data dictionary")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_Row = tuple[str, str, str, str, str]
_standard = _module("_dicom_dict")
_TAGS: Mapping[int, _Row] = _standard.DicomDictionary
_masks: Mapping[str, _Row] = _standard.RepeatersDictionary
_REPEATING = [
    (int(mask.replace("x", "0"), 16), int("".join("0" if digit == "x" else "F" for digit in mask), 16), row)
    for mask, row in _masks.items()
]
"""The digits that count of the tags of a repeating group, which these are, and their row."""
