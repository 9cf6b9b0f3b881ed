"""What a blob store promises, held by each kind of store."""

import asyncio
import os
import re
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from shared.errors import InvalidRequest, NotFound, Unavailable
from shared.model import Buffer
from shared.storage.azure import AzureBlobs
from shared.storage.blobs import BlobStore, blocks_by_name, instance_blob, version_of
from shared.storage.credentials import blob_service
from shared.storage.folder import FolderBlobs

MIB = 2**20


async def read(blobs: BlobStore, name: str, **span: int) -> bytes:
    return b"".join([chunk async for chunk in await blobs.read(name, **span)])


async def streamed(*chunks: Buffer) -> AsyncIterator[Buffer]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


@pytest.mark.parametrize("length", [0, 1, MIB - 1, MIB, MIB + 1, 20 * MIB])
async def test_write(blobs: BlobStore, length: int) -> None:
    """What was written is read back byte for byte, in chunks of bounded size."""
    content = os.urandom(length)

    errors = await blobs.write([("a/b", content)])

    assert errors == [None]
    chunks = [chunk async for chunk in await blobs.read("a/b")]
    assert b"".join(chunks) == content
    assert all(0 < len(chunk) <= 4 * MIB for chunk in chunks)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_write_buffer(blobs: BlobStore, kind: type[Buffer]) -> None:
    """Every kind of buffer is written."""
    await blobs.write([("a", kind(b"bytes"))])

    assert await read(blobs, "a") == b"bytes"


async def test_write_batch(blobs: BlobStore) -> None:
    """Blobs of one call are independent: one that cannot be written is an error in its place."""
    names = ["a/1", "../out", "a/2"]

    errors = await blobs.write([(name, name.encode()) for name in names])

    assert [type(error) for error in errors] == [type(None), InvalidRequest, type(None)]
    assert await read(blobs, "a/1") == b"a/1"
    assert await read(blobs, "a/2") == b"a/2"


async def test_write_nothing(blobs: BlobStore) -> None:
    """No blobs have no errors."""
    assert await blobs.write([]) == []


async def test_write_many(blobs: BlobStore) -> None:
    """Calls and blobs side by side do not disturb each other, not even where the store does not exist yet."""
    contents = {f"many/{number % 7}/{number}": os.urandom(50_000 + number) for number in range(200)}
    items = list(contents.items())

    errors = await asyncio.gather(*(blobs.write(items[at : at + 4]) for at in range(0, 200, 4)))

    assert errors == [[None] * 4] * 50
    assert dict(zip(contents, await asyncio.gather(*(read(blobs, name) for name in contents)), strict=True)) == contents


async def test_write_again(blobs: BlobStore) -> None:
    """A blob written again is replaced; who opened it before reads the old one or an error, never a mixture."""
    old, new = b"o" * 12 * MIB, b"n" * 12 * MIB
    await blobs.write([("a", old)])
    opened = await blobs.read("a")
    seen = await anext(opened)

    await blobs.write([("a", new)])

    try:
        seen += b"".join([chunk async for chunk in opened])
    except Unavailable:
        seen = old
    assert seen == old
    assert await read(blobs, "a") == new


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, 0),
        (0, 1),
        (0, None),
        (3, None),
        (3, 4),
        (9, 1),
        (9, 100),
        (10, None),
        (10, 0),
        (10, 5),
        (100, 1),
        (100, None),
    ],
)
async def test_read_range(blobs: BlobStore, start: int, length: int | None) -> None:
    """A range is what a slice would be: what lies beyond the end is left out."""
    content = b"0123456789"
    await blobs.write([("a", content)])

    found = b"".join([chunk async for chunk in await blobs.read("a", start=start, length=length)])

    assert found == content[start : None if length is None else start + length]


@pytest.mark.parametrize(
    ("start", "length"), [(1, 13 * MIB), (5 * MIB - 1, 2), (7 * MIB + 3, None), (0, 9 * MIB + 1), (12 * MIB, 5 * MIB)]
)
async def test_read_long_range(blobs: BlobStore, start: int, length: int | None) -> None:
    """Long ranges are put together from their chunks in order."""
    content = os.urandom(14 * MIB + 5)
    await blobs.write([("a", content)])

    found = b"".join([chunk async for chunk in await blobs.read("a", start=start, length=length)])

    assert found == content[start : None if length is None else start + length]


@pytest.mark.parametrize("length", [None, 0, 5])
@pytest.mark.parametrize("name", ["missing", "a/missing", "folder", "a/below", "../a"])
async def test_read_missing(blobs: BlobStore, name: str, length: int | None) -> None:
    """A blob that is not there is not found before its first chunk, whatever its name is like."""
    await blobs.write([("a", b"a"), ("folder/b", b"b")])

    with pytest.raises(NotFound):
        await blobs.read(name, length=length)


async def test_read_empty_store(blobs: BlobStore) -> None:
    """Nothing is found where nothing was ever written."""
    with pytest.raises(NotFound):
        await blobs.read("a")


async def test_read_dropped(blobs: BlobStore) -> None:
    """Dropping an iterator before its end, or before its beginning, closes what is open."""
    await blobs.write([("a", bytes(20 * MIB))])
    tasks = len(asyncio.all_tasks())
    files = {file.path for file in psutil.Process().open_files()}

    for _ in range(5):
        started = await blobs.read("a")
        await anext(started)
        await anext(started)
        del started
        await blobs.read("a")
    for _ in range(100):
        await asyncio.sleep(0.01)
        if len(asyncio.all_tasks()) == tasks:
            break

    assert len(asyncio.all_tasks()) == tasks
    assert {file.path for file in psutil.Process().open_files()} == files


async def test_read_bounded(blobs: BlobStore) -> None:
    """Reading a large blob takes memory for some chunks only."""
    await blobs.write_stream("a", streamed(*[bytes(8 * MIB)] * 8))

    tracemalloc.start()
    length = 0
    async for chunk in await blobs.read("a"):
        length += len(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert length == 64 * MIB
    assert peak < 32 * MIB


@pytest.mark.parametrize("chunk", [0, 1, 5 * MIB - 1, 5 * MIB, 6 * MIB])
async def test_write_stream(blobs: BlobStore, chunk: int) -> None:
    """A streamed blob is read back byte for byte, however it arrives, and its length is told."""
    content = os.urandom(2 * chunk + 7)

    length = await blobs.write_stream(
        "a", streamed(content[:chunk], b"", memoryview(content)[chunk : chunk + 7], bytearray(content[chunk + 7 :]))
    )

    assert length == len(content)
    assert await read(blobs, "a") == content


async def test_write_stream_empty(blobs: BlobStore) -> None:
    """A stream without bytes is an empty blob."""
    assert await blobs.write_stream("a", streamed()) == 0
    assert await read(blobs, "a") == b""


async def test_write_stream_again(blobs: BlobStore) -> None:
    """A streamed blob replaces the one of its name."""
    await blobs.write([("a", b"old")])

    await blobs.write_stream("a", streamed(b"new"))

    assert await read(blobs, "a") == b"new"


async def test_write_stream_bounded(blobs: BlobStore) -> None:
    """A large blob in odd chunks takes memory for some pieces only."""
    chunk = os.urandom(77_777)
    count = 64 * MIB // len(chunk) + 1

    async def chunks() -> AsyncIterator[Buffer]:
        for _ in range(count):
            yield bytearray(chunk)

    tracemalloc.start()
    length = await blobs.write_stream("a", chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert length == count * len(chunk)
    assert peak < 40 * MIB
    assert await read(blobs, "a", start=length - 77_777) == chunk
    assert await read(blobs, "a", start=77_777 * 100, length=77_777) == chunk


@pytest.mark.parametrize("arrived", [0, 1, 3 * MIB, 17 * MIB])
async def test_write_stream_broken(blobs: BlobStore, arrived: int) -> None:
    """When a stream breaks off, its error passes through and nothing can be read."""

    async def chunks() -> AsyncIterator[Buffer]:
        yield bytes(arrived)
        raise EOFError

    with pytest.raises(EOFError):
        await blobs.write_stream("a", chunks())

    with pytest.raises(NotFound):
        await blobs.read("a")


@pytest.mark.parametrize("arrived", [1, 17 * MIB])
async def test_write_stream_cancelled(blobs: BlobStore, arrived: int) -> None:
    """When the caller goes away in the middle of a stream, nothing can be read."""
    waits = asyncio.Event()

    async def chunks() -> AsyncIterator[Buffer]:
        yield bytes(arrived)
        waits.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(blobs.write_stream("a", chunks()))
    await waits.wait()
    writing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await writing
    with pytest.raises(NotFound):
        await blobs.read("a")


async def test_write_stream_name(blobs: BlobStore) -> None:
    """A stream cannot be written under a name that leads out of the store."""
    with pytest.raises(InvalidRequest):
        await blobs.write_stream("../out", streamed(b"bytes"))


async def test_delete(blobs: BlobStore) -> None:
    """Deleted blobs are gone, the others stay, and one that is not there counts as removed."""
    names = ["a/1", "a/2", "b/1", "b/2"]
    await blobs.write([(name, b"bytes") for name in names])

    errors = await blobs.delete(["a/1", "b/2", "missing", "no/such/folder", "../a"])

    assert errors == [None] * 5
    for name, is_there in zip(names, [False, True, True, False], strict=True):
        if is_there:
            assert await read(blobs, name) == b"bytes"
        else:
            with pytest.raises(NotFound):
                await blobs.read(name)


async def test_delete_empty_store(blobs: BlobStore) -> None:
    """Where nothing was ever written everything counts as removed."""
    assert await blobs.delete(["a"]) == [None]


_LISTED = ["a-b", "a.c", "a/1", "a/2/x", "a/2x", "a0", "ab/1", "b/1"]
"""In the order of their characters: a folder's blobs come behind `a-b` and `a.c` and before `a0`."""


@pytest.mark.parametrize(
    ("prefix", "after", "names"),
    [
        ("", "", _LISTED),
        ("a/", "", ["a/1", "a/2/x", "a/2x"]),
        ("a", "", _LISTED[:-1]),
        ("a/2", "", ["a/2/x", "a/2x"]),
        ("a/2/x", "", ["a/2/x"]),
        ("a/2/xx", "", []),
        ("", "a/1", ["a/2/x", "a/2x", "a0", "ab/1", "b/1"]),
        ("", "a/2/w", ["a/2/x", "a/2x", "a0", "ab/1", "b/1"]),
        ("", "a/2/x", ["a/2x", "a0", "ab/1", "b/1"]),
        ("a/", "a/2/x", ["a/2x"]),
        ("", "a/", ["a/1", "a/2/x", "a/2x", "a0", "ab/1", "b/1"]),
        ("b", "a", ["b/1"]),
        ("a", "b", []),
        ("", "z", []),
        ("..", "", []),
        ("../", "", []),
        ("a/../", "", []),
    ],
)
async def test_list(blobs: BlobStore, prefix: str, after: str, names: list[str]) -> None:
    """Blobs are listed by name, those that begin with the prefix and sort behind another name."""
    await blobs.write([(name, b"bytes") for name in reversed(_LISTED)])

    assert [blob.name async for blob in blobs.list(prefix, after)] == names


async def test_list_facts(blobs: BlobStore) -> None:
    """A listed blob has its length, streamed or not, and the time when it was written."""
    before = datetime.now(UTC) - timedelta(seconds=2)  # Azure tells whole seconds
    await blobs.write([("a/1", bytes(12_345)), ("a/2", b"")])
    await blobs.write_stream("a/3", streamed(bytes(6 * MIB), b"end"))

    listed = [blob async for blob in blobs.list()]

    assert [(blob.name, blob.length_bytes) for blob in listed] == [("a/1", 12_345), ("a/2", 0), ("a/3", 6 * MIB + 3)]
    assert all(before <= blob.modified <= datetime.now(UTC) + timedelta(seconds=1) for blob in listed)


async def test_list_empty_store(blobs: BlobStore) -> None:
    """Where nothing was ever written nothing is listed."""
    assert [blob async for blob in blobs.list()] == []
    assert [blob async for blob in blobs.list("a/b")] == []


async def test_list_while_deleting(blobs: BlobStore) -> None:
    """What is removed while it is listed is no error, and the others are all listed."""
    names = [f"a/{number:03d}" for number in range(100)]
    await blobs.write([(name, b"bytes") for name in names])

    listed = []
    async for blob in blobs.list():
        listed.append(blob.name)
        if len(listed) == 1:
            await blobs.delete(names[50:])

    assert listed[:50] == names[:50]
    assert set(listed[50:]) <= set(names[50:])


async def test_list_pages(tmp_path: Path) -> None:
    """More blobs than one page holds are all listed, once each."""
    folder = tmp_path / "blobs" / "a"
    folder.mkdir(parents=True)
    for number in range(2100):
        (folder / f"{number:05d}").touch()
    blobs = FolderBlobs(tmp_path / "blobs")

    assert [blob.name async for blob in blobs.list()] == [f"a/{number:05d}" for number in range(2100)]
    await blobs.close()


async def test_list_pages_azure(azurite: str) -> None:
    """The pages of the Blob service are joined."""
    service = blob_service(azurite, None, None)
    blobs = AzureBlobs(service, container="pages", listed_at_once=3)
    await blobs.write([(f"a/{number}", b"") for number in range(8)])

    assert [blob.name async for blob in blobs.list()] == [f"a/{number}" for number in range(8)]
    await blobs.close()


async def test_list_instances(blobs: BlobStore) -> None:
    """Blocks by name, and the versions of each block, are the order in which instances' blobs are listed."""
    versions = [1, 255, 256, 257, 5_000, 70_000, 70_001]
    await blobs.write([(instance_blob(version), b"") for version in versions])

    listed = [version_of(blob.name) async for blob in blobs.list("instances/")]

    firsts = blocks_by_name(max(versions))
    assert listed == sorted(versions, key=lambda version: (firsts.index(version - version % 256), version))


@pytest.mark.parametrize(
    "name",
    ["", "a", "instances/000/000000000001.dcm", "instances/1/1.dcm", f"{instance_blob(1)}x", f"x{instance_blob(1)}"],
)
def test_version_of_other_name(name: str) -> None:
    """A name that is no instance's has no version, also one in another place than it would have."""
    assert version_of(name) is None


async def test_folder_list_ignores_strangers(tmp_path: Path) -> None:
    """Files that cannot be blobs, those being written under another name among them, are not listed."""
    blobs = FolderBlobs(tmp_path)
    await blobs.write([("a/1", b"bytes")])
    for name in (".hidden", "a/.1.0123", "a/with blank", "~"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".folder").mkdir()
    (tmp_path / ".folder" / "1").write_bytes(b"x")

    assert [blob.name async for blob in blobs.list()] == ["a/1"]
    await blobs.close()


async def test_check(blobs: BlobStore) -> None:
    """A store that works passes its check, the first time and again."""
    await blobs.check()
    await blobs.check()


async def test_folder_removed(tmp_path: Path) -> None:
    """A folder that someone removes is made again."""
    blobs = FolderBlobs(tmp_path / "blobs")
    await blobs.write([("a/1", b"bytes")])
    (tmp_path / "blobs" / "a" / "1").unlink()
    (tmp_path / "blobs" / "a").rmdir()

    errors = await blobs.write([("a/2", b"bytes")])

    assert errors == [None]
    assert await read(blobs, "a/2") == b"bytes"


async def test_folder_blocked(tmp_path: Path) -> None:
    """What cannot be written leaves no file, and its error does not tell the path."""
    (tmp_path / "folder" / "in-the-way" / "x").mkdir(parents=True)
    blobs = FolderBlobs(tmp_path)

    errors = await blobs.write([("folder/in-the-way", b"bytes"), ("folder/free", b"bytes")])

    assert [type(error) for error in errors] == [Unavailable, type(None)]
    assert str(tmp_path) not in str(errors[0])
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["free", "in-the-way"]


async def test_folder_check_fails(tmp_path: Path) -> None:
    """A store that cannot be written fails its check with a reason, without a path."""
    (tmp_path / "blobs").write_bytes(b"a file where the folder should be")
    blobs = FolderBlobs(tmp_path / "blobs")

    with pytest.raises(Unavailable) as caught:
        await blobs.check()

    assert str(tmp_path) not in str(caught.value)


@pytest.fixture
async def down(unused_tcp_port: int) -> AsyncIterator[AzureBlobs]:
    """A store whose service does not listen."""
    connection = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=c2VjcmV0;"
        f"BlobEndpoint=http://127.0.0.1:{unused_tcp_port}/devstoreaccount1;"
    )
    store = AzureBlobs(blob_service(connection, None, None))
    yield store
    await store.close()


async def test_service_down(down: AzureBlobs) -> None:
    """A service that is down makes every call `Unavailable`, soon enough for a client that waits."""
    async with asyncio.timeout(30):
        errors = await errors_of_all(down)

    assert [type(error) for error in errors] == [Unavailable] * 6


async def test_service_refuses(azurite: str) -> None:
    """A service that refuses the login makes every call `Unavailable`; whose fault that is, the client cannot tell."""
    store = AzureBlobs(blob_service(re.sub("AccountKey=[^;]+", "AccountKey=b3RoZXI=", azurite), None, None))

    errors = await errors_of_all(store)

    await store.close()
    assert [type(error) for error in errors] == [Unavailable] * 6


async def errors_of_all(store: BlobStore) -> list[BaseException | None]:
    """Do everything a store can do and return what goes wrong."""
    results = await asyncio.gather(store.write([("a", b"")]), store.delete(["a"]))
    raised = await asyncio.gather(
        store.read("a"),
        store.check(),
        store.write_stream("a", streamed(bytes(11 * MIB))),
        anext(store.list()),
        return_exceptions=True,
    )
    return [error for errors in results for error in errors] + [
        one if isinstance(one, BaseException) else None for one in raised
    ]
