"""What a queue does for triggers and outputs, and which of the two implementations serves one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from localhost.problems import SetupError


class QueueUnavailable(Exception):
    """The queue's storage does not answer."""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a message; *receipt* proves that the delivery is still ours.

    `is_readable` is False for a text that is not the base64 it should be; the body is then the text itself.
    """

    id: str
    body: bytes
    dequeue_count: int
    inserted: datetime
    expires: datetime
    visible_again: datetime
    receipt: str
    is_readable: bool = True


class Queue(Protocol):
    """A durable queue with Azure's rules: at least once, invisible while taken, counted deliveries.

    All methods raise `QueueUnavailable`. `delete` and `hide` do nothing for a delivery that is no longer ours.
    """

    longest_poll_s: float

    async def send(self, body: bytes) -> None:
        """Append a message."""

    async def receive(self, limit: int, *, invisible_s: float) -> list[Message]:
        """Take at most *limit* visible messages, oldest first, and hide them for *invisible_s* seconds."""

    async def hide(self, message: Message, *, invisible_s: float) -> Message:
        """Hide a taken message for *invisible_s* seconds from now (0: back at once) and return the new delivery."""

    async def delete(self, message: Message) -> None:
        """Remove a taken message."""

    async def close(self) -> None:
        """Give back connections."""


class Queues:
    """The queues of an app, opened once each by connection setting and name.

    Parameters
    ----------
    database
        File of the embedded queues, for connections whose setting has no connection string.
    """

    def __init__(self, environment: Mapping[str, str], database: Path | None) -> None:
        self._environment = environment
        self._database = database
        self._open: dict[tuple[str, str], Queue] = {}

    def open(self, connection: str, name: str, *, is_base64: bool = True) -> Queue:
        """Return the queue *name* of a connection setting, or raise `SetupError` when there is none to be had."""
        key = (connection, name)
        if key not in self._open:
            self._open[key] = self._make(connection, name, is_base64=is_base64)
        return self._open[key]

    async def close(self) -> None:
        """Give back all connections."""
        for queue in self._open.values():
            await queue.close()
        self._open.clear()

    def _make(self, connection: str, name: str, *, is_base64: bool) -> Queue:
        # Each implementation is loaded when it is the one in use: the Azure SDK takes a second.
        if text := self._connection_string(connection):
            from localhost.azure_queue import AzureQueue

            return AzureQueue(text, name, is_base64=is_base64)
        if self._database is None:
            raise SetupError(f"queue {name} needs the setting {connection}, a connection string; it is not set")
        from localhost.embedded_queue import EmbeddedQueue

        return EmbeddedQueue(self._database, name)

    def _connection_string(self, connection: str) -> str:
        return self._environment.get(connection) or self._environment.get(f"AzureWebJobs{connection}", "")
