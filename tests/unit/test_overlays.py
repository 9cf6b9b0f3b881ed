"""Overlay planes (`shared/dicom/overlays.py`; PS3.3 §C.9.2)."""

from typing import Any

import numpy as np
import pytest

from shared.dicom.items import Item
from shared.dicom.overlays import Overlay, burn_in, read_overlays
from shared.errors import NotDecodable
from tests.unit.dicom_json import element

PLANES = np.array([[[1, 0, 0], [0, 1, 1]], [[0, 1, 1], [1, 0, 1]], [[0, 0, 0], [1, 1, 1]]], bool)


def plane_json(group: str = "6000", data: Any = PLANES[0], **values: Any) -> dict[str, Any]:
    """Return an overlay of 2 rows and 3 columns; *values* by element number as in `e0050`."""
    elements: dict[str, Any] = {
        "e0010": ("US", 2),
        "e0011": ("US", 3),
        "e0050": ("SS", 1, 1),
        "e0100": ("US", 1),
        "e0102": ("US", 0),
    }
    elements |= {name: one for name, one in values.items() if one is not None}
    packed = np.packbits(np.asarray(data).ravel(), bitorder="little").tobytes()
    made = {f"{group}{name[1:]}": element(*one) for name, one in elements.items() if one}
    return made | {f"{group}3000": element("OW", packed)}


def overlays(dataset: dict[str, Any], frame: int = 1) -> list[Overlay]:
    return list(read_overlays(Item(dataset), frame))


def test_plane() -> None:
    """The first pixel is the lowest bit of the first byte (PS3.5 §8.1.2)."""
    (overlay,) = overlays(plane_json())

    assert (overlay.row, overlay.column) == (0, 0)
    assert overlay.plane.tolist() == PLANES[0].tolist()


def test_groups() -> None:
    """There may be 16 planes, each in a group of its own."""
    dataset = plane_json("6000") | plane_json("6002", PLANES[1]) | plane_json("601E", PLANES[2])

    assert [one.plane.tolist() for one in overlays(dataset)] == PLANES.tolist()


def test_bulk_plane() -> None:
    """A plane that the data set does not hold is asked for by its tag."""
    dataset = plane_json("6002")
    packed = {"60023000": Item(dataset).raw_at("60023000")}
    del dataset["60023000"]

    (overlay,) = read_overlays(Item(dataset, packed.__getitem__), 1)

    assert overlay.plane.tolist() == PLANES[0].tolist()


@pytest.mark.parametrize(("frame", "plane"), [(1, None), (2, 0), (3, 1), (4, 2), (5, None)])
def test_frames(frame: int, plane: int | None) -> None:
    """Several planes lie over as many frames, from the Image Frame Origin on; they do not begin on whole bytes."""
    dataset = plane_json(data=PLANES, e0015=("IS", 3), e0051=("US", 2))

    found = [one.plane.tolist() for one in overlays(dataset, frame)]

    assert found == ([] if plane is None else [PLANES[plane].tolist()])


def test_one_for_all() -> None:
    """A single plane lies over every frame."""
    assert len(overlays(plane_json(), frame=9)) == 1


@pytest.mark.parametrize(
    "dataset",
    [
        plane_json(data=PLANES[0, :1, :0]),
        plane_json(e0100=("US", 16), e0102=("US", 12)),
        plane_json(e0015=("IS", 5)),
    ],
    ids=["no data", "in the pixels", "too few planes"],
)
def test_left_out(dataset: dict[str, Any]) -> None:
    """Planes without data, or in unused bits of the pixels, are not drawn."""
    assert overlays(dataset, 5) == []


@pytest.mark.parametrize(
    "values",
    [
        {"e0010": ("US", 0)},
        {"e0011": ()},
        {"e0010": ("US", 65535), "e0011": ("US", 65535)},
        {"e0050": ("SS", "a")},
        {"e0010": ("US", True)},
    ],
)
def test_broken(values: dict[str, Any]) -> None:
    """A plane without a size, or with one beyond all images, is broken."""
    with pytest.raises(NotDecodable):
        overlays(plane_json(**values))


@pytest.mark.parametrize(
    ("row", "column", "drawn"),
    [
        (0, 0, [[255, 9, 9], [9, 255, 255], [9, 9, 9]]),
        (1, 1, [[9, 9, 9], [9, 255, 9], [9, 9, 255]]),
        (-1, -1, [[255, 255, 9], [9, 9, 9], [9, 9, 9]]),
        (3, 0, [[9, 9, 9]] * 3),
        (-2, 0, [[9, 9, 9]] * 3),
        (0, -3, [[9, 9, 9]] * 3),
    ],
)
def test_burn_in(row: int, column: int, drawn: list[list[int]]) -> None:
    """A plane is drawn from its origin on, which may lie outside of the image; what does so is cut off."""
    assert burn_in(np.full((3, 3), 9, "u1"), Overlay(row, column, PLANES[0])).tolist() == drawn


def test_burn_into_colours() -> None:
    """Over colours a plane is white too, and a picture that may not be changed is copied."""
    picture = np.zeros((2, 3, 3), "u1")
    picture.flags.writeable = False

    assert (burn_in(picture, Overlay(0, 0, PLANES[0])) == PLANES[0][..., None] * 255).all()
    assert not picture.any()
