"""The query of the URI Service: what it asks of a picture (PS3.18 §9.1.2)."""

from collections.abc import Callable

from shared.dicom.render_options import FULL_QUALITY, RenderOptions, Viewport, Window
from shared.errors import InvalidRequest
from shared.web.rendering_query import parse_annotation, parse_decimal, parse_quality

_DIGITS = 9
_REGION = len(("left", "top", "right", "bottom"))


def uri_options(query: Callable[[str], str | None], size: tuple[int, int]) -> tuple[RenderOptions, int]:
    """Return what a query asks of a picture, and of which frame, counted from 1.

    Parameters
    ----------
    query
        Gives a parameter by its name in lower case; None where it is absent.
    size
        Rows and columns of the image.

    Raises
    ------
    InvalidRequest
        A value is none that the parameter can have.
    """
    annotation, quality = query("annotation"), query("imagequality")
    options = RenderOptions(
        window=_window(query),
        viewport=_viewport(query, size),
        annotation=frozenset() if annotation is None else parse_annotation(annotation),
        quality=FULL_QUALITY if quality is None else parse_quality(quality),
    )
    return options, _whole(query, "framenumber") or 1


def _window(query: Callable[[str], str | None]) -> Window | None:
    center, width = query("windowcenter"), query("windowwidth")
    if center is None and width is None:
        return None
    if center is None or width is None:
        raise InvalidRequest("windowCenter and windowWidth go together.")
    return Window(parse_decimal("windowCenter", center), parse_decimal("windowWidth", width))


def _viewport(query: Callable[[str], str | None], size: tuple[int, int]) -> Viewport | None:
    """Return rows, columns and region as a viewport; the region is given in parts of the image's sides."""
    rows, columns, text = _whole(query, "rows"), _whole(query, "columns"), query("region")
    if rows is None and columns is None and text is None:
        return None
    parts = [parse_decimal("region", part) for part in (text or "0,0,1,1").split(",")]
    if len(parts) != _REGION or not (0 <= parts[0] < parts[2] <= 1 and 0 <= parts[1] < parts[3] <= 1):
        raise InvalidRequest("region: expected left,top,right,bottom from 0 to 1, the first two below the others.")
    (left, top, right, bottom), (height, width) = parts, size
    shown = (right - left) * width, (bottom - top) * height
    # Where one side alone is given the other is as large as it can be (PS3.18 §9.1.2.2.2).
    high = rows or round((columns or shown[0]) * shown[1] / shown[0])
    wide = columns or round((rows or shown[1]) * shown[0] / shown[1])
    return Viewport(max(wide, 1), max(high, 1), left * width, top * height, *shown)


def _whole(query: Callable[[str], str | None], name: str) -> int | None:
    text = query(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text)):
        raise InvalidRequest(f"{name}: expected a whole number from 1 on.")
    return int(text)
