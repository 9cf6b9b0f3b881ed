"""What a table of audit records does: they are added, never changed, and asked for."""

from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Protocol


class AuditTable(Protocol):
    """Keeps audit records."""

    async def add(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record; raise `Unavailable` when it is not kept."""

    async def add_later(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record while the caller goes on, who waits a little where many do; what is lost is counted."""

    def find(self, first: date, last: date, equal: Mapping[str, str]) -> AsyncIterator[dict[str, str | int]]:
        """Yield the records from *first* to *last*, both included, whose columns are *equal*, in the order of time.

        Raises
        ------
        Unavailable
            While they are read: the table does not answer.
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
