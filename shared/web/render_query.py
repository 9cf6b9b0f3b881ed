"""The query of a rendered resource (PS3.18 §8.3.5)."""

from collections.abc import Callable

from shared.dicom.render_options import FULL_QUALITY, IccProfile, RenderOptions
from shared.web.rendering_query import (
    parse_annotation,
    parse_iccprofile,
    parse_quality,
    parse_viewport,
    parse_window,
)


def render_options(query: Callable[[str], str | None]) -> RenderOptions:
    """Return what a query asks of a picture.

    Parameters
    ----------
    query
        Gives a parameter by name; None where it is absent.

    Raises
    ------
    InvalidRequest
        A value is none that the parameter can have.
    """
    window, viewport, annotation = query("window"), query("viewport"), query("annotation")
    quality, profile = query("quality"), query("iccprofile")
    return RenderOptions(
        window=parse_window(window) if window is not None else None,
        viewport=parse_viewport(viewport) if viewport is not None else None,
        annotation=parse_annotation(annotation) if annotation is not None else frozenset(),
        quality=parse_quality(quality) if quality is not None else FULL_QUALITY,
        icc_profile=parse_iccprofile(profile) if profile is not None else IccProfile.NO,
    )
