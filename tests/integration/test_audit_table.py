"""Records in the audit table: all are kept, and an operator finds them (`shared/storage/azure_audit.py`)."""

import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.storage.azure_audit import AzureAuditTable
from shared.storage.credentials import table_service

_DAY = date(2026, 11, 23)
_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def table(azurite: str) -> AsyncIterator[AzureAuditTable]:
    """A table that does not exist yet."""
    found = AzureAuditTable(table_service(azurite, None, None), table=f"test{secrets.token_hex(8)}")
    yield found
    await found.close()


async def found(
    table: AzureAuditTable, first: date = _DAY, last: date = _DAY, **equal: str
) -> list[Mapping[str, str | int]]:
    return [record async for record in table.find(first, last, equal)]


async def test_nothing(table: AzureAuditTable) -> None:
    """Before the first call there is nothing, and no fault."""
    assert await found(table) == []


async def test_order(table: AzureAuditTable) -> None:
    """Records come in the order of time, over partitions and days."""
    numbers = [17, 3, 30, 8, 25, 1, 12]
    for hours in numbers:
        await table.add(_NOON + timedelta(hours=hours), secrets.token_hex(4), {"StatusCode": hours})

    records = await found(table, last=_DAY + timedelta(2))

    assert [record["StatusCode"] for record in records] == sorted(numbers)
    assert records[0]["TimeGenerated"] == "2026-11-23T13:00:00.000000Z"


async def test_days(table: AzureAuditTable) -> None:
    """The first and the last day are included, to their last microsecond; others are not."""
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    moments = {"before": -1, "first": 0, "last": 2 * 86_400_000_000 - 1, "behind": 2 * 86_400_000_000}
    for name, microseconds in moments.items():
        await table.add(midnight + timedelta(microseconds=microseconds), name, {"Identity": name})

    assert [record["Identity"] for record in await found(table, last=_DAY + timedelta(1))] == ["first", "last"]


async def test_equal(table: AzureAuditTable) -> None:
    """Only records with all of the values come; a value is never part of the question's syntax."""
    for study, who in (("1.2", "ada"), ("1.2", "bob"), ("1.2.3", "ada"), ("", "o'hara")):
        await table.add(_NOON, secrets.token_hex(4), {"Identity": who} | ({"StudyInstanceUid": study} if study else {}))

    assert len(await found(table, StudyInstanceUid="1.2")) == 2
    assert len(await found(table, StudyInstanceUid="1.2", Identity="ada")) == 1
    assert len(await found(table, Identity="o'hara")) == 1
    assert await found(table, Identity="x' or Identity ne 'x") == []


async def test_pages(table: AzureAuditTable) -> None:
    """A day of more records than one answer of the table holds comes whole."""
    await table.add(_NOON, "first", {})
    client, key = table._table, f"{_DAY}-0"
    rows = [{"PartitionKey": key, "RowKey": f"13:00:00.{number:06}-x"} for number in range(1100)]
    for start in range(0, len(rows), 100):
        await client.submit_transaction([("create", row) for row in rows[start : start + 100]])

    assert len(await found(table)) == 1101


async def test_long(table: AzureAuditTable) -> None:
    """A record whose text is longer than the table takes is kept, with the beginning: nobody hides behind a header."""
    await table.add(_NOON, "x", {"CustomHeaders": 60_000 * '"', "Identity": "ada"})

    [record] = await found(table)

    assert record["Identity"] == "ada"
    assert str(record["CustomHeaders"]).startswith(30_000 * '"')
