"""Fitting pictures to viewports (`shared/dicom/viewport.py`; PS3.18 §8.3.5.1.3)."""

from typing import Any

import numpy as np
import pytest

from shared.dicom.items import Item
from shared.dicom.render_options import Viewport
from shared.dicom.viewport import aspect_ratio, show
from shared.errors import InvalidRequest
from tests.unit.dicom_json import json_of

PICTURE = np.arange(12, dtype="u1").reshape(3, 4)


@pytest.mark.parametrize(
    ("shape", "viewport", "aspect", "size"),
    [
        ((512, 512), Viewport(256, 256), 1, (256, 256)),
        ((512, 512), Viewport(256, 100), 1, (100, 100)),
        ((100, 200), Viewport(400, 400), 1, (200, 400)),
        ((100, 200), Viewport(10, 400), 1, (5, 10)),
        ((1, 1000), Viewport(10, 10), 1, (1, 10)),
        ((100, 100), Viewport(100, 100), 2, (100, 50)),
        ((100, 100), Viewport(100, 100), 0.5, (50, 100)),
        ((100, 200), Viewport(100, 100, 0, 0, 50, 100), 1, (100, 50)),
        ((100, 200, 3), Viewport(50, 50), 1, (25, 50, 3)),
    ],
)
def test_size(shape: tuple[int, ...], viewport: Viewport, aspect: float, size: tuple[int, ...]) -> None:
    """A region is made as large or small as fits, in the proportions that it has in the patient."""
    assert show(np.zeros(shape, "u1"), viewport, aspect).shape == size


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ((), PICTURE),
        ((1, 1, 2, 2), PICTURE[1:3, 1:3]),
        ((1,), PICTURE[:, 1:]),
        ((0, 1), PICTURE[1:]),
        ((0, 0, -4, 3), PICTURE[:, ::-1]),
        ((0, 0, 4, -3), PICTURE[::-1]),
        ((0, 0, -4, -3), PICTURE[::-1, ::-1]),
        ((1, 1, -2, 2), PICTURE[1:3, 2:0:-1]),
        ((2, 1, 99, 99), PICTURE[1:, 2:]),
        ((-2, -1), PICTURE[1:, 2:]),
    ],
)
def test_region(region: tuple[float, ...], expected: Any) -> None:
    """A region is cut out, what lies outside of the image left away, and flipped where its size is negative."""
    viewport = Viewport(expected.shape[1], expected.shape[0], *region)

    assert show(PICTURE, viewport).tolist() == expected.tolist()


def test_average() -> None:
    """A picture that is made smaller shows what lies between its pixels too."""
    stripes = np.tile(np.array([0, 255], "u1"), (64, 32))

    small = show(stripes, Viewport(8, 8))

    assert small.min() > 100
    assert small.max() < 155


@pytest.mark.parametrize("region", [(4, 0), (0, 3), (99, 99, 5, 5)])
def test_nothing_to_see(region: tuple[float, ...]) -> None:
    """A region outside of the image is refused."""
    with pytest.raises(InvalidRequest, match="viewport"):
        show(PICTURE, Viewport(4, 4, *region))


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({}, 1),
        ({"PixelSpacing": [0.8, 0.4]}, 2),
        ({"PixelSpacing": [0.5, 0.5], "PixelAspectRatio": [1, 3]}, 1),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, 0.5),
        ({"NominalScannedPixelSpacing": [0.2, 0.1]}, 2),
        ({"PixelAspectRatio": [4, 3]}, 4 / 3),
        ({"PixelSpacing": [0, 0]}, 1),
        ({"PixelSpacing": [1]}, 1),
        ({"PixelSpacing": [1000, 1]}, 1),
        ({"SharedFunctionalGroupsSequence": [json_of(PixelMeasuresSequence=[json_of(PixelSpacing=[3, 1])])]}, 3),
    ],
)
def test_aspect_ratio(attributes: dict[str, Any], ratio: float) -> None:
    """A pixel's height by its width comes from its spacing, else from its aspect ratio (PS3.3 §C.7.6.3.1.7)."""
    assert aspect_ratio(Item(json_of(**attributes)), 1) == pytest.approx(ratio)
