"""Colour images as red, green and blue of 8 bits (PS3.3 §C.7.6.3.1.2)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.dicom.items import Item
from shared.dicom.lookup import Grey
from shared.dicom.palettes import palette_table, read_palette
from shared.errors import NotDecodable

SAMPLES = 3
_SMALL = 2
"""Bytes of the samples that have tables."""
_BAND_PIXELS = 1 << 20


def to_rgb(array: NDArray[Any], photometric: str, item: Item) -> Grey:
    """Return an image of three samples as red, green and blue.

    Parameters
    ----------
    array
        (rows, columns, 3); subsampled chrominance has been repeated for each pixel.
    photometric
        What the samples are now: after JPEG 2000, YBR_RCT and YBR_ICT are RGB already.

    Raises
    ------
    NotDecodable
        The samples are no colours that are known, or not unsigned.
    """
    convert = _CONVERSIONS.get(photometric)
    if convert is None or array.ndim != SAMPLES or array.shape[2] != SAMPLES or array.dtype.kind != "u":
        raise NotDecodable(f"{array.dtype} samples of shape {array.shape} cannot be shown as {photometric}.")
    return convert(np.ascontiguousarray(_eight_bits(array, item)))


def palette_to_rgb(array: NDArray[Any], item: Item) -> Grey:
    """Return a PALETTE COLOR image as red, green and blue (PS3.3 §C.7.6.3.1.5).

    Raises
    ------
    NotDecodable
        The palette is missing or broken, or the values are not integers of 8 or 16 bits.
    """
    if array.dtype.kind not in "iu" or array.dtype.itemsize > _SMALL:
        raise NotDecodable(f"PALETTE COLOR of {array.dtype}: integers of 8 or 16 bits expected.")
    palette = read_palette(item, is_signed=array.dtype.kind == "i")
    table = palette_table(palette, array.dtype.name)
    return np.take(table, array.view(f"u{array.dtype.itemsize}"), axis=0)


def _eight_bits(array: NDArray[Any], item: Item) -> Grey:
    bits = item.whole("BitsStored", 8 * array.dtype.itemsize)
    bits = bits if 1 <= bits <= 8 * array.dtype.itemsize else 8 * array.dtype.itemsize
    if bits == 8 * array.dtype.itemsize == 8:  # noqa: PLR2004 - samples as they are shown
        return np.asarray(array, np.uint8)
    if array.dtype.itemsize <= _SMALL:
        return np.take(_scale(bits, array.dtype.name), array)
    scaled = np.empty(array.shape, np.uint8)
    rows = max(1, _BAND_PIXELS // max(1, array.shape[1]))
    for row in range(0, array.shape[0], rows):
        scaled[row : row + rows] = _scaled(array[row : row + rows], bits)
    return scaled


@lru_cache(32)
def _scale(bits: int, dtype: str) -> Grey:
    kind = np.dtype(dtype)
    return _scaled(np.arange(1 << 8 * kind.itemsize, dtype=kind), bits)


def _scaled(values: NDArray[Any], bits: int) -> Grey:
    """Return values of so many bits as values of 8, black as 0 and white as 255."""
    most = (1 << bits) - 1
    scaled: Grey = np.floor(np.minimum(values, most) * (255 / most) + 0.5).astype(np.uint8)
    return scaled


def _as_it_is(array: Grey) -> Grey:
    return array


def _from_full_range(array: Grey) -> Grey:
    """YBR_FULL: luminance from 0 to 255, chrominance around 128."""
    rows, columns, _ = array.shape
    image = Image.frombuffer("YCbCr", (columns, rows), array, "raw", "YCbCr", 0, 1)
    return np.asarray(image.convert("RGB"))


def _from_partial_range(array: Grey) -> Grey:
    """YBR_PARTIAL: luminance from 16 to 235, chrominance from 16 to 240 (CCIR 601-2)."""
    table = [[0, 408.583 / 256], [-100.291 / 256, -208.120 / 256], [516.412 / 256, 0]]
    rows, columns, _ = array.shape
    shown = np.empty((rows, columns, SAMPLES), np.uint8)
    band = max(1, _BAND_PIXELS // max(1, columns))
    for row in range(0, rows, band):
        part = array[row : row + band].astype(np.float32)
        luminance = (part[..., 0] - 16) * (298.082 / 256)
        for at, (blue, red) in enumerate(table):
            one = luminance + blue * (part[..., 1] - 128) + red * (part[..., 2] - 128)
            shown[row : row + band, :, at] = np.clip(np.rint(one), 0, 255)
    return shown


_CONVERSIONS: Mapping[str, Callable[[Grey], Grey]] = {
    "RGB": _as_it_is,
    "YBR_RCT": _as_it_is,
    "YBR_ICT": _as_it_is,
    "YBR_FULL": _from_full_range,
    "YBR_FULL_422": _from_full_range,
    "YBR_PARTIAL_422": _from_partial_range,
    "YBR_PARTIAL_420": _from_partial_range,
}
