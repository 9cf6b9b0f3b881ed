"""Palette colour lookup tables, segmented ones too (PS3.3 §C.7.6.3.1.5, §C.7.9)."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from shared.dicom.items import Item, tag
from shared.dicom.lookup import Grey, Lut, read_lut
from shared.errors import NotDecodable

_COLOURS = ("Red", "Green", "Blue")
_BYTE = 8
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_MOST_SEGMENTS = 0x10000
"""More than a table can have, however short its segments: bounds what indirect segments repeat."""


@dataclass(frozen=True, slots=True)
class Palette:
    """One table for red, green and blue each."""

    luts: tuple[Lut, ...]


def read_palette(item: Item, *, is_signed: bool) -> Palette:
    """Return the palette of an image.

    Raises
    ------
    NotDecodable
        A table is missing or broken.
    """
    return Palette(tuple(_read(item, colour, is_signed=is_signed) for colour in _COLOURS))


def _read(item: Item, colour: str, *, is_signed: bool) -> Lut:
    descriptor, data = f"{colour}PaletteColorLookupTableDescriptor", f"{colour}PaletteColorLookupTableData"
    plain = item.raw(data)
    numbers = item.numbers(descriptor)
    if not plain and len(numbers) == len(("entries", "first", "bits")):
        segments = item.raw(f"Segmented{data}")
        count = int(numbers[0]) % 0x10000 or 0x10000
        plain = np.array(expand(segments, int(numbers[2]), count), "<u2").tobytes()
    known = {one: element for one, element in item.dataset.items() if one != tag(data)}
    return read_lut(Item(known, lambda _: plain), is_signed=is_signed, descriptor=descriptor, data=data)


def expand(data: bytes, bits: int, count: int) -> list[int]:
    """Return the first *count* entries that segments stand for (PS3.3 §C.7.9.2).

    Parameters
    ----------
    bits
        Of an entry, and of each word of *data*: 8 or 16, little endian.

    Raises
    ------
    NotDecodable
        There are fewer entries, or what is there is no segment.
    """
    kind = np.dtype(np.uint8 if bits == _BYTE else "<u2")
    words = np.frombuffer(data, kind, len(data) // kind.itemsize).tolist()
    segments = _Segments(words, kind.itemsize, count)
    segments.copy(0, _MOST_SEGMENTS, is_repeated=False)
    if len(segments.entries) < count:
        raise NotDecodable(f"segmented palette: {len(segments.entries)} entries, {count} expected.")
    return segments.entries[:count]


@dataclass(slots=True)
class _Segments:
    words: list[int]
    word_bytes: int
    count: int
    entries: list[int] = field(default_factory=list)
    copied: int = 0

    def copy(self, at: int, most: int, *, is_repeated: bool) -> None:
        """Append the entries of up to *most* segments from word *at* on."""
        for _ in range(most):
            if len(self.entries) >= self.count or at + 2 > len(self.words):
                return
            self.copied += 1
            kind, length = self.words[at : at + 2]
            body = self.words[at + 2 : at + 2 + self._body(kind, length)]
            is_known = kind == _DISCRETE or (self.entries and kind in {_LINEAR, _INDIRECT})
            is_whole = len(body) == self._body(kind, length)
            if not (is_known and is_whole) or self.copied > _MOST_SEGMENTS or (is_repeated and kind == _INDIRECT):
                raise NotDecodable(f"segmented palette: no segment at word {at}.")
            at += 2 + len(body)
            if kind == _DISCRETE:
                self.entries += body
            elif kind == _LINEAR:
                self._draw(body[0], length)
            else:
                offset = int.from_bytes(b"".join(word.to_bytes(self.word_bytes, "little") for word in body), "little")
                self.copy(offset // self.word_bytes, length, is_repeated=True)

    def _body(self, kind: int, length: int) -> int:
        """Words of a segment behind its length: entries, an end, or an offset of 32 bits."""
        return {_DISCRETE: length, _LINEAR: 1}.get(kind, 4 // self.word_bytes)

    def _draw(self, end: int, length: int) -> None:
        """Append *length* entries on the line from the last one to *end*."""
        start = self.entries[-1]
        self.entries += [round(start + (end - start) * step / length) for step in range(1, length + 1)]


@lru_cache(8)
def palette_table(palette: Palette, dtype: str) -> Grey:
    """Return red, green and blue of every value of an integer type of 8 or 16 bits, by its bits read as unsigned.

    Of entries with more than 8 bits the highest 8 are shown: many writers leave the others 0.
    """
    kind = np.dtype(dtype)
    values = np.arange(1 << 8 * kind.itemsize, dtype=f"u{kind.itemsize}").view(kind).astype(np.float64)
    columns = [lut(values) * 2.0 ** (_BYTE - max(lut.bits, _BYTE)) for lut in palette.luts]
    table = np.stack(columns, axis=1).astype(np.uint8)
    table.flags.writeable = False
    return table
