"""The Store transaction (PS3.18 §10.5): durable bytes first, then everything visible at once.

Works in batches of bounded memory: reserve versions, write blobs, and after the last batch publish all in one
transaction. What a crash or an error leaves is a reservation and blobs that nobody can reach; `cleanup` removes both.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.backend import Backend
from shared.dicom.attributes import tag_of
from shared.dicom.header import Header, HeaderReader, is_deflated
from shared.dicom.reports import FailureReason
from shared.errors import Conflict, DicomwebError, PayloadTooLarge, Unavailable, UnreadableFile
from shared.index.instances import stored_instances
from shared.index.publishing import Refusal, abandon, publish, publish_and_confirm, reserve, reserve_any
from shared.model import (
    Buffer,
    FailedAttribute,
    InstanceKey,
    NewInstance,
    Outcome,
    StoredInstance,
)
from shared.services.acceptance import Acceptance, StoreRequest, accept, failed
from shared.services.new_instance import SHORT_HEADER_BYTES, is_long, new_instance
from shared.services.renewal import renew_studies
from shared.services.sameness import is_same_blob, is_same_file
from shared.storage.blobs import instance_blob

_LAST_UID = tag_of("SeriesInstanceUID")
_PREAMBLE_BYTES = 128
_INSTANCE_BYTES = 8 * 1024
"""Of memory that an instance takes beside its file, for the batch's bound."""
_LONGEST_WRITE = timedelta(hours=1)
"""A thread that writes a file may go on after its request was given up; only then is the file removed for good."""
_MOST_TOLD = 20_000
"""Invalid attributes that the answer to one request names; beyond, one of each instance."""

_FAILURE_OF = {
    Refusal.ALREADY_STORED: FailureReason.ALREADY_STORED,
    Refusal.RESERVATION_LOST: FailureReason.PROCESSING_FAILURE,
}


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
    transaction = _Transaction(replace(request, tags=await backend.query_tags()), backend)
    try:
        async for chunks in files:
            await transaction.receive(chunks)
        outcomes = await transaction.publish()
    except Conflict as error:  # no instance is at fault: the client should send the request again
        raise Unavailable(str(error)) from error
    finally:
        await transaction.abandon()
    if request.replaces:
        await renew_studies(request.partition.key, {one.key.study for one in outcomes if one.key is not None}, backend)
    return outcomes


@dataclass(frozen=True, slots=True)
class _Received:
    """An instance that passed the checks and waits for its version."""

    position: int
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
        self._written: dict[int, NewInstance] = {}
        """By position."""
        self._last: dict[InstanceKey, int] = {}
        """Where the newest of those is, by key."""
        self._unchanged: list[InstanceKey] = []
        self._repeated: list[tuple[int, int]] = []
        """Positions of files that make no version, and of the equal ones before them in the request."""
        self._told = 0

    async def receive(self, chunks: AsyncIterator[Buffer]) -> None:
        """Take one file: into the batch, or, when it is larger than a batch may be, straight to storage."""
        position = len(self._outcomes)
        # Each leaves an outcome, metadata and index values in memory until the answer.
        if position == (most := self._backend.settings.max_parts):
            raise PayloadTooLarge(f"The request holds more than {most} instances, the limit of this service.")
        self._outcomes.append(Outcome(failure=FailureReason.PROCESSING_FAILURE))
        try:
            self._outcomes[position] = self._briefly(await self._take(position, chunks))
        except UnreadableFile as error:
            unreadable = FailedAttribute(error.tag, error.problem)
            self._outcomes[position] = Outcome(failure=FailureReason.CANNOT_UNDERSTAND, attributes=(unreadable,))

    async def publish(self) -> list[Outcome]:
        """Make everything that was written visible, in one transaction."""
        await self._flush()
        index, clock = self._backend.index, self._backend.now
        instances = list(self._written.values())
        refusals: Sequence[Refusal | None] = ()
        if self._unchanged:
            terms = self._request.terms
            refusals = await index.write(publish_and_confirm, instances, self._unchanged, terms, clock)
        elif instances:
            refusals = await index.write_each(publish, instances, clock)
        self._reserved.difference_update(instance.version for instance in instances)
        for position, refusal in zip(self._written, refusals, strict=True):
            if refusal is not None:
                self._fail(position, _FAILURE_OF[refusal])
        for position, first in self._repeated:
            if self._outcomes[first].failure is not None:
                self._outcomes[position] = self._outcomes[first]
        return self._outcomes

    async def abandon(self) -> None:
        """Give up what was reserved and not published; if that fails too, the cleanup timer finds it."""
        if self._reserved:
            versions, self._reserved = sorted(self._reserved), set()
            with contextlib.suppress(DicomwebError):
                due_at = self._backend.now() + _LONGEST_WRITE
                await asyncio.shield(self._backend.index.write(abandon, versions, due_at))

    def _briefly(self, outcome: Outcome) -> Outcome:
        """Return an outcome with as much of its attributes as the answer has room for."""
        room = max(_MOST_TOLD - self._told, 1)
        self._told += len(outcome.attributes)
        return outcome if len(outcome.attributes) <= room else replace(outcome, attributes=outcome.attributes[:room])

    async def _take(self, position: int, chunks: AsyncIterator[Buffer]) -> Outcome:
        settings = self._backend.settings
        pieces: list[Buffer] = []
        length = 0
        async for chunk in chunks:
            pieces.append(chunk)
            length += len(chunk)
            if length > settings.batch_bytes:
                await self._flush()
                return await self._stream(position, bytearray().join(pieces), chunks)
        body = bytearray().join(pieces)
        if len(body) > settings.max_instance_bytes:
            raise _too_large(settings.max_instance_bytes)
        if self._batch_bytes + len(body) > settings.batch_bytes:
            await self._flush()
        return await self._accept(position, body)

    async def _accept(self, position: int, body: bytearray) -> Outcome:
        """Read and check one whole file; it joins the batch unless it failed.

        Long headers are worked on in threads, while other requests have their turn, and one at a time: as Python
        objects a header takes many times its bytes.
        """
        reader = HeaderReader()
        at_once = 0 if is_deflated(memoryview(body)[:SHORT_HEADER_BYTES]) else SHORT_HEADER_BYTES
        head, rest = memoryview(body)[:at_once], memoryview(body)[at_once:]
        reader.feed(head)
        if reader.pixel_data is not None or not rest:
            reader.feed(rest)
            return await self._admit(position, body, reader.finish())
        async with self._backend.long_header:
            await asyncio.to_thread(reader.feed, rest)
            return await self._admit(position, body, reader.finish())

    async def _admit(self, position: int, body: bytearray, header: Header) -> Outcome:
        """Check a file whose header was read; it joins the batch unless it failed."""
        checked = await self._check(header, len(body))
        if checked.outcome.failure is None:
            self._keys.add(checked.key)
            body[:_PREAMBLE_BYTES] = bytes(_PREAMBLE_BYTES)
            # Compact at once: a header as Python objects may take more memory than its file.
            instance = await self._new_instance(checked, header, len(body))
            self._batch.append(_Received(position, instance, body))
            self._batch_bytes += len(body) + _INSTANCE_BYTES
        return checked.outcome

    async def _stream(self, position: int, head: bytearray, rest: AsyncIterator[Buffer]) -> Outcome:
        """Store one large file while it arrives. Its UIDs must lie in *head*, the bytes that are here already."""
        backend = self._backend
        reader = HeaderReader()
        await asyncio.to_thread(reader.feed, head)
        if not reader.has_passed(_LAST_UID):
            raise UnreadableFile(f"the UIDs are not in the first {len(head)} bytes")
        early = await self._check(reader.so_far(), len(head))
        if early.outcome.failure is not None:
            return early.outcome
        [version] = await self._reserve([early.key])
        if version is None:
            return failed(early.outcome, FailureReason.ALREADY_STORED)
        head[:_PREAMBLE_BYTES] = bytes(_PREAMBLE_BYTES)
        chunks = _fed(head, rest, reader, backend.settings.max_instance_bytes)
        length = await backend.blobs.write_stream(instance_blob(version), chunks)
        header = reader.finish()
        checked = await self._check(header, length)
        if checked.outcome.failure is not None:
            return checked.outcome
        if self._request.replaces:
            known = (await self._known([checked.key])).get(checked.key)
            if known is not None and await is_same_blob(known, version, length, backend.blobs):
                self._keep(position, checked.key)
                return checked.outcome
        self._keys.add(checked.key)
        instance = await self._new_instance(checked, header, length)
        self._add(position, instance, version)
        return checked.outcome

    async def _new_instance(self, checked: Acceptance, header: Header, length_bytes: int) -> NewInstance:
        terms, tags = self._request.terms, self._request.tags
        return await new_instance(checked.key, header, length_bytes, checked.left_out, terms, tags)

    async def _check(self, header: Header, length_bytes: int) -> Acceptance:
        if is_long(header, length_bytes):
            return await asyncio.to_thread(accept, header, self._request, self._keys)
        return accept(header, self._request, self._keys)

    async def _flush(self) -> None:
        """Reserve versions for the batch and write its blobs; nothing is visible until `publish`."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch and self._request.replaces:
            batch = await self._changed(batch)
        if not batch:
            return
        versions = await self._reserve([received.instance.key for received in batch])
        writing: list[tuple[_Received, int]] = []
        for received, version in zip(batch, versions, strict=True):
            if version is None:
                self._fail(received.position, FailureReason.ALREADY_STORED)
            else:
                writing.append((received, version))
        errors = await self._backend.blobs.write([(instance_blob(version), one.body) for one, version in writing])
        _raise_if_all_failed(errors)
        for (received, version), error in zip(writing, errors, strict=True):
            if error is not None:
                self._fail(received.position, FailureReason.PROCESSING_FAILURE)
            else:
                self._add(received.position, received.instance, version)

    async def _reserve(self, keys: list[InstanceKey]) -> Sequence[int | None]:
        work = reserve_any if self._request.replaces else reserve
        versions: Sequence[int | None] = await self._backend.index.write_each(work, keys, self._backend.now)
        self._reserved.update(version for version in versions if version is not None)
        return versions

    async def _changed(self, batch: list[_Received]) -> list[_Received]:
        """Return what of a batch is not there byte for byte already; the rest makes no new version."""
        known = await self._known([received.instance.key for received in batch])
        newest: dict[InstanceKey, _Received] = {}
        changed = []
        for received in batch:
            key = received.instance.key
            earlier = newest.get(key)
            if earlier is not None and earlier.body == received.body:
                self._repeated.append((received.position, earlier.position))
            elif (
                earlier is None and key in known and await is_same_file(known[key], received.body, self._backend.blobs)
            ):
                self._keep(received.position, key)
            else:
                newest[key] = received
                changed.append(received)
        return changed

    async def _known(self, keys: list[InstanceKey]) -> dict[InstanceKey, StoredInstance | NewInstance]:
        """Return the newest instance of each key: what this request has written, else what is published."""
        stored = await self._backend.index.read(stored_instances, keys)
        return {**stored, **{key: self._written[self._last[key]] for key in keys if key in self._last}}

    def _keep(self, position: int, key: InstanceKey) -> None:
        """Note that a file makes no version, as the newest instance of its key is the same."""
        if key in self._last:
            self._repeated.append((position, self._last[key]))
        else:
            self._unchanged.append(key)

    def _add(self, position: int, instance: NewInstance, version: int) -> None:
        """Note that the bytes of an instance are durable."""
        self._written[position] = replace(instance, version=version)
        self._last[instance.key] = position

    def _fail(self, position: int, reason: FailureReason) -> None:
        outcome = self._outcomes[position]
        if outcome.key is not None:
            self._keys.discard(outcome.key)
        self._outcomes[position] = failed(outcome, reason)


async def _fed(head: bytearray, rest: AsyncIterator[Buffer], reader: HeaderReader, limit: int) -> AsyncIterator[Buffer]:
    """Yield a file's bytes while *reader* reads along."""
    length = len(head)
    if length > limit:
        raise _too_large(limit)
    yield head
    async for chunk in rest:
        length += len(chunk)
        if length > limit:
            raise _too_large(limit)
        if reader.pixel_data is None or reader.is_deflated:
            await asyncio.to_thread(reader.feed, chunk)
        else:  # only skipped
            reader.feed(chunk)
        yield chunk


def _raise_if_all_failed(errors: list[DicomwebError | None]) -> None:
    """Tell a storage that is away (503: the client tries again) from one blob that could not be written."""
    failures = [error for error in errors if error is not None]
    if failures and len(failures) == len(errors) and all(isinstance(error, Unavailable) for error in failures):
        raise failures[0]


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"An instance is larger than {limit} bytes, the limit of this service.")
