"""Store, replace, delete, expire, crash and clean in any order, held against a dictionary.

What can be seen is never removed, whatever happens; what cannot be seen is gone in the end.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.backend import Backend, open_backend
from shared.errors import DicomwebError, NotFound, Unavailable
from shared.index.change_feed import read_after
from shared.index.database import Index
from shared.index.garbage import backlog
from shared.index.instances import find
from shared.index.migrate import migrate
from shared.model import DEFAULT_PARTITION, Buffer, ChangeAction, InstanceKey, Scope, StoreTerms
from shared.services.acceptance import StoreRequest
from shared.services.cleanup import clean_up, retry_after
from shared.services.consistency import check
from shared.services.consolidation import consolidate_quiet
from shared.services.delete import delete
from shared.services.documents import metadata_of
from shared.services.expiry import delete_expired
from shared.services.store import store
from shared.settings import Settings
from shared.storage.blobs import BlobStore, StoredBlob, document_of, instance_blob
from shared.versions import RULES
from tests.factories import part10

T = TypeVar("T")

_GRACE = timedelta(days=3)
_KEYS = [InstanceKey(1, f"1.{study}", f"1.{study}.{series}", f"1.{study}.{series}.{number}")
         for study in (1, 2) for series in (1, 2) for number in (1, 2)]  # fmt: skip
_MARKS = st.sampled_from(["a", "b", "c"])
_SOME = st.lists(st.sampled_from(_KEYS), min_size=1, max_size=4, unique=True)


class _Blobs:
    """A blob store that can be made to fail after some blobs, as if the process had died, or not to remove any."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.dies_after: int | None = None
        self.keeps_all = False

    async def write(self, blobs: Any) -> list[DicomwebError | None]:
        if self.dies_after is None:
            return await self._blobs.write(blobs)
        await self._blobs.write(blobs[: self.dies_after])
        raise _Crash

    async def delete(self, names: Any) -> list[DicomwebError | None]:
        if self.keeps_all:
            return [Unavailable("injected") for _ in names]
        return await self._blobs.delete(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


class _Crash(BaseException):
    """The process ends here: nothing after it happens, no clean-up either."""


class _Dying:
    """The index as a process sees it that is about to die: it reserves versions, and then does nothing any more."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def read(self, *given: Any) -> Any:
        return await self._index.read(*given)

    async def write_each(self, *given: Any) -> Any:
        return await self._index.write_each(*given)

    async def write(self, *_: Any) -> Any:
        raise Unavailable("dead")


class Lifecycle(RuleBasedStateMachine):
    """One service; the dictionary says what each instance must be."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.runner = asyncio.Runner()
        self.stored: dict[InstanceKey, bytes] = {}
        self.expires: dict[str, datetime] = {}
        self.changes: dict[InstanceKey, list[ChangeAction]] = {}
        url = f"sqlite:///{self.folder / 'index.db'}"
        migrate(url)
        self.settings = Settings(dicom_storage_folder=str(self.folder), dicom_sql_url=url)
        self.backend, self.blobs = self._open()

    def _open(self) -> tuple[Backend, _Blobs]:
        opened = open_backend(self.settings)
        blobs = _Blobs(opened.blobs)
        return replace(opened, blobs=cast("Any", blobs), now=lambda: self.time), blobs

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            self.blobs.keeps_all = False
            self.time += _GRACE + timedelta(days=3)
            self.run(clean_up(self.backend))
            self.run(consolidate_quiet(self.backend))
            self.time += _GRACE + timedelta(days=3)
            self.run(clean_up(self.backend))
            self._nothing_left()
        finally:
            self.run(self.backend.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    @rule(keys=_SOME, mark=_MARKS, lasts=st.sampled_from([None, None, timedelta(hours=1), timedelta(days=9)]))
    def store(self, keys: list[InstanceKey], mark: str, lasts: timedelta | None) -> None:
        """Instances that are there stay as they are; the others are stored, and decide on the expiry."""
        outcomes = self._store(keys, mark, lasts, replaces=False)
        new = [key for key in keys if key not in self.stored]
        assert [one.failure for one in outcomes] == [None if key in new else 45070 for key in keys]
        self._note(new, mark, lasts)

    @rule(keys=_SOME, mark=_MARKS, lasts=st.sampled_from([None, timedelta(hours=1), timedelta(days=9)]))
    def upsert(self, keys: list[InstanceKey], mark: str, lasts: timedelta | None) -> None:
        """Every instance is as it was sent last."""
        outcomes = self._store(keys, mark, lasts, replaces=True)
        assert [one.failure for one in outcomes] == [None] * len(keys)
        self._note(keys, mark, lasts)

    @rule(keys=_SOME, mark=_MARKS, written=st.integers(0, 4), replaces=st.booleans())
    def crash(self, keys: list[InstanceKey], mark: str, written: int, replaces: bool) -> None:
        """A process that dies while it stores changes nothing; another takes over."""
        self.blobs.dies_after = written
        with suppress(_Crash, Unavailable):
            self._store(keys, mark, None, replaces=replaces, dies=True)
        self.run(self.backend.close())
        self.backend, self.blobs = self._open()

    @rule(key=st.sampled_from(_KEYS), depth=st.integers(1, 3))
    def delete(self, key: InstanceKey, depth: int) -> None:
        """Everything in the scope is gone, and nothing else."""
        uids = (key.study, key.series, key.instance)[:depth]
        gone = [one for one in self.stored if (one.study, one.series, one.instance)[:depth] == uids]
        found = True
        try:
            self.run(delete(Scope(1, *uids), self.backend))
        except NotFound:
            found = False
        assert found is bool(gone)
        self._forget(gone)

    @rule()
    def expire(self) -> None:
        """Studies whose time has come are gone, and no others."""
        due = {study for study, when in self.expires.items() if when <= self.time}
        assert self.run(delete_expired(self.backend)) == len(due)
        self._forget([key for key in self.stored if key.study in due])

    @rule(hours=st.sampled_from([1, 20, 80]))
    def wait(self, hours: int) -> None:
        """Time passes."""
        self.time += timedelta(hours=hours)

    @rule()
    def clean(self) -> None:
        """The timer that removes bytes runs."""
        self.run(clean_up(self.backend))

    @rule()
    def clean_in_vain(self) -> None:
        """The timer runs while the storage removes nothing: it is all still noted."""
        self.blobs.keeps_all = True
        waiting, _ = self.run(self.backend.index.read(backlog))
        self.run(clean_up(self.backend))
        assert self.run(self.backend.index.read(backlog))[0] >= waiting
        self.blobs.keeps_all = False

    @precondition(lambda self: self.stored)
    @rule()
    def consolidate(self) -> None:
        """Metadata move into documents."""
        self.run(consolidate_quiet(self.backend))

    @invariant()
    def visible(self) -> None:
        """What was stored, and nothing else, can be read byte for byte, with its metadata."""
        found = self.run(self.backend.index.read(find, Scope(1), limit=100))
        assert {one.key for one in found} == set(self.stored)
        for one in found:
            assert self.run(self._read(one.version)) == self.stored[one.key]
        assert set(self.run(metadata_of([one.version for one in found], "", self.backend))) == {
            one.version for one in found
        }

    @invariant()
    def told(self) -> None:
        """The change feed tells of every change, and of nothing else."""
        entries = self.run(self.backend.index.read(read_after, 0, 10_000))
        told: dict[InstanceKey, list[ChangeAction]] = {}
        for one in entries:
            told.setdefault(one.key, []).append(one.action)
        assert told == self.changes

    def _store(
        self, keys: list[InstanceKey], mark: str, lasts: timedelta | None, *, replaces: bool, dies: bool = False
    ) -> Any:
        terms = StoreTerms(self.time + _GRACE if replaces else None, None if lasts is None else self.time + lasts)
        backend = self.backend

        async def one(file: bytes) -> AsyncIterator[Buffer]:
            yield file

        async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
            for key in keys:
                yield one(_file(key, mark))

        async def run() -> Any:
            request = StoreRequest(DEFAULT_PARTITION, None, RULES["2"], terms)
            if not dies:
                return await store(every(), request, backend)
            return await store(every(), request, replace(backend, index=cast("Any", _Dying(backend.index))))

        return self.run(run())

    def _note(self, keys: list[InstanceKey], mark: str, lasts: timedelta | None) -> None:
        for key in keys:
            file = _file(key, mark)
            if self.stored.get(key) != file:
                action = ChangeAction.UPDATE if key in self.stored else ChangeAction.CREATE
                self.changes.setdefault(key, []).append(action)
            self.stored[key] = file
            self.expires.pop(key.study, None)
            if lasts is not None:
                self.expires[key.study] = self.time + lasts

    def _forget(self, keys: list[InstanceKey]) -> None:
        for key in keys:
            del self.stored[key]
            self.changes.setdefault(key, []).append(ChangeAction.DELETE)
        for study in {key.study for key in keys} - {key.study for key in self.stored}:
            self.expires.pop(study, None)

    async def _read(self, version: int) -> bytes:
        return b"".join([chunk async for chunk in await self.backend.blobs.read(instance_blob(version))])

    async def _list(self) -> list[StoredBlob]:
        return [blob async for blob in self.backend.blobs.list()]

    def _nothing_left(self) -> None:
        report = self.run(check(self.backend, is_deep=True))
        assert report.findings == {}
        assert self.run(self.backend.index.read(backlog)) == (0, None)
        found = self.run(self.backend.index.read(find, Scope(1), limit=100))
        blobs = self.run(self._list())
        assert {one.name for one in blobs if document_of(one.name) is None} == {
            instance_blob(one.version) for one in found
        }


def _file(key: InstanceKey, mark: str) -> bytes:
    return _FILES[key, mark]


def _made(key: InstanceKey, mark: str) -> bytes:
    return part10(StudyInstanceUID=key.study, SeriesInstanceUID=key.series, SOPInstanceUID=key.instance, PatientID=mark)


_FILES = {(key, mark): _made(key, mark) for key in _KEYS for mark in "abc"}

TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(("tried", "hours"), [(0, 0.05), (1, 0.2), (2, 0.8), (5, 24), (50, 24), (32767, 24)])
def test_backoff(tried: int, hours: float) -> None:
    """A removal that failed is tried again after three minutes, then ever more rarely, once a day at last."""
    assert retry_after(tried) == timedelta(hours=hours)
