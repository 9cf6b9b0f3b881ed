"""The query parameters of rendered resources and thumbnails, one function for each (PS3.18 §8.3.5.1)."""

import re

from shared.dicom.render_options import FULL_QUALITY, Annotation, IccProfile, Viewport, VoiFunction, Window
from shared.errors import InvalidRequest

_FUNCTIONS = {
    "linear": VoiFunction.LINEAR,
    "linear-exact": VoiFunction.LINEAR_EXACT,
    "sigmoid": VoiFunction.SIGMOID,
}
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,16})?|\.[0-9]{1,16})(?:[eE][+-]?[0-9]{1,2})?")
_WHOLE = re.compile(r"[0-9]{1,9}")
_SIZE_PARTS, _VIEWPORT_PARTS = 2, 6


def parse_window(text: str) -> Window:
    """Return the window of `center,width,function` (PS3.18 §8.3.5.1.4); the function compares without case.

    Raises
    ------
    InvalidRequest
        A part is missing or too much, is no number, or is no function; or the window cannot be.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != len(("center", "width", "function")):
        raise InvalidRequest(f"window: {len(parts)} values; expected center,width,function.")
    function = _FUNCTIONS.get(parts[2].lower())
    if function is None:
        raise InvalidRequest(f"window: the function is one of {', '.join(_FUNCTIONS)}.")
    return Window(parse_decimal("window", parts[0]), parse_decimal("window", parts[1]), function)


def parse_viewport(text: str) -> Viewport:
    """Return the viewport of `vw,vh[,sx,sy,sw,sh]` (PS3.18 §8.3.5.1.3); of the last four each may be left empty.

    Raises
    ------
    InvalidRequest
        A size is missing or over the bound, a value is no number, or there are more than six.
    """
    parts = [part.strip() for part in text.split(",")]
    if not _SIZE_PARTS <= len(parts) <= _VIEWPORT_PARTS:
        raise InvalidRequest(f"viewport: {len(parts)} values; expected vw,vh or vw,vh,sx,sy,sw,sh.")
    width, height = (_whole("viewport", part) for part in parts[:_SIZE_PARTS])
    region = [parse_decimal("viewport", part) if part else None for part in parts[_SIZE_PARTS:]]
    x, y, source_width, source_height = (*region, None, None, None, None)[: _VIEWPORT_PARTS - _SIZE_PARTS]
    return Viewport(width, height, abs(x or 0.0), abs(y or 0.0), source_width, source_height)


def parse_annotation(text: str) -> frozenset[Annotation]:
    """Return what a comma list of keywords wants burnt in (PS3.18 §8.3.5.1.1).

    Raises
    ------
    InvalidRequest
        A keyword is not known.
    """
    known = {one.value: one for one in Annotation}
    keywords = [part.strip() for part in text.split(",")]
    if not set(keywords) <= set(known):
        raise InvalidRequest(f"annotation: expected one or more of {', '.join(known)}.")
    return frozenset(known[keyword] for keyword in keywords)


def parse_quality(text: str) -> int:
    """Return the quality of a JPEG, from 1 to 100 (PS3.18 §8.3.5.1.2).

    Raises
    ------
    InvalidRequest
        It is no whole number from 1 to 100.
    """
    quality = _whole("quality", text.strip())
    if not 1 <= quality <= FULL_QUALITY:
        raise InvalidRequest(f"quality: expected a whole number from 1 to {FULL_QUALITY}.")
    return quality


def parse_iccprofile(text: str) -> IccProfile:
    """Return what becomes of the colour profile (PS3.18 §8.3.5.1.5).

    Raises
    ------
    InvalidRequest
        It is none of those that this service can give: Adobe RGB, ROMM RGB and Display P3 are not.
    """
    known = {one.value: one for one in IccProfile}
    if text.strip() not in known:
        raise InvalidRequest(f"iccprofile: expected one of {', '.join(known)}.")
    return known[text.strip()]


def parse_decimal(name: str, text: str) -> float:
    """Return a decimal number; raise `InvalidRequest`, with the parameter's name, where *text* is none."""
    if not _DECIMAL.fullmatch(text):
        raise InvalidRequest(f"{name}: a value is no decimal number.")
    return float(text)


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise InvalidRequest(f"{name}: a value is no whole number.")
    return int(text)
