"""Pictures as files (`shared/dicom/pictures.py`), read back with Pillow."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from shared.dicom.items import Item
from shared.dicom.pictures import (
    MAX_ANIMATED_FRAMES,
    MEDIA_TYPES,
    animated_gif,
    animation_frames,
    encode,
    frame_delay_ms,
    profile_of,
    to_gif,
    to_jpeg,
    with_profile,
)
from shared.dicom.render_options import IccProfile
from shared.errors import NotDecodable
from tests.unit.dicom_json import json_of

GREY = np.add.outer(np.arange(40), 2 * np.arange(60)).astype("u1")
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()

FORMATS = {"image/jpeg": ("JPEG", 3), "image/png": ("PNG", 0), "image/gif": ("GIF", 8), "image/jp2": ("JPEG2000", 0)}


def opened(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    image.load()
    return image


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
@pytest.mark.parametrize("picture", [GREY, COLOUR, GREY[:1, :1], COLOUR[:, :1], GREY[::2, ::-1]])
def test_encode(media_type: str, picture: Any) -> None:
    """Every format gives back size, colours and levels, grey ones without loss but for JPEG."""
    if media_type == "image/jp2":
        pytest.importorskip("imagecodecs")
    name, distance = FORMATS[media_type]

    image = opened(encode(picture, media_type))

    assert image.format == name
    shown = np.asarray(image.convert("L" if picture.ndim == 2 else "RGB")).astype(int)
    assert shown.shape == picture.shape
    assert np.abs(shown - picture).max() <= (0 if media_type == "image/gif" and picture.ndim == 2 else distance)


def test_every_grey_level_of_gif() -> None:
    """GIF keeps all 256 grey levels."""
    picture = np.arange(256, dtype="u1").reshape(16, 16)

    assert np.asarray(opened(to_gif(picture)).convert("L")).tolist() == picture.tolist()


def test_quality() -> None:
    """More quality is more bytes (retrieve.md, "Edge cases")."""
    sizes = [len(to_jpeg(COLOUR, quality=quality)) for quality in (1, 50, 90, 100)]

    assert sizes == sorted(set(sizes))


def test_colours_of_fine_jpeg() -> None:
    """A JPEG of high quality keeps the colour of each pixel, and not of every second one."""
    stripes = np.zeros((16, 16, 3), "u1")
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255

    image = np.asarray(opened(to_jpeg(stripes)).convert("RGB")).astype(int)

    assert np.abs(image - stripes).max() <= 3


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_profile(media_type: str) -> None:
    """A profile is embedded as it is."""
    assert opened(encode(COLOUR, media_type, icc=PROFILE)).info["icc_profile"] == PROFILE
    assert "icc_profile" not in opened(encode(COLOUR, media_type)).info


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/gif"])
def test_too_large(media_type: str) -> None:
    """A picture larger than its format can hold cannot be rendered."""
    with pytest.raises(NotDecodable, match="70000 x 1"):
        encode(np.zeros((1, 70000), "u1"), media_type)


@pytest.mark.parametrize("pictures", [[GREY], [GREY, 255 - GREY, GREY // 2], [COLOUR, COLOUR[::-1]]])
def test_animated_gif(pictures: list[Any]) -> None:
    """An animation has the frames in their order, each for its time, and begins again."""
    file = b"".join(animated_gif(pictures, 40))

    image = Image.open(io.BytesIO(file))
    assert (image.format, image.info["loop"]) == ("GIF", 0)
    assert getattr(image, "n_frames", 1) == len(pictures)
    for number, picture in enumerate(pictures):
        image.seek(number)
        shown = np.asarray(image.convert("RGB")).astype(int)
        assert image.info["duration"] == 40
        expected = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=2)
        assert np.abs(shown - expected).max() <= (12 if picture.ndim == 3 else 0)


def test_animation_is_bounded() -> None:
    """Of endless frames only so many are read, one at a time."""
    read = 0

    def frames() -> Any:
        nonlocal read
        while True:
            read += 1
            yield GREY

    pieces = animated_gif(frames(), 100)
    for _ in range(3):
        next(pieces)
    assert read == 1
    assert sum(1 for _ in pieces) == MAX_ANIMATED_FRAMES
    assert read == MAX_ANIMATED_FRAMES


@pytest.mark.parametrize("pictures", [[], [GREY, GREY[1:]]])
def test_no_animation(pictures: list[Any]) -> None:
    """Nothing, and frames of different sizes, cannot be animated."""
    with pytest.raises(NotDecodable):
        list(animated_gif(pictures, 100))


@pytest.mark.parametrize(
    ("count", "frames"), [(1, [1]), (3, [1, 2, 3]), (100, list(range(1, 101))), (250, list(range(1, 251, 3)))]
)
def test_animation_frames(count: int, frames: list[int]) -> None:
    """Of too many frames every second, third and so on is shown."""
    assert list(animation_frames(count)) == frames


@pytest.mark.parametrize(
    ("attributes", "delay"),
    [
        ({}, 100),
        ({"FrameTime": 33.3}, 33.3),
        ({"CineRate": 25, "FrameTime": 33.3}, 40),
        ({"RecommendedDisplayFrameRate": 10, "CineRate": 25}, 100),
        ({"FrameTime": 0, "CineRate": 0}, 100),
        ({"FrameTime": 1e9}, 100),
        ({"FrameTime": 50, "NumberOfFrames": 250}, 150),
    ],
)
def test_frame_delay(attributes: dict[str, Any], delay: float) -> None:
    """An animation runs at the rate of the recording, also when frames are left out."""
    assert frame_delay_ms(Item(json_of(**attributes))) == pytest.approx(delay)


def test_profile_of() -> None:
    """The profile is in the image, or in its first optical path; there it may be bulk data."""
    path = json_of(OpticalPathSequence=[{}, {}])

    assert profile_of(Item(json_of(ICCProfile=b"abc"))) == b"abc"
    assert profile_of(Item(path, {"00480105/1/00282000": b"def"}.__getitem__)) == b"def"
    assert profile_of(Item({})) is None


def test_with_profile() -> None:
    """A profile is left out, kept, or exchanged for sRGB; colours without one are taken for sRGB."""
    kept = {wish: with_profile(COLOUR, PROFILE, wish) for wish in IccProfile}
    assumed = {wish: with_profile(COLOUR, None, wish) for wish in IccProfile}

    assert [one is None for _, one in kept.values()] == [one is None for _, one in assumed.values()]
    assert [one is None for _, one in kept.values()] == [True, False, False]
    assert kept[IccProfile.YES][1] == PROFILE
    assert np.abs(kept[IccProfile.SRGB][0].astype(int) - COLOUR).max() <= 2
    assert all((picture == COLOUR).all() for picture, _ in assumed.values())
    assert with_profile(GREY, PROFILE, IccProfile.YES)[1] is None


@pytest.mark.parametrize("profile", [b"not a profile", LAB], ids=["none", "of other colours"])
def test_broken_profile(profile: bytes) -> None:
    """A profile that is none, or not of such colours, cannot be converted from."""
    with pytest.raises(NotDecodable, match="ICC Profile"):
        with_profile(COLOUR, profile, IccProfile.SRGB)
