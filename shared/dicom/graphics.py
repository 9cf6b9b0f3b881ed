"""Drawings and text of a presentation state (PS3.3 §C.10.5), in plain white lines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import cos, hypot, pi, sin
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from shared.dicom.annotations import writer
from shared.dicom.items import Item
from shared.dicom.lookup import Grey

Point: TypeAlias = tuple[float, float]
"""Column and row."""

_MOST_POINTS, _MOST_TEXTS, _MOST_LINES = 20_000, 200, 40
"""Of a picture: what is beyond is not drawn, as drawing takes time."""
_ROUND = 72
"""Corners of what stands for a circle."""
_MARK = 3
_WHITE = 255
_FAR = 3
"""How many sides of the picture away a point may be; the line to one that is farther off goes astray."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where points of an image go in a picture.

    Parameters
    ----------
    region
        Left, top, right and bottom of what is displayed, in pixels of the image.
    turn
        Quarters of a turn clockwise; flipping follows it (PS3.3 §C.10.6).
    size
        Columns and rows of the picture.
    """

    region: tuple[float, float, float, float]
    turn: int
    is_flipped: bool
    size: tuple[int, int]

    def of_image(self, point: Point) -> Point:
        """Return the pixel of the picture for a point of the image, whose first pixel reaches from 0 to 1."""
        left, top, right, bottom = self.region
        across, down = (point[0] - left) / (right - left), (point[1] - top) / (bottom - top)
        for _ in range(self.turn):
            across, down = 1 - down, across
        return self.of_display((1 - across if self.is_flipped else across, down))

    def of_display(self, point: Point) -> Point:
        """Return the pixel for a point whose coordinates are from 0 to 1 over the picture."""
        columns, rows = (min(max(part, -_FAR), _FAR) * side for part, side in zip(point, self.size, strict=True))
        return columns, rows

    def points(self, units: str, values: list[float]) -> list[Point]:
        """Return the pixels for pairs of column and row in PIXEL or DISPLAY units (PS3.3 §C.10.5.1.2)."""
        place = self.of_display if units.upper() == "DISPLAY" else self.of_image
        return [place((column, row)) for column, row in zip(values[::2], values[1::2], strict=False)]


def applies(item: Item, instance: str, frame: int) -> bool:
    """Return whether an item of a state is about a frame: it says so, or does not say of which it is."""
    images = item.items("ReferencedImageSequence")
    named = [image for image in images if image.text("ReferencedSOPInstanceUID") == instance]
    frames = [image.numbers("ReferencedFrameNumber") for image in named]
    return not images or any(not numbers or frame in numbers for numbers in frames)


def draw_graphics(shown: Grey, state: Item, placement: Placement, instance: str, frame: int) -> Grey:
    """Return a picture with the annotations that a state has for a frame of an instance.

    Raises
    ------
    NotDecodable
        A coordinate is no number.
    """
    annotations = [one for one in state.items("GraphicAnnotationSequence") if applies(one, instance, frame)]
    if not annotations:
        return shown
    image = Image.fromarray(np.array(shown))
    _draw_lines(image, annotations, placement)
    _write_texts(image, annotations, placement)
    return np.asarray(image)


def _draw_lines(image: Image.Image, annotations: Iterable[Item], placement: Placement) -> None:
    canvas = ImageDraw.Draw(image)
    white = (_WHITE,) * len(image.getbands())
    left = _MOST_POINTS
    for one in (graphic for annotation in annotations for graphic in annotation.items("GraphicObjectSequence")):
        points = list(_shape(one, placement))
        left -= len(points)
        if left < 0:
            return
        if len(points) == 1:
            column, row = points[0]
            canvas.line((column - _MARK, row, column + _MARK, row), fill=white)
            canvas.line((column, row - _MARK, column, row + _MARK), fill=white)
        elif one.text("GraphicFilled").upper() == "Y" and len(points) > len(("there", "back")):
            canvas.polygon(points, fill=white)
        elif points:
            canvas.line(points, fill=white)


def _shape(graphic: Item, placement: Placement) -> Iterator[Point]:
    """Yield the corners of a graphic object (PS3.3 §C.10.5.1.2); one for a point."""
    units = graphic.text("GraphicAnnotationUnits")
    values = graphic.numbers("GraphicData")[: 2 * _MOST_POINTS]
    pairs = list(zip(values[::2], values[1::2], strict=False))
    kind = graphic.text("GraphicType").upper()
    if kind == "CIRCLE" and len(pairs) >= len(("center", "edge")):
        center, edge = pairs[:2]
        radius = hypot(edge[0] - center[0], edge[1] - center[1])
        values = _ring(center, (radius, 0.0), (0.0, radius))
    elif kind == "ELLIPSE" and len(pairs) >= len(("left", "right", "top", "bottom")):
        first, last, upper, lower = pairs[:4]
        center = ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2)
        major = ((last[0] - first[0]) / 2, (last[1] - first[1]) / 2)
        minor = ((lower[0] - upper[0]) / 2, (lower[1] - upper[1]) / 2)
        values = _ring(center, major, minor)
    elif kind == "POINT":
        values = values[:2]
    yield from placement.points(units, values)


def _ring(center: Point, major: Point, minor: Point) -> list[float]:
    """Return the columns and rows of a closed ring with two half axes."""
    angles = [2 * pi * step / _ROUND for step in range(_ROUND + 1)]
    return [center[at] + cos(angle) * major[at] + sin(angle) * minor[at] for angle in angles for at in (0, 1)]


def _write_texts(image: Image.Image, annotations: Iterable[Item], placement: Placement) -> None:
    canvas = ImageDraw.Draw(image)
    white = (_WHITE,) * len(image.getbands())
    size = min(max(min(placement.size) // 36, 10), 32)
    write = writer(image, size)
    texts = [text for annotation in annotations for text in annotation.items("TextObjectSequence")]
    for text in texts[:_MOST_TEXTS]:
        corners = text.numbers("BoundingBoxTopLeftHandCorner") + text.numbers("BoundingBoxBottomRightHandCorner")
        box = placement.points(text.text("BoundingBoxAnnotationUnits"), corners)
        anchor = placement.points(text.text("AnchorPointAnnotationUnits"), text.numbers("AnchorPoint")[:2])
        if not box and not anchor:
            continue
        at = (min(column for column, _ in box or anchor), min(row for _, row in box or anchor))
        if box and anchor and text.text("AnchorPointVisibility").upper() == "Y":
            canvas.line((*anchor[0], *at), fill=white)
        for number, line in enumerate(text.text("UnformattedTextValue").splitlines()[:_MOST_LINES]):
            write((at[0], at[1] + number * size * 5 // 4), line)
