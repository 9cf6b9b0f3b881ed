"""Frames as encapsulated pixel data (`shared/dicom/encapsulation.py`), read by pydicom."""

import pytest
from pydicom.encaps import generate_frames, parse_basic_offsets

from shared.dicom.encapsulation import encapsulate


@pytest.mark.parametrize("frames", [[b"ab"], [b"a"], [b"abc", b"d", b"efgh"], [b""]], ids=repr)
def test_frames(frames: list[bytes]) -> None:
    """Each frame is one fragment of even length, and the basic offset table says where it is (PS3.5 §A.4)."""
    value = b"".join(bytes(piece) for piece in encapsulate(frames))

    items = value[: -len(b"\xfe\xff\xdd\xe0\0\0\0\0")]
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    assert list(generate_frames(items, number_of_frames=len(frames))) == padded
    offsets = [sum(8 + len(frame) for frame in padded[:number]) for number in range(len(frames))]
    assert parse_basic_offsets(items) == offsets
    assert value.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
