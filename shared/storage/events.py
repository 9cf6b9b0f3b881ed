"""Where events go: a web hook, or Azure Event Grid."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from shared.errors import Unavailable

if TYPE_CHECKING:
    import aiohttp

Event: TypeAlias = Mapping[str, Any]
"""An event of the Event Grid schema, as a JSON object; `topic` is left to Event Grid where it is the receiver."""

_LONGEST_S = 30


class EventSink(Protocol):
    """A receiver of events."""

    async def send(self, events: Sequence[Event]) -> None:
        """Deliver events, in order; all or, as far as the sender is told, none.

        Raises
        ------
        Unavailable
            The receiver did not say that it has them.
        """

    async def close(self) -> None:
        """Give back connections."""


class WebhookEvents:
    """Posts events as Event Grid would: a JSON array, which the receiver acknowledges with a status of 2xx."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def send(self, events: Sequence[Event]) -> None:
        """Deliver events; as `EventSink`."""
        import aiohttp  # takes long, and nobody else of the embedded mode needs it

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_LONGEST_S))
        fields = {"Content-Type": "application/json; charset=utf-8", "aeg-event-type": "Notification"}
        try:
            # What a redirect leads to is asked with GET: it would say yes to events that it was never sent.
            posted = self._session.post(self._url, data=json.dumps(events), headers=fields, allow_redirects=False)
            async with posted as answer:
                if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    raise Unavailable(f"The receiver of events answers {answer.status}.")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("The receiver of events does not answer.") from error

    async def close(self) -> None:
        """Give back connections."""
        if self._session is not None:
            await self._session.close()
