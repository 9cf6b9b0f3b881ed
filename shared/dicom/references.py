"""What the metadata of a stored instance say of values that they do not hold (PS3.18 §F.2.2, §10.4.1.1.2)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from shared.dicom.attributes import tag_of
from shared.dicom.bulk import BulkValue
from shared.dicom.elements import Dataset

_SYNTAX = tag_of("AvailableTransferSyntaxUID")

_Branch: TypeAlias = dict[str, "BulkValue | dict[int, _Branch]"]
"""Of one data set: its bulk values, and the items of its sequences that have some, by tag."""


def with_references(dataset: Mapping[str, Any], bulk: Sequence[BulkValue], transfer_syntax: str) -> Dataset:
    """Return a data set that tells of its bulk values and of its Available Transfer Syntax UID, by ascending tag.

    Each bulk value becomes an element whose `BulkDataURI` is its path, to be completed by whoever shows it. A value
    within a sequence that *dataset* has not got is left out. What *dataset* holds is not changed.
    """
    tree: _Branch = {}
    for value in bulk:
        _grow(tree, value)
    return _merged({**dataset, _SYNTAX: {"vr": "UI", "Value": [transfer_syntax]}}, tree)


def _grow(tree: _Branch, value: BulkValue) -> None:
    *way, tag = value.path.split("/")
    for sequence, number in zip(way[::2], way[1::2], strict=True):
        items = tree.setdefault(sequence, {})
        if isinstance(items, BulkValue):  # the tag came twice, once as bytes
            return
        tree = items.setdefault(int(number), {})
    tree[tag] = value


def _merged(dataset: Mapping[str, Any], tree: _Branch) -> Dataset:
    merged = dict(dataset)
    for tag, branch in tree.items():
        if isinstance(branch, BulkValue):
            merged.setdefault(tag, {"vr": branch.vr, "BulkDataURI": branch.path})
        elif "Value" in merged.get(tag, ()):
            items = list(merged[tag]["Value"])
            for number, inner in branch.items():
                if number <= len(items):
                    items[number - 1] = _merged(items[number - 1], inner)
            merged[tag] = {**merged[tag], "Value": items}
    return {tag: merged[tag] for tag in sorted(merged)}
