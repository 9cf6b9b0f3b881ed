"""Pictures as files: JPEG, PNG, GIF (animated too) and JPEG 2000, with a colour profile where there is one."""

import io
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice

import numpy as np
from PIL import Image, ImageCms

from shared.dicom.items import Item
from shared.dicom.lookup import Grey
from shared.dicom.render_options import FULL_QUALITY, IccProfile
from shared.errors import NotDecodable

MAX_ANIMATED_FRAMES = 100
MAX_PROFILE_BYTES = 4 * 1024 * 1024

_FAULTS = (OSError, ValueError, OverflowError, SystemError, struct.error)
"""What Pillow raises for pictures that a format cannot hold."""
_NO_SUBSAMPLING, _SUBSAMPLING = 0, 2
_FINE = 90
"""Quality from which a JPEG keeps the colours of each pixel."""
_FAST = 1
"""Compression of PNG: a third of the time of the usual one, for files a tenth larger."""
_COLOURS = 256


def to_jpeg(shown: Grey, *, quality: int = FULL_QUALITY, icc: bytes | None = None) -> bytes:
    """Return a picture as baseline JPEG."""
    subsampling = _NO_SUBSAMPLING if quality >= _FINE else _SUBSAMPLING
    return _saved(shown, "JPEG", quality=quality, subsampling=subsampling, icc_profile=icc)


def to_png(shown: Grey, *, icc: bytes | None = None) -> bytes:
    """Return a picture as PNG."""
    return _saved(shown, "PNG", compress_level=_FAST, icc_profile=icc)


def to_gif(shown: Grey) -> bytes:
    """Return a picture as GIF: exactly when it is grey, in the 256 colours that fit it best when not."""
    image = Image.fromarray(np.ascontiguousarray(shown))
    if image.mode != "L":
        image = image.quantize(_COLOURS)
    return _written(image, "GIF", {"interlace": 0})


def to_jp2(shown: Grey) -> bytes:
    """Return a picture as JPEG 2000 without loss, in a JP2 file."""
    from imagecodecs import Jpeg2kError, jpeg2k_encode

    try:
        return bytes(jpeg2k_encode(np.ascontiguousarray(shown), level=0, codecformat="jp2", reversible=True))
    except (Jpeg2kError, *_FAULTS) as error:
        raise _too_large(shown, "JPEG 2000") from error


def encode(shown: Grey, media_type: str, *, quality: int = FULL_QUALITY, icc: bytes | None = None) -> bytes:
    """Return a picture in one of `MEDIA_TYPES`; formats that have no use for quality or profile go without.

    Raises
    ------
    NotDecodable
        The format cannot hold a picture of this size.
    """
    return MEDIA_TYPES[media_type](shown, quality, icc)


MEDIA_TYPES: Mapping[str, Callable[[Grey, int, bytes | None], bytes]] = {
    "image/jpeg": lambda shown, quality, icc: to_jpeg(shown, quality=quality, icc=icc),
    "image/png": lambda shown, _quality, icc: to_png(shown, icc=icc),
    "image/gif": lambda shown, _quality, _icc: to_gif(shown),
    "image/jp2": lambda shown, _quality, _icc: to_jp2(shown),
}
"""What a picture can be written as, the default first (PS3.18 §8.7.4)."""


def animated_gif(frames: Iterable[Grey], delay_ms: float) -> Iterator[bytes]:
    """Yield the pieces of a GIF that shows *frames* again and again; one frame is in memory at a time.

    Takes at most `MAX_ANIMATED_FRAMES`, all of the size of the first (GIF89a §17 to §27).

    Raises
    ------
    NotDecodable
        There is no frame, or one of another size.
    """
    hundredths = min(max(round(delay_ms / 10), 2), 0xFFFF)
    control = struct.pack("<4BHBB", 0x21, 0xF9, 4, 0x04, hundredths, 0, 0)
    size: tuple[int, ...] = ()
    for frame in islice(frames, MAX_ANIMATED_FRAMES):
        if not size:
            size = frame.shape[:2]
            yield b"GIF89a" + struct.pack("<HHBBB", size[1], size[0], 0x70, 0, 0)
            yield b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", 0, 0)
        if frame.shape[:2] != size:
            raise NotDecodable("Frames of different sizes cannot be animated.")
        yield control + _image_block(to_gif(frame))
    if not size:
        raise NotDecodable("There is no frame to animate.")
    yield b"\x3b"


def animation_frames(count: int) -> range:
    """Return which of *count* frames an animation shows, from 1: all, or so many evenly spread ones."""
    step = -(-count // MAX_ANIMATED_FRAMES)
    return range(1, count + 1, max(step, 1))


_DEFAULT_MS = 100.0
_SECOND_MS = 1000.0
_LONGEST_MS = 10_000.0


def frame_delay_ms(item: Item) -> float:
    """Return how long a frame is shown (PS3.3 §C.7.6.5); as `animation_frames` leaves frames out, the longer.

    Recommended Display Frame Rate goes before Cine Rate, and that before Frame Time.
    """
    rates = (item.number(name, 0.0) for name in ("RecommendedDisplayFrameRate", "CineRate"))
    delays = [_SECOND_MS / rate for rate in rates if rate > 0]
    delay = next(iter(delays), item.number("FrameTime", 0.0))
    if not 0 < delay <= _LONGEST_MS:
        delay = _DEFAULT_MS
    return delay * animation_frames(item.whole("NumberOfFrames", 1)).step


def profile_of(item: Item) -> bytes | None:
    """Return the ICC profile of an image (PS3.3 §C.11.15), of the first optical path where those have one."""
    for source in (item, *item.items("OpticalPathSequence")[:1]):
        profile = source.raw("ICCProfile")
        if profile:
            return profile if len(profile) <= MAX_PROFILE_BYTES else None
    return None


def with_profile(shown: Grey, profile: bytes | None, wish: IccProfile) -> tuple[Grey, bytes | None]:
    """Return a picture in the colours that are asked for, and the profile to embed (PS3.18 §8.3.5.1.5).

    Colours without a profile are taken for sRGB. Grey levels have none.

    Raises
    ------
    NotDecodable
        The profile that is to be converted from is no profile of such colours.
    """
    if wish is IccProfile.NO or shown.ndim != len(("rows", "columns", "samples")):
        return shown, None
    if wish is IccProfile.YES or profile is None:
        return shown, profile or _srgb()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.ImageCmsProfile(io.BytesIO(_srgb()))
        converted = ImageCms.profileToProfile(Image.fromarray(np.ascontiguousarray(shown)), source, target)
    except (ImageCms.PyCMSError, *_FAULTS) as error:
        raise NotDecodable("(0028,2000) ICC Profile cannot be converted from.") from error
    return shown if converted is None else np.asarray(converted), _srgb()


@cache
def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _saved(shown: Grey, kind: str, **options: object) -> bytes:
    return _written(Image.fromarray(np.ascontiguousarray(shown)), kind, options)


def _written(image: Image.Image, kind: str, options: Mapping[str, object]) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, kind, **{name: value for name, value in options.items() if value is not None})
    except _FAULTS as error:
        raise NotDecodable(
            f"A picture of {image.width} x {image.height} pixels cannot be written as {kind}."
        ) from error
    return file.getvalue()


def _too_large(shown: Grey, kind: str) -> NotDecodable:
    return NotDecodable(f"A picture of {shown.shape[1]} x {shown.shape[0]} pixels cannot be written as {kind}.")


_SCREEN_END = 13
_HAS_COLOURS, _COLOUR_BITS = 0x80, 0x07
_EXTENSION, _IMAGE, _IMAGE_HEAD = 0x21, 0x2C, 10


def _image_block(gif: bytes) -> bytes:
    """Return the only image of a GIF as a block that brings its colours along (GIF89a §18 to §21)."""
    bits = gif[_SCREEN_END - 3] & _COLOUR_BITS
    at = _SCREEN_END + (3 << (bits + 1))
    colours = gif[_SCREEN_END:at]
    while gif[at] == _EXTENSION:
        at += 2
        while gif[at]:
            at += gif[at] + 1
        at += 1
    head = bytearray(gif[at : at + _IMAGE_HEAD])
    head[-1] = _HAS_COLOURS | bits
    return bytes(head) + colours + gif[at + _IMAGE_HEAD : -1]
