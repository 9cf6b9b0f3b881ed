"""Audit records in Table Storage: added, never changed, so that an operator can ask who read which study.

The only place beside the index where UIDs stand in the clear.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from zlib import crc32

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables.aio import TableClient, TableServiceClient

from shared.errors import Unavailable
from shared.storage.credentials import close

_log = logging.getLogger(__name__)

_SPREAD = 16
_MOST_WAITING = 1000
_LONGEST_WAIT_S = 2.0
_LONGEST_TEXT = 32_000
"""Characters of a column; Table Storage refuses the whole row above 64 KiB of UTF-16."""

_STUDY, _SHOWN = "StudyInstanceUid", "StudiesShown"
_CLAUSES = {_STUDY: f"({_STUDY} eq @{_STUDY} or {_SHOWN} ge '0')"}
"""What is not just equal: a study may be one of many that an answer told of, which only a reader of the row can see."""

_KEYS = frozenset({"PartitionKey", "RowKey"})
_TIME = len("00:00:00.000000")


class AzureAuditTable:
    """Rows by day: the partition key is `2026-11-23-f`, one of sixteen a day, the row key begins with the time.

    Parameters
    ----------
    service
        From `credentials.table_service`; closed with the table.
    most_waiting, longest_wait_s
        How many records of `add_later` wait to be kept; with so many a caller waits for room, but not for longer.
    on_loss
        Called for each record that is not kept.
    """

    def __init__(
        self,
        service: TableServiceClient,
        *,
        table: str = "dicomaudit",
        most_waiting: int = _MOST_WAITING,
        longest_wait_s: float = _LONGEST_WAIT_S,
        on_loss: Callable[[], None] = lambda: None,
    ) -> None:
        self._service = service
        self._table: TableClient = service.get_table_client(table)
        self._waiting: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(most_waiting)
        self._longest_wait_s = longest_wait_s
        self._stands_still = False
        self._on_loss = on_loss
        self._lost = 0

    async def add(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record; raise `Unavailable` when it is not kept."""
        row = {
            **{column: value[:_LONGEST_TEXT] if isinstance(value, str) else value for column, value in fields.items()},
            "PartitionKey": f"{at:%Y-%m-%d}-{crc32(name.encode()) % _SPREAD:x}",
            "RowKey": f"{at:%H:%M:%S.%f}-{name}",
        }
        try:
            with suppress(ResourceNotFoundError):
                await self._table.create_entity(row)
                return
            with suppress(ResourceExistsError):
                await self._table.create_table()
            await self._table.create_entity(row)
        except ResourceExistsError:
            return  # an earlier try was kept although its answer was lost
        except AzureError as error:
            raise Unavailable("The audit record cannot be kept.") from error

    async def add_later(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record while the caller goes on; one that is not kept is counted in the log."""
        if not await self._has_room():
            self._lose("too many are waiting")
            return
        task = asyncio.ensure_future(self._add_or_log(at, name, fields))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def find(self, first: date, last: date, equal: Mapping[str, str]) -> AsyncIterator[dict[str, str | int]]:
        """Yield the records of these days whose columns are *equal*; raise `Unavailable` where the table is silent."""
        where = " and ".join(
            (
                "PartitionKey ge @first",
                "PartitionKey lt @behind",
                *(_CLAUSES.get(one, f"{one} eq @{one}") for one in equal),
            )
        )
        study = equal.get(_STUDY, "")
        for number in range((last - first).days + 1):
            day = first + timedelta(number)
            bounds = {"first": f"{day}", "behind": f"{day + timedelta(1)}"}
            try:
                rows = [row async for row in self._table.query_entities(where, parameters={**bounds, **equal})]
            except ResourceNotFoundError:
                return  # nobody has called yet
            except AzureError as error:
                raise Unavailable("The audit table does not answer, or may not be read.") from error
            # A day has sixteen partitions, each in its order.
            for row in sorted(rows, key=lambda row: str(row["RowKey"])):
                fields = {name: value for name, value in row.items() if name not in _KEYS}
                if study not in {"", fields.get(_STUDY), *str(fields.get(_SHOWN, "")).split()}:
                    continue
                yield {"TimeGenerated": f"{day}T{row['RowKey'][:_TIME]}Z", **fields}

    async def close(self) -> None:
        """Keep what is waiting, and give back connections."""
        await asyncio.gather(*self._waiting)
        await close(self._service)

    async def _has_room(self) -> bool:
        """Wait for room, a caller as long as it may; no caller while nothing has moved since one waited in vain."""
        if self._stands_still and self._room.locked():
            return False
        try:
            async with asyncio.timeout(self._longest_wait_s):
                await self._room.acquire()
        except TimeoutError:
            self._stands_still = True
            return False
        except asyncio.CancelledError:
            self._lose("the call was broken off")
            raise
        return True

    async def _add_or_log(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        try:
            await self.add(at, name, fields)
        except Unavailable:
            self._lose("it does not answer")
        finally:
            self._stands_still = False
            self._room.release()

    def _lose(self, reason: str) -> None:
        self._lost += 1
        self._on_loss()
        _log.warning("an audit record is not kept in the table: %s; %d lost since the start", reason, self._lost)
