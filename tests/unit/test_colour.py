"""Colours (`shared/dicom/colour.py`; PS3.3 §C.7.6.3.1.2)."""

import itertools
from typing import Any

import numpy as np
import pytest

from shared.dicom.render_options import RenderOptions
from shared.dicom.rendering import render
from tests.unit.dicom_json import json_of

SOME = range(0, 256, 15)


def shown(array: Any, photometric: str, **attributes: Any) -> Any:
    return render(array, photometric, json_of(**attributes), RenderOptions())


def every_colour() -> Any:
    return np.array(list(itertools.product(SOME, SOME, SOME)), "u1").reshape(len(SOME), -1, 3)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_RCT", "YBR_ICT"])
def test_rgb(photometric: str) -> None:
    """RGB of 8 bits is shown as it is, also after JPEG 2000 whose own colours are gone with decoding."""
    array = every_colour()

    assert (shown(array, photometric, BitsStored=8) == array).all()


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_full_range(photometric: str) -> None:
    """YBR_FULL is turned by the matrix of the standard, within one level (PS3.3 §C.7.6.3.1.2)."""
    array = every_colour()
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])

    expected = (array - np.array([0.0, 128, 128])) @ np.linalg.inv(matrix).T

    assert np.abs(shown(array, photometric) - np.clip(expected, 0, 255)).max() <= 1


@pytest.mark.parametrize("photometric", ["YBR_PARTIAL_422", "YBR_PARTIAL_420"])
def test_partial_range(photometric: str) -> None:
    """YBR_PARTIAL has black at 16 and white at 235 (PS3.3 §C.7.6.3.1.2)."""
    array = every_colour()
    matrix = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])

    expected = (array - np.array([16.0, 128, 128])) @ np.linalg.inv(matrix).T

    assert np.abs(shown(array, photometric) - np.clip(expected, 0, 255)).max() <= 1
    assert shown(np.array([[[16, 128, 128], [235, 128, 128]]], "u1"), photometric).tolist() == [[[0] * 3, [255] * 3]]


@pytest.mark.parametrize(
    ("kind", "bits", "values", "levels"),
    [
        ("u2", 16, [0, 32768, 65535], [0, 128, 255]),
        ("u2", 12, [0, 2048, 4095], [0, 128, 255]),
        ("u2", 12, [0, 4095, 65535], [0, 255, 255]),
        ("u1", 5, [0, 16, 31], [0, 132, 255]),
        ("u4", 32, [0, 2**31, 2**32 - 1], [0, 128, 255]),
        ("u2", 99, [0, 32768, 65535], [0, 128, 255]),
    ],
)
def test_bits(kind: str, bits: int, values: list[int], levels: list[int]) -> None:
    """Samples of more or fewer bits are scaled to 8."""
    assert shown(np.array([[values]], kind), "RGB", BitsStored=bits).tolist() == [[levels]]


def test_column() -> None:
    """A colour image may be one pixel wide, and its memory need not lie together."""
    array = np.arange(24, dtype="u1").reshape(2, 4, 3)[:, ::4]

    assert shown(array, "RGB").tolist() == array.tolist()
    assert shown(array, "YBR_FULL").shape == (2, 1, 3)
