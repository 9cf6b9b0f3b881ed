"""Names of blobs and records."""

import re
from collections import Counter

import pytest

from shared.errors import InvalidRequest, PayloadTooLarge
from shared.storage.blobs import (
    DOCUMENTS,
    MAX_RECORD_BYTES,
    check_record,
    document_blob,
    document_of,
    instance_blob,
    is_blob_name,
    is_record_name,
    version_of,
)

VERSIONS = [1, 255, 256, 4711, 2**40]


@pytest.mark.parametrize("version", VERSIONS)
def test_instance_blob_name(version: int) -> None:
    """The name of a file holds numbers only and is one that stores take."""
    name = instance_blob(version)

    assert re.fullmatch(rf"instances/[0-9a-f]{{3}}/0*{version}\.dcm", name)
    assert is_blob_name(name)


def test_instance_blob_unique() -> None:
    """No two versions share a name."""
    assert len({instance_blob(version) for version in range(20_000)}) == 20_000


def test_instance_blob_neighbours() -> None:
    """The 256 versions of a block share a folder, so that a batch syncs few folders."""
    assert len({instance_blob(version).rpartition("/")[0] for version in range(512, 768)}) == 1


def test_instance_blob_spread() -> None:
    """Blocks of versions lie in many folders, and no folder has much more than its share."""
    sizes = Counter(instance_blob(block * 256).split("/")[1] for block in range(40_960))

    assert len(sizes) > 3_900
    assert max(sizes.values()) <= 30


def test_document_blob_name() -> None:
    """Series documents are called by number, sort by it, and nothing else has such a name."""
    numbers = [1, 9, 999, 1000, 1001, 123_456, 10**9]
    names = [document_blob(number) for number in numbers]

    assert all(is_blob_name(name) and name.startswith(DOCUMENTS) for name in names)
    assert names == sorted(names)
    assert [document_of(name) for name in names] == numbers
    assert [version_of(name) for name in names] == [None] * len(numbers)


@pytest.mark.parametrize(
    "name", ["documents/000000000/000000001000.json.gz", "documents/000000001.json.gz", instance_blob(1)]
)
def test_document_of_other(name: str) -> None:
    """A name that no document has names none."""
    assert document_of(name) is None


@pytest.mark.parametrize("name", ["a", "a/b", "instances/0ab/000000000001.dcm", "A-_.9", "x" * 128])
def test_blob_name(name: str) -> None:
    """A blob's name is words of letters, digits, dots, underscores and hyphens."""
    assert is_blob_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        ".a",
        "a/.b",
        "a b",
        "a\n",
        "a\\b",
        "ä",
        "a\0",
        "x" * 129,
    ],
)
def test_blob_name_refused(name: str) -> None:
    """No name leads out of the store, hides, or means different things to different stores."""
    assert not is_blob_name(name)


@pytest.mark.parametrize(
    ("name", "is_one"), [("operation-1", True), ("a/b", False), ("", False), (".lock", False), ("x" * 129, False)]
)
def test_record_name(name: str, *, is_one: bool) -> None:
    """A record's name and kind are one word."""
    assert is_record_name(name) is is_one


@pytest.mark.parametrize(
    ("kind", "name", "length", "error"),
    [
        ("../kind", "name", 1, InvalidRequest),
        ("kind", "a/b", 1, InvalidRequest),
        ("kind", "name", MAX_RECORD_BYTES + 1, PayloadTooLarge),
    ],
)
def test_record_refused(kind: str, name: str, length: int, error: type[Exception]) -> None:
    """A record that no store could save is refused."""
    with pytest.raises(error):
        check_record(kind, name, bytes(length))
