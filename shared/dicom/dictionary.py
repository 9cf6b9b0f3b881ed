"""Which VR an element has where the file does not say (PS3.5 §6.2.2, PS3.6), and how its first bytes are read.

The dictionaries are pydicom's. What an element's tag and VR mean for reading it is a `Plan`, made once for each
combination and kept in a bounded cache: this is what makes reading an element cheap.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

from shared.dicom.data_dictionary import entry, private_vr
from shared.dicom.elements import BINARY, LONG, MAX_CHARACTERS, READERS, Dataset, Reader


class Kind(IntEnum):
    """How an element is read, the most frequent first."""

    PLAIN = 0
    """One of `READERS`, with a short header."""
    NUMERIC_TEXT = 1
    """DS and IS: like PLAIN, and their length is looked at."""
    SEQUENCE = 2
    DELIMITER = 3
    """Item or delimiter (PS3.5 §7.5)."""
    OTHER = 4
    """Whatever needs a second look."""
    IMPLICIT = 5
    """In explicit VR: no letters where the VR should be; an element of implicit VR."""
    UNKNOWN = 6
    """In explicit VR: letters that are no VR."""


Plan: TypeAlias = tuple[str, str, int, int, Reader]
"""What tag and VR say about reading an element: tag, VR, kind, distance in bytes to the value, reader.

The VR is that of the file or of the dictionary, where it may be ambiguous ("US or SS"); empty when only the data
set can tell. The reader is for the first two kinds. A bare tuple, since it is taken apart for each element.
"""


class Encoding(NamedTuple):
    """One of the ways to encode a data set (PS3.5 §7.1); the functions take a window and a position."""

    is_implicit: bool
    order: str
    head: Callable[[bytes, int], tuple[bytes, int]]
    """The bytes that a plan depends on, and the length that follows them."""
    length: Callable[[bytes, int], tuple[int]]
    item: Callable[[bytes, int], tuple[int, int, int]]
    """Group, element and length of an item or delimiter."""
    plans: "Plans"


class Plans(dict[bytes, Plan]):
    """The plans made so far by the bytes that they depend on: looked up in half the time of an `lru_cache`."""

    def __init__(self, make: Callable[[bytes], Plan]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, head: bytes) -> Plan:
        """Make the plan; all older ones are forgotten when there are too many."""
        if len(self) >= _MAX_PLANS:
            self.clear()
        plan = self[head] = self._make(head)
        return plan


_MAX_PLANS = 16384
_SHORT_VALUE, _LONG_VALUE = 8, 12
_CHARACTER_SET = 0x00080005
_DELIMITERS = 0xFFFE
_FIRST_CREATOR, _LAST_CREATOR = 0x10, 0xFF
_LONGEST_CREATOR = 65
"""Characters looked up; one more than a Private Creator may have, so that a longer one is not found."""


def _plan(tag: int, vr: str, value_at: int, order: str) -> Plan:
    name = f"{tag:08X}"
    readers = READERS[order]
    read = readers.get(vr, readers["UI"])
    if tag >> 16 == _DELIMITERS:
        kind = Kind.DELIMITER
    elif tag == _CHARACTER_SET or tag & 0xFFFF == 0:
        kind = Kind.OTHER
    elif vr == "SQ":
        kind = Kind.SEQUENCE
    elif vr in readers and value_at == _SHORT_VALUE:
        kind = Kind.NUMERIC_TEXT if vr in MAX_CHARACTERS else Kind.PLAIN
    else:
        kind = Kind.OTHER
    return name, vr, int(kind), value_at, read


def _explicit(order: str) -> Callable[[bytes], Plan]:
    tag_of = Struct(f"{order}HH").unpack_from

    def plan(head: bytes) -> Plan:
        group, element = tag_of(head)
        tag = group << 16 | element
        vr = head[4:].decode("latin-1")
        if vr in LONG:
            return _plan(tag, vr, _LONG_VALUE, order)
        if vr in READERS[order] or group == _DELIMITERS:
            return _plan(tag, vr, _SHORT_VALUE, order)
        kind = Kind.UNKNOWN if "AA" <= vr <= "ZZ" else Kind.IMPLICIT
        return f"{tag:08X}", vr, int(kind), _SHORT_VALUE, READERS[order]["UI"]

    return plan


def _implicit(order: str) -> Callable[[bytes], Plan]:
    tag_of = Struct(f"{order}HH").unpack

    def plan(head: bytes) -> Plan:
        group, element = tag_of(head)
        tag = group << 16 | element
        is_private = group & 1 and element
        return _plan(tag, "" if is_private else _standard_vr(tag), _SHORT_VALUE, order)

    return plan


def _encoding(order: str, *, is_implicit: bool) -> Encoding:
    return Encoding(
        is_implicit,
        order,
        Struct(f"{order}4sL" if is_implicit else f"{order}6sH").unpack_from,
        Struct(f"{order}L").unpack_from,
        Struct(f"{order}HHL").unpack_from,
        Plans((_implicit if is_implicit else _explicit)(order)),
    )


EXPLICIT: Mapping[str, Encoding] = {order: _encoding(order, is_implicit=False) for order in "<>"}
IMPLICIT: Mapping[str, Encoding] = {order: _encoding(order, is_implicit=True) for order in "<>"}
"""By byte order. Implicit VR big endian is no transfer syntax, but what a UN or a wrong VR can lead to."""


def vr_of(tag: str, dataset: Dataset) -> str:
    """Return the VR that the dictionaries give an element whose VR the file hides; "UN" when they do not know.

    Private elements are looked up by the Private Creator that *dataset* holds (PS3.5 §7.8.1).
    """
    vr, creator_tag = _standard_or_creator(tag)
    if not creator_tag:
        return vr
    values = dataset.get(creator_tag, {}).get("Value", ())
    if len(values) != 1 or not isinstance(values[0], str):
        return "UN"
    return _private_vr(int(tag, 16), values[0].rstrip("\0 ")[:_LONGEST_CREATOR])


_SETTLED = {vr: vr for vr in (*READERS["<"], *BINARY, "SQ")} | {"US or SS": "US", "US or SS or OW": "OW"}
_OTHER_BYTE_OR_WORD = frozenset({"OB or OW", "OB_OW"})
_BITS_OF_A_BYTE = 8


def settled(vr: str, tag: str, dataset: Dataset, *, is_implicit: bool) -> str:
    """Choose among the VRs that the dictionary allows an element (PS3.5 §A.1, PS3.3 §C.11.1.1.1).

    "US or SS" is answered with US; whoever knows Pixel Representation corrects it.
    """
    if vr in _SETTLED:
        return _SETTLED[vr]
    if vr in _OTHER_BYTE_OR_WORD:
        bits = _first(dataset, "00280100")
        fits = tag == "7FE00010" and isinstance(bits, int) and bits <= _BITS_OF_A_BYTE
        return "OB" if fits and not is_implicit else "OW"
    if vr == "US or OW":
        return "US" if _first(dataset, "00283002") == 1 else "OW"
    return "UN"


def _first(dataset: Dataset, tag: str) -> Any:
    values = dataset.get(tag, {}).get("Value")
    return values[0] if values else None


def _standard_vr(tag: int) -> str:
    try:
        return entry(tag).vr
    except KeyError:
        return "UL" if not tag & 0xFFFF else "UN"


@lru_cache(maxsize=4096)
def _private_vr(tag: int, creator: str) -> str:
    try:
        return private_vr(tag, creator)
    except KeyError:
        return "UN"


@lru_cache(maxsize=16384)
def _standard_or_creator(tag: str) -> tuple[str, str]:
    """Return the VR of an element, and for one that depends on it the tag of its Private Creator, otherwise ""."""
    number = int(tag, 16)
    element = number & 0xFFFF
    if not number >> 16 & 1 or not element:
        return _standard_vr(number), ""
    if element > _LAST_CREATOR:
        return "", f"{tag[:4]}00{element >> 8:02X}"
    return ("LO" if element >= _FIRST_CREATOR else "UN"), ""
