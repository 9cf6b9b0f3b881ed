"""Overlay planes: drawings of one bit a pixel that lie over an image (PS3.3 §C.9.2)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.dicom.items import Item
from shared.dicom.lookup import Grey
from shared.errors import NotDecodable

_GROUPS = tuple(f"60{number:02X}" for number in range(0, 32, 2))
_ROWS, _COLUMNS, _ORIGIN = "0010", "0011", "0050"
_FRAMES, _FIRST_FRAME, _BITS_ALLOCATED, _DATA = "0015", "0051", "0100", "3000"
_MOST_PIXELS = 1 << 28
_WHITE = 255


@dataclass(frozen=True, slots=True)
class Overlay:
    """A plane as it lies over one frame.

    Parameters
    ----------
    row, column
        Of its top left pixel in the image, from 0; may be negative, as a plane may reach over the edges.
    plane
        (rows, columns)
    """

    row: int
    column: int
    plane: NDArray[np.bool_]


def read_overlays(item: Item, frame: int) -> Iterator[Overlay]:
    """Yield the planes over a frame, which counts from 1.

    Left out are those in unused bits of the pixels, which the standard has retired, and those without data.

    Raises
    ------
    NotDecodable
        A plane has no size or a value of it is no number.
    """
    for group in _GROUPS:
        if f"{group}{_ROWS}" in item.dataset:
            overlay = _read(item, group, frame)
            if overlay is not None:
                yield overlay


def burn_in(shown: Grey, overlay: Overlay) -> Grey:
    """Return a picture with a plane drawn over it in white."""
    rows, columns = shown.shape[:2]
    height, width = overlay.plane.shape
    top, left = max(overlay.row, 0), max(overlay.column, 0)
    bottom, right = min(overlay.row + height, rows), min(overlay.column + width, columns)
    if top >= bottom or left >= right:
        return shown
    drawn = shown if shown.flags.writeable else shown.copy()
    over = overlay.plane[top - overlay.row : bottom - overlay.row, left - overlay.column : right - overlay.column]
    drawn[top:bottom, left:right][over] = _WHITE
    return drawn


def _read(item: Item, group: str, frame: int) -> Overlay | None:
    rows, columns = _number(item, group + _ROWS, 0), _number(item, group + _COLUMNS, 0)
    if rows < 1 or columns < 1 or rows * columns > _MOST_PIXELS:
        raise NotDecodable(f"Overlay ({group},xxxx) of {rows} rows and {columns} columns.")
    frames = max(1, _number(item, group + _FRAMES, 1))
    # One plane lies over every frame; several ones over as many frames from the Image Frame Origin on.
    plane = 0 if frames == 1 else frame - _number(item, group + _FIRST_FRAME, 1)
    if not 0 <= plane < frames or _number(item, group + _BITS_ALLOCATED, 1) != 1:
        return None
    first, size = plane * rows * columns, rows * columns
    data = np.frombuffer(item.raw_at(group + _DATA), np.uint8)[first // 8 : (first + size + 7) // 8]
    bits = np.unpackbits(data, bitorder="little")[first % 8 :][:size]
    if len(bits) < size:
        return None
    origin = [_number(item, group + _ORIGIN, 1, at) for at in (0, 1)]
    return Overlay(origin[0] - 1, origin[1] - 1, bits.reshape(rows, columns).astype(bool))


def _number(item: Item, tag: str, missing: int, at: int = 0) -> int:
    values = item.dataset.get(tag, {}).get("Value") or []
    value = values[at] if at < len(values) else missing
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotDecodable(f"({tag[:4]},{tag[4:]}): a value is no whole number.")
    return value
