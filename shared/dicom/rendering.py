"""One frame as a picture of 8 bits: the grey scale pipeline and colours (PS3.4 §N.2; PS3.3 §C.7.6.3.1.2)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.dicom.annotations import annotate, lines_of
from shared.dicom.colour import palette_to_rgb, to_rgb
from shared.dicom.items import Bulk, Item, no_bulk
from shared.dicom.lookup import Grey, full_range, grey_levels, grey_table, read_pipeline
from shared.dicom.overlays import burn_in, read_overlays
from shared.dicom.render_options import Annotation, RenderOptions, Window
from shared.dicom.viewport import aspect_ratio, show
from shared.errors import NotDecodable

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_PLANE = 2
"""Dimensions of an image of one sample."""
_TABLE_BYTES = 2
"""Bytes of the values that have tables of all grey levels."""
_BAND_PIXELS = 1 << 20
"""Pixels computed together where there is no table: bounds memory to some 50 MB."""


def render(
    array: NDArray[Any],
    photometric: str,
    dataset: Mapping[str, Any],
    options: RenderOptions,
    bulk: Bulk = no_bulk,
) -> Grey:
    """Return a frame as grey levels (rows, columns) or red, green and blue (rows, columns, 3), in its own size.

    Of the options it follows the window, which colours have none of, and burns in overlays.

    Parameters
    ----------
    array
        Stored values: (rows, columns), or (rows, columns, 3) with chrominance for every pixel.
    photometric
        What they are now, which after decoding may differ from what *dataset* says.
    dataset
        DICOM JSON object of the instance.
    bulk
        Gives values that are not in *dataset*.

    Raises
    ------
    NotDecodable
        The array is no image of this photometric interpretation, or a table or number is missing or broken.
    """
    item = Item(dataset, bulk)
    if not array.size:
        raise NotDecodable("The image has no pixels.")
    if photometric in _GREY and array.ndim == _PLANE:
        shown = _grey(array, photometric, item, options)
    elif photometric == "PALETTE COLOR" and array.ndim == _PLANE:
        shown = palette_to_rgb(array, item)
    else:
        shown = to_rgb(array, photometric, item)
    if Annotation.OVERLAY in options.annotation:
        for overlay in read_overlays(item, options.frame):
            shown = burn_in(shown, overlay)
    return shown


def draw(
    array: NDArray[Any],
    photometric: str,
    dataset: Mapping[str, Any],
    options: RenderOptions,
    bulk: Bulk = no_bulk,
) -> Grey:
    """Return a frame as a client asks for it: rendered, fitted to its viewport, annotated; see `render`.

    Raises
    ------
    InvalidRequest
        The viewport shows nothing of the image.
    """
    shown = render(array, photometric, dataset, options, bulk)
    item = Item(dataset, bulk)
    if options.viewport is not None:
        shown = show(shown, options.viewport, aspect_ratio(item, options.frame))
    texts = lines_of(item, options.annotation)
    return annotate(shown, texts) if texts else shown


def default_window(
    array: NDArray[Any],
    photometric: str,
    dataset: Mapping[str, Any],
    options: RenderOptions,
    bulk: Bulk = no_bulk,
) -> Window | None:
    """Return the window that `render` finds in a frame's own values; None where it needs none.

    Frames shown one after the other are to be shown with the window of one of them, lest they flicker.
    """
    if photometric not in _GREY or options.window is not None:
        return options.window
    pipeline = read_pipeline(Item(dataset, bulk), photometric, array.dtype, options.frame)
    return full_range(array, pipeline) if pipeline.voi is None else None


def _grey(array: NDArray[Any], photometric: str, item: Item, options: RenderOptions) -> Grey:
    if array.dtype.kind not in "iuf":
        raise NotDecodable(f"{array.dtype} values cannot be shown as {photometric}.")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    pipeline = read_pipeline(item, photometric, array.dtype, options.frame, options.window)
    if pipeline.voi is None:
        pipeline = replace(pipeline, voi=full_range(array, pipeline))
    if array.dtype.kind != "f" and array.dtype.itemsize <= _TABLE_BYTES:
        return np.take(grey_table(pipeline, array.dtype.name), array.view(f"u{array.dtype.itemsize}"))
    shown = np.empty(array.shape, np.uint8)
    rows = max(1, _BAND_PIXELS // array.shape[1])
    for row in range(0, array.shape[0], rows):
        shown[row : row + rows] = grey_levels(array[row : row + rows].astype(np.float64), pipeline)
    return shown
