"""Text burnt into a picture: who is in it and how it was made (PS3.18 §8.3.5.1.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shared.dicom.items import Item
from shared.dicom.lookup import Grey
from shared.dicom.readable import date, person
from shared.dicom.render_options import Annotation

_LONGEST_LINE = 80
_SMALLEST, _LARGEST = 10, 32
_LINES_OF_A_PICTURE = 36
"""Lines of text that would fill a picture: what the size of the font comes from."""
_WHITE, _BLACK = 255, 0


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of text; `top` begins at the upper left corner, `bottom` ends at the lower left one."""

    top: tuple[str, ...] = ()
    bottom: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self.top or self.bottom)


_PATIENT: tuple[tuple[str, str], ...] = (
    ("", "PatientName"),
    ("ID ", "PatientID"),
    ("born ", "PatientBirthDate"),
    ("sex ", "PatientSex"),
)
_TECHNIQUE: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (("", "Modality", ""), ("", "StudyDate", ""), ("", "BodyPartExamined", ""), ("", "ViewPosition", "")),
    (("series ", "SeriesNumber", ""), ("image ", "InstanceNumber", "")),
    (("", "KVP", " kV"), ("", "XRayTubeCurrent", " mA"), ("", "ExposureTime", " ms"), ("", "Exposure", " mAs")),
    (("TR ", "RepetitionTime", " ms"), ("TE ", "EchoTime", " ms"), ("flip ", "FlipAngle", "\N{DEGREE SIGN}")),
    (("slice ", "SliceThickness", " mm"), ("at ", "SliceLocation", " mm")),
)
"""Lines of attributes, each with what is written before and after its value; those without a value are left out."""


def lines_of(item: Item, annotation: frozenset[Annotation]) -> Lines:
    """Return what is to be written over an image of a data set."""
    return Lines(
        _patient(item) if Annotation.PATIENT in annotation else (),
        _technique(item) if Annotation.TECHNIQUE in annotation else (),
    )


def annotate(shown: Grey, lines: Lines) -> Grey:
    """Return a picture with lines written over it, white on a black outline; what does not fit is cut off."""
    rows, columns = shown.shape[:2]
    size = min(max(min(rows, columns) // _LINES_OF_A_PICTURE, _SMALLEST), _LARGEST)
    image = Image.fromarray(np.array(shown))
    write = writer(image, size)
    pitch = size * 5 // 4
    for number, line in enumerate(lines.top):
        write((size // 2, size // 2 + number * pitch), line)
    for number, line in enumerate(lines.bottom):
        write((size // 2, rows - size // 2 - (len(lines.bottom) - number) * pitch), line)
    return np.asarray(image)


def writer(image: Image.Image, size: int) -> Callable[[tuple[float, float], str], None]:
    """Return a function that writes a line with its upper left corner at a point; changes *image*."""
    canvas = ImageDraw.Draw(image)
    white, black = ((_WHITE,) * len(image.getbands()), (_BLACK,) * len(image.getbands()))

    def write(at: tuple[float, float], text: str) -> None:
        canvas.text(at, printable(text), fill=white, font=_font(size), stroke_width=1, stroke_fill=black)

    return write


def printable(text: str) -> str:
    """Return one line of *text*, not longer than a picture can show."""
    return "".join(one if one.isprintable() else " " for one in text[:_LONGEST_LINE])


@lru_cache(4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _patient(item: Item) -> tuple[str, ...]:
    return tuple(before + text for before, name in _PATIENT if (text := _text(item, name)))


def _technique(item: Item) -> tuple[str, ...]:
    lines = (
        "  ".join(before + text + after for before, name, after in line if (text := _text(item, name)))
        for line in _TECHNIQUE
    )
    return tuple(line for line in lines if line)


def _text(item: Item, keyword: str) -> str:
    text = item.text(keyword)
    shape = _SHAPES.get(keyword)
    return shape(text) if shape else text


_SHAPES: Mapping[str, Callable[[str], str]] = {"PatientName": person, "PatientBirthDate": date, "StudyDate": date}
