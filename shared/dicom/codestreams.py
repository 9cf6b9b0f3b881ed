"""What compressed frames say of themselves, read before a codec sees them: what lies there must not cost anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from

MAX_SEGMENTS = 10_000
"""Of a header; real ones have some dozens."""

_MAX_BOXES = 1000
_HEAD, _LONG_HEAD = 8, 16
_IS_LONG, _TO_THE_END = 1, 0
"""Lengths that are none."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a compressed frame's header says.

    Parameters
    ----------
    precision
        Bits of a sample.
    is_signed
        None where the codestream cannot tell.
    process
        Of a JPEG: the marker that starts its frame, 0xC0 to 0xCF, or 0xF7 for JPEG-LS.
    is_subsampled
        Whether some colour has fewer samples.
    colours
        "RGB" or "YCbCr" where a JPEG says so itself; else "".
    """

    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool | None = None
    process: int = 0
    is_subsampled: bool = False
    colours: str = ""


def boxes(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the boxes of a JP2 or JPEG XL file (15444-1 §I.4)."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position + _HEAD > len(view):
            return
        length, kind = unpack_from(">L4s", view, position)
        head = _HEAD
        if length == _IS_LONG and position + _LONG_HEAD <= len(view):
            (length,), head = unpack_from(">Q", view, position + _HEAD), _LONG_HEAD
        stop = len(view) if length == _TO_THE_END else position + length
        if stop < position + head:
            return
        yield kind, position + head, min(stop, len(view))
        position = stop
