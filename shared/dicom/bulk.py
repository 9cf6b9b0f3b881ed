"""Where binary values lie that are too long for the JSON, and how the fragments of one are skipped (PS3.5 §A.4)."""

from dataclasses import dataclass

from shared.dicom.damage import Incomplete
from shared.dicom.dictionary import Encoding
from shared.dicom.encapsulation import UNDEFINED
from shared.dicom.fragments import Fragments
from shared.errors import UnreadableFile

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


class BulkValues:
    """The bulk values of one file, and the fragments of its encapsulated ones while they pass.

    Parameters
    ----------
    inline_bytes
        Binary values longer than this are bulk data.
    """

    def __init__(self, inline_bytes: int = INLINE_BYTES) -> None:
        self.values: list[BulkValue] = []
        self.pixel_data: BulkValue | None = None
        self.fragments: Fragments | None = None
        """Of encapsulated pixel data, as far as they have been read."""
        self.skipped = 0
        """Bytes of top-level bulk values, behind us or still to be skipped."""
        self.in_fragments = False
        """Whether the next bytes are fragments of encapsulated pixel data."""
        self._inline_bytes = inline_bytes
        self._offset_tables: dict[str, bytes] = {}
        self._open = Fragments(self._offset_tables)

    def is_inline(self, tag: str, length: int, *, is_top: bool) -> bool:
        """Return whether a value is for the JSON; Pixel Data of the data set itself only when it is empty."""
        return length <= self._inline_bytes and not (is_top and tag in PIXEL_DATA and length)

    def keep_offset_table(self, tag: str, value: bytes) -> None:
        """Take the Extended Offset Table or its Lengths."""
        self._offset_tables[tag] = value

    def add(self, value: BulkValue, *, is_top: bool) -> None:
        """Note a value that is now read over, or of which the fragments come next."""
        self.values.append(value)
        if not is_top:
            return
        is_pixel_data = value.path in PIXEL_DATA
        if is_pixel_data:
            self.pixel_data = value
        self.skipped += value.length or 0
        self.in_fragments = value.length is None
        if self.in_fragments:
            self._open = Fragments(self._offset_tables)
            self.fragments = self._open if is_pixel_data else self.fragments

    def read_fragments(self, encoding: Encoding, window: bytes, position: int, end: int, base: int) -> int:
        """Note the fragments of the data set itself and return the position behind them; the last may end behind *end*.

        Raises
        ------
        Incomplete
            More bytes are needed of a fragment.
        UnreadableFile
            There is neither a fragment nor the delimiter.
        """
        while position < end:
            content = position + ITEM_HEAD
            if content > end:
                raise Incomplete(position, ITEM_HEAD)
            group, element, length = encoding.item(window, position)
            if (group, element) == SEQUENCE_END:
                self.skipped += ITEM_HEAD
                self.in_fragments = False
                self._open.is_closed = True
                return content
            if (group, element) != ITEM or length == UNDEFINED:
                problem = f"at byte {base + position}: a fragment or the last one's end was expected"
                raise UnreadableFile(problem, self.values[-1].path)
            wanted = content + self._open.wanted(length)
            if wanted > end:
                raise Incomplete(position, wanted - position)
            self._open.add(base + content, length, window[content:wanted])
            self.skipped += ITEM_HEAD + length
            position = content + length
        return position


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
