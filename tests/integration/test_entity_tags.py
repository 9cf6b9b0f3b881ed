"""Entity tags tell whether something is the same, and nothing else (`shared/entity_tags.py`)."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from shared.entity_tags import TagKey, tag_of
from shared.errors import Unavailable
from shared.storage.folder import FolderRecords


class _Down:
    """Records that do not answer."""

    def __init__(self) -> None:
        self.asked = 0

    async def load(self, *_: object) -> None:
        self.asked += 1
        raise Unavailable("It is down.")


async def test_one_key(tmp_path: Path) -> None:
    """Processes that begin at the same time, or later, have the same key: what one has given another knows."""
    keys = await asyncio.gather(*(TagKey().of(FolderRecords(tmp_path)) for _ in range(8)))

    assert {*keys, await TagKey().of(FolderRecords(tmp_path))} == {keys[0]}
    assert len(keys[0]) == 32


async def test_own_key(tmp_path: Path) -> None:
    """Each service has a key of its own: nobody can try versions out with another's."""
    first = await TagKey().of(FolderRecords(tmp_path / "a"))

    assert await TagKey().of(FolderRecords(tmp_path / "b")) != first


async def test_down() -> None:
    """Where records do not answer a process makes do with a key that stays, and does not ask for each tag."""
    down: Any = _Down()
    key = TagKey()

    assert await key.of(down) == await key.of(down)
    assert down.asked == 1
    assert await TagKey().of(down) != await key.of(down)


@pytest.mark.parametrize(
    ("one", "other"),
    [((1,), (2,)), ((1, 2), (12,)), ((1, 2), (2, 1)), ((1, "a"), (1, "b")), ((1,), ("1",)), ((1,), (1, 1))],
)
def test_differ(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    """Other states have other tags, the same state the same; a tag is a strong one, of a digest."""
    key = bytes(32)

    assert tag_of(key, *one) == tag_of(key, *one)
    assert tag_of(key, *one) != tag_of(key, *other)
    assert re.fullmatch('"[0-9a-f]{32}"', tag_of(key, *one))
