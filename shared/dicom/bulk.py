"""Where binary values lie that are too long for the JSON, and how the fragments of one are skipped (PS3.5 §A.4)."""

from dataclasses import dataclass

from shared.dicom.dictionary import Encoding
from shared.dicom.encapsulation import UNDEFINED

INLINE_BYTES = 1024
"""Binary values up to this length are written into the JSON."""

PIXEL_DATA = frozenset({"7FE00008", "7FE00009", "7FE00010"})
"""Float, Double Float and plain Pixel Data: bulk data however short, and the end of what must be readable."""

ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
"""Group and element of items and delimiters (PS3.5 §7.5)."""

ITEM_HEAD = 8
"""Bytes of an item's or delimiter's tag and length."""


@dataclass(frozen=True, slots=True)
class BulkValue:
    """A binary value that is not in the JSON.

    Parameters
    ----------
    path
        Its tag, or for a nested one the way to it: "54000100/1/54001010" (sequence / item from 1 / tag).
    offset
        Of the value, in bytes from the start of the file; of a deflated file as if it were inflated in place.
    length
        In bytes, as the file claims; None when undefined (encapsulated pixel data, PS3.5 §A.4).
    """

    path: str
    vr: str
    offset: int
    length: int | None


def skip_fragments(encoding: Encoding, window: bytes, position: int, end: int) -> tuple[int, bool]:
    """Return the position behind the fragments at *position*, and whether their delimiter was found.

    Without it, that is where the next item begins: within 8 bytes of *end*, or behind it.

    Raises
    ------
    ValueError
        At the position that is its argument there is neither a fragment nor the delimiter.
    """
    while position + ITEM_HEAD <= end:
        group, element, length = encoding.item(window, position)
        if (group, element) == SEQUENCE_END:
            return position + ITEM_HEAD, True
        if (group, element) != ITEM or length == UNDEFINED:
            raise ValueError(position)
        position += ITEM_HEAD + length
    return position, False
