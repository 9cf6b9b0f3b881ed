"""The Store transaction (PS3.18 §10.5): durable bytes first, then everything visible at once.

Works in batches of bounded memory: reserve versions, write blobs, and after the last batch publish all in one
transaction. What a crash or an error leaves is a reservation and blobs that nobody can reach; `cleanup` removes both.
"""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.backend import Backend
from shared.dicom.attributes import RETURNED, SEARCHABLE, tag_of
from shared.dicom.header import Header, HeaderReader
from shared.dicom.reports import FailureReason, WarningReason
from shared.dicom.validation import empty_patient_id, missing_or_invalid, uid_value
from shared.dicom.values import index_value
from shared.errors import DicomwebError, PayloadTooLarge, Unavailable, UnreadableFile
from shared.index.instances import Refusal, abandon, publish, reserve
from shared.model import Buffer, FailedAttribute, InstanceKey, Level, NewInstance, Outcome, Partition
from shared.storage.blobs import instance_blob
from shared.versions import VersionRules

_STUDY = tag_of("StudyInstanceUID")
_SERIES = tag_of("SeriesInstanceUID")
_INSTANCE = tag_of("SOPInstanceUID")
_CLASS = tag_of("SOPClassUID")
_IMPLICIT_VR = "1.2.840.10008.1.2"
_PREAMBLE_BYTES = 128
_SHORT_HEADER_BYTES = 64 * 1024
"""Of a header: what takes a few milliseconds to read at the most."""
_INSTANCE_BYTES = 8 * 1024
"""Of memory that an instance takes beside its file, for the batch's bound."""
_MAX_FILES = 50_000
"""In one request: each leaves an outcome in memory until the answer."""

_FAILURE_OF = {
    Refusal.ALREADY_STORED: FailureReason.ALREADY_STORED,
    Refusal.RESERVATION_LOST: FailureReason.PROCESSING_FAILURE,
}


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What the request says beside its body; `study` is the UID of the path, if it has one."""

    partition: Partition
    study: str | None
    rules: VersionRules


async def store(files: AsyncIterator[AsyncIterator[Buffer]], request: StoreRequest, backend: Backend) -> list[Outcome]:
    """Store Part 10 files as they arrive and return the outcome of each, in order.

    A file that cannot be stored is a failed outcome and never keeps the others from being stored. An error raised
    by *files*, or here, means that nothing of the request is stored.

    Raises
    ------
    PayloadTooLarge
        One file is over the limit.
    Unavailable, DependencyFailed
        Index or storage do not answer.
    """
    transaction = _Transaction(request, backend)
    try:
        async for chunks in files:
            await transaction.receive(chunks)
        return await transaction.publish()
    finally:
        await transaction.abandon()


@dataclass(frozen=True, slots=True)
class _Received:
    """An instance that passed the checks and waits for its version; `outcome` holds unless storing fails."""

    position: int
    outcome: Outcome
    instance: NewInstance
    body: Buffer


class _Transaction:
    """The state of one request."""

    def __init__(self, request: StoreRequest, backend: Backend) -> None:
        self._request = request
        self._backend = backend
        self._outcomes: list[Outcome] = []
        self._keys: set[InstanceKey] = set()
        self._batch: list[_Received] = []
        self._batch_bytes = 0
        self._reserved: set[int] = set()
        self._written: list[tuple[int, NewInstance]] = []

    async def receive(self, chunks: AsyncIterator[Buffer]) -> None:
        """Take one file: into the batch, or, when it is larger than a batch may be, straight to storage."""
        settings = self._backend.settings
        position = len(self._outcomes)
        if position == _MAX_FILES:
            raise PayloadTooLarge(f"The request holds more than {_MAX_FILES} instances, the limit of this service.")
        self._outcomes.append(Outcome(failure=FailureReason.PROCESSING_FAILURE))
        pieces: list[Buffer] = []
        length = 0
        async for chunk in chunks:
            pieces.append(chunk)
            length += len(chunk)
            if length > settings.batch_bytes:
                await self._flush()
                self._outcomes[position] = await self._stream(position, bytearray().join(pieces), chunks)
                return
        body = bytearray().join(pieces)
        if len(body) > settings.max_instance_bytes:
            raise _too_large(settings.max_instance_bytes)
        if self._batch_bytes + len(body) > settings.batch_bytes:
            await self._flush()
        self._outcomes[position] = await self._accept(position, body)

    async def publish(self) -> list[Outcome]:
        """Make everything that was written visible, in one transaction."""
        await self._flush()
        if self._written:
            instances = [instance for _, instance in self._written]
            refusals = await self._backend.index.write_each(publish, instances, self._backend.now())
            self._reserved.difference_update(instance.version for instance in instances)
            for (position, _), refusal in zip(self._written, refusals, strict=True):
                if refusal is not None:
                    self._outcomes[position] = _failed(self._outcomes[position], _FAILURE_OF[refusal])
        return self._outcomes

    async def abandon(self) -> None:
        """Give up what was reserved and not published; if that fails too, the cleanup timer finds it."""
        if self._reserved:
            versions, self._reserved = sorted(self._reserved), set()
            with contextlib.suppress(DicomwebError):
                await asyncio.shield(self._backend.index.write(abandon, versions, self._backend.now()))

    async def _accept(self, position: int, body: bytearray) -> Outcome:
        """Read and check one whole file; it joins the batch, or its failure is returned."""
        try:
            header = await _read_header(body)
        except UnreadableFile as error:
            return _unreadable(error)
        outcome, key = self._check(header.dataset, header.transfer_syntax)
        if outcome.failure is None:
            body[:_PREAMBLE_BYTES] = bytes(_PREAMBLE_BYTES)
            # Compact at once: a header as Python objects may take more memory than its file.
            self._batch.append(_Received(position, outcome, await _unversioned(key, header, len(body)), body))
            self._batch_bytes += len(body) + _INSTANCE_BYTES
        return outcome

    def _check(self, dataset: Mapping[str, Any], transfer_syntax: str) -> tuple[Outcome, InstanceKey]:
        """Decide what the header alone can decide (store.md, "Required attributes", "Study UID match")."""
        request = self._request
        key = InstanceKey(
            request.partition.key,
            uid_value(dataset, _STUDY),
            uid_value(dataset, _SERIES),
            uid_value(dataset, _INSTANCE),
        )
        named = Outcome(key, uid_value(dataset, _CLASS) or None)
        failed, warned = missing_or_invalid(dataset), empty_patient_id(dataset)
        if not request.rules.allows_empty_patient_id:
            failed, warned = failed + warned, []
        if failed:
            return _failed(named, FailureReason.CANNOT_UNDERSTAND, *failed), key
        if request.study is not None and key.study.lower() != request.study.lower():
            mismatch = FailedAttribute(_STUDY, "not the study of the path")
            return _failed(named, FailureReason.STUDY_MISMATCH, mismatch), key
        if key in self._keys:
            return _failed(named, FailureReason.ALREADY_STORED), key
        self._keys.add(key)
        warning = WarningReason.ATTRIBUTES if warned else None
        if transfer_syntax == _IMPLICIT_VR:
            warning = WarningReason.DATA_SET_MISMATCH
        return Outcome(key, named.sop_class, None, warning, tuple(warned)), key

    async def _flush(self) -> None:
        """Reserve versions for the batch and write its blobs; nothing is visible until `publish`."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if not batch:
            return
        backend = self._backend
        versions = await self._reserve([received.instance.key for received in batch])
        writing: list[tuple[_Received, int]] = []
        for received, version in zip(batch, versions, strict=True):
            if version is None:
                self._fail(received, FailureReason.ALREADY_STORED)
            else:
                writing.append((received, version))
        errors = await backend.blobs.write([(instance_blob(version), one.body) for one, version in writing])
        _raise_if_all_failed(errors)
        for (received, version), error in zip(writing, errors, strict=True):
            if error is not None:
                self._fail(received, FailureReason.PROCESSING_FAILURE)
            else:
                self._written.append((received.position, replace(received.instance, version=version)))

    async def _reserve(self, keys: list[InstanceKey]) -> Sequence[int | None]:
        versions = await self._backend.index.write_each(reserve, keys, self._backend.now())
        self._reserved.update(version for version in versions if version is not None)
        return versions

    async def _stream(self, position: int, head: bytearray, rest: AsyncIterator[Buffer]) -> Outcome:
        """Store one large file while it arrives. Its UIDs must lie in *head*, the bytes that are here already."""
        limit = self._backend.settings.max_instance_bytes
        reader = HeaderReader()
        try:
            await asyncio.to_thread(reader.feed, head)
        except UnreadableFile as error:
            return _unreadable(error)
        if not reader.has_passed(_SERIES):
            return _unreadable(UnreadableFile(f"the UIDs are not in the first {len(head)} bytes"))
        outcome, key = self._check(reader.dataset, reader.transfer_syntax)
        if outcome.failure is not None:
            return outcome
        try:
            [version] = await self._reserve([key])
            if version is None:
                return _failed(outcome, FailureReason.ALREADY_STORED)
            head[:_PREAMBLE_BYTES] = bytes(_PREAMBLE_BYTES)
            chunks = _fed(head, rest, reader, limit)
            length = await self._backend.blobs.write_stream(instance_blob(version), chunks)
            new = await _unversioned(key, reader.finish(), length)
            self._written.append((position, replace(new, version=version)))
        except UnreadableFile as error:
            self._keys.discard(key)
            return _unreadable(error)
        return outcome

    def _fail(self, received: _Received, reason: FailureReason) -> None:
        self._keys.discard(received.instance.key)
        self._outcomes[received.position] = _failed(received.outcome, reason)


async def _read_header(file: bytearray) -> Header:
    """Return the header of a whole file; a long one is read in a thread, while other requests have their turn."""
    reader = HeaderReader()
    with memoryview(file) as view:
        reader.feed(view[:_SHORT_HEADER_BYTES])
        rest = view[_SHORT_HEADER_BYTES:]
        if reader.pixel_data is None and rest:
            await asyncio.to_thread(reader.feed, rest)
        else:
            reader.feed(rest)
    return reader.finish()


async def _fed(head: bytearray, rest: AsyncIterator[Buffer], reader: HeaderReader, limit: int) -> AsyncIterator[Buffer]:
    """Yield a file's bytes while *reader* reads along."""
    length = len(head)
    yield head
    async for chunk in rest:
        length += len(chunk)
        if length > limit:
            raise _too_large(limit)
        if reader.pixel_data is None:
            await asyncio.to_thread(reader.feed, chunk)
        else:  # only skipped
            reader.feed(chunk)
        yield chunk


async def _unversioned(key: InstanceKey, header: Header, length: int) -> NewInstance:
    """Return what is published of a file; a long header, which takes as long to write as to read, in a thread."""
    if header.pixel_data is None and length > _SHORT_HEADER_BYTES:
        return await asyncio.to_thread(_new_instance, key, header, length)
    return _new_instance(key, header, length)


def _new_instance(key: InstanceKey, header: Header, length: int) -> NewInstance:
    dataset = header.dataset
    return NewInstance(
        version=0,
        key=key,
        sop_class=uid_value(dataset, _CLASS),
        transfer_syntax=header.transfer_syntax,
        length_bytes=length,
        values={level: _exactly(orjson.dumps(_values(dataset, level))) for level in Level},
        attributes={
            level: _exactly(orjson.dumps({tag: dataset[tag] for tag in tags if "Value" in dataset.get(tag, ())}))
            for level, tags in RETURNED.items()
        },
        # Level 1: metadata is written far more often than it is read from here (it is consolidated later).
        metadata=_exactly(zlib.compress(orjson.dumps(dataset), 1)),
    )


def _exactly(content: bytes) -> bytes:
    """Return a copy that takes no more memory than it is long: what orjson gives keeps the buffer it was written in."""
    return bytes(memoryview(content))


def _values(dataset: Mapping[str, Any], level: Level) -> dict[str, str | float]:
    """Return what the index compares of one level, by keyword."""
    found = ((one, index_value(dataset.get(one.tag), one.vr)) for one in SEARCHABLE.values() if one.level is level)
    return {one.keyword: value for one, value in found if value is not None}


def _unreadable(error: UnreadableFile) -> Outcome:
    return Outcome(failure=FailureReason.CANNOT_UNDERSTAND, attributes=(FailedAttribute("", str(error)),))


def _failed(outcome: Outcome, reason: FailureReason, *attributes: FailedAttribute) -> Outcome:
    return Outcome(outcome.key, outcome.sop_class, failure=reason, attributes=attributes)


def _raise_if_all_failed(errors: list[DicomwebError | None]) -> None:
    """Tell a storage that is away (503: the client tries again) from one blob that could not be written."""
    failures = [error for error in errors if error is not None]
    if failures and len(failures) == len(errors) and all(isinstance(error, Unavailable) for error in failures):
        raise failures[0]


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"An instance is larger than {limit} bytes, the limit of this service.")
