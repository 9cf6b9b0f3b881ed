"""Query parameters of rendered resources (`shared/web/rendering_query.py`; PS3.18 §8.3.5.1)."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.dicom.render_options import (
    MAX_SIDE,
    Annotation,
    IccProfile,
    RenderOptions,
    Viewport,
    VoiFunction,
    Window,
)
from shared.errors import InvalidRequest
from shared.web.rendering_query import (
    parse_annotation,
    parse_iccprofile,
    parse_quality,
    parse_viewport,
    parse_window,
)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400,linear", Window(40, 400)),
        (" -1.5e2 , 0.5,linear-exact", Window(-150, 0.5, VoiFunction.LINEAR_EXACT)),
        ("+.5,1.,SIGMOID", Window(0.5, 1, VoiFunction.SIGMOID)),
        ("0,1,linear", Window(0, 1)),
    ],
)
def test_window(text: str, window: Window) -> None:
    """A window is its center, its width and one of three functions (PS3.18 §8.3.5.1.4)."""
    assert parse_window(text) == window


@pytest.mark.parametrize(
    ("text", "viewport"),
    [
        ("512,256", Viewport(512, 256)),
        ("8192,8192", Viewport(MAX_SIDE, MAX_SIDE)),
        ("512,256,1.5,2,-100,50", Viewport(512, 256, 1.5, 2, -100, 50)),
        ("512,256,,,-256", Viewport(512, 256, source_width=-256)),
        ("512,256,-1,-2", Viewport(512, 256, 1, 2)),
        ("512, 256 ,,,,-3", Viewport(512, 256, source_height=-3)),
    ],
)
def test_viewport(text: str, viewport: Viewport) -> None:
    """A viewport is a size and, each if need be, corner and size of a region (PS3.18 §8.3.5.1.3)."""
    assert parse_viewport(text) == viewport


def test_annotation() -> None:
    """Annotations are a comma list of keywords; the overlays of the image are one of ours."""
    assert parse_annotation("patient, technique") == {Annotation.PATIENT, Annotation.TECHNIQUE}
    assert parse_annotation("overlay") == {Annotation.OVERLAY}


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_quality(quality: int) -> None:
    """Quality is a whole number from 1 to 100."""
    assert parse_quality(str(quality)) == quality


@pytest.mark.parametrize("wish", list(IccProfile))
def test_iccprofile(wish: IccProfile) -> None:
    """The profile is left out, kept or exchanged for sRGB."""
    assert parse_iccprofile(wish.value) is wish


REFUSED: list[tuple[Callable[[str], object], str, list[str]]] = [
    (
        parse_window,
        "window",
        [
            *("", "40", "40,400", "40,400,linear,1", "40,400,cubic", "a,400,linear", "40,,linear", "nan,400,linear"),
            *("40,inf,linear", "40,0,linear", "40,0.5,linear", "40,-1,sigmoid", "40,0,linear-exact", "1_0,4,linear"),
        ],
    ),
    (
        parse_viewport,
        "viewport",
        [
            *("", "512", "512,", ",512", "0,512", "512,-1", "8193,1", "1,8193", "1.5,2", "512,512,a", "1,2,3,4,5,6,7"),
            *("512,512,0,0,0,5", "512,512,0,0,5,0", "512,512,1e400", "512,512,nan", "9999999999,1", "\u0665,1"),
        ],
    ),
    (parse_annotation, "annotation", ["", "patient,", "Patient", "name", "patient;technique"]),
    (parse_quality, "quality", ["", "0", "101", "-1", "1.5", "high", "1e1", "\u0661"]),
    (parse_iccprofile, "iccprofile", ["", "YES", "adobergb", "rommrgb", "displayp3"]),
]


@pytest.mark.parametrize(
    ("parse", "name", "text"), [(parse, name, text) for parse, name, texts in REFUSED for text in texts]
)
def test_refused(parse: Callable[[str], object], name: str, text: str) -> None:
    """What is incomplete, unknown or out of range is refused by the name of the parameter."""
    with pytest.raises(InvalidRequest, match=f"^{name}: "):
        parse(text)


@pytest.mark.parametrize("options", [{"frame": 0}, {"quality": 0}, {"quality": 101}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    """Options keep their rules wherever they come from."""
    with pytest.raises(InvalidRequest, match=f"^{next(iter(options))}: "):
        RenderOptions(**options)


def test_no_pixel_library() -> None:
    """Reading a query loads no pixel library: a request that is refused has no use for one."""
    code = "import sys, shared.web.rendering_query; print(sorted({'numpy', 'PIL', 'imagecodecs'} & set(sys.modules)))"

    found = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
