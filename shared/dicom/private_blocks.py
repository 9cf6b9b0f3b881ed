"""Which Private Creator reserves which block of a group in a data set (PS3.5 §7.8.1)."""

from collections.abc import Iterable, Mapping
from typing import Any

_BLOCKS = range(0x10, 0x100)


def is_private(tag: str) -> bool:
    """Return whether a *tag* of 8 hexadecimal digits has an odd group."""
    return int(tag[3], 16) % 2 == 1


def creators_of(dataset: Mapping[str, Any]) -> dict[str, str]:
    """Return the Private Creators of a DICOM JSON object by the first 6 digits of the tags in their block."""
    found = {}
    for tag, element in dataset.items():
        if is_private(tag) and int(tag[4:], 16) in _BLOCKS:
            values = element.get("Value")
            if values and isinstance(values[0], str):
                found[tag[:4] + tag[6:]] = values[0].strip("\0 ")
    return found


class Blocks:
    """The blocks of one data set, in which more can be reserved.

    Parameters
    ----------
    dataset
        What is known of it; gets a Private Creator for each block that is reserved.
    tags
        All tags that it will have: no block is reserved around them for another creator.
    """

    def __init__(self, dataset: dict[str, Any], tags: Iterable[str]) -> None:
        self._dataset = dataset
        self._creators = creators_of(dataset)
        self._block_of = {(key[:4], creator): key[4:] for key, creator in reversed(self._creators.items())}
        self._taken = {tag[:6] for tag in tags} | set(self._creators)

    def tag(self, tag: str, creator: str) -> str:
        """Return the tag of the private element that *creator* calls *tag*, whose block is "00" where it is open.

        Raises
        ------
        ValueError
            The group has no block left.
        """
        group, block = tag[:4], tag[4:6]
        if self._creators.get(group + block) == creator:
            return tag
        if (group, creator) not in self._block_of:
            is_free = block != "00" and int(block, 16) in _BLOCKS and group + block not in self._creators
            self._reserve(group, block if is_free else self._free(group), creator)
        return group + self._block_of[group, creator] + tag[6:]

    def _free(self, group: str) -> str:
        for number in _BLOCKS:
            if f"{group}{number:02X}" not in self._taken:
                return f"{number:02X}"
        raise ValueError(group)

    def _reserve(self, group: str, block: str, creator: str) -> None:
        self._block_of[group, creator] = block
        self._creators[group + block] = creator
        self._taken.add(group + block)
        self._dataset[f"{group}00{block}"] = {"vr": "LO", "Value": [creator]}
