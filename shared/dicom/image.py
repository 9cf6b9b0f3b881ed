"""What a data set says of its pixels (PS3.3 §C.7.6.3): shape, numbers and colour of its frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from shared.dicom.attributes import tag_of
from shared.dicom.bulk import BulkValue
from shared.errors import NotDecodable

MAX_FRAME_BYTES = 256 * 1024 * 1024
"""Of one decoded frame: what a request may ask for at most. A codec takes five times that, of 2 GiB."""

FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA, PIXEL_DATA = "7FE00008", "7FE00009", "7FE00010"


class Numbers(Enum):
    """What pixels are (PS3.3 §C.7.6.3, §C.7.6.24, §C.7.6.25); the values are the tags that hold them."""

    INTEGER = PIXEL_DATA
    FLOAT = FLOAT_PIXEL_DATA
    DOUBLE = DOUBLE_PIXEL_DATA


@dataclass(frozen=True, slots=True)
class Image:
    """The Image Pixel Module of a data set, checked.

    Parameters
    ----------
    samples
        Of each pixel: 1 or 3.
    is_planar
        Whether a native frame holds one colour after the other (Planar Configuration 1).
    frames
        Number of Frames as it stands there; 1 when it is missing.
    is_word
        Whether Pixel Data is OW: in big endian, pairs of 8-bit samples are turned round then (PS3.5 §8.1.1).
    has_overlay_bits
        Whether bits beside the stored ones hold overlays (retired; PS3.3 2004 §C.9.2).
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    photometric: str
    is_planar: bool = False
    frames: int = 1
    numbers: Numbers = Numbers.INTEGER
    is_word: bool = False
    has_overlay_bits: bool = False

    @property
    def cells(self) -> int:
        """Samples of one frame, those of every colour counted."""
        return self.rows * self.columns * self.samples

    @property
    def frame_bytes(self) -> int:
        """Length of one native frame with all of its samples, in bytes; the last one may not be full."""
        return -(-self.cells * self.bits_allocated // 8)


_ROWS, _COLUMNS, _SAMPLES, _ALLOCATED, _STORED, _HIGH_BIT, _SIGNED, _PLANAR, _FRAMES, _INTERPRETATION = map(
    tag_of,
    (
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "PhotometricInterpretation",
    ),
)
_ALLOCATIONS = {Numbers.INTEGER: (1, 8, 16, 32), Numbers.FLOAT: (32,), Numbers.DOUBLE: (64,)}
_MAX_FRAMES = 2**31 - 1
_OVERLAY_GROUPS = tuple(f"60{group:02X}" for group in range(0, 0x20, 2))


def image_of(dataset: Mapping[str, Any], pixel_data: BulkValue | None = None) -> Image:
    """Return what a data set in DICOM JSON says of its pixels.

    More lenient than PS3.3 §C.7.6.3: Samples per Pixel, Photometric Interpretation, Bits Stored, High Bit and Pixel
    Representation may be missing where there is a usual value.

    Parameters
    ----------
    pixel_data
        Where the header found it; else the data set itself must hold its element, or it is taken for Pixel Data.

    Raises
    ------
    NotDecodable
        Something is missing that pixels cannot be told without, or it cannot be; a frame is longer than
        `MAX_FRAME_BYTES`. The text names the tag.
    """
    tag = pixel_data.path if pixel_data else next((one.value for one in Numbers if one.value in dataset), PIXEL_DATA)
    vr = pixel_data.vr if pixel_data else dataset.get(tag, {}).get("vr")
    numbers = Numbers(tag)
    samples = _one_of(dataset, _SAMPLES, (1, 3), 1)
    allocations = _ALLOCATIONS[numbers]
    allocated = _one_of(dataset, _ALLOCATED, allocations, allocations[0] if len(allocations) == 1 else None)
    stored = _whole(dataset, _STORED, 1, allocated, allocated)
    high_bit = _whole(dataset, _HIGH_BIT, stored - 1, allocated - 1, stored - 1)
    image = Image(
        rows=_whole(dataset, _ROWS, 1, 0xFFFF),
        columns=_whole(dataset, _COLUMNS, 1, 0xFFFF),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        is_signed=_one_of(dataset, _SIGNED, (0, 1), 0) == 1,
        photometric=_interpretation(dataset, samples),
        is_planar=samples > 1 and _one_of(dataset, _PLANAR, (0, 1), 0) == 1,
        frames=_whole(dataset, _FRAMES, 0, _MAX_FRAMES, 1) or 1,
        numbers=numbers,
        is_word=vr == "OW",
        has_overlay_bits=any(_first(dataset, f"{group}0102") for group in _OVERLAY_GROUPS),
    )
    if image.frame_bytes > MAX_FRAME_BYTES:
        raise NotDecodable(
            f"({_ROWS[:4]},{_ROWS[4:]}) a frame of {image.frame_bytes} bytes; at most {MAX_FRAME_BYTES} are decoded"
        )
    if image.bits_allocated == 1 and samples > 1:
        raise _fault(_SAMPLES, f"{samples} samples of one bit", "1")
    return image


def _whole(dataset: Mapping[str, Any], tag: str, least: int, most: int, missing: int | None = None) -> int:
    value = _first(dataset, tag)
    if value is None and missing is not None:
        return missing
    if not isinstance(value, int) or not least <= value <= most:
        raise _fault(tag, value, f"{least} to {most}")
    return value


def _one_of(dataset: Mapping[str, Any], tag: str, expected: tuple[int, ...], missing: int | None = None) -> int:
    value = _first(dataset, tag)
    if value is None and missing is not None:
        return missing
    if not isinstance(value, int) or value not in expected:
        raise _fault(tag, value, " or ".join(map(str, expected)))
    return value


def _interpretation(dataset: Mapping[str, Any], samples: int) -> str:
    value = _first(dataset, _INTERPRETATION)
    usual = "MONOCHROME2" if samples == 1 else "RGB"
    return value.strip("\0 ") or usual if isinstance(value, str) else usual


def _first(dataset: Mapping[str, Any], tag: str) -> object:
    values = dataset.get(tag, {}).get("Value")
    return values[0] if isinstance(values, list) and values else None


def _fault(tag: str, found: object, expected: str) -> NotDecodable:
    # Numbers and nothing else may be told of a data set.
    what = "nothing" if found is None else found if isinstance(found, int) else "no whole number"
    return NotDecodable(f"({tag[:4]},{tag[4:]}) {what} found, {expected} expected")
