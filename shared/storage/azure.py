"""Blobs in Azure Blob Storage and records in Azure Table Storage, or in Azurite.

Container and table are made when a write finds them missing, so that no call asks for them beforehand.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableEntity, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from shared.errors import Conflict, DicomwebError, InvalidRequest, NotFound, Unavailable
from shared.model import Buffer, ByteStream
from shared.storage.blobs import CHECK_BLOB, Record, StoredBlob, check_record, is_blob_name, is_record_name
from shared.storage.credentials import RANGE_BYTES, close
from shared.storage.pieces import joined

_BLOCK_BYTES = 5 * 2**20
"""Of a streamed blob. Azure takes blocks above 4 MiB at full speed; 50,000 of them make 244 GiB."""
_BLOCKS_IN_FLIGHT = 2
_RANGES_IN_FLIGHT = 2

_CONTENT = ContentSettings(content_type="application/dicom")

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class AzureBlobs:
    """Blobs of one container.

    Parameters
    ----------
    service
        From `credentials.blob_service`; closed with the store.
    container
        Its name.
    concurrency
        Blobs of one call that are written or deleted side by side.
    listed_at_once
        Blobs on one page of a listing, 5,000 at most.
    """

    def __init__(
        self, service: BlobServiceClient, *, container: str = "dicom", concurrency: int = 8, listed_at_once: int = 5000
    ) -> None:
        self._service = service
        self._listed_at_once = listed_at_once
        self._container = service.get_container_client(container)
        self._concurrency = concurrency

    async def write(self, blobs: Sequence[tuple[str, Buffer]]) -> list[DicomwebError | None]:
        """Write whole blobs side by side and return each one's error, in order; an existing name is replaced."""
        return await _errors_of([partial(self._write, name, content) for name, content in blobs], self._concurrency)

    async def write_stream(self, name: str, chunks: AsyncIterable[Buffer]) -> int:
        """Write one blob while it arrives, in blocks that become a blob together, and return its length in bytes."""
        blob = self._blob(name)
        pieces = joined(chunks, _BLOCK_BYTES)
        first = await anext(pieces, b"")
        if len(first) < _BLOCK_BYTES:
            await self._write(name, first)
            return len(first)
        return await self._write_blocks(blob, first, pieces)

    async def read(self, name: str, *, start: int = 0, length: int | None = None) -> ByteStream:
        """Open a blob and return its bytes from *start*, at most *length*, in chunks of 4 MiB."""
        if not is_blob_name(name):
            raise NotFound("There is no such blob.")
        blob = self._container.get_blob_client(name)
        # An empty range cannot be asked for, yet shows whether the blob is there.
        asked = None if length is None else max(length, 1)
        with _reading():
            try:
                opened = await blob.download_blob(start, asked)
                first = b"" if length == 0 else await anext(opened.chunks(), b"")
            except HttpResponseError as error:
                if error.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise
                return _chunks(blob, b"", start, start, "")
        end = start + (0 if length == 0 else opened.size)
        return _chunks(blob, first, start + len(first), end, opened.properties.etag)

    async def delete(self, names: Sequence[str]) -> list[DicomwebError | None]:
        """Remove blobs and return each one's error, in order; one that is not there counts as removed."""
        return await _errors_of([partial(self._delete, name) for name in names], self._concurrency)

    async def list(self, prefix: str = "", after: str = "") -> AsyncIterator[StoredBlob]:
        """Yield the blobs whose names begin with *prefix* and sort behind *after*, by name.

        The service is asked from *prefix* on: what sorts up to *after* is read and passed over.
        """
        listed = self._container.list_blobs(prefix or None, results_per_page=self._listed_at_once)
        while (found := await _next(listed)) is not None:
            if found.name > after and is_blob_name(found.name):
                yield StoredBlob(found.name, found.size, found.last_modified)

    async def check(self) -> None:
        """Raise `Unavailable` when blobs cannot be written and read now."""
        await self._write(CHECK_BLOB, b"ok")
        try:
            await self.read(CHECK_BLOB)
        except NotFound as error:
            raise Unavailable("The Blob service does not keep what is written.") from error

    async def close(self) -> None:
        """Give back connections."""
        await close(self._service)

    def _blob(self, name: str) -> BlobClient:
        if not is_blob_name(name):
            raise InvalidRequest("A blob cannot have this name.")
        return self._container.get_blob_client(name)

    async def _write(self, name: str, content: Buffer) -> None:
        blob = self._blob(name)
        whole = content if isinstance(content, bytes) else bytes(content)
        with _writing():
            await self._in_container(
                lambda: blob.upload_blob(whole, length=len(whole), overwrite=True, content_settings=_CONTENT)
            )

    async def _write_blocks(self, blob: BlobClient, first: Buffer, pieces: AsyncIterator[Buffer]) -> int:
        """Stage a few blocks at a time; what is not committed is never seen and is dropped by the service."""
        upload = secrets.token_hex(8)  # so that two writers of one name do not mix their blocks
        blocks: list[BlobBlock] = []
        staging: deque[asyncio.Task[None]] = deque()
        length = 0
        piece: Buffer | None = first
        del first
        try:
            while piece is not None:
                if len(staging) == _BLOCKS_IN_FLIGHT:
                    await staging.popleft()
                blocks.append(BlobBlock(f"{upload}{len(blocks):06d}"))
                length += len(piece)
                staging.append(asyncio.create_task(self._stage(blob, blocks[-1].id, piece)))
                piece = await anext(pieces, None)
            while staging:
                await staging.popleft()
            with _writing():
                await blob.commit_block_list(blocks, content_settings=_CONTENT)
        finally:
            await _cancel(staging)
        return length

    async def _stage(self, blob: BlobClient, block: str, piece: Buffer) -> None:
        whole = piece if isinstance(piece, bytes) else bytes(piece)
        with _writing():
            await self._in_container(lambda: blob.stage_block(block, whole, len(whole)))

    async def _delete(self, name: str) -> None:
        if not is_blob_name(name):
            return
        with suppress(NotFound), _reading():
            await self._container.get_blob_client(name).delete_blob(delete_snapshots="include")

    async def _in_container(self, call: Callable[[], Awaitable[object]]) -> None:
        try:
            await call()
        except ResourceNotFoundError as error:
            if _code(error) != "ContainerNotFound":
                raise
            with suppress(ResourceExistsError):
                await self._container.create_container()
            await call()


async def _chunks(blob: BlobClient, first: bytes, at: int, end: int, etag: str) -> ByteStream:
    """Yield *first*, then the bytes from *at* to *end*, of which a few ranges are read ahead."""
    if first:
        yield first
    del first
    ranges: deque[asyncio.Task[bytes]] = deque()
    try:
        while ranges or at < end:
            while at < end and len(ranges) < _RANGES_IN_FLIGHT:
                length = min(RANGE_BYTES, end - at)
                ranges.append(asyncio.create_task(_range(blob, at, length, etag)))
                at += length
            yield await ranges.popleft()
    finally:
        await _cancel(ranges)


async def _range(blob: BlobClient, start: int, length: int, etag: str) -> bytes:
    """Return a range of a blob that must still be the one that was opened."""
    with _reading():
        opened = await blob.download_blob(start, length, etag=etag, match_condition=MatchConditions.IfNotModified)
        return await anext(opened.chunks(), b"")


class AzureRecords:
    """Records as rows of one table: the kind is the partition key, the name the row key, the etag the service's.

    Parameters
    ----------
    service
        From `credentials.table_service`; closed with the store.
    table
        Its name.
    """

    def __init__(self, service: TableServiceClient, *, table: str = "dicomrecords") -> None:
        self._service = service
        self._table: TableClient = service.get_table_client(table)

    async def load(self, kind: str, name: str) -> Record:
        """Return a record or raise `NotFound`."""
        if not (is_record_name(kind) and is_record_name(name)):
            raise NotFound("There is no such record.")
        with _reading():
            return _record(await self._table.get_entity(kind, name))

    async def save(self, kind: str, name: str, body: bytes, *, etag: str | None) -> Record:
        """Save a record that is unchanged since it was read; *etag* None means that it must not exist yet."""
        check_record(kind, name, body)
        row: dict[str, str | bytes] = {"PartitionKey": kind, "RowKey": name, "body": body}
        with _writing():
            try:
                saved = await (self._create(row) if etag is None else self._update(row, etag))
            except ResourceExistsError as error:
                raise Conflict("The record exists already.") from error
            except (ResourceModifiedError, ResourceNotFoundError) as error:
                raise Conflict("The record has changed since it was read.") from error
        return Record(kind, name, body, saved["etag"])

    async def list(self, kind: str) -> AsyncIterator[Record]:
        """Yield all records of a kind, by name; one saved meanwhile may be missing."""
        if not is_record_name(kind):
            return
        rows = self._table.query_entities("PartitionKey eq @kind", parameters={"kind": kind})
        while (row := await _next(rows)) is not None:
            yield _record(row)

    async def delete(self, kind: str, name: str) -> None:
        """Remove a record; one that is not there counts as removed."""
        if not (is_record_name(kind) and is_record_name(name)):
            return
        with suppress(NotFound), _reading():
            await self._table.delete_entity(kind, name)

    async def close(self) -> None:
        """Give back connections."""
        await close(self._service)

    async def _create(self, row: Mapping[str, str | bytes]) -> Mapping[str, Any]:
        with suppress(ResourceNotFoundError):
            return await self._table.create_entity(row)
        with suppress(ResourceExistsError):
            await self._table.create_table()
        return await self._table.create_entity(row)

    async def _update(self, row: Mapping[str, str | bytes], etag: str) -> Mapping[str, Any]:
        return await self._table.update_entity(
            row, UpdateMode.REPLACE, etag=etag, match_condition=MatchConditions.IfNotModified
        )


def _record(row: TableEntity) -> Record:
    return Record(row["PartitionKey"], row["RowKey"], row["body"], row.metadata["etag"] or "")


async def _next(rows: AsyncIterator[_Result]) -> _Result | None:
    """Return the next of what is listed; None at the end, and where nothing was ever written."""
    with suppress(NotFound), _reading():
        return await anext(rows, None)
    return None


async def _errors_of(
    calls: Sequence[Callable[[], Coroutine[Any, Any, None]]], limit: int
) -> list[DicomwebError | None]:
    """Do all *calls*, at most *limit* at a time, and return each one's error."""
    free = asyncio.Semaphore(limit)

    async def error_of(call: Callable[[], Coroutine[Any, Any, None]]) -> DicomwebError | None:
        async with free:
            try:
                await call()
            except DicomwebError as error:
                return error
            return None

    return await asyncio.gather(*map(error_of, calls))


async def _cancel(tasks: deque[asyncio.Task[_Result]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _reading() -> Iterator[None]:
    """Tell the SDK's errors as ours; what is not there is `NotFound`."""
    try:
        yield
    except ResourceNotFoundError as error:
        raise NotFound("Nothing is stored under this name.") from error
    except AzureError as error:
        raise _unavailable(error) from error


@contextmanager
def _writing() -> Iterator[None]:
    """Tell the SDK's errors as `Unavailable`."""
    try:
        yield
    except AzureError as error:
        raise _unavailable(error) from error


def _unavailable(error: AzureError) -> Unavailable:
    """Log what happened, without names of blobs, and return the error for the client."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    _log.warning("azure storage failed: %s, status %s, code %s", type(error).__name__, status, _code(error))
    return Unavailable("The storage does not answer, or refuses.")


def _code(error: AzureError) -> object:
    """Return the service's own word for the error; the SDK adds it to errors whose types do not have it."""
    return getattr(error, "error_code", None)
