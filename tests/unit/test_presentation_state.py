"""Presentation states and their graphics (`shared/dicom/presentation_state.py`; PS3.3 §A.33)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.dicom.graphics import Placement
from shared.dicom.header import read_header
from shared.dicom.items import Item
from shared.dicom.lookup import Lut, Rescale, read_pipeline
from shared.dicom.presentation_state import (
    PresentationState,
    Reference,
    draw_with_state,
    read_state,
    with_state,
)
from shared.dicom.render_options import RenderOptions, Viewport, Window
from shared.errors import NotDecodable
from tests.unit.dicom_json import element, json_of

CORPUS = Path(__file__).parents[2].parent / "shared" / "data" / "corpus"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
IMAGE = json_of(SOPInstanceUID="1.2.3", RescaleSlope=7, WindowCenter=1, WindowWidth=2)
PIXELS = np.arange(12, dtype="u1").reshape(3, 4) * 20


def image_reference(instance: str = "1.2.3", *frames: int) -> dict[str, Any]:
    numbers = {"ReferencedFrameNumber": list(frames)} if frames else {}
    return json_of(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=instance, **numbers)


def state_of(**attributes: Any) -> PresentationState:
    series = json_of(SeriesInstanceUID="1.5", ReferencedImageSequence=[image_reference()])
    return read_state(json_of(SOPClassUID=GSPS, ReferencedSeriesSequence=[series], **attributes))


def identity(**attributes: Any) -> PresentationState:
    """Return a state that shows values from 0 to 255 as they are."""
    voi = json_of(WindowCenter=128, WindowWidth=256)
    return state_of(SoftcopyVOILUTSequence=[voi], PresentationLUTShape="IDENTITY", **attributes)


def drawn(state: PresentationState, options: RenderOptions | None = None, pixels: Any = PIXELS) -> Any:
    return draw_with_state(pixels, "MONOCHROME2", IMAGE, options or RenderOptions(), state)


def test_references() -> None:
    """A state tells which instances it is for, and which of their frames."""
    series = [
        json_of(SeriesInstanceUID="1.5", ReferencedImageSequence=[image_reference("1"), image_reference("2", 3, 4)]),
        json_of(SeriesInstanceUID="1.6", ReferencedImageSequence=[image_reference("3")]),
    ]

    state = read_state(json_of(SOPClassUID=GSPS, ReferencedSeriesSequence=series))

    assert state.references == (
        Reference("1.5", "1.2", "1"),
        Reference("1.5", "1.2", "2", (3, 4)),
        Reference("1.6", "1.2", "3"),
    )


@pytest.mark.parametrize("dataset", [{}, json_of(SOPClassUID=GSPS), json_of(SOPClassUID="1.2.840.10008.5.1.4.1.1.2")])
def test_no_state(dataset: dict[str, Any]) -> None:
    """What is no presentation state, or is for nothing, cannot be rendered."""
    with pytest.raises(NotDecodable):
        read_state(dataset)


def test_overrides() -> None:
    """All tables of the image give way, also where the state has none (PS3.4 §N.2.1)."""
    groups = [json_of(PixelValueTransformationSequence=[json_of(RescaleSlope=5)])]

    bare, polarity = with_state(IMAGE | json_of(SharedFunctionalGroupsSequence=groups), "MONOCHROME1", state_of(), 1)

    pipeline = read_pipeline(Item(bare), polarity, np.dtype("u1"), 1)
    assert (pipeline.modality, pipeline.voi, pipeline.is_inverted) == (Rescale(), None, False)


def test_tables_of_state() -> None:
    """The tables of a state are shown, data that lies in its file included."""
    lut = {"0028" + "3002": element("US", 2, 0, 16)}
    attributes = json_of(
        SOPClassUID=GSPS,
        ReferencedSeriesSequence=[json_of(ReferencedImageSequence=[image_reference()])],
        ModalityLUTSequence=[lut],
        SoftcopyVOILUTSequence=[json_of(VOILUTSequence=[lut])],
        PresentationLUTShape="INVERSE",
    )
    data = {"00283000/1/00283006": b"\1\0\2\0", "00283110/1/00283010/1/00283006": b"\3\0\4\0"}

    merged, polarity = with_state(IMAGE, "MONOCHROME2", read_state(attributes, data.__getitem__), 1)

    pipeline = read_pipeline(Item(merged), polarity, np.dtype("u1"), 1)
    assert pipeline.modality == Lut(0, 16, b"\1\0\2\0")
    assert pipeline.voi == Lut(0, 16, b"\3\0\4\0")
    assert pipeline.is_inverted


@pytest.mark.parametrize(("frame", "center"), [(1, 40), (2, 50), (3, 60)])
def test_window_of_frame(frame: int, center: float) -> None:
    """A window may be for some instances and frames only; the first that is for a frame is taken."""
    windows = [
        json_of(WindowCenter=30, WindowWidth=10, ReferencedImageSequence=[image_reference("9")]),
        json_of(WindowCenter=40, WindowWidth=10, ReferencedImageSequence=[image_reference("1.2.3", 1)]),
        json_of(WindowCenter=50, WindowWidth=10, ReferencedImageSequence=[image_reference("1.2.3", 2)]),
        json_of(WindowCenter=60, WindowWidth=10),
    ]

    merged, _ = with_state(IMAGE, "MONOCHROME2", state_of(SoftcopyVOILUTSequence=windows), frame)

    assert read_pipeline(Item(merged), "MONOCHROME2", np.dtype("u1"), frame).voi == Window(center, 10)


@pytest.mark.parametrize("flip", ["N", "Y"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned(rotation: int, flip: str) -> None:
    """An image is turned clockwise and then flipped (PS3.3 §C.10.6)."""
    shown = drawn(identity(ImageRotation=rotation, ImageHorizontalFlip=flip))

    expected = np.rot90(PIXELS, -rotation // 90)
    assert shown.tolist() == (expected[:, ::-1] if flip == "Y" else expected).tolist()


def area_of(left: int, top: int, right: int, bottom: int, **attributes: Any) -> dict[str, Any]:
    corners = {"00700052": element("SL", left, top), "00700053": element("SL", right, bottom)}
    return corners | json_of(PresentationSizeMode="SCALE TO FIT", **attributes)


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        ((1, 1, 4, 3), PIXELS),
        ((2, 2, 3, 3), PIXELS[1:3, 1:3]),
        ((3, 3, 2, 2), PIXELS[1:3, 1:3]),
        ((0, 0, 5, 4), np.pad(PIXELS, 1)),
        ((4, 3, 5, 4), np.pad(PIXELS[2:, 3:], (0, 1))),
        ((10, 10, 11, 11), np.zeros((2, 2))),
    ],
)
def test_area(area: tuple[int, int, int, int], expected: Any) -> None:
    """The displayed area counts pixels from 1; beyond the image it is black (PS3.3 §C.10.4)."""
    assert drawn(identity(DisplayedAreaSelectionSequence=[area_of(*area)])).tolist() == expected.tolist()


def test_area_of_any_size() -> None:
    """An area far larger than any screen takes no more memory than one."""
    area = area_of(-(2**31), -(2**31), 2**31 - 1, 2**31 - 1)

    shown = drawn(identity(DisplayedAreaSelectionSequence=[area]), RenderOptions(viewport=Viewport(100, 50)))

    assert shown.shape == (50, 50)


@pytest.mark.parametrize(
    ("attributes", "viewport", "shape"),
    [
        ({}, Viewport(8, 8), (6, 8)),
        ({"ImageRotation": 90}, Viewport(8, 8), (8, 6)),
        ({}, Viewport(8, 8, 0, 0, 2, 2), (8, 8)),
        ({"area": {"PresentationPixelSpacing": [2, 1]}}, None, (6, 4)),
        ({"area": {"PresentationPixelAspectRatio": [2, 1]}, "ImageRotation": 90}, None, (4, 6)),
        ({"area": {"PresentationPixelMagnificationRatio": 3}}, None, (9, 12)),
    ],
)
def test_size(attributes: dict[str, Any], viewport: Viewport | None, shape: tuple[int, int]) -> None:
    """A picture fits its viewport; without one it is as large as the area, magnified, its pixels made square."""
    area = area_of(1, 1, 4, 3, **attributes.pop("area", {}))
    state = identity(DisplayedAreaSelectionSequence=[area], **attributes)

    assert drawn(state, RenderOptions(viewport=viewport)).shape == shape


def test_window_of_request() -> None:
    """What the client asks for goes on from the state: its window goes before."""
    shown = drawn(identity(), RenderOptions(window=Window(1000, 1)))

    assert not shown.any()


def test_rotation_unknown() -> None:
    """An image cannot be turned by half a quarter."""
    with pytest.raises(NotDecodable, match="Image Rotation"):
        drawn(identity(ImageRotation=45))


@pytest.mark.parametrize(
    ("turn", "is_flipped", "expected"),
    [
        (0, False, (30, 40)),
        (1, False, (160, 30)),
        (2, False, (70, 160)),
        (3, False, (40, 70)),
        (0, True, (70, 40)),
        (1, True, (40, 30)),
    ],
)
def test_placement(turn: int, is_flipped: bool, expected: tuple[float, float]) -> None:
    """Points of the image go where their pixels go, those of the display where they are."""
    size = (200, 100) if turn % 2 else (100, 200)
    placement = Placement((10, 20, 20, 40), turn, is_flipped, size)

    assert placement.of_image((13, 24)) == pytest.approx(expected)
    assert placement.of_display((0.5, 0.25)) == (size[0] / 2, size[1] / 4)


def test_placement_far_away() -> None:
    """Points beyond all reason are placed where drawing to them takes no time."""
    placement = Placement((0, 0, 10, 10), 0, is_flipped=False, size=(100, 200))

    assert placement.of_image((1e30, -1e30)) == (300, -600)


def graphic(kind: str, data: list[float], units: str = "PIXEL", filled: str = "N") -> dict[str, Any]:
    return json_of(GraphicAnnotationUnits=units, GraphicType=kind, GraphicData=data, GraphicFilled=filled)


def annotated(*graphics: dict[str, Any], texts: Any = (), **attributes: Any) -> Any:
    """Return where something is drawn into a black image of 50 x 50 pixels: rows and columns."""
    one = json_of(GraphicObjectSequence=list(graphics), TextObjectSequence=list(texts))
    state = identity(GraphicAnnotationSequence=[one], **attributes)
    return drawn(state, pixels=np.zeros((50, 50), "u1"))


def test_polyline() -> None:
    """A polyline goes from point to point, in pixels of the image or parts of the picture."""
    in_pixels = annotated(graphic("POLYLINE", [10.5, 20.5, 40.5, 20.5]))
    in_parts = annotated(graphic("POLYLINE", [0.21, 0.41, 0.81, 0.41], "DISPLAY"))

    assert in_pixels[20, 10:41].all()
    assert np.count_nonzero(in_pixels) == 31
    assert in_parts.tolist() == in_pixels.tolist()


def test_filled() -> None:
    """A closed line may be filled."""
    assert annotated(graphic("POLYLINE", [10, 10, 20, 10, 20, 20, 10, 20, 10, 10], filled="Y"))[11:20, 11:20].all()


def test_circle_and_ellipse() -> None:
    """A circle is a center and a point on it, an ellipse the ends of its axes (PS3.3 §C.10.5.1.2)."""
    circle = annotated(graphic("CIRCLE", [25, 25, 35, 25]))
    ellipse = annotated(graphic("ELLIPSE", [5, 25, 45, 25, 25, 15, 25, 35]))

    rows, columns = np.nonzero(circle)
    assert np.abs(np.hypot(rows - 25, columns - 25) - 10).max() < 1.5
    rows, columns = np.nonzero(ellipse)
    assert np.abs(((rows - 25) / 10) ** 2 + ((columns - 25) / 20) ** 2 - 1).max() < 0.35
    assert (columns.min(), columns.max()) == (5, 45)


def test_point() -> None:
    """A point is a small cross."""
    rows, columns = np.nonzero(annotated(graphic("POINT", [25, 25])))

    assert (rows.mean(), columns.mean()) == (25, 25)
    assert len(rows) == 13


def test_text() -> None:
    """Text stands in its box, and is not turned with the image."""
    text = json_of(
        UnformattedTextValue="98%",
        BoundingBoxAnnotationUnits="PIXEL",
        BoundingBoxTopLeftHandCorner=[20, 30],
        BoundingBoxBottomRightHandCorner=[40, 40],
    )

    rows, columns = np.nonzero(annotated(texts=[text]) > 100)

    assert rows.min() >= 29
    assert columns.min() >= 19
    assert len(rows) > 5


@pytest.mark.parametrize(
    "one",
    [
        graphic("POLYLINE", [1e30, -1e30, 5, 5]),
        graphic("POLYLINE", []),
        graphic("POLYLINE", [5]),
        graphic("CIRCLE", [5, 5]),
        graphic("ELLIPSE", [5, 5, 6, 6]),
        graphic("CIRCLE", [0, 0, 1e20, 1e20]),
        graphic("POLYLINE", [0.0, 0.0, 50.0, 50.0] * 30_000),
    ],
    ids=["far", "none", "half", "circle", "ellipse", "huge", "many"],
)
def test_hostile_graphics(one: dict[str, Any]) -> None:
    """Graphics of absurd sizes and numbers are drawn as far as they can be."""
    assert annotated(one).shape == (50, 50)


def test_annotation_of_other_image() -> None:
    """What is drawn for other instances is not drawn here."""
    one = json_of(
        ReferencedImageSequence=[image_reference("9")], GraphicObjectSequence=[graphic("POLYLINE", [0, 0, 50, 50])]
    )

    assert not drawn(identity(GraphicAnnotationSequence=[one]), pixels=np.zeros((50, 50), "u1")).any()


def test_corpus() -> None:
    """A real state is understood: it has text and drawings in pixels of the image."""
    path = CORPUS / "presentation" / "pr-issue168.dcm"
    if not path.exists():
        pytest.skip("the corpus is not here")
    state = read_state(read_header(path.read_bytes()).dataset)
    instance = json_of(SOPInstanceUID=state.references[0].instance)

    shown = draw_with_state(np.zeros((3024, 2517), "u2"), "MONOCHROME1", instance, RenderOptions(), state)

    assert shown.shape == (3024, 2517)
    assert shown[1900:2100, 2000:2200].any()
