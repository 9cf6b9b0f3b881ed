"""Storage or index failing during a Store: nothing visible that is not durable, and a retry succeeds."""

import asyncio
import gc
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.backend import Backend, open_backend
from shared.errors import DicomwebError, NotFound, Unavailable
from shared.index.database import Index
from shared.index.garbage import backlog
from shared.index.instances import find
from shared.index.migrate import migrate
from shared.index.publishing import abandon, publish, reserve
from shared.model import DEFAULT_PARTITION, NO_TERMS, Buffer, ByteStream, Outcome, Scope, StoreTerms, Wish
from shared.services.acceptance import StoreRequest
from shared.services.cleanup import clean_up
from shared.services.consistency import check
from shared.services.retrieve import Files, choose, retrieve
from shared.services.store import store
from shared.settings import Settings
from shared.storage.blobs import BlobStore, instance_blob
from shared.storage.folder import FolderBlobs
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

    async def write_each(self, work: Callable[..., Any], items: Any, clock: Any) -> Any:
        return await self.write(work, items, clock())

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


async def _store(backend: Backend, *files: bytes, terms: StoreTerms = NO_TERMS) -> list[Outcome]:
    async def one(file: bytes) -> AsyncIterator[Buffer]:
        for start in range(0, len(file), 12_000):
            yield file[start : start + 12_000]

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        for file in files:
            yield one(file)

    return await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"], terms), backend)


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


async def _opened(backend: Backend) -> Files:
    """Retrieve the study of the test as it is stored."""
    wishes = [Wish(is_multipart=True, transfer_syntax="*")]
    return await retrieve((await choose(Scope(DEFAULT_PARTITION.key, "1.2"), wishes, backend))[0], backend)


async def test_retrieve_overtaken_by_removal(backend: Backend) -> None:
    """What is gone between look-up and read is not found; an empty answer would look like success."""
    await _store(backend, part10(StudyInstanceUID="1.2"))
    [instance] = await backend.index.read(find, Scope(DEFAULT_PARTITION.key), limit=1)
    await backend.blobs.delete([instance_blob(instance.version)])

    with pytest.raises(NotFound):
        await _opened(backend)


async def test_abandoned_download(backend: Backend) -> None:
    """When a reader leaves, every file is closed at once: nobody waits for a garbage collection."""
    await _store(backend, *(part10(StudyInstanceUID="1.2", pixel_bytes=2_000_000) for _ in range(4)))
    gc.collect()
    gc.disable()
    try:
        before = _open_blobs()
        files = await _opened(backend)
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


Fault = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Makes a call, or not, and goes wrong."""


async def _before(call: Callable[[], Awaitable[Any]]) -> Any:
    del call
    raise Unavailable("injected")


async def _after(call: Callable[[], Awaitable[Any]]) -> Any:
    await call()
    raise Unavailable("injected")


async def _unexpected_before(call: Callable[[], Awaitable[Any]]) -> Any:
    del call
    raise RuntimeError("injected")


async def _unexpected_after(call: Callable[[], Awaitable[Any]]) -> Any:
    await call()
    raise RuntimeError("injected")


async def _cancelled_at_once(call: Callable[[], Awaitable[Any]]) -> Any:
    _cancel()
    return await call()


async def _cancelled_during(call: Callable[[], Awaitable[Any]]) -> Any:
    asyncio.get_running_loop().call_later(0.0005, _cancelling())
    return await call()


async def _cancelled_after(call: Callable[[], Awaitable[Any]]) -> Any:
    await call()
    _cancel()
    await asyncio.sleep(0)


def _cancelling() -> Callable[[], object]:
    task = asyncio.current_task()
    assert task is not None
    return task.cancel


def _cancel() -> None:
    _cancelling()()


FAULTS = (
    _before,
    _after,
    _unexpected_before,
    _unexpected_after,
    _cancelled_at_once,
    _cancelled_during,
    _cancelled_after,
)


class Steps:
    """Calls of index and storage, counted from 0, of which the one whose turn is *failing* has a *fault*."""

    def __init__(self, failing: int = -1, fault: Fault = _before) -> None:
        self._failing, self._fault, self.count = failing, fault, 0

    async def take(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.count += 1
        return await (self._fault(call) if self.count - 1 == self._failing else call())


class SteppedBlobs:
    """A blob store each of whose calls is a step; what `write` cannot do it says of each blob."""

    def __init__(self, blobs: BlobStore, steps: Steps) -> None:
        self._blobs, self._steps = blobs, steps

    async def write(self, blobs: Sequence[tuple[str, Buffer]]) -> list[DicomwebError | None]:
        try:
            done: list[DicomwebError | None] = await self._steps.take(lambda: self._blobs.write(blobs))
        except Unavailable as error:
            return [error] * len(blobs)
        return done

    async def write_stream(self, name: str, chunks: AsyncIterable[Buffer]) -> int:
        length: int = await self._steps.take(lambda: self._blobs.write_stream(name, chunks))
        return length

    async def read(self, name: str, *, start: int = 0, length: int | None = None) -> ByteStream:
        opened: ByteStream = await self._steps.take(lambda: self._blobs.read(name, start=start, length=length))
        return opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


class SteppedIndex(Index):
    """An index each of whose calls is a step."""

    def __init__(self, index: Index, steps: Steps) -> None:
        self._index, self._steps = index, steps

    async def read(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._steps.take(lambda: self._index.read(work, *args, **kwargs))

    async def write(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._steps.take(lambda: self._index.write(work, *args, **kwargs))

    async def write_each(self, work: Callable[..., Any], items: Any, clock: Any) -> Any:
        return await self._steps.take(lambda: self._index.write_each(work, items, clock))


def _stepped(backend: Backend, steps: Steps) -> Backend:
    return replace(backend, blobs=SteppedBlobs(backend.blobs, steps), index=SteppedIndex(backend.index, steps))


_SMALL, _STREAMED = 100, 25_000


def _files(study: str, patient: str) -> dict[str, bytes]:
    """Return three small files and a streamed one by SOP Instance UID, the same UIDs for each patient."""
    uids = [f"{study}.{number}" for number in range(4)]
    return {
        uid: part10(
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.9",
            SOPInstanceUID=uid,
            PatientID=patient,
            pixel_bytes=_STREAMED if number == 2 else _SMALL,
        )
        for number, uid in enumerate(uids)
    }


async def _visible(backend: Backend, study: str) -> dict[str, bytes]:
    found = await backend.index.read(find, Scope(DEFAULT_PARTITION.key, study), limit=100)
    contents = [
        b"".join([part async for part in await backend.blobs.read(instance_blob(one.version))]) for one in found
    ]
    assert [len(content) for content in contents] == [one.length_bytes for one in found]
    return {one.key.instance: content for one, content in zip(found, contents, strict=True)}


async def _settled(backend: Backend) -> None:
    """Return when everything that was begun is done, also what nobody waits for."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    await backend.blobs.delete([])
    await backend.index.write(backlog)


async def _check_far_ahead(backend: Backend) -> None:
    """Clean up, long after everything has expired; then index, blobs and change feed must agree."""
    later = replace(backend, now=lambda: datetime.now(UTC) + timedelta(days=400))
    await clean_up(later)
    report = await check(later, is_deep=True)
    assert report.findings == {}
    assert report.blobs == report.instances


@pytest.fixture
async def single(backend: Backend, tmp_path: Path) -> AsyncIterator[Backend]:
    """The backend with one thread that writes blobs, so that one can wait for what it does."""
    blobs = FolderBlobs(tmp_path / "blobs", threads=1)
    yield replace(backend, blobs=blobs)
    await blobs.close()


@pytest.mark.parametrize("replaces", [False, True], ids=["POST", "PUT"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_").replace("_", " "))
async def test_each_step(single: Backend, fault: Fault, replaces: bool) -> None:
    """Whichever call of a Store fails: all or nothing is visible, what is left can be cleaned up, and a retry works."""
    terms = StoreTerms(replaced_due_at=datetime.now(UTC)) if replaces else NO_TERMS
    steps = Steps()
    failing = 0
    while failing <= steps.count:
        study = f"1.2.{failing + 1}"
        old, new = _files(study, "old") if replaces else {}, _files(study, "new")
        if old:
            await _store(single, *old.values(), terms=terms)
        steps = Steps(failing, fault)
        outcomes: list[Outcome] | None = None
        with suppress(Unavailable, RuntimeError, asyncio.CancelledError):
            outcomes = await asyncio.ensure_future(_store(_stepped(single, steps), *new.values(), terms=terms))
        await _settled(single)

        visible = await _visible(single, study)
        if outcomes is None:
            assert visible in (old, new), failing
        else:
            failures = [outcome.failure for outcome in outcomes]
            assert set(failures) <= {None, 272}, failing
            stored = {uid: new[uid] for uid, failure in zip(new, failures, strict=True) if failure is None}
            assert visible == old | stored, failing
        await _check_far_ahead(single)

        again = await _store(single, *new.values(), terms=terms)
        expected = [45070 if uid in visible and not replaces else None for uid in new]
        assert [outcome.failure for outcome in again] == expected, failing
        assert await _visible(single, study) == new, failing
        failing += 1
    await _check_far_ahead(single)

    assert steps.count == failing - 1
    assert steps.count >= (9 if replaces else 5)
