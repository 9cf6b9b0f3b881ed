"""Audit records in Table Storage: added, never changed, so that an operator can ask who read which study.

The only place beside the index where UIDs stand in the clear.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from zlib import crc32

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables.aio import TableClient, TableServiceClient

from shared.errors import Unavailable
from shared.storage.credentials import close

_log = logging.getLogger(__name__)

_SPREAD = 16
_MOST_WAITING = 1000


class AzureAuditTable:
    """Rows by day: the partition key is `2026-11-23-f`, one of sixteen a day, the row key begins with the time.

    Parameters
    ----------
    service
        From `credentials.table_service`; closed with the table.
    """

    def __init__(self, service: TableServiceClient, *, table: str = "dicomaudit") -> None:
        self._service = service
        self._table: TableClient = service.get_table_client(table)
        self._waiting: set[asyncio.Task[None]] = set()

    async def add(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record; raise `Unavailable` when it is not kept."""
        row = {
            **fields,
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

    def add_later(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record while the caller goes on; one that is not kept is counted in the log."""
        if len(self._waiting) >= _MOST_WAITING:
            _log.warning("an audit record is not kept in the table: %d are waiting", _MOST_WAITING)
            return
        task = asyncio.ensure_future(self._add_or_log(at, name, fields))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def close(self) -> None:
        """Keep what is waiting, and give back connections."""
        await asyncio.gather(*self._waiting)
        await close(self._service)

    async def _add_or_log(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        try:
            await self.add(at, name, fields)
        except Unavailable:
            _log.warning("an audit record is not kept in the table: it does not answer")
