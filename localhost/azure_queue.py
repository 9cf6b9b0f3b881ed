"""A queue of Azure Storage or Azurite."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from localhost.queues import Message, QueueUnavailable

T = TypeVar("T")

_LARGEST_BATCH = 32  # of one call (Azure's own limit)


class AzureQueue:
    """The queue *name* of a connection string; it is made when it is first used.

    Parameters
    ----------
    is_base64
        Whether message texts are base64, the host's default (`messageEncoding` of host.json).
    """

    longest_poll_s = 2.0

    def __init__(self, connection: str, name: str, *, is_base64: bool = True) -> None:
        self._client = QueueClient.from_connection_string(connection, name)
        self._is_base64 = is_base64
        self._is_made = False

    async def send(self, body: bytes) -> None:
        """Append a message."""
        text = base64.b64encode(body).decode() if self._is_base64 else body.decode()
        await self._on_existing(lambda: self._client.send_message(text))

    async def receive(self, limit: int, *, invisible_s: float) -> list[Message]:
        """Take the oldest visible messages."""
        return await self._on_existing(lambda: self._take(min(limit, _LARGEST_BATCH), invisible_s))

    async def hide(self, message: Message, *, invisible_s: float) -> Message:
        """Move the moment at which a taken message is visible again."""
        try:
            updated = await _answer(
                self._client.update_message(message.id, message.receipt, visibility_timeout=int(invisible_s))
            )
        except _NoLongerOurs:
            return message
        return replace(message, receipt=updated.pop_receipt or "", visible_again=_moment(updated.next_visible_on))

    async def delete(self, message: Message) -> None:
        """Remove a message whose delivery is still ours."""
        try:
            await _answer(self._client.delete_message(message.id, message.receipt))
        except _NoLongerOurs:
            return

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.close()

    async def _on_existing(self, call: Callable[[], Awaitable[T]]) -> T:
        """Do *call* on the queue, which is made when it is not there."""
        await self._make()
        try:
            return await _answer(call())
        except _NoLongerOurs:
            self._is_made = False  # someone removed the queue: the next call makes it again
            raise

    async def _make(self) -> None:
        if self._is_made:
            return
        try:
            await self._client.create_queue()
        except ResourceExistsError:
            pass
        except AzureError as error:
            raise QueueUnavailable(f"the queue service does not answer: {type(error).__name__}") from error
        self._is_made = True

    async def _take(self, limit: int, invisible_s: float) -> list[Message]:
        """Ask once; the SDK's own iteration goes on asking until a page is empty."""
        taken = self._client.receive_messages(messages_per_page=limit, visibility_timeout=max(1, int(invisible_s)))
        async for page in taken.by_page():
            return [self._read(message) async for message in page]
        return []

    def _read(self, message: QueueMessage) -> Message:
        text = str(message.content)
        body, is_readable = text.encode(), True
        if self._is_base64:
            try:
                body = base64.b64decode(text, validate=True)
            except binascii.Error:
                is_readable = False
        return Message(
            id=message.id,
            body=body,
            dequeue_count=message.dequeue_count or 0,
            inserted=_moment(message.inserted_on),
            expires=_moment(message.expires_on),
            visible_again=_moment(message.next_visible_on),
            receipt=message.pop_receipt or "",
            is_readable=is_readable,
        )


class _NoLongerOurs(QueueUnavailable):
    """The message is gone, or another delivery of it is under way."""


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except ResourceNotFoundError as error:
        raise _NoLongerOurs("the message or its queue is gone") from error
    except HttpResponseError as error:
        if getattr(error, "error_code", None) == "PopReceiptMismatch":
            raise _NoLongerOurs("another delivery of the message is under way") from error
        raise QueueUnavailable(f"the queue service answered {error.status_code}") from error
    except AzureError as error:
        raise QueueUnavailable(f"the queue service does not answer: {type(error).__name__}") from error


def _moment(value: datetime | None) -> datetime:
    return value or datetime.now(UTC)
