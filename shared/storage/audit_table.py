"""What a table of audit records does: they are added, and never changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class AuditTable(Protocol):
    """Keeps audit records."""

    async def add(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record; raise `Unavailable` when it is not kept."""

    def add_later(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:
        """Keep a record while the caller goes on; one that is not kept is counted in the log."""

    async def close(self) -> None:
        """Give back connections."""
