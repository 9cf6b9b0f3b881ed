"""Typed reading of a DICOM JSON object or an item of it, bulk values included (PS3.18 §F.2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any, TypeAlias

from shared.dicom.attributes import tag_of
from shared.dicom.encoders import ENCODERS, Unwritable, binary
from shared.errors import NotDecodable

Bulk: TypeAlias = Callable[[str], bytes]
"""Gives the value at a path such as "60003000" or "00283010/1/00283006", little endian; LookupError or no bytes when
there is none."""

tag = cache(tag_of)


def no_bulk(_: str) -> bytes:
    """Be the `Bulk` of a data set that holds all of its values."""
    return b""


@dataclass(frozen=True, slots=True)
class Item:
    """A data set, or an item of one of its sequences; `path` leads to it: "" or "00283010/1/"."""

    dataset: Mapping[str, Any]
    bulk: Bulk = no_bulk
    path: str = ""

    def has(self, keyword: str) -> bool:
        """Return whether the attribute is here with a value."""
        return bool(self.values(keyword))

    def values(self, keyword: str) -> list[Any]:
        """Return the values of an attribute; none where it is absent, empty or binary."""
        values = self.dataset.get(tag(keyword), {}).get("Value")
        return values if isinstance(values, list) else []

    def text(self, keyword: str, missing: str = "") -> str:
        """Return the first value as text; of a person name its first component group that is there."""
        for value in self.values(keyword)[:1]:
            if isinstance(value, Mapping):
                return str(next((group for group in value.values() if group), missing))
            return missing if value is None else str(value)
        return missing

    def number(self, keyword: str, missing: float) -> float:
        """Return the first value as a finite number.

        Raises
        ------
        NotDecodable
            It is there and is none.
        """
        return next(iter(self.numbers(keyword)), missing)

    def whole(self, keyword: str, missing: int) -> int:
        """Return the first value as a whole number, see `number`."""
        return int(self.number(keyword, missing))

    def numbers(self, keyword: str) -> list[float]:
        """Return all values as numbers, empty ones left out; see `number`."""
        return [_number(keyword, value) for value in self.values(keyword) if value is not None]

    def items(self, keyword: str) -> list["Item"]:
        """Return the items of a sequence."""
        way = f"{self.path}{tag(keyword)}"
        values = enumerate(self.values(keyword), start=1)
        return [Item(one, self.bulk, f"{way}/{number}/") for number, one in values if isinstance(one, Mapping)]

    def raw(self, keyword: str) -> bytes:
        """Return the bytes of a value, little endian; none where it is absent."""
        return self.raw_at(tag(keyword))

    def raw_at(self, element_tag: str) -> bytes:
        """Return the bytes of the value with a tag, see `raw`.

        Raises
        ------
        NotDecodable
            What is there cannot be bytes.
        """
        element = self.dataset.get(element_tag, {})
        try:
            if "InlineBinary" in element:
                return binary(element["InlineBinary"])
            if element.get("Value") and element.get("vr") in ENCODERS:
                return ENCODERS[element["vr"]](element["Value"])
        except Unwritable as error:
            raise NotDecodable(f"({element_tag[:4]},{element_tag[4:]}): {error}") from error
        try:
            return self.bulk(self.path + element_tag)
        except LookupError:
            return b""


def of_frame(item: Item, frame: int, macro: str) -> Item:
    """Return the item that holds a functional group macro for a frame, or *item* itself where none does.

    What is said of the frame goes before what all share (PS3.3 §C.7.6.16.1.1); *frame* counts from 1.
    """
    per_frame = item.items("PerFrameFunctionalGroupsSequence")
    groups = per_frame[frame - 1 : frame] + item.items("SharedFunctionalGroupsSequence")[:1]
    return next((found for group in groups for found in group.items(macro)), item)


def _number(keyword: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) else float("nan")
    except (ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number):
        name = tag(keyword)
        raise NotDecodable(f"({name[:4]},{name[4:]}) {keyword}: a value is no number.")
    return number
