"""Data sets of any encoding in explicit VR little endian, value by value as they are (PS3.5 §7.1, §A)."""

from collections.abc import Mapping
from io import BytesIO
from struct import pack
from typing import TypeAlias

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread, read_dataset
from pydicom.filewriter import write_data_element

from shared.dicom.dictionary import settled, vr_of
from shared.dicom.elements import LONG, NUMBER_BYTES
from shared.dicom.elements import Dataset as JsonDataset
from shared.dicom.encapsulation import ITEM, UNDEFINED
from shared.errors import NotDecodable
from shared.model import Buffer

Elements: TypeAlias = dict[str, bytes]
"""Whole elements, head and value, by tag of 8 hexadecimal digits."""

_SWAPPED: Mapping[str, int] = {**NUMBER_BYTES, "AT": 2, "OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
"""Bytes that change places in big endian (PS3.5 §7.3)."""
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_BITS_ALLOCATED, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR = "00280100", "00280103", "00283002"
_CHOOSING = frozenset({_BITS_ALLOCATED, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR})
"""What decides among the VRs that an element of implicit VR may have (PS3.5 §A.1)."""
_LONGEST_SHORT_VALUE = 0xFFFF
_MAX_DEPTH = 64


def read_elements(file: Buffer) -> tuple[Elements, Elements]:
    """Return the file meta information and the data set of a Part 10 file, or of its beginning up to an element.

    Left out are group lengths, which another encoding makes wrong. Text keeps its bytes, whatever its character set.

    Raises
    ------
    NotDecodable
        pydicom cannot read it.
    """
    try:
        dataset = dcmread(BytesIO(file), force=True)
        _check_end(dataset, file)
        return _elements(dataset.file_meta, {}, 0), _elements(dataset, {}, 0)
    except NotDecodable:
        raise
    except Exception as error:  # pydicom raises whatever a broken value leads it to
        raise NotDecodable("the data set cannot be written in another transfer syntax") from error


def read_tail(tail: Buffer, *, is_implicit: bool, order: str) -> Elements:
    """Return the elements behind pixel data; none when they cannot be read, as Store does not need them either."""
    try:
        return _elements(read_dataset(BytesIO(bytes(tail)), is_implicit, order == "<"), {}, 0)
    except Exception:  # noqa: BLE001 - pydicom raises whatever a broken value leads it to
        return {}


def element(tag: str, vr: str, value: bytes) -> bytes:
    """Return an element in explicit VR little endian; one that is too long for its VR becomes UN (PS3.5 §6.2.2)."""
    if vr not in LONG and len(value) > _LONGEST_SHORT_VALUE:
        vr = "UN"
    return head(tag, vr, len(value)) + value


def head(tag: str, vr: str, length: int) -> bytes:
    """Return what stands before the value of an element (PS3.5 §7.1.2)."""
    numbers = int(tag[:4], 16), int(tag[4:], 16), vr.encode("ascii")
    return pack("<HH2sHL", *numbers, 0, length) if vr in LONG else pack("<HH2sH", *numbers, length)


def value_of(encoded: bytes | None) -> bytes:
    """Return the value of an element that `element` wrote; empty for one that is missing."""
    if encoded is None:
        return b""
    return encoded[12 if vr_in(encoded) in LONG else 8 :]


def vr_in(encoded: bytes) -> str:
    """Return the VR of an element that `element` wrote."""
    return encoded[4:6].decode("ascii")


def bytes_in_number(vr: str) -> int:
    """Return how many bytes change places between little and big endian (PS3.5 §7.3)."""
    return _SWAPPED.get(vr, 1)


def _check_end(dataset: Dataset, file: Buffer) -> None:
    """Raise `NotDecodable` when pydicom left something out at the end, which it does without a word."""
    last = dataset.get_item([*dataset.keys()][-1]) if dataset else None  # in the order of the file
    if not isinstance(last, RawDataElement) or last.length == UNDEFINED:
        return
    end = last.value_tell + last.length
    if end > len(file) or any(memoryview(file)[end:]):
        raise NotDecodable(f"the data set cannot be read from byte {min(end, len(file))} on")


def _elements(dataset: Dataset, outer: JsonDataset, depth: int) -> Elements:
    if depth > _MAX_DEPTH:
        raise NotDecodable(f"more than {_MAX_DEPTH} sequences within each other")
    known = {tag: outer[tag] for tag in _CHOOSING & outer.keys()}
    found: Elements = {}
    for number in sorted(dataset.keys()):
        one, tag = dataset.get_item(number), f"{int(number):08X}"
        if tag.endswith("0000") or tag.startswith("FFFE"):
            continue
        vr = _vr(one, tag, known)
        if vr == "SQ" and not (isinstance(one, RawDataElement) and _is_little_explicit(one)):
            found[tag] = element(tag, vr, _items(dataset, number, known, depth))
            continue
        if not isinstance(one.value, bytes | None):  # pydicom needs some values itself while it reads
            found[tag] = _written(one)
            _note(known, tag, value_of(found[tag]))
            continue
        value = _value(one, vr)
        _note(known, tag, value)
        if one.is_undefined_length if isinstance(one, DataElement) else one.length == UNDEFINED:
            found[tag] = head(tag, vr, UNDEFINED) + value + _SEQUENCE_END
        else:
            found[tag] = element(tag, vr, value)
    return found


def _vr(one: DataElement | RawDataElement, tag: str, known: JsonDataset) -> str:
    if one.VR and (len(one.VR) == 2):  # noqa: PLR2004 - letters of a VR; else the dictionary's choices
        return str(one.VR)
    vr = vr_of(tag, known)
    if vr == "US or SS" and known.get(_PIXEL_REPRESENTATION, {}).get("Value") == [1]:
        return "SS"
    return settled(vr, tag, known, is_implicit=True)


def _is_little_explicit(one: RawDataElement) -> bool:
    return one.is_little_endian and not one.is_implicit_VR


def _items(dataset: Dataset, number: int, known: JsonDataset, depth: int) -> bytes:
    """Return the items of a sequence, of defined length (PS3.5 §7.5.1)."""
    pieces = []
    for item in dataset[number].value or ():
        value = b"".join(_elements(item, known, depth + 1).values())
        pieces.append(ITEM + pack("<L", len(value)) + value)
    return b"".join(pieces)


def _written(one: DataElement | RawDataElement) -> bytes:
    target = DicomBytesIO()
    target.is_little_endian, target.is_implicit_VR = True, False
    write_data_element(target, one)
    return target.getvalue()


def _value(one: DataElement | RawDataElement, vr: str) -> bytes:
    value: bytes = one.value or b""
    size = bytes_in_number(vr)
    if size == 1 or not isinstance(one, RawDataElement) or one.is_little_endian or len(value) % size:
        return value
    return b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))


def _note(known: JsonDataset, tag: str, value: bytes) -> None:
    """Remember what the VR of later elements depends on: Private Creators and a few numbers."""
    if tag in _CHOOSING:
        known[tag] = {"vr": "US", "Value": [int.from_bytes(value[:2], "little")] if len(value) > 1 else []}
    elif int(tag[:4], 16) % 2 and tag[4:6] == "00":
        known[tag] = {"vr": "LO", "Value": [value.decode("latin-1")]}
