"""Do the index, the blobs and the change feed agree? Reads only, in bounded memory, beside a live service.

What a rule finds in the index is one statement's view and final. Blobs and index cannot be seen at one moment: what
looks wrong there is looked at once more, in an order in which no Store, delete or cleanup could have made it look so.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.backend import Backend
from shared.errors import NotFound, UnreadableFile
from shared.index import audit, change_feed, documents, query_tags
from shared.index.audit import Known
from shared.model import InstanceKey
from shared.services import events, operations
from shared.services.findings import Example, Finding, Report
from shared.services.side_by_side import (
    documents_side_by_side,
    files,
    is_whole,
    known_by_name,
    known_documents,
    look_wrong,
    read_uids,
    side_by_side,
    stored_blob,
)
from shared.services.values import PARENTS, differing_instances, differing_parents
from shared.storage.blobs import (
    CHECK_BLOB,
    DOCUMENTS,
    StoredBlob,
    document_blob,
    instance_blob,
    thumbnail_of,
)

_VERSIONS_AT_ONCE = 200


async def check(backend: Backend, *, is_deep: bool = False, most_examples: int = 10) -> Report:
    """Compare the index, the blobs and the change feed.

    Parameters
    ----------
    is_deep
        Whether the header of each file is read and its UIDs compared with the row's, and whether the values of rows are
        compared with the metadata.
    most_examples
        Of each finding.

    Raises
    ------
    Unavailable
        Index or storage do not answer: nothing is known.
    """
    checker = _Checker(backend, most_examples)
    last = await backend.index.read(audit.last_version)
    await checker.compare_blobs(last, is_deep=is_deep)
    await checker.compare_documents()
    for first in range(0, last + 1, audit.WINDOW):
        await checker.apply_rules(first)
    await checker.compare_partitions()
    await checker.compare_positions()
    if is_deep:
        await checker.compare_values()
    await checker.look_at_operations()
    return checker.report


async def unknown_thumbnails(thumbnails: Sequence[StoredBlob], before: datetime, backend: Backend) -> list[StoredBlob]:
    """Return those of some hundred thumbnails, written before a moment, whose versions the index does not know.

    A version that it knows no more never comes back, and its blobs were removed before it was forgotten.
    """
    versions = {blob: thumbnail_of(blob.name) for blob in thumbnails if blob.modified < before}
    asked = [version for version in versions.values() if version is not None]
    known = await backend.index.read(audit.known_of, asked) if asked else {}
    suspects = [blob for blob, version in versions.items() if version not in known]
    return [blob for blob in suspects if await stored_blob(blob.name, backend.blobs) is not None]


class _Checker:
    """One run and its report."""

    def __init__(self, backend: Backend, most_examples: int) -> None:
        self.report = Report()
        self._backend = backend
        self._begun = backend.now()
        self._most_examples = most_examples

    async def compare_blobs(self, last: int, *, is_deep: bool) -> None:
        """Hold all blobs against the versions up to *last*, and what looks wrong once more."""
        suspects: list[int] = []
        unread: list[int] = []
        thumbnails: list[StoredBlob] = []
        async for version, known, blob in side_by_side(
            known_by_name(last, self._backend), files(self._backend.blobs.list(), thumbnails)
        ):
            self.report.blobs += blob is not None
            self.report.instances += known is not None and known.length_bytes is not None
            if version is None:
                self._stray(blob)
            elif look_wrong(known, blob):
                suspects.append(version)
            elif is_deep and known is not None and known.length_bytes is not None:
                unread.append(version)
            if len(unread) == _VERSIONS_AT_ONCE:
                suspects += await self._read_headers(unread)
                unread.clear()
            if len(suspects) >= _VERSIONS_AT_ONCE:
                await self._look_again(suspects)
                suspects.clear()
            if len(thumbnails) >= _VERSIONS_AT_ONCE:
                await self._judge_thumbnails(thumbnails)
                thumbnails.clear()
        suspects += await self._read_headers(unread)
        await self._look_again(suspects)
        await self._judge_thumbnails(thumbnails)

    async def compare_documents(self) -> None:
        """Hold the blobs of series documents against their rows, and what looks wrong once more."""
        blobs = self._backend.blobs.list(prefix=DOCUMENTS)
        async for number, known, blob in documents_side_by_side(known_documents(self._backend), blobs):
            self.report.documents += blob is not None
            if known is None or (known.is_used and not is_whole(known, blob)):
                await self._judge_document(number)

    async def apply_rules(self, first: int) -> None:
        """Apply every rule of the index and its change feed to the window from *first* on."""
        index = self._backend.index
        for rule in audit.RULES:
            self._add(rule, *map(Example, await index.read(audit.broken, rule, first)))
        for rule, versions in (await index.read(audit.broken_feed, first)).items():
            self._add(rule, *map(Example, versions))

    async def compare_positions(self) -> None:
        """Hold the clock of the change feed, and the position of events, against its entries."""
        position = await events.load(self._backend)
        # Only now: an entry is there before its event is published.
        end = await self._backend.index.read(change_feed.last_sequence)
        if position is not None and position.sequence > end:
            self._add("event_position", Example(None, detail=f"{position.sequence}, the last entry is {end}"))
        if await self._backend.index.read(audit.is_feed_ahead):
            self._add("feed_ahead", Example(None))

    async def compare_values(self) -> None:
        """Hold what rows say of instances, series and studies against their metadata."""
        async for version, _ in differing_instances(self._backend):
            self._add("instance_values_differ", Example(version))
        for name, level in PARENTS.items():
            async for number in differing_parents(level, self._backend):
                self._add(name, Example(number))

    async def look_at_operations(self) -> None:
        """Look for work that the queue does not deliver, and for tags whose operation failed for good."""
        for operation in await operations.standing_still(self._backend):
            age_s = int((self._backend.now() - operation.updated_at).total_seconds())
            self._add("operation_standing_still", Example(None, age_s, operation.id))
        self._add("tag_incomplete", *map(Example, await self._backend.index.read(query_tags.find_incomplete)))

    async def compare_partitions(self) -> None:
        """Hold partitions against their names."""
        self._add("partition_unnamed", *map(Example, await self._backend.index.read(audit.unnamed_partitions)))

    def _stray(self, blob: StoredBlob | None) -> None:
        """Report a blob whose name is no instance's; the name may be anyone's, so it is not told."""
        if blob is not None and blob.name != CHECK_BLOB and blob.modified < self._begun:
            self._add("blob_unknown", self._example(None, blob, "a name that this service does not give"))

    async def _judge_thumbnails(self, thumbnails: Sequence[StoredBlob]) -> None:
        for blob in await unknown_thumbnails(thumbnails, self._begun, self._backend):
            self._add("thumbnail_unknown", self._example(thumbnail_of(blob.name), blob, f"{blob.length_bytes} bytes"))

    async def _look_again(self, versions: Sequence[int]) -> None:
        """Report those of *versions* that are still wrong.

        A blob is complete before its version is published and removed after that ends. So it is missing if it was not
        there before the index still said published; and unknown, or too short, only if it still is so after the index
        was asked.
        """
        for start in range(0, len(versions), _VERSIONS_AT_ONCE):
            some = versions[start : start + _VERSIONS_AT_ONCE]
            before = await self._blobs_of(some)
            known = await self._backend.index.read(audit.known_of, some)
            after = await self._blobs_of(some)
            for version in some:
                self._judge(version, known.get(version), before[version], after[version])

    def _judge(self, version: int, known: Known | None, before: StoredBlob | None, after: StoredBlob | None) -> None:
        if known is None:
            if after is not None and after.modified < self._begun:
                self._add("blob_unknown", self._example(version, after, f"{after.length_bytes} bytes"))
        elif known.length_bytes is not None and before is None:
            self._add("blob_missing", Example(version))
        elif known.length_bytes is not None and after is not None and after.length_bytes != known.length_bytes:
            detail = f"{after.length_bytes} bytes, {known.length_bytes} expected"
            self._add("blob_of_other_length", self._example(version, after, detail))

    async def _judge_document(self, number: int) -> None:
        """Report a document that is still wrong.

        Its row is there before its blob and goes after it; it is in use only once its blob is complete, and never
        again after that. So the blob is looked for before the row, to be missed, and after it, to be unknown.
        """
        blobs = self._backend.blobs
        before = await stored_blob(document_blob(number), blobs)
        known = await self._backend.index.read(documents.known_of, number)
        if known is not None and known.is_used and not is_whole(known, before):
            found = "no blob" if before is None else f"{before.length_bytes} bytes, {known.length_bytes} expected"
            self._add("document_missing", Example(number, detail=found))
        after = None if known is not None else await stored_blob(document_blob(number), blobs)
        if after is not None:
            self._add("document_unknown", self._example(number, after, f"{after.length_bytes} bytes"))

    async def _blobs_of(self, versions: Sequence[int]) -> Mapping[int, StoredBlob | None]:
        blobs = self._backend.blobs
        free = asyncio.Semaphore(self._backend.settings.blob_concurrency)

        async def one(version: int) -> StoredBlob | None:
            async with free:
                return await stored_blob(instance_blob(version), blobs)

        return dict(zip(versions, await asyncio.gather(*map(one, versions)), strict=True))

    async def _read_headers(self, versions: Sequence[int]) -> list[int]:
        """Compare what files and rows call instances; return the versions whose blobs are not there any more."""
        keys = await self._backend.index.read(audit.keys_of, versions) if versions else {}
        free = asyncio.Semaphore(self._backend.settings.blob_concurrency)

        async def one(version: int, key: InstanceKey) -> int | None:
            async with free:
                try:
                    uids = await read_uids(instance_blob(version), self._backend.blobs)
                except UnreadableFile:  # its text may quote the file
                    self._add("blob_unreadable", Example(version))
                except NotFound:
                    return version
                else:
                    if uids != [key.study, key.series, key.instance]:
                        self._add("blob_of_other_instance", Example(version))
                self.report.headers += 1
                return None

        gone = await asyncio.gather(*(one(version, key) for version, key in keys.items()))
        return [version for version in gone if version is not None]

    def _example(self, version: int | None, blob: StoredBlob, detail: str) -> Example:
        return Example(version, int((self._backend.now() - blob.modified).total_seconds()), detail)

    def _add(self, name: str, *examples: Example) -> None:
        if examples:
            finding = self.report.findings.setdefault(name, Finding())
            finding.count += len(examples)
            finding.examples += examples[: self._most_examples - len(finding.examples)]
