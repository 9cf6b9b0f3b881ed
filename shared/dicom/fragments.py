"""What is seen of encapsulated pixel data while a file passes: its fragments and its offset tables (PS3.5 §A.4)."""

from array import array
from dataclasses import dataclass, field

from shared.dicom.encapsulation import ITEM
from shared.errors import UnreadableFile
from shared.model import ByteRange

MAX_FRAGMENTS = 2**20
"""Of one file, some 20 MB of memory; the largest slides have a tenth of that."""

_ITEM_HEAD = 8

BEGINNING = 4
"""Bytes kept from the start of each fragment: enough to tell whether a codestream begins there."""

EXTENDED_OFFSETS, EXTENDED_LENGTHS = "7FE00001", "7FE00002"
"""Extended Offset Table and its Lengths (PS3.3 §C.7.6.3.1.8)."""

OFFSET_TABLES = frozenset({EXTENDED_OFFSETS, EXTENDED_LENGTHS})


@dataclass(slots=True)
class Fragments:
    """The fragments of one file, in its order; the Basic Offset Table is none of them.

    Parameters
    ----------
    extended
        Values of the Extended Offset Table and its Lengths by tag, as far as the file has them.
    is_closed
        Whether their end was there, so that the last one is whole.
    basic
        Value of the Basic Offset Table; None before it has been read.
    starts
        Where the content of each fragment starts, in bytes from the start of the file.
    lengths
        Of each fragment's content, in bytes.
    """

    extended: dict[str, bytes]
    is_closed: bool = False
    basic: bytes | None = None
    starts: "array[int]" = field(default_factory=lambda: array("Q"))
    lengths: "array[int]" = field(default_factory=lambda: array("L"))
    _beginnings: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        """Return the number of fragments."""
        return len(self.starts)

    def wanted(self, length: int) -> int:
        """Return how many bytes of the next item's content `add` must be given, of *length* that it has."""
        return length if self.basic is None else min(length, BEGINNING)

    def add(self, start: int, length: int, content: bytes) -> None:
        """Take the next item: the Basic Offset Table first, then fragments."""
        if self.basic is None:
            self.basic = content
            return
        if len(self.starts) == MAX_FRAGMENTS:
            raise UnreadableFile(f"more than {MAX_FRAGMENTS} fragments")
        self.starts.append(start)
        self.lengths.append(length)
        self._beginnings += content.ljust(BEGINNING, b"\0")

    def beginning(self, number: int) -> bytes:
        """Return the first bytes of a fragment, counted from 0."""
        return bytes(self._beginnings[number * BEGINNING : (number + 1) * BEGINNING])


def fragment_ranges(value: bytes, offset: int) -> tuple[ByteRange, ...]:
    """Return where the fragments of an encapsulated value lie, the Basic Offset Table left out (PS3.5 §A.4).

    Parameters
    ----------
    value
        The value from its first item on, and what follows it.
    offset
        Of *value* in the file.

    Raises
    ------
    UnreadableFile
        The fragments do not end within *value*.
    """
    found: list[ByteRange] = []
    at = 0
    while at + _ITEM_HEAD <= len(value):
        tag, length = value[at : at + 4], int.from_bytes(value[at + 4 : at + _ITEM_HEAD], "little")
        at += _ITEM_HEAD
        if tag != ITEM:
            return tuple(found[1:])
        found.append(ByteRange(offset + at, length))
        at += length
    raise UnreadableFile(f"the fragments do not end within {len(value)} bytes")
