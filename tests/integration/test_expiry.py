"""Studies whose time has come are deleted, and no others (managed-service-additions.md §4)."""

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from shared.backend import Backend, open_backend
from shared.errors import Unavailable
from shared.index import terms
from shared.index.change_feed import read_after
from shared.index.database import Index
from shared.index.instances import find
from shared.index.migrate import migrate
from shared.model import DEFAULT_PARTITION, Buffer, ChangeAction, Scope, StoreTerms
from shared.services.acceptance import StoreRequest
from shared.services.cleanup import clean_up
from shared.services.expiry import delete_expired
from shared.services.store import store
from shared.settings import Settings
from shared.versions import RULES
from tests.factories import part10

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """An embedded backend whose clock stands still."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url))
    yield replace(opened, now=lambda: _NOW)
    await opened.close()


async def _store(backend: Backend, study: str, expires_at: datetime | None, number: int = 1) -> None:
    async def one() -> AsyncIterator[Buffer]:
        yield part10(StudyInstanceUID=study, SOPInstanceUID=f"1.{number}")

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        yield one()

    request = StoreRequest(DEFAULT_PARTITION, None, RULES["2"], StoreTerms(None, expires_at))
    assert [outcome.failure for outcome in await store(every(), request, backend)] == [None]


async def _studies(backend: Backend) -> set[str]:
    return {one.key.study for one in await backend.index.read(find, Scope(1), limit=1000)}


async def test_due(backend: Backend) -> None:
    """What expires by now goes, with an entry for each instance; what expires later or never stays."""
    await _store(backend, "1.1", _NOW, 1)
    await _store(backend, "1.1", _NOW, 2)
    await _store(backend, "1.2", _NOW + timedelta(microseconds=1))
    await _store(backend, "1.3", None)

    assert await delete_expired(backend) == 1
    assert await delete_expired(backend) == 0

    entries = await backend.index.read(read_after, 4, 10)
    assert [(one.action, one.key.study) for one in entries] == [(ChangeAction.DELETE, "1.1")] * 2
    assert await _studies(backend) == {"1.2", "1.3"}
    later = replace(backend, now=lambda: _NOW + timedelta(days=3, seconds=1))
    assert await clean_up(later) == 2


async def test_many(backend: Backend) -> None:
    """All of many studies go in one run, those that expire at one moment too."""
    for number in range(205):
        await _store(backend, f"1.{number}", _NOW - _HOUR)

    assert await delete_expired(backend) == 205
    assert await _studies(backend) == set()


async def test_taken_back(backend: Backend) -> None:
    """A Store that takes an expiry back after it was seen, and before the study is deleted, is in time."""
    await _store(backend, "1.1", _NOW - _HOUR, 1)
    [found] = await backend.index.read(terms.expired, _NOW, after=(_NOW - 2 * _HOUR, 0), limit=10)
    await _store(backend, "1.1", None, 2)

    assert await backend.index.write(terms.delete_expired, found.row, backend.now, _HOUR) == 0
    assert await _studies(backend) == {"1.1"}


@dataclass
class _Table:
    """An audit table in memory; one that is down keeps nothing."""

    is_down: bool = False
    rows: list[Mapping[str, str | int]] = field(default_factory=list)

    async def add(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:  # noqa: ARG002
        if self.is_down:
            raise Unavailable("It is down.")
        self.rows.append(fields)

    async def add_later(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:  # noqa: ARG002
        self.rows += [] if self.is_down else [fields]

    async def find(self, first: date, last: date, equal: Mapping[str, str]) -> AsyncIterator[dict[str, str | int]]:  # noqa: ARG002
        for row in self.rows:
            yield dict(row)

    async def close(self) -> None:
        """Nothing is open."""


async def test_audit(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    """What expires has a start and an end record of its own, with its study in the table and not in the log."""
    caplog.set_level(logging.INFO)
    table = _Table()
    await _store(backend, "1.2.888001.1", _NOW)

    await delete_expired(replace(backend, audit=table))

    same = {"OperationName": "expire_studies", "Action": "delete", "PartitionName": "Microsoft.Default"}
    start, end = table.rows
    assert start.items() >= (same | {"ResultType": "Started", "StudyInstanceUid": "1.2.888001.1"}).items()
    assert end.items() >= (same | {"ResultType": "Succeeded", "StudyInstanceUid": "1.2.888001.1"}).items()
    assert end["StatusCode"] == 204
    assert start["CorrelationId"] == end["CorrelationId"]
    assert '"OperationName":"expire_studies"' in caplog.text
    assert "1.2.888001.1" not in caplog.text


@pytest.mark.parametrize(("is_strict", "remaining"), [(True, {"1.1"}), (False, set())])
async def test_audit_table_down(backend: Backend, is_strict: bool, remaining: set[str]) -> None:
    """Where records must be kept nothing expires without one; elsewhere a table that is down stops nothing."""
    await _store(backend, "1.1", _NOW)
    settings = replace(backend.settings, dicom_storage_folder="", dicom_storage_connection_string="x")
    settings = replace(settings, audit_strict=is_strict)

    await delete_expired(replace(backend, audit=_Table(is_down=True), settings=settings))

    assert await _studies(backend) == remaining


async def test_audit_of_failure(backend: Backend) -> None:
    """An expired study that cannot be deleted has an end record that says so, and goes with the next run."""
    table = _Table()
    await _store(backend, "1.1", _NOW)

    assert await delete_expired(replace(backend, audit=table, index=cast("Any", _ReadOnly(backend.index)))) == 0
    assert await delete_expired(replace(backend, audit=table)) == 1

    assert [row["ResultType"] for row in table.rows] == ["Started", "Failed", "Started", "Succeeded"]


class _ReadOnly:
    """An index whose database cannot be written."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def read(self, *given: Any, **named: Any) -> Any:
        return await self._index.read(*given, **named)

    async def write(self, *_: Any) -> Any:
        raise Unavailable("injected")
