"""Private blocks and their creators (`shared/dicom/private_blocks.py`; PS3.5 §7.8.1)."""

from typing import Any

import pytest

from shared.dicom.private_blocks import Blocks, creators_of


def creator(name: object) -> dict[str, Any]:
    return {"vr": "LO", "Value": [name]}


def test_creators() -> None:
    """Private Creators are the elements 0010 to 00FF of odd groups that have a text."""
    dataset = {
        "00080010": creator("no private group"),
        "00090001": creator("no creator"),
        "00090010": creator("A "),
        "00090011": {"vr": "LO"},
        "00090012": creator(5),
        "000900FF": creator("B"),
        "00091010": creator("in a block"),
    }

    assert creators_of(dataset) == {"000910": "A", "0009FF": "B"}


@pytest.mark.parametrize(
    ("tag", "name", "expected"),
    [
        ("00091201", "B", "00091201"),
        ("00090001", "A", "00091001"),
        ("00090010", "B", "00091210"),
        ("00091101", "A", "00091001"),
        ("00091101", "new", "00091101"),
        ("00091001", "new", "00091301"),
        ("00090001", "new", "00091301"),
        ("000B0001", "A", "000B1001"),
    ],
)
def test_tag(tag: str, name: str, expected: str) -> None:
    """An element goes to the block of its creator; a new creator gets the one it names, or the first free one."""
    dataset = {"00090010": creator("A"), "00090012": creator("B")}
    blocks = Blocks(dataset, ["00091105"] if expected == "00091301" else [])

    assert blocks.tag(tag, name) == expected
    assert creators_of(dataset)[expected[:6]] == name


def test_no_block_left() -> None:
    """A group has 240 blocks."""
    blocks = Blocks({}, [])
    for number in range(240):
        assert blocks.tag("00090001", f"creator {number}") == f"0009{number + 16:02X}01"

    with pytest.raises(ValueError, match="0009"):
        blocks.tag("00090001", "one more")
