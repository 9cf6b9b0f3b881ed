"""What a data set says of its pixels (`shared/dicom/image.py`; PS3.3 §C.7.6.3)."""

from typing import Any

import pytest

from shared.dicom.attributes import tag_of
from shared.dicom.bulk import BulkValue
from shared.dicom.image import MAX_FRAME_BYTES, Image, Numbers, image_of
from shared.errors import NotDecodable

USUAL: dict[str, Any] = {
    "Rows": 512,
    "Columns": 256,
    "SamplesPerPixel": 1,
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 1,
    "PhotometricInterpretation": "MONOCHROME1",
}


def described(**changes: Any) -> dict[str, Any]:
    """Return a data set in DICOM JSON; None leaves an attribute out."""
    values = {tag_of(keyword): value for keyword, value in (USUAL | changes).items() if value is not None}
    return {tag: {"vr": "US", "Value": [value]} for tag, value in values.items()}


def test_image() -> None:
    """Everything that decoding needs is read from the data set."""
    assert image_of(described()) == Image(512, 256, 1, 16, 12, 11, is_signed=True, photometric="MONOCHROME1")


def test_image_of_colours() -> None:
    """Planar Configuration and Number of Frames count too."""
    found = image_of(
        described(
            SamplesPerPixel=3,
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            PlanarConfiguration=1,
            NumberOfFrames=7,
            PhotometricInterpretation="RGB ",
        )
    )

    assert (found.samples, found.is_planar, found.frames, found.photometric) == (3, True, 7, "RGB")
    assert found.frame_bytes == 512 * 256 * 3


@pytest.mark.parametrize("samples", [1, 3])
def test_image_of_little(samples: int) -> None:
    """What is usual need not be said."""
    found = image_of(
        described(
            SamplesPerPixel=samples if samples > 1 else None,
            BitsStored=None,
            HighBit=None,
            PixelRepresentation=None,
            PhotometricInterpretation=None,
        )
    )

    assert (found.samples, found.bits_stored, found.high_bit, found.is_signed) == (samples, 16, 15, False)
    assert found.photometric == ("MONOCHROME2" if samples == 1 else "RGB")


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"Rows": None}, "(0028,0010) nothing found"),
        ({"Rows": 0}, "(0028,0010) 0 found"),
        ({"Rows": "many"}, "(0028,0010) no whole number found"),
        ({"Columns": 65536}, "(0028,0011) 65536 found"),
        ({"SamplesPerPixel": 2}, "(0028,0002) 2 found"),
        ({"BitsAllocated": None}, "(0028,0100) nothing found"),
        ({"BitsAllocated": 12}, "(0028,0100) 12 found"),
        ({"BitsStored": 17}, "(0028,0101) 17 found"),
        ({"HighBit": 10}, "(0028,0102) 10 found"),
        ({"HighBit": 16}, "(0028,0102) 16 found"),
        ({"PixelRepresentation": 2}, "(0028,0103) 2 found"),
        ({"NumberOfFrames": -1}, "(0028,0008) -1 found"),
        ({"Rows": 65535, "Columns": 65535}, f"at most {MAX_FRAME_BYTES}"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "SamplesPerPixel": 3}, "(0028,0002)"),
    ],
    ids=str,
)
def test_absurd_image(changes: dict[str, Any], tag: str) -> None:
    """What cannot be is refused with its tag, what was found and what was expected; texts are not repeated."""
    with pytest.raises(NotDecodable) as refused:
        image_of(described(**changes))

    assert tag in str(refused.value)
    assert "many" not in str(refused.value)


@pytest.mark.parametrize(("numbers", "bits"), [(Numbers.FLOAT, 32), (Numbers.DOUBLE, 64)])
def test_image_of_floats(numbers: Numbers, bits: int) -> None:
    """Which element holds the pixels tells what they are; Bits Allocated need not be there then (PS3.3 §C.7.6.24)."""
    little = described(BitsAllocated=None, BitsStored=None, HighBit=None, PixelRepresentation=None)
    at = BulkValue(numbers.value, "OF", 1000, 524288)

    for found in (image_of(little, at), image_of(little | {numbers.value: {"vr": "OF"}})):
        assert (found.numbers, found.bits_allocated) == (numbers, bits)


def test_image_with_overlay_bits() -> None:
    """An Overlay Bit Position other than 0 tells of overlays among the pixels' bits (PS3.3 2004 §C.9.2)."""
    beside = {"60020102": {"vr": "US", "Value": [0]}}
    within = {"60020102": {"vr": "US", "Value": [12]}}

    assert not image_of(described() | beside).has_overlay_bits
    assert image_of(described() | within).has_overlay_bits
