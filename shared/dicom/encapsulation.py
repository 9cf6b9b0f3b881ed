"""Frames as encapsulated pixel data (PS3.5 §A.4)."""

from collections.abc import Sequence
from itertools import accumulate
from struct import pack

from shared.model import Buffer

ITEM = b"\xfe\xff\x00\xe0"
"""The tag of an item (PS3.5 §7.5)."""

UNDEFINED = 0xFFFFFFFF
"""The length of a value that ends with a delimiter (PS3.5 §7.1.1)."""

VIDEO = frozenset(f"1.2.840.10008.1.2.4.{number}{kind}" for number in range(100, 109) for kind in ("", ".1"))
"""Transfer syntaxes of MPEG-2, MPEG-4 and HEVC: one stream, whatever Number of Frames says (PS3.5 §8.2.5 to §8.2.8)."""

_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_ITEM_HEAD = 8


def encapsulate(frames: Sequence[Buffer]) -> list[Buffer]:
    """Return the pieces of a value with one fragment for each frame, behind a basic offset table.

    The table is left empty where 32 bits cannot tell all offsets.
    """
    sizes = [len(frame) + len(frame) % 2 for frame in frames]
    offsets = list(accumulate((_ITEM_HEAD + size for size in sizes[:-1]), initial=0))
    table = pack(f"<{len(offsets)}L", *offsets) if offsets[-1] <= UNDEFINED else b""
    pieces: list[Buffer] = [ITEM + pack("<L", len(table)) + table]
    for frame, size in zip(frames, sizes, strict=True):
        pieces += [ITEM + pack("<L", size), frame]
        if size > len(frame):
            pieces.append(b"\0")
    return [*pieces, _SEQUENCE_END]
