"""How much the header of one file may hold, since as Python objects it takes many times its bytes."""

from shared.dicom.elements import NUMBER_BYTES

MAX_DEPTH = 64
"""Sequences within sequences. Writers and readers of JSON stop soon after: orjson at 254 levels, three for each."""

MAX_ELEMENTS = 300_000
"""Of one file, with the items of its sequences: each takes some 250 bytes of memory, however short it is."""

MAX_VALUES = 4_000_000
"""Of the larger elements of one file: a value may be a byte, and takes thirty of memory and more. The largest
structure sets come near. Those of an element over 64 KiB count eightfold, since its text is split at once."""

COUNTED_BYTES = 256
"""Values of elements longer than this are counted; of shorter ones, `MAX_ELEMENTS` is bound enough."""

_LONG_BYTES, _LONG_WEIGHT = 0xFFFF, 8


def weight_of_values(vr: str, window: bytes, start: int, stop: int) -> int:
    """Return what the values of the element whose value is at [start, stop) count for against `MAX_VALUES`."""
    length = stop - start
    of_numbers = length // NUMBER_BYTES[vr] if vr in NUMBER_BYTES else 0
    values = of_numbers or window.count(b"\\", start, stop) + 1
    return values * _LONG_WEIGHT if length > _LONG_BYTES else values
