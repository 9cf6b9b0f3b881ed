"""Blobs and records in a folder of a local disk.

What has returned is on the disk: the bytes of a file, its entry in its folder, and the entries of new folders.
"""

import asyncio
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from shared.errors import Conflict, DicomwebError, InvalidRequest, NotFound, Unavailable
from shared.model import Buffer, ByteStream
from shared.storage import files
from shared.storage.blobs import CHECK_BLOB, Record, StoredBlob, check_record, is_blob_name, is_record_name
from shared.storage.pieces import joined

_THREADS = 8
_CHUNK_BYTES = 2**20
_OPEN_FILES = 64
"""Files of one batch that are written before the first of them is synced."""
_LISTED_AT_ONCE = 64
_BLOBS_LISTED_AT_ONCE = 1000

_Errors: TypeAlias = list[DicomwebError | None]  # behind a method called `list` that name is the method's


class FolderBlobs:
    """Blobs as files below *root*; readers do not wait for the disk's syncs, since they have threads of their own."""

    def __init__(self, root: Path, *, threads: int = _THREADS) -> None:
        self._root = root.absolute()
        self._folders = files.Folders(self._root)
        self._writers = files.Workers("blob-writer", threads)
        self._readers = files.Workers("blob-reader", threads)

    async def write(self, blobs: Sequence[tuple[str, Buffer]]) -> list[DicomwebError | None]:
        """Write whole blobs and return each one's error, in order; an existing name is replaced."""
        return await self._writers.run(self._write, blobs)

    async def write_stream(self, name: str, chunks: AsyncIterable[Buffer]) -> int:
        """Write one blob while it arrives, 1 MiB at a time, and return its length in bytes."""
        new = await self._writers.run(self._create, name)
        length = 0
        try:
            async for piece in joined(chunks, _CHUNK_BYTES):
                await self._writers.run(new.write, piece)
                length += len(piece)
            await self._writers.run(_finish, new)
        except BaseException:
            await asyncio.shield(self._writers.run(new.abandon))
            raise
        return length

    async def read(self, name: str, *, start: int = 0, length: int | None = None) -> ByteStream:
        """Open a blob and return its bytes from *start*, at most *length*, in chunks of 1 MiB."""
        file = files.OpenFile(_path(self._root, name))
        end = file.length if length is None else min(file.length, start + length)
        first = await self._read(file, start, min(end - start, _CHUNK_BYTES)) if start < end else b""
        return self._chunks(file if start + len(first) < end else None, first, start + len(first), end)

    async def delete(self, names: Sequence[str]) -> list[DicomwebError | None]:
        """Remove blobs and return each one's error, in order; one that is not there counts as removed."""
        return await self._writers.run(self._delete, names)

    async def list(self, prefix: str = "", after: str = "") -> AsyncIterator[StoredBlob]:
        """Yield the blobs whose names begin with *prefix* and sort behind *after*, by name."""
        found = files.walk(self._root, prefix, after, is_blob_name)
        while some := await self._readers.run(_page, found):
            for one in some:
                yield one

    async def check(self) -> None:
        """Raise `Unavailable` when blobs cannot be written and read now."""
        [error] = await self.write([(CHECK_BLOB, b"ok")])
        if error is not None:
            raise error
        try:
            await self.read(CHECK_BLOB)
        except NotFound as missing:
            raise Unavailable("The storage folder does not keep what is written.") from missing

    async def close(self) -> None:
        """End the threads."""
        self._writers.close()
        self._readers.close()

    def _write(self, blobs: Sequence[tuple[str, Buffer]]) -> _Errors:
        errors: _Errors = []
        remaining = iter(blobs)
        while some := list(islice(remaining, _OPEN_FILES)):
            errors += self._write_some(some)
        return errors

    def _write_some(self, blobs: Sequence[tuple[str, Buffer]]) -> _Errors:
        """Write all files, then sync all: the first sync does much of what the others would wait for."""
        begun = [self._begin(name, content) for name, content in blobs]
        return _synced([one if isinstance(one, DicomwebError) else _finished(one) for one in begun])

    def _begin(self, name: str, content: Buffer) -> files.NewFile | DicomwebError:
        try:
            file = self._create(name)
        except DicomwebError as error:
            return error
        try:
            file.write(content)
        except DicomwebError as error:
            file.abandon()
            return error
        return file

    def _create(self, name: str) -> files.NewFile:
        if not is_blob_name(name):
            raise InvalidRequest("A blob cannot have this name.")
        path = self._root / name
        self._folders.make(path.parent)
        try:
            return files.NewFile(path)
        except FileNotFoundError:
            self._folders.forget()  # someone removed the folder
            self._folders.make(path.parent)
        with files.writing():
            return files.NewFile(path)

    async def _read(self, file: files.OpenFile, start: int, length: int) -> bytes:
        """Read in a thread only what the disk has to be waited for: handing it over takes longer than to read it."""
        found = file.read_at_once(start, length)
        return await self._readers.run(file.read, start, length) if found is None else found

    async def _chunks(self, file: files.OpenFile | None, first: bytes, at: int, end: int) -> ByteStream:
        if first:
            yield first
        while file is not None and at < end:
            await asyncio.sleep(0)  # others' turn
            chunk = await self._read(file, at, min(end - at, _CHUNK_BYTES))
            at += len(chunk)
            yield chunk

    def _delete(self, names: Sequence[str]) -> _Errors:
        return _synced([self._removed(name) for name in names])

    def _removed(self, name: str) -> Path | DicomwebError | None:
        """Return the folder to sync, why the blob could not be removed, or None when there is none."""
        try:
            path = _path(self._root, name)
            files.remove(path)
        except NotFound:
            return None
        except DicomwebError as error:
            return error
        return path.parent


class FolderRecords:
    """Records as files below *root*, a folder for each kind; the first line of a file is the record's etag."""

    def __init__(self, root: Path, *, threads: int = _THREADS) -> None:
        self._root = root.absolute()
        self._folders = files.Folders(self._root)
        self._workers = files.Workers("records", threads)

    async def load(self, kind: str, name: str) -> Record:
        """Return a record or raise `NotFound`."""
        return await self._workers.run(self._load, kind, name)

    async def save(self, kind: str, name: str, body: bytes, *, etag: str | None) -> Record:
        """Save a record that is unchanged since it was read; *etag* None means that it must not exist yet."""
        return await self._workers.run(self._save, kind, name, body, etag)

    async def list(self, kind: str) -> AsyncIterator[Record]:
        """Yield all records of a kind, by name; one saved meanwhile may be missing."""
        names = iter(await self._workers.run(self._names, kind))
        while some := [*islice(names, _LISTED_AT_ONCE)]:
            for record in await self._workers.run(self._load_present, kind, some):
                yield record

    async def delete(self, kind: str, name: str) -> None:
        """Remove a record; one that is not there counts as removed."""
        await self._workers.run(self._delete, kind, name)

    async def close(self) -> None:
        """End the threads."""
        self._workers.close()

    def _load(self, kind: str, name: str) -> Record:
        file = files.OpenFile(_record_path(self._root, kind, name))
        etag, _, body = file.read(0, file.length).partition(b"\n")
        return Record(kind, name, body, etag.decode("ascii"))

    def _save(self, kind: str, name: str, body: bytes, etag: str | None) -> Record:
        check_record(kind, name, body)
        path = self._root / kind / name
        self._folders.make(path.parent)
        record = Record(kind, name, body, secrets.token_hex(8))
        with files.locked(path.parent):
            if self._etag(kind, name) != etag:
                raise Conflict("The record has changed since it was read." if etag else "The record exists already.")
            files.replace(path, record.etag.encode("ascii") + b"\n" + body)
        return record

    def _etag(self, kind: str, name: str) -> str | None:
        try:
            return self._load(kind, name).etag
        except NotFound:
            return None

    def _names(self, kind: str) -> Sequence[str]:
        if not is_record_name(kind):
            return []
        try:
            with files.reading():
                names = [path.name for path in (self._root / kind).iterdir()]
        except NotFound:
            return []
        return sorted(filter(is_record_name, names))

    def _load_present(self, kind: str, names: Sequence[str]) -> Sequence[Record]:
        found = []
        for name in names:
            with suppress(NotFound):
                found.append(self._load(kind, name))
        return found

    def _delete(self, kind: str, name: str) -> None:
        with suppress(NotFound):
            path = _record_path(self._root, kind, name)
            with files.locked(path.parent):
                files.remove(path)
                files.sync_folder(path.parent)


def _page(found: Iterator[files.Found]) -> Sequence[StoredBlob]:
    return [StoredBlob(*one) for one in islice(found, _BLOBS_LISTED_AT_ONCE)]


def _finish(file: files.NewFile) -> None:
    file.finish()
    files.sync_folder(file.path.parent)


def _finished(file: files.NewFile) -> Path | DicomwebError:
    """Return the folder to sync, or why the file could not be finished."""
    try:
        file.finish()
    except DicomwebError as error:
        file.abandon()
        return error
    return file.path.parent


def _synced(outcomes: Sequence[Path | DicomwebError | None]) -> list[DicomwebError | None]:
    """Sync each folder once; one that cannot be synced is the error of everything in it."""
    failed = {folder: _error_of_sync(folder) for folder in {one for one in outcomes if isinstance(one, Path)}}
    return [failed[one] if isinstance(one, Path) else one for one in outcomes]


def _error_of_sync(folder: Path) -> DicomwebError | None:
    try:
        files.sync_folder(folder)
    except DicomwebError as error:
        return error
    return None


def _path(root: Path, name: str) -> Path:
    if not is_blob_name(name):
        raise NotFound("There is no such blob.")
    return root / name


def _record_path(root: Path, kind: str, name: str) -> Path:
    if not (is_record_name(kind) and is_record_name(name)):
        raise NotFound("There is no such record.")
    return root / kind / name
