"""One frame as a picture (`shared/dicom/rendering.py`): on computed images, and on the corpus against pydicom."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from shared.dicom.header import read_header
from shared.dicom.render_options import Annotation, RenderOptions, Viewport, VoiFunction, Window
from shared.dicom.rendering import default_window, draw, render
from shared.errors import InvalidRequest, NotDecodable
from tests.unit.dicom_json import json_of

CORPUS = Path(__file__).parents[2].parent / "shared" / "data" / "corpus"
SIMPLE = RenderOptions()


def rendered(values: Any, kind: str = "u2", photometric: str = "MONOCHROME2", **attributes: Any) -> Any:
    """Return the picture of an image of one sample as lists."""
    return render(np.array(values, kind), photometric, json_of(**attributes), SIMPLE).tolist()


def test_full_range() -> None:
    """Without a window the picture reaches from black to white."""
    assert rendered([[100, 150, 200]]) == [[0, 128, 255]]


def test_one_pixel() -> None:
    """An image of one pixel has a picture of one pixel, which is the lowest there is."""
    assert rendered([[7]]) == [[0]]


def test_padding_is_black() -> None:
    """Padding is black also where low values are bright."""
    assert rendered([[0, 100, 200]], photometric="MONOCHROME1", PixelPaddingValue=0) == [[0, 255, 0]]


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", ">u2", ">i2", "<i2"])
def test_every_type(kind: str) -> None:
    """Values of every type and byte order that pixel data may have are shown alike (PS3.5 §8.1.1, §8.1.2)."""
    assert rendered([[0, 30, 50, 100]], kind, RescaleSlope=2, WindowCenter=100.5, WindowWidth=201) == [
        [0, 77, 128, 255]
    ]


def test_negative_values() -> None:
    """Signed values are shown by what they stand for."""
    assert rendered([[-1024, -1, 0, 3071]], "i2", WindowCenter=0, WindowWidth=2) == [[0, 0, 255, 255]]


def test_bands() -> None:
    """An image too large to be computed at once is shown as one that is not."""
    values = np.arange(1500 * 1000, dtype="u4").reshape(1000, 1500)

    shown = render(values, "MONOCHROME2", {}, SIMPLE)

    assert shown.tolist() == np.floor(values / (values.size - 1) * 255 + 0.5).tolist()


def test_column_of_pixels() -> None:
    """An image may be one pixel wide, and its memory need not lie together."""
    values = np.arange(12, dtype="u2").reshape(3, 4)[:, ::4]

    assert render(values, "MONOCHROME2", {}, SIMPLE).tolist() == [[0], [128], [255]]


def test_frame() -> None:
    """Values for one frame alone are found by its number."""
    groups = [{}, json_of(PixelValueTransformationSequence=[json_of(RescaleSlope=2)])]
    dataset = json_of(PerFrameFunctionalGroupsSequence=groups, WindowCenter=100.5, WindowWidth=201)
    array = np.array([[50]], "u1")

    assert render(array, "MONOCHROME2", dataset, RenderOptions(frame=1)).tolist() == [[64]]
    assert render(array, "MONOCHROME2", dataset, RenderOptions(frame=2)).tolist() == [[128]]


def test_window_of_request() -> None:
    """The client's window goes before the data set's, behind the modality LUT."""
    dataset = json_of(RescaleIntercept=-1000, WindowCenter=1, WindowWidth=2)
    options = RenderOptions(window=Window(0, 100, VoiFunction.LINEAR_EXACT))

    assert render(np.array([[950, 1000, 1050]], "u2"), "MONOCHROME2", dataset, options).tolist() == [[0, 128, 255]]


def test_default_window() -> None:
    """The window that one frame's values make shows that frame as it was, and others comparably."""
    first, second = np.array([[0, 100]], "u2"), np.array([[50, 60]], "u2")
    dataset = json_of(RescaleSlope=2, RescaleIntercept=-5)

    window = default_window(first, "MONOCHROME2", dataset, SIMPLE)
    options = RenderOptions(window=window)

    assert render(first, "MONOCHROME2", dataset, options).tolist() == [[0, 255]]
    assert render(second, "MONOCHROME2", dataset, options).tolist() == [[128, 153]]
    assert default_window(first, "MONOCHROME2", json_of(WindowCenter=1, WindowWidth=2), SIMPLE) is None
    assert default_window(first, "PALETTE COLOR", {}, SIMPLE) is None


@pytest.mark.parametrize(
    ("array", "photometric"),
    [
        (np.zeros((2, 2, 3), "u1"), "MONOCHROME2"),
        (np.zeros((2, 2), "u1"), "RGB"),
        (np.zeros((2, 2, 4), "u1"), "RGB"),
        (np.zeros((2, 2, 3), "i2"), "RGB"),
        (np.zeros((2, 2, 3), "f4"), "RGB"),
        (np.zeros((2, 2, 3), "u1"), "HSV"),
        (np.zeros((2, 2, 3), "u1"), ""),
        (np.zeros((2, 2), "f4"), "PALETTE COLOR"),
        (np.zeros((2, 2), "u4"), "PALETTE COLOR"),
        (np.zeros((2, 2), "u1"), "PALETTE COLOR"),
        (np.zeros((2, 2), "u8"), "PALETTE COLOR"),
        (np.zeros((2, 2), "c8"), "MONOCHROME2"),
        (np.zeros((0, 2), "u1"), "MONOCHROME2"),
        (np.zeros((2,), "u1"), "MONOCHROME2"),
        (np.zeros((2, 2, 2, 3), "u1"), "RGB"),
    ],
)
def test_not_renderable(array: Any, photometric: str) -> None:
    """What is no image of its photometric interpretation cannot be rendered."""
    with pytest.raises(NotDecodable):
        render(array, photometric, {}, SIMPLE)


def test_draw() -> None:
    """A drawn picture has been fitted to the viewport, and then annotated: text does not shrink with it."""
    dataset = json_of(PatientName={"Alphabetic": "Doe^John"}, Modality="CT")
    array = np.full((400, 400), 5, "u2")
    viewport = Viewport(100, 200)

    plain = draw(array, "MONOCHROME2", dataset, RenderOptions(viewport=viewport))
    annotated = draw(
        array, "MONOCHROME2", dataset, RenderOptions(viewport=viewport, annotation=frozenset({Annotation.PATIENT}))
    )

    assert plain.shape == annotated.shape == (100, 100)
    assert not plain.any()
    assert annotated[:20].any()
    assert not annotated[50:].any()


def test_draw_outside() -> None:
    """A viewport that shows nothing of the image is the client's fault."""
    with pytest.raises(InvalidRequest, match="viewport"):
        draw(np.zeros((4, 4), "u1"), "MONOCHROME2", {}, RenderOptions(viewport=Viewport(4, 4, x=4)))


def test_overlay_only_on_request() -> None:
    """Overlays are drawn only where they are asked for."""
    dataset = json_of() | {
        "60000010": {"vr": "US", "Value": [1]},
        "60000011": {"vr": "US", "Value": [2]},
        "60000050": {"vr": "SS", "Value": [1, 1]},
    }
    bulk = {"60003000": b"\2\0"}.__getitem__
    array = np.array([[0, 0]], "u1")
    options = RenderOptions(annotation=frozenset({Annotation.OVERLAY}))

    assert render(array, "MONOCHROME2", dataset, options, bulk).tolist() == [[0, 255]]
    assert render(array, "MONOCHROME2", dataset, SIMPLE, bulk).tolist() == [[0, 0]]


GREY = (
    "ct/CT_small.dcm",
    "ct/SignedCT.dcm",
    "ct-series/ct-abdomen-01.dcm",
    "dx/dx_image.dcm",
    "enhanced/ect-2f.dcm",
    "enhanced/emri-knee-19f.dcm",
    "overlay-lut/mlut_18.dcm",
    "overlay-lut/mr-overlay.dcm",
    "pet/pt-salim.dcm",
    "rf-nm/rf-hilbert.dcm",
    "rle/MR_small_RLE.dcm",
    "rt/rtdose.dcm",
)
COLOUR = (
    "palette/TestPattern_Palette.dcm",
    "palette/us-palette.dcm",
    "us-multiframe/us-pal-rle-10f.dcm",
)


def corpus_image(name: str) -> tuple[Any, Dataset, dict[str, Any], Any]:
    """Return the first frame as stored, pydicom's data set, ours, and what gives its bulk values."""
    path = CORPUS / name
    if not path.exists():
        pytest.skip("the corpus is not here")
    file = path.read_bytes()
    header = read_header(file)
    bulk = {one.path: file[one.offset : one.offset + one.length] for one in header.bulk if one.length is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = dcmread(path)
        array = pixel_array(theirs, index=0, raw=True)
    return array, theirs, header.dataset, bulk.__getitem__


@pytest.mark.parametrize("name", GREY)
def test_corpus_in_grey(name: str) -> None:
    """Real images come out as pydicom's modality and VOI LUT have them; padding and inversion are ours."""
    array, theirs, dataset, bulk = corpus_image(name)
    groups = [theirs, *theirs.get("SharedFunctionalGroupsSequence", [])[:1]]
    groups += theirs.get("PerFrameFunctionalGroupsSequence", [])[:1]
    for group in groups[1:]:
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(macro, []):
                theirs.update(item)

    shown = render(array, theirs.PhotometricInterpretation, dataset, SIMPLE, bulk)

    values = np.asarray(apply_modality_lut(array, theirs), np.float64)
    is_image = np.ones(array.shape, bool)
    if "PixelPaddingValue" in theirs:
        ends = sorted((theirs.PixelPaddingValue, theirs.get("PixelPaddingRangeLimit", theirs.PixelPaddingValue)))
        is_image = (array < ends[0]) | (array > ends[1])
    if np.atleast_1d(theirs.get("WindowWidth", 0))[0] > 0:
        stored = theirs.BitsStored
        low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if theirs.PixelRepresentation else (0, 2**stored - 1)
        if "ModalityLUTSequence" in theirs:
            low, high = 0, 2 ** theirs.ModalityLUTSequence[0].LUTDescriptor[2] - 1
        elif "RescaleSlope" in theirs:
            low, high = (end * theirs.RescaleSlope + theirs.RescaleIntercept for end in (low, high))
        levels = (apply_voi_lut(values, theirs) - float(low)) / float(high - low)
    else:
        low, high = values[is_image].min(), values[is_image].max()
        levels = (values - low) / (high - low)
    if theirs.PhotometricInterpretation == "MONOCHROME1":
        levels = 1 - levels
    expected = np.where(is_image, np.clip(levels, 0, 1) * 255, 0)
    assert np.abs(shown - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("name", COLOUR)
def test_corpus_palette(name: str) -> None:
    """Real palettes come out as pydicom has them, but for the number of bits."""
    array, theirs, dataset, bulk = corpus_image(name)

    shown = render(array, theirs.PhotometricInterpretation, dataset, SIMPLE, bulk)

    expected = apply_color_lut(array, theirs)
    assert (shown == expected >> 8 * (expected.dtype.itemsize - 1)).all()
