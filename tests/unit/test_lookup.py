"""Lookup tables and windows (`shared/dicom/lookup.py`), against the formulas of PS3.3 written out for one value."""

from math import exp, floor
from typing import Any

import numpy as np
import pytest

from shared.dicom.items import Item
from shared.dicom.lookup import (
    Lut,
    Pipeline,
    Rescale,
    full_range,
    grey_levels,
    grey_table,
    read_lut,
    read_pipeline,
    window_levels,
)
from shared.dicom.render_options import VoiFunction, Window
from shared.errors import NotDecodable
from tests.unit.dicom_json import element, json_of

U1, I1, U2, I2 = (np.dtype(kind) for kind in ("u1", "i1", "u2", "i2"))
F4 = np.dtype("f4")

VALUES = [-3000.0, -1024.0, -161.0, -160.5, -160.0, -159.9, 0.0, 39.5, 40.0, 123.4, 239.0, 239.5, 240.0, 3000.0]


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 §C.11.2.1.2.1, as its pseudo code has it, for an output from 0 to 1."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 §C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 §C.11.2.1.3.1."""
    return 1 / (1 + exp(min(-4 * (x - c) / w, 700.0)))


FORMULAS = {VoiFunction.LINEAR: linear, VoiFunction.LINEAR_EXACT: linear_exact, VoiFunction.SIGMOID: sigmoid}


@pytest.mark.parametrize("function", list(VoiFunction))
@pytest.mark.parametrize(("center", "width"), [(40, 400), (40, 1), (0.5, 2), (-100.25, 33.5), (0, 65536)])
def test_window_formula(function: VoiFunction, center: float, width: float) -> None:
    """Each function gives every value what the formula of the standard gives it, up to a width of 1."""
    levels = window_levels(np.array(VALUES), Window(center, width, function))

    assert levels == pytest.approx([FORMULAS[function](value, center, width) for value in VALUES], abs=1e-12)


def lut_json(entries: int, first: int, bits: int, data: Any, *, vr: str = "US") -> dict[str, Any]:
    """Return an item of a lookup table sequence."""
    values = [data] if isinstance(data, bytes) else data
    return {
        **json_of(LUTDescriptor=[entries, first, bits]),
        "00283006": element("OW" if isinstance(data, bytes) else vr, *values),
    }


LUTS: dict[str, tuple[dict[str, Any], bool, Lut]] = {
    "words": (lut_json(3, 5, 12, [1, 2, 4095]), False, Lut(5, 12, b"\1\0\2\0\xff\x0f")),
    "bytes of words": (lut_json(2, 0, 16, b"\1\2\3\4"), False, Lut(0, 16, b"\1\2\3\4")),
    "8 bits in words": (lut_json(3, 0, 8, [1, 2, 255]), False, Lut(0, 8, b"\1\0\2\0\xff\0")),
    "8 bits packed": (lut_json(4, 0, 8, b"\1\2\3\xff"), False, Lut(0, 8, b"\1\0\2\0\3\0\xff\0")),
    "8 bits packed, padded": (lut_json(3, 0, 8, b"\1\2\3\0"), False, Lut(0, 8, b"\1\0\2\0\3\0")),
    "8 bits packed as US": (lut_json(4, 0, 8, [0x0201, 0xFF03]), False, Lut(0, 8, b"\1\0\2\0\3\0\xff\0")),
    "first signed as SS": (lut_json(1, -2048, 16, [7]), True, Lut(-2048, 16, b"\7\0")),
    "first signed as US": (lut_json(1, 63488, 16, [7]), True, Lut(-2048, 16, b"\7\0")),
    "first large, unsigned": (lut_json(1, 63488, 16, [7]), False, Lut(63488, 16, b"\7\0")),
    "65536 entries": (lut_json(0, 0, 16, bytes(131072)), False, Lut(0, 16, bytes(131072))),
    "too much data": (lut_json(1, 0, 16, [7, 8, 9]), False, Lut(0, 16, b"\7\0")),
}


@pytest.mark.parametrize(("item", "is_signed", "lut"), LUTS.values(), ids=LUTS)
def test_read_lut(item: dict[str, Any], is_signed: bool, lut: Lut) -> None:
    """A table is read as its descriptor says, whatever the VR of its data and first value (PS3.3 §C.11.1.1.1)."""
    assert read_lut(Item(item), is_signed=is_signed) == lut


@pytest.mark.parametrize(
    "item",
    [
        {},
        json_of(LUTDescriptor=[3, 0, 16]),
        lut_json(3, 0, 16, [1]),
        lut_json(3, 0, 17, [1, 2, 3]),
        lut_json(3, 0, 0, [1, 2, 3]),
        {**lut_json(1, 0, 16, [1]), **json_of(LUTDescriptor=[1, 0])},
        {**lut_json(1, 0, 16, [1]), **json_of(LUTDescriptor=["x", 0, 16])},
        {**lut_json(1, 0, 16, [1]), "00283006": {"vr": "OW", "InlineBinary": "?"}},
    ],
)
def test_broken_lut(item: dict[str, Any]) -> None:
    """A table whose parts are missing or do not fit each other cannot be shown."""
    with pytest.raises(NotDecodable):
        read_lut(Item(item), is_signed=False)


def test_lut_ends() -> None:
    """Below its first value a table gives its first entry, above its last the last one."""
    lut = Lut(-2, 16, np.array([10, 20, 30], "<u2").tobytes())

    assert lut(np.array([-99.0, -2, -1, 0, 1, 99])).tolist() == [10, 10, 20, 30, 30, 30]


def test_bulk_lut() -> None:
    """Data that the data set does not hold is asked for by the way to it."""
    sequence = {"00283010": {"vr": "SQ", "Value": [json_of(LUTDescriptor=[2, 0, 16])]}}
    values = {"00283010/1/00283006": b"\0\0\xff\xff"}

    pipeline = read_pipeline(Item(sequence, values.__getitem__), "MONOCHROME2", U1, 1)

    assert pipeline.voi == Lut(0, 16, b"\0\0\xff\xff")


def pipeline_of(dtype: Any = U2, photometric: Any = "MONOCHROME2", frame: Any = 1, **attributes: Any) -> Pipeline:
    return read_pipeline(Item(json_of(**attributes)), photometric, np.dtype(dtype), frame)


def test_nothing_said() -> None:
    """Without any attribute values go through as they are, to the full range of those that are there."""
    assert pipeline_of() == Pipeline(Rescale(), None, None, is_inverted=False, padding=None)


def test_first_window() -> None:
    """Of several windows the first is shown, with the function that the data set names."""
    pipeline = pipeline_of(WindowCenter=[450, 200], WindowWidth=[790, 443], VOILUTFunction="SIGMOID")

    assert pipeline.voi == Window(450, 790, VoiFunction.SIGMOID)


@pytest.mark.parametrize("attributes", [{"WindowWidth": 0}, {"WindowWidth": -4}, {"WindowWidth": None}, {}])
def test_window_without_meaning(attributes: dict[str, Any]) -> None:
    """A window without a width is none, as many writers have it."""
    assert pipeline_of(WindowCenter=40, **attributes).voi is None


@pytest.mark.parametrize(("dtype", "width"), [(U2, 0.5), (F4, 1)])
def test_window_too_narrow(dtype: Any, width: float) -> None:
    """A LINEAR window that would show nothing but black and white of fractions is exact."""
    assert pipeline_of(dtype, WindowCenter=0.5, WindowWidth=width).voi == Window(0.5, width, VoiFunction.LINEAR_EXACT)


def test_table_before_window() -> None:
    """A VOI LUT goes before a window."""
    pipeline = pipeline_of(WindowCenter=40, WindowWidth=400, VOILUTSequence=[lut_json(1, 0, 16, [7])])

    assert pipeline.voi == Lut(0, 16, b"\7\0")


@pytest.mark.parametrize(
    ("dtype", "attributes", "first"),
    [
        (U2, {}, 65535),
        (U2, {"RescaleIntercept": -1024}, -1),
        (U2, {"RescaleSlope": -1}, -1),
        (I2, {}, -1),
        (I2, {"ModalityLUTSequence": [lut_json(1, 0, 16, [7])]}, 65535),
    ],
)
def test_sign_of_table(dtype: Any, attributes: dict[str, Any], first: int) -> None:
    """The first value of a VOI LUT is signed where the modality LUT gives negative values (PS3.3 §C.11.2.1.1)."""
    pipeline = pipeline_of(dtype, VOILUTSequence=[lut_json(1, 65535, 16, [7])], **attributes)

    assert isinstance(pipeline.voi, Lut)
    assert pipeline.voi.first == first


def test_window_of_request() -> None:
    """What the client asks for goes before what the data set says."""
    item = Item(json_of(WindowCenter=40, WindowWidth=400, VOILUTSequence=[lut_json(1, 0, 16, [7])]))

    assert read_pipeline(item, "MONOCHROME2", U2, 1, Window(1, 2)).voi == Window(1, 2)


def test_functional_groups() -> None:
    """A frame's own values go before those that frames share, and these before those of the instance."""
    own = json_of(PixelValueTransformationSequence=[json_of(RescaleSlope=2, RescaleIntercept=100)])
    shared = json_of(
        PixelValueTransformationSequence=[json_of(RescaleSlope=3)],
        FrameVOILUTSequence=[json_of(WindowCenter=16, WindowWidth=128)],
    )
    groups = {
        "PerFrameFunctionalGroupsSequence": [{}, own],
        "SharedFunctionalGroupsSequence": [shared],
        "WindowCenter": 1,
        "WindowWidth": 2,
        "RescaleSlope": 9,
    }

    first, second, beyond = (pipeline_of(frame=frame, **groups) for frame in (1, 2, 7))

    assert (first.modality, first.voi) == (Rescale(3, 0), Window(16, 128))
    assert (second.modality, second.voi) == (Rescale(2, 100), Window(16, 128))
    assert beyond == first


@pytest.mark.parametrize(
    ("dtype", "attributes", "padding"),
    [
        (U2, {"PixelPaddingValue": 0}, (0, 0)),
        (U2, {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 30}, (0, 30)),
        (U2, {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}, (4000, 4095)),
        (I2, {"PixelPaddingValue": -2000}, (-2000, -2000)),
        (I2, {"PixelPaddingValue": 63536}, (-2000, -2000)),
        (U2, {"PixelPaddingValue": -1}, (65535, 65535)),
        (I2, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": 64000}, (-2000, -1536)),
        (F4, {"FloatPixelPaddingValue": -1.5, "PixelPaddingValue": 3}, (-1.5, -1.5)),
        (np.dtype("f8"), {"DoubleFloatPixelPaddingValue": 2.5, "DoubleFloatPixelPaddingRangeLimit": 1}, (1, 2.5)),
    ],
)
def test_padding(dtype: Any, attributes: dict[str, Any], padding: tuple[float, float]) -> None:
    """Padding is read in the sign of the pixels, one value or a range from either end (PS3.3 §C.7.5.1.1.2)."""
    assert pipeline_of(dtype, **attributes).padding == padding


@pytest.mark.parametrize(
    ("photometric", "shape", "is_inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
    ],
)
def test_inversion(photometric: str, shape: str | None, is_inverted: bool) -> None:
    """MONOCHROME1 and the shape INVERSE both say that low values are bright; together they say it once."""
    pipeline = pipeline_of(photometric=photometric, **({"PresentationLUTShape": shape} if shape else {}))

    assert pipeline.is_inverted is is_inverted


@pytest.mark.parametrize(
    ("relationship", "sop_class", "is_shown"),
    [
        ("LOG", "1.2.840.10008.5.1.4.1.1.12.1", False),
        ("DISP", "1.2.840.10008.5.1.4.1.1.12.2", False),
        ("LIN", "1.2.840.10008.5.1.4.1.1.12.1", True),
        ("LOG", "1.2.840.10008.5.1.4.1.1.1", True),
    ],
)
def test_table_for_measuring(relationship: str, sop_class: str, is_shown: bool) -> None:
    """The modality LUT of a logarithmic X-ray projection is not for display (PS3.3 §C.8.7.1.1.2)."""
    pipeline = pipeline_of(
        SOPClassUID=sop_class,
        PixelIntensityRelationship=relationship,
        ModalityLUTSequence=[lut_json(1, 0, 16, [7])],
    )

    assert isinstance(pipeline.modality, Lut) is is_shown


@pytest.mark.parametrize("attribute", ["RescaleSlope", "WindowCenter", "PixelPaddingValue"])
@pytest.mark.parametrize("value", ["abc", "NaN", 1e999])
def test_no_number(attribute: str, value: object) -> None:
    """A value that is no number is not guessed at, and the attribute is named."""
    with pytest.raises(NotDecodable, match=attribute):
        pipeline_of(**{attribute: value})


def grey(value: float, pipeline: Pipeline) -> int:
    """Return the grey level of one stored value, in plain Python."""
    if pipeline.padding and pipeline.padding[0] <= value <= pipeline.padding[1]:
        return 0
    shown = entry(pipeline.modality, value)
    if isinstance(pipeline.voi, Lut):
        level = entry(pipeline.voi, shown) / ((1 << pipeline.voi.bits) - 1)
    else:
        assert pipeline.voi is not None
        level = FORMULAS[pipeline.voi.function](shown, pipeline.voi.center, pipeline.voi.width)
    if pipeline.presentation:
        count = len(pipeline.presentation.entries) // 2
        level = entry(pipeline.presentation, level * (count - 1)) / ((1 << pipeline.presentation.bits) - 1)
    return floor((1 - level if pipeline.is_inverted else level) * 255 + 0.5)


def entry(stage: Rescale | Lut, value: float) -> float:
    if isinstance(stage, Rescale):
        return stage.slope * value + stage.intercept
    at = min(max(round(value) - stage.first, 0), len(stage.entries) // 2 - 1)
    return int.from_bytes(stage.entries[2 * at : 2 * at + 2], "little")


def words(*entries: int) -> bytes:
    return np.array(entries, "<u2").tobytes()


RAMP = Lut(-128, 12, words(*(min(16 * step, 4095) for step in range(256))))
CURVE = Lut(0, 10, words(*(1023 * step * step // 65025 for step in range(256))))
PIPELINES = {
    "window": Pipeline(Rescale(2, -100), Window(10, 150), None, is_inverted=False, padding=None),
    "exact, inverted": Pipeline(
        Rescale(-1.5, 3), Window(0, 99.5, VoiFunction.LINEAR_EXACT), None, is_inverted=True, padding=None
    ),
    "sigmoid, padding": Pipeline(
        Rescale(), Window(0, 60, VoiFunction.SIGMOID), None, is_inverted=True, padding=(-128, -100)
    ),
    "modality table": Pipeline(RAMP, Window(2000, 3000), None, is_inverted=False, padding=(5, 9)),
    "VOI table": Pipeline(Rescale(1, -128), RAMP, None, is_inverted=True, padding=None),
    "all tables": Pipeline(RAMP, Lut(100, 8, words(*range(256))), CURVE, is_inverted=True, padding=(0, 0)),
    "presentation table": Pipeline(Rescale(), Window(20, 200), CURVE, is_inverted=False, padding=None),
}


@pytest.mark.parametrize("dtype", [U1, I1])
@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_grey_levels(pipeline: Pipeline, dtype: Any) -> None:
    """Every value of 8 bits becomes what the stages, taken one by one, make of it; the table says the same."""
    values = np.arange(256, dtype=np.uint8).view(dtype)
    expected = [grey(float(value), pipeline) for value in values]

    assert grey_levels(values.astype(np.float64), pipeline).tolist() == expected
    assert grey_table(pipeline, dtype.name).tolist() == expected


@pytest.mark.parametrize("dtype", [U2, I2])
def test_table_of_16_bits(dtype: Any) -> None:
    """A table of 16 bits is read by the bits of the value, so that negative ones lie in its second half."""
    pipeline = PIPELINES["window"]
    values = np.array([0, 1, 59, 60, 32767, -32768, -1] if dtype is I2 else [0, 1, 59, 60, 65535], dtype)

    table = grey_table(pipeline, dtype.name)

    assert table[values.view("u2")].tolist() == [grey(float(value), pipeline) for value in values]


@pytest.mark.parametrize(
    ("values", "attributes", "ends"),
    [
        ([[5, 7], [9, 6]], {}, (5, 9)),
        ([[0, 7], [9, 6]], {"PixelPaddingValue": 0}, (6, 9)),
        ([[0, 7], [9, 30]], {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 6}, (7, 30)),
        ([[5, 7], [9, 6]], {"PixelPaddingValue": 7}, (5, 9)),
        ([[5, 7], [9, 6]], {"RescaleSlope": -2, "RescaleIntercept": 1}, (-17, -9)),
        ([[0, 1], [2, 1]], {"ModalityLUTSequence": [lut_json(3, 0, 16, [50, 900, 20])]}, (20, 900)),
        ([[4, 4]], {}, (4, 5)),
        ([[0, 0]], {"PixelPaddingValue": 0}, (0, 1)),
    ],
)
def test_full_range(values: Any, attributes: dict[str, Any], ends: tuple[int, int]) -> None:
    """Without a window the lowest value of the image is black and its highest white, padding left out."""
    window = full_range(np.array(values, "u2"), pipeline_of(**attributes))

    assert (window.center - window.width / 2, window.center + window.width / 2) == ends
    assert window.function is VoiFunction.LINEAR_EXACT


def test_range_of_floats() -> None:
    """What is not finite takes no part in the range; values as far apart as floats go have one."""
    pipeline = pipeline_of("f8")

    finite = full_range(np.array([np.nan, -np.inf, 1.0, 3.0, np.inf]), pipeline)
    far = full_range(np.array([-1.7e308, 1.7e308]), pipeline)
    alone = full_range(np.array([1e308]), pipeline)

    assert (finite.center, finite.width) == (2, 2)
    assert np.isfinite(far.width)
    assert alone.width == 1


def test_not_a_number() -> None:
    """A pixel that is no number is black; infinite ones are the darkest and brightest, whatever the stages."""
    for voi in (Window(1, 4), RAMP):
        pipeline = Pipeline(Rescale(), voi, None, is_inverted=False, padding=None)

        assert grey_levels(np.array([np.nan, -np.inf, np.inf]), pipeline).tolist() == [
            0,
            0,
            254 if voi is RAMP else 255,
        ]


def test_one_bit() -> None:
    """A mask of one bit is white where it is set, even when it is set everywhere."""
    pipeline = pipeline_of(U1, BitsStored=1)

    assert grey_levels(np.array([1.0, 0.0]), pipeline).tolist() == [255, 0]
    assert grey_levels(np.array([1.0]), pipeline).tolist() == [255]
