"""What a record store promises, held by each kind of store."""

import asyncio
import os
import re
import sys
from collections.abc import Awaitable
from pathlib import Path

import pytest

from shared.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge, Unavailable
from shared.storage.azure import AzureRecords
from shared.storage.blobs import MAX_RECORD_BYTES, Record, RecordStore
from shared.storage.credentials import table_service
from shared.storage.folder import FolderRecords

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("body", [b"", b"\n", b"text\nlines\n", os.urandom(MAX_RECORD_BYTES)], ids=len)
async def test_save(records: RecordStore, body: bytes) -> None:
    """What was saved is loaded byte for byte, with the etag that saving gave."""
    saved = await records.save("kind", "name", body, etag=None)

    assert (saved.kind, saved.name, saved.body) == ("kind", "name", body)
    assert await records.load("kind", "name") == saved


async def test_save_again(records: RecordStore) -> None:
    """A record that is unchanged since it was read is replaced and has another etag, even with the same body."""
    first = await records.save("kind", "name", b"body", etag=None)

    second = await records.save("kind", "name", b"body", etag=first.etag)

    assert second.etag != first.etag
    assert await records.load("kind", "name") == second


async def test_save_existing(records: RecordStore) -> None:
    """A record that must not exist yet, and does, is a conflict and stays as it is."""
    first = await records.save("kind", "name", b"first", etag=None)

    with pytest.raises(Conflict):
        await records.save("kind", "name", b"second", etag=None)

    assert await records.load("kind", "name") == first


async def test_save_changed(records: RecordStore) -> None:
    """A record that someone else saved since it was read is a conflict and stays as it is."""
    first = await records.save("kind", "name", b"first", etag=None)
    second = await records.save("kind", "name", b"second", etag=first.etag)

    with pytest.raises(Conflict):
        await records.save("kind", "name", b"third", etag=first.etag)

    assert await records.load("kind", "name") == second


async def test_save_removed(records: RecordStore) -> None:
    """A record that was removed since it was read is a conflict, also when another has its name by now."""
    first = await records.save("kind", "name", b"body", etag=None)
    await records.delete("kind", "name")

    with pytest.raises(Conflict):
        await records.save("kind", "name", b"body", etag=first.etag)

    await records.save("kind", "name", b"body", etag=None)
    with pytest.raises(Conflict):
        await records.save("kind", "name", b"body", etag=first.etag)


async def test_save_race(records: RecordStore) -> None:
    """Of many who save the same record at once, new or read before, exactly one wins."""

    async def wins(saving: Awaitable[Record]) -> Record | None:
        try:
            return await saving
        except Conflict:
            return None

    async def race(etag: str | None) -> Record:
        bodies = [f"{number}".encode() for number in range(20)]
        saved = await asyncio.gather(*(wins(records.save("kind", "name", body, etag=etag)) for body in bodies))
        [winner] = filter(None, saved)
        return winner

    first = await race(None)
    second = await race(first.etag)

    assert await records.load("kind", "name") == second


@pytest.mark.parametrize(("kind", "name"), [("kind", "other"), ("other", "name"), ("kind", "../kind/name"), ("", "")])
async def test_load_missing(records: RecordStore, kind: str, name: str) -> None:
    """A record that is not there is not found, whatever its name is like."""
    await records.save("kind", "name", b"body", etag=None)

    with pytest.raises(NotFound):
        await records.load(kind, name)


async def test_empty_store(records: RecordStore) -> None:
    """Where nothing was ever saved nothing is found or listed, and everything counts as removed."""
    with pytest.raises(NotFound):
        await records.load("kind", "name")
    await records.delete("kind", "name")
    assert [record async for record in records.list("kind")] == []


async def test_list(records: RecordStore) -> None:
    """All records of a kind are listed by name, and none of another kind."""
    names = [f"{number:03d}" for number in range(70, 0, -1)]
    await asyncio.gather(*(records.save("kind", name, name.encode(), etag=None) for name in names))
    await records.save("kind2", "other", b"other", etag=None)

    listed = [record async for record in records.list("kind")]

    assert [record.name for record in listed] == sorted(names)
    assert listed[0] == await records.load("kind", "001")
    assert [record async for record in records.list("a/b")] == []


async def test_delete(records: RecordStore) -> None:
    """A deleted record is gone, the others stay, and one that is not there counts as removed."""
    await records.save("kind", "a", b"a", etag=None)
    await records.save("kind", "b", b"b", etag=None)

    for name in ("a", "a", "missing", "../kind/b"):
        await records.delete("kind", name)

    assert [record.name async for record in records.list("kind")] == ["b"]


@pytest.mark.parametrize(
    ("kind", "name", "length", "error"),
    [
        ("kind", "a/b", 0, InvalidRequest),
        (".kind", "a", 0, InvalidRequest),
        ("kind", "a", MAX_RECORD_BYTES + 1, PayloadTooLarge),
    ],
)
async def test_save_refused(records: RecordStore, kind: str, name: str, length: int, error: type[Exception]) -> None:
    """A record with an impossible name or too large a body is refused."""
    with pytest.raises(error):
        await records.save(kind, name, bytes(length), etag=None)


async def test_folder_processes(tmp_path: Path) -> None:
    """Processes that share a folder do not lose each other's changes."""
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from shared.errors import Conflict; from shared.storage.folder import FolderRecords\n"
        "async def main():\n"
        "    records, done = FolderRecords(Path(sys.argv[1])), 0\n"
        "    while done < 50:\n"
        "        found = await records.load('kind', 'count')\n"
        "        try: await records.save('kind', 'count', b'%d' % (int(found.body) + 1), etag=found.etag)\n"
        "        except Conflict: continue\n"
        "        done += 1\n"
        "asyncio.run(main())"
    )
    records = FolderRecords(tmp_path)
    await records.save("kind", "count", b"0", etag=None)

    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path), cwd=ROOT) for _ in range(3)
    ]

    assert [await process.wait() for process in processes] == [0, 0, 0]
    assert (await records.load("kind", "count")).body == b"150"


@pytest.mark.parametrize("fault", ["down", "refuses"])
async def test_service_fails(azurite: str, unused_tcp_port: int, fault: str) -> None:
    """A service that is down, or refuses the login, makes every call `Unavailable`, soon enough for who waits."""
    connection = {
        "down": re.sub(
            r"TableEndpoint=http://127.0.0.1:\d+", f"TableEndpoint=http://127.0.0.1:{unused_tcp_port}", azurite
        ),
        "refuses": re.sub("AccountKey=[^;]+", "AccountKey=b3RoZXI=", azurite),
    }[fault]
    records = AzureRecords(table_service(connection, None, None))

    async with asyncio.timeout(30):
        errors = await asyncio.gather(
            records.load("kind", "name"),
            records.save("kind", "name", b"", etag=None),
            records.save("kind", "name", b"", etag="0123"),
            records.delete("kind", "name"),
            anext(records.list("kind")),
            return_exceptions=True,
        )

    await records.close()
    assert [type(error) for error in errors] == [Unavailable] * 5
