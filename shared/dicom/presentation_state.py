"""Softcopy presentation states: how somebody wants other instances to be seen (PS3.3 §A.33, §C.10, §C.11.10).

Masks, shutters, overlays of the state itself and blending are not followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.dicom.annotations import annotate, lines_of
from shared.dicom.graphics import Placement, applies, draw_graphics
from shared.dicom.items import Bulk, Item, no_bulk, tag
from shared.dicom.lookup import Grey
from shared.dicom.render_options import MAX_SIDE, RenderOptions
from shared.dicom.rendering import render
from shared.dicom.viewport import aspect_ratio, fitted_size, show
from shared.errors import NotDecodable

SOP_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2, 5))
"""Grayscale, colour and X-ray Softcopy Presentation State Storage."""

_TABLES = (
    "RescaleIntercept RescaleSlope RescaleType ModalityLUTSequence PixelIntensityRelationship VOILUTSequence"
    " WindowCenter WindowWidth VOILUTFunction PresentationLUTSequence PresentationLUTShape"
    " SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
)
_OVERRIDDEN = frozenset(map(tag, _TABLES.split()))
_FROM_STATE = ("RescaleIntercept", "RescaleSlope", "PresentationLUTShape")
_FROM_VOI = ("WindowCenter", "WindowWidth", "VOILUTFunction")
_QUARTERS = {0: 0, 90: 1, 180: 2, 270: 3}
_TURNS = (None, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)
"""Clockwise, as Pillow turns the other way round."""
_CORNER = 2


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that a state is made for; without frame numbers, all of its frames."""

    series: str
    sop_class: str
    instance: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PresentationState:
    """A state and what it is made for, in its order."""

    item: Item
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class _Area:
    """The displayed area in pixels of the image from the corner of its first one (PS3.3 §C.10.4)."""

    left: float
    top: float
    right: float
    bottom: float
    aspect: float
    magnification: float


def read_state(dataset: Mapping[str, Any], bulk: Bulk = no_bulk) -> PresentationState:
    """Return the state that a data set is, and the instances it is made for (PS3.3 §C.11.11).

    Raises
    ------
    NotDecodable
        It is no presentation state that can be followed, or refers to no instance.
    """
    item = Item(dataset, bulk)
    if item.text("SOPClassUID") not in SOP_CLASSES:
        raise NotDecodable("Not a grayscale, colour or X-ray softcopy presentation state.")
    references = tuple(
        Reference(
            series.text("SeriesInstanceUID"),
            image.text("ReferencedSOPClassUID"),
            image.text("ReferencedSOPInstanceUID"),
            tuple(int(number) for number in image.numbers("ReferencedFrameNumber")),
        )
        for series in item.items("ReferencedSeriesSequence")
        for image in series.items("ReferencedImageSequence")
    )
    if not references:
        raise NotDecodable("(0008,1115) Referenced Series Sequence: the presentation state refers to no instance.")
    return PresentationState(item, references)


def with_state(
    dataset: Mapping[str, Any], photometric: str, state: PresentationState, frame: int
) -> tuple[dict[str, Any], str]:
    """Return the data set of an image and its photometric interpretation as the state overrides them.

    All lookup tables of the image give way, also where the state has none, and MONOCHROME1 no longer inverts: that
    the state says too (PS3.4 §N.2.1).
    """
    kept = {one: element for one, element in dataset.items() if one not in _OVERRIDDEN}
    item = state.item
    kept |= _present(item, _FROM_STATE) | _sequence(item, "ModalityLUTSequence")
    kept |= _sequence(item, "PresentationLUTSequence")
    instance = Item(dataset).text("SOPInstanceUID")
    for voi in item.items("SoftcopyVOILUTSequence"):
        if applies(voi, instance, frame):
            kept |= _present(voi, _FROM_VOI) | _sequence(voi, "VOILUTSequence")
            break
    return kept, "MONOCHROME2" if photometric == "MONOCHROME1" else photometric


def draw_with_state(
    array: NDArray[Any],
    photometric: str,
    dataset: Mapping[str, Any],
    options: RenderOptions,
    state: PresentationState,
    bulk: Bulk = no_bulk,
) -> Grey:
    """Return a frame as a presentation state has it: lookup tables, displayed area, turned, flipped, with graphics.

    The options go on from there: a window replaces the one of the state, a region of the viewport counts in pixels
    of what the state shows (PS3.18 §8.3.5.1).

    Parameters
    ----------
    array, photometric, dataset, bulk
        Of the image, see `rendering.render`.

    Raises
    ------
    NotDecodable
        The image or a value of the state cannot be understood.
    InvalidRequest
        The viewport shows nothing of what the state shows.
    """
    overridden, polarity = with_state(dataset, photometric, state, options.frame)
    shown = render(array, polarity, overridden, options, bulk)
    instance = Item(dataset).text("SOPInstanceUID")
    area = _area(state.item, instance, options.frame, shown, aspect_ratio(Item(dataset), options.frame))
    viewport = options.viewport
    has_region = viewport is not None and (
        viewport.x or viewport.y or viewport.source_width is not None or viewport.source_height is not None
    )
    box = (viewport.width, viewport.height) if viewport is not None and not has_region else None
    placement = _placement(state.item, area, box)
    picture = draw_graphics(_place(shown, area, placement), state.item, placement, instance, options.frame)
    if viewport is not None and has_region:
        picture = show(picture, viewport)
    texts = lines_of(Item(dataset, bulk), options.annotation)
    return annotate(picture, texts) if texts else picture


def _present(item: Item, keywords: tuple[str, ...]) -> dict[str, Any]:
    return {tag(one): item.dataset[tag(one)] for one in keywords if tag(one) in item.dataset}


def _sequence(item: Item, keyword: str) -> dict[str, Any]:
    """Return the first table of a sequence with its data in it, as bulk data is found in the image's file from now."""
    for lut in item.items(keyword)[:1]:
        words = np.frombuffer(lut.raw("LUTData")[: 2 * 0x10000], np.uint8)
        data = {"vr": "US", "Value": words[: len(words) // 2 * 2].view("<u2").tolist()}
        return {tag(keyword): {"vr": "SQ", "Value": [{**lut.dataset, tag("LUTData"): data}]}}
    return {}


def _area(item: Item, instance: str, frame: int, shown: Grey, aspect: float) -> _Area:
    """Return the area that is displayed of an image; all of it when the state does not say."""
    rows, columns = shown.shape[:2]
    for area in item.items("DisplayedAreaSelectionSequence"):
        if not applies(area, instance, frame):
            continue
        first, last = (area.numbers(f"DisplayedArea{name}HandCorner") for name in ("TopLeft", "BottomRight"))
        if len(first) != _CORNER or len(last) != _CORNER:
            break
        # The corners are those of what is seen: of a turned or flipped image, the first may be any of the four.
        (left, right), (top, bottom) = (sorted(ends) for ends in zip(first, last, strict=True))
        ratios = [area.numbers(name) for name in ("PresentationPixelSpacing", "PresentationPixelAspectRatio")]
        pairs = [pair for pair in ratios if len(pair) == _CORNER and min(pair) > 0]
        aspect = pairs[0][0] / pairs[0][1] if pairs else aspect
        magnification = area.number("PresentationPixelMagnificationRatio", 1.0)
        return _Area(left - 1, top - 1, right, bottom, min(max(aspect, 0.01), 100.0), max(magnification, 0.01))
    return _Area(0, 0, columns, rows, aspect, 1.0)


def _placement(item: Item, area: _Area, box: tuple[int, int] | None) -> Placement:
    """Return where points of the image go in a picture that fits into *box*, or has the size of the area."""
    turn = _QUARTERS.get(item.whole("ImageRotation", 0) % 360)
    if turn is None:
        raise NotDecodable("(0070,0042) Image Rotation: 0, 90, 180 or 270 expected.")
    width, height = area.right - area.left, (area.bottom - area.top) * area.aspect
    if turn % 2:
        width, height = height, width
    if box is None:
        natural = [round(side * area.magnification) for side in (width, height)]
        columns, rows = (min(max(side, 1), MAX_SIDE) for side in natural)
        box = (columns, rows)
    size = fitted_size(width, height, box)
    is_flipped = item.text("ImageHorizontalFlip").upper() == "Y"
    return Placement((area.left, area.top, area.right, area.bottom), turn, is_flipped, size)


def _place(shown: Grey, area: _Area, placement: Placement) -> Grey:
    """Return the displayed area of a picture, turned, flipped and in its size; black outside of the image."""
    rows, columns = shown.shape[:2]
    size = placement.size[::-1] if placement.turn % 2 else placement.size
    image = Image.fromarray(np.ascontiguousarray(shown))
    canvas = Image.new(image.mode, size)
    box = (max(area.left, 0), max(area.top, 0), min(area.right, columns), min(area.bottom, rows))
    if box[0] < box[2] and box[1] < box[3]:
        spans = [
            _span(box[side], box[side + 2], start, end, length)
            for side, start, end, length in ((0, area.left, area.right, size[0]), (1, area.top, area.bottom, size[1]))
        ]
        part = image.resize((spans[0][1], spans[1][1]), Image.Resampling.BILINEAR, box=box)
        canvas.paste(part, (spans[0][0], spans[1][0]))
    turn = _TURNS[placement.turn]
    canvas = canvas if turn is None else canvas.transpose(turn)
    if placement.is_flipped:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(canvas)


def _span(begin: float, end: float, start: float, stop: float, length: int) -> tuple[int, int]:
    """Return the first pixel and the number of pixels of what lies from *begin* to *end* in a side of *length*."""
    first = round((begin - start) / (stop - start) * length)
    last = round((end - start) / (stop - start) * length)
    first = min(first, length - 1)
    return first, max(last - first, 1)
