"""Azure Event Grid, by managed identity: the only place that knows its SDK."""

from collections.abc import Sequence

from azure.core.credentials import AzureKeyCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.eventgrid.aio import EventGridPublisherClient

from shared.errors import Unavailable
from shared.storage.events import Event


class EventGridEvents:
    """A custom topic of Event Grid."""

    def __init__(self, endpoint: str, credential: AsyncTokenCredential | AzureKeyCredential) -> None:
        self._credential = credential
        self._client = EventGridPublisherClient(endpoint, credential, retry_total=2)

    async def send(self, events: Sequence[Event]) -> None:
        """Deliver events; as `EventSink`."""
        try:
            await self._client.send([{**event} for event in events])
        except AzureError as error:
            raise Unavailable("Event Grid does not take the events.") from error

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()
        if isinstance(self._credential, AsyncTokenCredential):
            await self._credential.close()
