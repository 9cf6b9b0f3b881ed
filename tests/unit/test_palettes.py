"""Palettes and their segments (`shared/dicom/palettes.py`; PS3.3 §C.7.9)."""

from typing import Any

import numpy as np
import pytest

from shared.dicom.items import Item
from shared.dicom.palettes import expand
from shared.dicom.render_options import RenderOptions
from shared.dicom.rendering import render
from shared.errors import NotDecodable
from tests.unit.dicom_json import json_of

COLOURS = ("Red", "Green", "Blue")


def words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


def palette(descriptor: list[int], data: list[bytes], name: str = "{}PaletteColorLookupTableData") -> dict[str, Any]:
    """Return the Palette Color Lookup Table module."""
    descriptors = {f"{colour}PaletteColorLookupTableDescriptor": descriptor for colour in COLOURS}
    return json_of(**descriptors, **{name.format(colour): one for colour, one in zip(COLOURS, data, strict=True)})


def shown(values: Any, dtype: str, dataset: dict[str, Any]) -> Any:
    return render(np.array([values], dtype), "PALETTE COLOR", dataset, RenderOptions()).tolist()[0]


@pytest.mark.parametrize(
    ("bits", "data", "expected"),
    [
        (
            16,
            [words(0, 0x8000, 0xFFFF), words(0xFF00, 0, 255), words(256, 2, 3)],
            [[0, 255, 1], [128, 0, 0], [255, 0, 0]],
        ),
        (8, [b"\0\x80\xff\0", b"\1\2\3\0", b"\4\5\6\0"], [[0, 1, 4], [128, 2, 5], [255, 3, 6]]),
        (8, [words(0, 128, 255), words(1, 2, 3), words(4, 5, 6)], [[0, 1, 4], [128, 2, 5], [255, 3, 6]]),
    ],
    ids=["16 bits", "8 bits packed", "8 bits in words"],
)
def test_entries(bits: int, data: list[bytes], expected: list[list[int]]) -> None:
    """Entries of 16 bits are shown by their higher byte, entries of 8 bits as they are."""
    assert shown([0, 1, 2], "u1", palette([3, 0, bits], data)) == expected


@pytest.mark.parametrize(
    ("dtype", "first", "values", "reds"),
    [
        ("u1", 10, [0, 10, 11, 12, 255], [1, 1, 2, 3, 3]),
        ("u2", 1000, [0, 1000, 1001, 1002, 65535], [1, 1, 2, 3, 3]),
        ("i2", -1, [-32768, -1, 0, 1, 32767], [1, 1, 2, 3, 3]),
        ("i2", 65535, [-2, -1, 0, 1, 2], [1, 1, 2, 3, 3]),
        ("i1", -1, [-128, -1, 0, 1, 127], [1, 1, 2, 3, 3]),
    ],
)
def test_first_value(dtype: str, first: int, values: list[int], reds: list[int]) -> None:
    """Values outside of the table have its first or last entry; the first value may be negative."""
    dataset = palette([3, first, 8], [b"\1\2\3\0"] * 3)

    assert [red for red, _, _ in shown(values, dtype, dataset)] == reds


def test_segmented_palette() -> None:
    """A palette may be made of segments (PS3.3 §C.7.9.2)."""
    data = words(0, 1, 0, 1, 255, 0xFFFF)
    dataset = palette([256, 0, 16], [data] * 3, "Segmented{}PaletteColorLookupTableData")

    assert shown([0, 127, 255], "u1", dataset) == [[0] * 3, [127] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("bits", "data", "entries"),
    [
        (16, words(0, 3, 7, 8, 9), [7, 8, 9]),
        (16, words(0, 1, 100, 1, 4, 200), [100, 125, 150, 175, 200]),
        (16, words(0, 1, 200, 1, 4, 100), [200, 175, 150, 125, 100]),
        (16, words(0, 1, 9, 1, 2, 9), [9, 9, 9]),
        (16, words(0, 2, 1, 2, 1, 1, 3, 2, 1, 0, 0), [1, 2, 3, 1, 2]),
        (16, words(0, 2, 1, 2, 1, 1, 3, 2, 2, 0, 0), [1, 2, 3, 1, 2, 3]),
        (16, words(0, 2, 1, 2, 1, 2, 6, 2, 1, 8, 0), [1, 2, 4, 6, 6, 6]),
        (8, bytes([0, 2, 1, 2, 1, 2, 6, 2, 1, 4, 0, 0, 0]), [1, 2, 4, 6, 6, 6]),
        (8, bytes([0, 3, 7, 8, 9, 0]), [7, 8, 9]),
    ],
)
def test_segments(bits: int, data: bytes, entries: list[int]) -> None:
    """Segments are entries, a line from the entry before, or segments again; those from their offset in bytes."""
    assert expand(data, bits, len(entries)) == entries


@pytest.mark.parametrize(
    "data",
    [
        b"",
        words(1, 4, 200),
        words(2, 1, 0, 0),
        words(3, 1, 1),
        words(0, 9, 1),
        words(0, 1, 5),
        words(0, 1, 5, 1, 4),
        words(0, 1, 5, 2, 1, 6, 0),
        words(0, 1, 5, 2, 1, 99, 9),
    ],
    ids=["none", "line first", "copy first", "unknown", "cut", "too few", "line cut", "copy of itself", "copy outside"],
)
def test_broken_segments(data: bytes) -> None:
    """Segments that are cut, unknown, without a beginning, or that repeat a repetition are no palette."""
    with pytest.raises(NotDecodable):
        expand(data, 16, 4)


def test_endless_segments() -> None:
    """Empty segments repeated many times over come to an end soon."""
    data = words(0, 1, 5, *([0, 0] * 30_000), *([2, 30_000, 6, 0] * 15_000))

    with pytest.raises(NotDecodable):
        expand(data, 16, 65536)


@pytest.mark.parametrize("colour", COLOURS)
def test_colour_missing(colour: str) -> None:
    """A palette has all three colours."""
    dataset = palette([3, 0, 8], [b"\1\2\3\0"] * 3)
    del dataset[f"0028120{COLOURS.index(colour) + 1}"]

    with pytest.raises(NotDecodable):
        render(np.zeros((1, 1), "u1"), "PALETTE COLOR", dataset, RenderOptions())


def test_bulk_palette() -> None:
    """Tables that the data set does not hold are asked for by their tags."""
    dataset = palette([2, 0, 8], [b"\1\2"] * 3)
    values = {f"0028120{number}": b"\7\x09" for number in (1, 2, 3)}
    for tag in values:
        del dataset[tag]

    shown = render(np.array([[0, 1]], "u1"), "PALETTE COLOR", dataset, RenderOptions(), values.__getitem__)

    assert shown.tolist() == [[[7] * 3, [9] * 3]]
    assert Item(dataset, values.__getitem__).raw("RedPaletteColorLookupTableData") == b"\7\x09"
