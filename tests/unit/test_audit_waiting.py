"""Audit records that nobody waits for, while the table is slow (`shared/storage/azure_audit.py`)."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from shared.storage.azure_audit import AzureAuditTable

_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
_PATIENCE_S = 20.0


class _Service:
    """Tables that keep a row once they may."""

    credential = None

    def __init__(self) -> None:
        self.may_keep = asyncio.Event()
        self.error: Exception | None = None
        self.rows: list[Mapping[str, Any]] = []

    def get_table_client(self, _table: str) -> "_Service":
        return self

    async def create_entity(self, row: Mapping[str, Any]) -> None:
        await self.may_keep.wait()
        if self.error is not None:
            raise self.error
        self.rows.append(row)

    async def close(self) -> None:
        """Nothing is open."""


def _table(service: Any, lost: list[int], longest_wait_s: float) -> AzureAuditTable:
    return AzureAuditTable(
        service, most_waiting=2, longest_wait_s=longest_wait_s, on_loss=lambda: lost.append(len(lost))
    )


async def _add(table: AzureAuditTable, *numbers: int) -> None:
    for number in numbers:
        await table.add_later(_NOON, str(number), {"StatusCode": number})


async def test_waits_for_room() -> None:
    """With as many waiting as may, a caller waits until there is room, and nothing is lost."""
    service, lost = _Service(), list[int]()
    table = _table(service, lost, _PATIENCE_S)
    await _add(table, 1, 2)
    waiting = asyncio.create_task(_add(table, 3, 4, 5))
    await asyncio.sleep(0.02)
    assert not waiting.done()

    service.may_keep.set()
    await waiting
    await table.close()

    assert sorted(row["StatusCode"] for row in service.rows) == [1, 2, 3, 4, 5]
    assert lost == []


async def test_lost(caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no room in time records are lost: each is counted and the log says how many; no call waits on."""
    service, lost = _Service(), list[int]()
    table = _table(service, lost, 0.01)
    with caplog.at_level(logging.WARNING):
        await _add(table, 1, 2, 3, 4)

    assert len(lost) == 2
    assert [line.getMessage().rpartition("; ")[2] for line in caplog.records] == [
        "1 lost since the start",
        "2 lost since the start",
    ]
    service.may_keep.set()
    await table.close()
    assert len(service.rows) == 2


async def test_one_waits_in_vain() -> None:
    """While nothing moves only the first caller waits; once something has, callers wait again."""
    service, lost = _Service(), list[int]()
    table = _table(service, lost, 0.05)
    await _add(table, 1, 2, 3)
    async with asyncio.timeout(_PATIENCE_S):  # 50 seconds, if each waited
        await _add(table, *range(1000, 2000))
    assert len(lost) == 1001

    service.may_keep.set()
    await asyncio.sleep(0.02)
    service.may_keep.clear()
    await _add(table, 4, 5)
    waiting = asyncio.create_task(_add(table, 6))
    await asyncio.sleep(0)
    service.may_keep.set()
    await waiting
    await table.close()

    assert sorted(row["StatusCode"] for row in service.rows) == [1, 2, 4, 5, 6]


async def test_refused() -> None:
    """A record that the table does not take is counted, too, and leaves room for others."""
    service, lost = _Service(), list[int]()
    service.error = HttpResponseError("down")
    service.may_keep.set()
    table = _table(service, lost, _PATIENCE_S)

    await _add(table, 1, 2, 3)
    await table.close()

    assert len(lost) == 3
