"""Lookup tables and windows: from stored values to grey levels (PS3.3 §C.11.1, §C.11.2, §C.11.6; PS3.4 §N.2.1)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.dicom.items import Item, of_frame
from shared.dicom.render_options import VoiFunction, Window
from shared.errors import NotDecodable

Grey: TypeAlias = NDArray[np.uint8]
Values: TypeAlias = NDArray[np.float64]

_DESCRIPTOR = 3
_MOST_ENTRIES = 0x10000
_MOST_BITS = 16
_WHITE = 255
_KEPT_TABLES = 64
"""Tables of at most 64 KiB, whose keys hold up to three lookup tables of at most 128 KiB."""
_ONE_BIT = Window(0.5, 1.0, VoiFunction.LINEAR_EXACT)
"""Of a mask, which is white where it is set even when it is set everywhere."""

_FUNCTIONS = {function.value: function for function in VoiFunction}
_INTENSITY_LOG = frozenset({"LOG", "DISP"})
_XRAY_PROJECTIONS = frozenset({"1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2"})


@dataclass(frozen=True, slots=True)
class Lut:
    """A lookup table (PS3.3 §C.11.1.1.1).

    Parameters
    ----------
    first
        The value that the first entry stands for; lower ones map to it too, higher ones than the last to the last.
    bits
        Of an entry.
    entries
        16 bits each, little endian.
    """

    first: int
    bits: int
    entries: bytes

    def __call__(self, values: Values) -> Values:
        """Return the entries for *values*."""
        table = np.frombuffer(self.entries, "<u2")
        at = np.clip(np.rint(np.nan_to_num(values)) - self.first, 0, len(table) - 1).astype(np.intp)
        entries: Values = np.take(table, at).astype(np.float64)
        return entries


@dataclass(frozen=True, slots=True)
class Rescale:
    """Output = slope * stored value + intercept (PS3.3 §C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, values: Values) -> Values:
        """Return *values* rescaled."""
        return values * self.slope + self.intercept


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a stored value goes through on its way to the screen (PS3.4 §N.2.1).

    Parameters
    ----------
    voi
        None while it is to be found from the values themselves.
    presentation
        Presentation LUT; None for the identity.
    padding
        Lowest and highest stored value that stand for no part of the image (PS3.3 §C.7.5.1.1.2), shown black.
    """

    modality: Rescale | Lut
    voi: Window | Lut | None
    presentation: Lut | None
    is_inverted: bool
    padding: tuple[float, float] | None


def read_lut(item: Item, *, is_signed: bool, descriptor: str = "LUTDescriptor", data: str = "LUTData") -> Lut:
    """Return the lookup table of *item*.

    Parameters
    ----------
    is_signed
        Whether what goes into it can be negative: its first value is then signed, even where it is written as US.

    Raises
    ------
    NotDecodable
        The descriptor or the data is missing, or they do not fit each other.
    """
    numbers = item.numbers(descriptor)
    if len(numbers) != _DESCRIPTOR:
        raise NotDecodable(f"{descriptor}: {len(numbers)} values, {_DESCRIPTOR} expected.")
    count, first, bits = (int(number) for number in numbers)
    count = count % _MOST_ENTRIES or _MOST_ENTRIES
    if not 1 <= bits <= _MOST_BITS:
        raise NotDecodable(f"{descriptor}: entries of {bits} bits, at most {_MOST_BITS} expected.")
    if is_signed and first >= _MOST_ENTRIES // 2:
        first -= _MOST_ENTRIES
    return Lut(first, bits, _entries(item.raw(data), count, data))


def _entries(raw: bytes, count: int, name: str) -> bytes:
    """Return *count* entries of 16 bits; 8-bit ones lie two in a word, the first in the low byte (§C.11.1.1.1)."""
    if len(raw) >= 2 * count:
        return raw[: 2 * count]
    if len(raw) >= count:
        return np.frombuffer(raw, np.uint8, count).astype("<u2").tobytes()
    raise NotDecodable(f"{name}: {len(raw)} bytes, {count} entries expected.")


def read_pipeline(
    item: Item, photometric: str, dtype: "np.dtype[Any]", frame: int, window: Window | None = None
) -> Pipeline:
    """Return the pipeline of a frame, which counts from 1, as its data set says; *window* instead of its VOI LUT.

    Raises
    ------
    NotDecodable
        A value of it is no number, or a lookup table is broken.
    """
    is_signed = dtype.kind != "u"
    modality = _modality(item, frame, is_signed=is_signed)
    goes_below_0 = not isinstance(modality, Lut) and (is_signed or modality.slope < 0 or modality.intercept < 0)
    source = of_frame(item, frame, "FrameVOILUTSequence")
    voi = window or _voi(source, is_signed=goes_below_0, is_real=dtype.kind == "f")
    if voi is None and modality == Rescale() and item.whole("BitsStored", 0) == 1:
        voi = _ONE_BIT
    shape = item.text("PresentationLUTShape").upper()
    presentation = item.items("PresentationLUTSequence")[:1]
    return Pipeline(
        modality,
        voi,
        read_lut(presentation[0], is_signed=False) if presentation else None,
        photometric == "MONOCHROME1" or shape == "INVERSE",
        _padding(item, dtype),
    )


def _modality(item: Item, frame: int, *, is_signed: bool) -> Rescale | Lut:
    """Modality LUT Sequence, else rescaling.

    X-ray projections whose values are logarithms have the sequence for measuring, not for display (PS3.3 §C.8.7.1.1.2).
    """
    is_for_measuring = (
        item.text("SOPClassUID") in _XRAY_PROJECTIONS
        and item.text("PixelIntensityRelationship").upper() in _INTENSITY_LOG
    )
    sequence = [] if is_for_measuring else item.items("ModalityLUTSequence")[:1]
    if sequence:
        return read_lut(sequence[0], is_signed=is_signed)
    source = of_frame(item, frame, "PixelValueTransformationSequence")
    return Rescale(source.number("RescaleSlope", 1.0), source.number("RescaleIntercept", 0.0))


def _voi(source: Item, *, is_signed: bool, is_real: bool) -> Window | Lut | None:
    """Return the first table, else the first window of a data set; None where there is none that means anything.

    Departs from the standard: a LINEAR window too narrow for whole numbers is taken as LINEAR_EXACT. Such are
    written for values between 0 and 1, of which nothing would be seen.
    """
    sequence = source.items("VOILUTSequence")[:1]
    if sequence:
        return read_lut(sequence[0], is_signed=is_signed)
    centers, widths = source.numbers("WindowCenter")[:1], source.numbers("WindowWidth")[:1]
    if not (centers and widths and widths[0] > 0):
        return None
    function = _FUNCTIONS.get(source.text("VOILUTFunction").upper(), VoiFunction.LINEAR)
    if function is VoiFunction.LINEAR and (widths[0] < 1 or (is_real and widths[0] == 1)):
        function = VoiFunction.LINEAR_EXACT
    return Window(centers[0], widths[0], function)


_PADDING = {
    "f4": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    "f8": ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
}


def _padding(item: Item, dtype: "np.dtype[Any]") -> tuple[float, float] | None:
    value, limit = _PADDING.get(f"{dtype.kind}{dtype.itemsize}", ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if not item.has(value):
        return None
    one = item.number(value, 0.0)
    ends = sorted(_stored(number, dtype) for number in (one, item.number(limit, one)))
    return ends[0], ends[1]


def _stored(number: float, dtype: "np.dtype[Any]") -> float:
    """Return a padding value in the sign of the pixels: some write 63536 for -2000, and the other way round."""
    if dtype.kind == "f":
        return number
    bits = 8 * dtype.itemsize
    whole = int(number) % (1 << bits)
    return whole - (1 << bits) if dtype.kind == "i" and whole >> (bits - 1) else whole


@np.errstate(all="ignore")
def grey_levels(values: Values, pipeline: Pipeline) -> Grey:
    """Return the grey level from 0 to 255 of each stored value: the definition that all faster ways keep to."""
    shown = pipeline.modality(values)
    voi = pipeline.voi or full_range(values, pipeline)
    levels = window_levels(shown, voi) if isinstance(voi, Window) else voi(shown) / ((1 << voi.bits) - 1)
    presentation = pipeline.presentation
    if presentation is not None:
        entries = len(presentation.entries) // 2
        levels = presentation(levels * (entries - 1)) / ((1 << presentation.bits) - 1)
    if pipeline.is_inverted:
        levels = 1.0 - levels
    grey = np.floor(np.clip(levels, 0.0, 1.0) * _WHITE + 0.5).astype(np.uint8)
    if pipeline.padding is not None:
        grey[_is_padding(values, pipeline.padding)] = 0
    if not np.isfinite(values).all():
        grey[np.isnan(values)] = 0
    return grey


def window_levels(values: Values, window: Window) -> Values:
    """Return the level from 0 to 1 that a window gives each value (PS3.3 §C.11.2.1.2.1, §C.11.2.1.3)."""
    if window.function is VoiFunction.SIGMOID:
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-4.0 * (values - window.center) / window.width)))
    is_exact = window.function is VoiFunction.LINEAR_EXACT
    center, width = (window.center, window.width) if is_exact else (window.center - 0.5, window.width - 1.0)
    if width == 0:
        return np.asarray(values > center, np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def full_range(values: NDArray[Any], pipeline: Pipeline) -> Window:
    """Return the window from the lowest to the highest of *values*, which are stored ones; padding is left out."""
    low, high = _ends(values, pipeline)
    if not low < high:
        return Window(low + 0.5, 1.0, VoiFunction.LINEAR_EXACT)
    # Halved first: the ends of a float image may be as far apart as floats go.
    return Window(low / 2 + high / 2, min(high - low, 1e308), VoiFunction.LINEAR_EXACT)


@np.errstate(all="ignore")
def _ends(values: NDArray[Any], pipeline: Pipeline) -> tuple[float, float]:
    """Return the lowest and highest value behind the modality LUT."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if pipeline.padding is not None and values.size and _touches(values, pipeline.padding):
        values = values[~_is_padding(values, pipeline.padding)]
    if not values.size:
        return 0.0, 0.0
    is_monotonic = isinstance(pipeline.modality, Rescale)
    values = np.array([values.min(), values.max()]) if is_monotonic else np.unique(values)
    shown = pipeline.modality(values.astype(np.float64))
    low, high = np.nan_to_num([shown.min(), shown.max()])
    return float(low), float(high)


def _touches(values: NDArray[Any], padding: tuple[float, float]) -> bool:
    """Return whether leaving out the padding can change the lowest or the highest value."""
    low, high = float(values.min()), float(values.max())
    return padding[0] <= low <= padding[1] or padding[0] <= high <= padding[1]


def _is_padding(values: NDArray[Any], padding: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((values >= padding[0]) & (values <= padding[1]))


@lru_cache(_KEPT_TABLES)
def grey_table(pipeline: Pipeline, dtype: str) -> Grey:
    """Return the grey level of every value of an integer type of 8 or 16 bits, by its bits read as unsigned."""
    kind = np.dtype(dtype)
    values = np.arange(1 << 8 * kind.itemsize, dtype=f"u{kind.itemsize}").view(kind)
    table = grey_levels(values.astype(np.float64), pipeline)
    table.flags.writeable = False
    return table
