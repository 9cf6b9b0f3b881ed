"""Storage or index failing during a Store: nothing visible that is not durable, and a retry succeeds."""

import asyncio
import gc
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.backend import Backend, open_backend
from shared.errors import DicomwebError, NotFound, Unavailable
from shared.index.database import Index
from shared.index.garbage import backlog
from shared.index.instances import abandon, find, publish, reserve
from shared.index.migrate import migrate
from shared.model import DEFAULT_PARTITION, Buffer, Outcome, Scope, Wish
from shared.services.retrieve import retrieve
from shared.services.store import StoreRequest, store
from shared.settings import Settings
from shared.storage.blobs import BlobStore, instance_blob
from shared.versions import RULES
from shared.web.multipart import write_parts
from tests.factories import part10


class FaultyBlobs:
    """A blob store that fails the writes whose turn is in `failing`, counted from 0."""

    def __init__(self, blobs: BlobStore, failing: set[int]) -> None:
        self._blobs, self._failing, self._turn = blobs, failing, 0

    def _fails(self) -> bool:
        self._turn += 1
        return self._turn - 1 in self._failing

    async def write(self, blobs: Sequence[tuple[str, Buffer]]) -> list[DicomwebError | None]:
        fates = [self._fails() for _ in blobs]
        done = await self._blobs.write([blob for blob, fails in zip(blobs, fates, strict=True) if not fails])
        return [Unavailable("injected") if fails else done.pop(0) for fails in fates]

    async def write_stream(self, name: str, chunks: AsyncIterable[Buffer]) -> int:
        if self._fails():
            raise Unavailable("injected")
        return await self._blobs.write_stream(name, chunks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


class FaultyIndex(Index):
    """An index that fails one kind of work, before or after it is done."""

    def __init__(self, index: Index, failing: Callable[..., Any], *, after: bool) -> None:
        self._index, self._work, self._after = index, failing, after

    async def write(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if work is self._work and not self._after:
            raise Unavailable("injected")
        result = await self._index.write(work, *args, **kwargs)
        if work is self._work:
            raise Unavailable("injected")
        return result

    async def write_each(self, work: Callable[..., Any], items: Any, now: Any) -> Any:
        return await self.write(work, items, now)

    async def read(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._index.read(work, *args, **kwargs)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """An embedded backend with small batches."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url, batch_bytes=10_000))
    yield opened
    await opened.close()


async def _store(backend: Backend, *files: bytes) -> list[Outcome]:
    async def one(file: bytes) -> AsyncIterator[Buffer]:
        yield file

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        for file in files:
            yield one(file)

    return await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"]), backend)


async def _count(backend: Backend) -> int:
    return len(await backend.index.read(find, Scope(DEFAULT_PARTITION.key), limit=1000))


async def test_one_blob(backend: Backend) -> None:
    """One blob that cannot be written fails its instance with 272; the others are stored, and a retry stores it."""
    files = [part10(pixel_bytes=100) for _ in range(3)]
    faulty = replace(backend, blobs=FaultyBlobs(backend.blobs, {1}))

    outcomes = await _store(faulty, *files)

    assert [outcome.failure for outcome in outcomes] == [None, 272, None]
    assert await _count(backend) == 2
    assert [outcome.failure for outcome in await _store(backend, *files)] == [45070, None, 45070]


@pytest.mark.parametrize("length", [100, 50_000], ids=["in a batch", "streamed"])
async def test_storage_away(backend: Backend, length: int) -> None:
    """Storage that takes nothing makes the request fail as a whole, to be sent again; nothing is visible."""
    files = [part10(pixel_bytes=length) for _ in range(2)]
    faulty = replace(backend, blobs=FaultyBlobs(backend.blobs, set(range(9))))

    with pytest.raises(Unavailable):
        await _store(faulty, *files)

    assert await _count(backend) == 0
    assert [outcome.failure for outcome in await _store(backend, *files)] == [None, None]


@pytest.mark.parametrize(
    ("work", "after", "visible"),
    [
        pytest.param(reserve, False, 0, id="before reserve"),
        pytest.param(reserve, True, 0, id="after reserve"),
        pytest.param(publish, False, 0, id="before publish"),
        pytest.param(publish, True, 2, id="after publish"),
    ],
)
async def test_index_away(backend: Backend, work: Callable[..., Any], after: bool, visible: int) -> None:
    """An index that fails at any step leaves all of the request or none; a published instance keeps its bytes."""
    files = [part10(pixel_bytes=100) for _ in range(2)]
    faulty = replace(backend, index=FaultyIndex(backend.index, work, after=after))

    with pytest.raises(Unavailable):
        await _store(faulty, *files)

    assert await _count(backend) == visible
    if visible:
        assert await backend.index.read(backlog) == (0, None)
    expected = [45070, 45070] if visible else [None, None]
    assert [outcome.failure for outcome in await _store(backend, *files)] == expected


async def test_retrieve_overtaken_by_removal(backend: Backend) -> None:
    """What is gone between look-up and read is not found; an empty answer would look like success."""
    await _store(backend, part10(StudyInstanceUID="1.2"))
    [instance] = await backend.index.read(find, Scope(DEFAULT_PARTITION.key), limit=1)
    await backend.blobs.delete([instance_blob(instance.version)])

    with pytest.raises(NotFound):
        await retrieve(Scope(DEFAULT_PARTITION.key, "1.2"), [Wish(is_multipart=True, transfer_syntax="*")], backend)


async def test_abandoned_download(backend: Backend) -> None:
    """When a reader leaves, every file is closed at once: nobody waits for a garbage collection."""
    await _store(backend, *(part10(StudyInstanceUID="1.2", pixel_bytes=2_000_000) for _ in range(4)))
    wishes = [Wish(is_multipart=True, transfer_syntax="*")]
    gc.collect()
    gc.disable()
    try:
        before = _open_blobs()
        _, files = await retrieve(Scope(DEFAULT_PARTITION.key, "1.2"), wishes, backend)
        body = write_parts((("", chunks) async for _, chunks in files), "b")
        await anext(body)
        await anext(body)
        during = _open_blobs()
        await body.aclose()
        await files.aclose()
        for _ in range(100):  # a thread may still be opening one
            await asyncio.sleep(0.01)
            if (after := _open_blobs()) == before:
                break
    finally:
        gc.enable()

    assert during > before
    assert after == before


def _open_blobs() -> int:
    links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(str(link).endswith(".dcm") for link in links)


async def test_abandon_fails(backend: Backend) -> None:
    """When even giving up fails, the first error is the one that is told."""
    faulty = replace(
        backend,
        blobs=FaultyBlobs(backend.blobs, set(range(9))),
        index=FaultyIndex(backend.index, abandon, after=False),
    )

    with pytest.raises(Unavailable):
        await _store(faulty, part10(pixel_bytes=100))
