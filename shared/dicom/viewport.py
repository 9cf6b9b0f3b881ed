"""Fitting a picture to the size that a client asks for (PS3.18 §8.3.5.1.3); thumbnails are made the same way."""

import numpy as np
from PIL import Image

from shared.dicom.items import Item, of_frame
from shared.dicom.lookup import Grey
from shared.dicom.render_options import Viewport
from shared.errors import InvalidRequest

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_MOST_ASPECT = 100.0
"""Pixels longer than that are taken for a mistake."""
_PAIR = 2


def aspect_ratio(item: Item, frame: int) -> float:
    """Return the height of a pixel in units of its width; 1 where the data set does not say or says nonsense.

    All of the attributes give the vertical distance first (PS3.3 §10.7.1.3, §C.7.6.3.1.7).
    """
    for source, names in ((of_frame(item, frame, "PixelMeasuresSequence"), _SPACINGS[:1]), (item, _SPACINGS)):
        for name in names:
            values = source.numbers(name) if source.has(name) else []
            if len(values) >= _PAIR and min(values[:_PAIR]) > 0:
                ratio = values[0] / values[1]
                return ratio if 1 / _MOST_ASPECT <= ratio <= _MOST_ASPECT else 1.0
    return 1.0


def fitted_size(width: float, height: float, box: tuple[int, int]) -> tuple[int, int]:
    """Return columns and rows as large as fit in *box*, in the proportions of *width* and *height*."""
    scale = min(box[0] / width, box[1] / height)
    columns, rows = (min(limit, max(1, round(side * scale))) for side, limit in zip((width, height), box, strict=True))
    return columns, rows


def show(shown: Grey, viewport: Viewport, aspect: float = 1.0) -> Grey:
    """Return the region of a picture that a viewport shows, in its size; what lies outside of the image is cut off.

    Parameters
    ----------
    aspect
        Height of a pixel of *shown* in units of its width; those of the result are square.

    Raises
    ------
    InvalidRequest
        Nothing of the region lies in the image.
    """
    rows, columns = shown.shape[:2]
    left, right = _span("width", viewport.x, viewport.source_width, columns)
    top, bottom = _span("height", viewport.y, viewport.source_height, rows)
    size = fitted_size(right - left, (bottom - top) * aspect, (viewport.width, viewport.height))
    image = Image.fromarray(np.ascontiguousarray(shown))
    fitted = image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    if (viewport.source_width or 0) < 0:
        fitted = fitted.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if (viewport.source_height or 0) < 0:
        fitted = fitted.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return np.asarray(fitted)


def _span(name: str, start: float, length: float | None, size: int) -> tuple[float, float]:
    """Return where a region begins and ends on one side of the image."""
    begin = abs(start)
    end = float(size) if length is None else min(begin + abs(length), float(size))
    if begin >= end:
        raise InvalidRequest(f"viewport: the region begins at {begin:g}, outside of the image's {name} of {size}.")
    return begin, end
