"""How the service is: the state of each thing it leans on, and the time that took (health-and-ops.md, "Health").

Descriptions are for anyone: no hosts, no names, no numbers of what is stored but those that wait.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from shared.backend import Backend
from shared.errors import DependencyFailed, DicomwebError, NotFound
from shared.index import garbage
from shared.index.schema import UnknownSchema
from shared.services import events

KEPT_S = 5.0
KEPT_WORSE_S = 1.0
"""How long what was found is told again: what is not well may soon be."""

_LONGEST_S = 5.0
_CLEANUP_LATE = timedelta(days=1)
_EVENTS_LATE = timedelta(minutes=10)


class Status(Enum):
    """The values are those on the wire, the best first."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    UNHEALTHY = "Unhealthy"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is."""

    name: str
    status: Status
    description: str
    duration_ms: float


class Watch:
    """What `examine` found, for all who ask at about the same time: anyone may ask, as often as they like.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: list[Finding] = []
        self._fresh_until = -math.inf
        self._looking: asyncio.Task[list[Finding]] | None = None

    async def findings(self, backend: Backend) -> list[Finding]:
        """Return what was found some seconds ago at most; whoever asks while someone looks has what that finds."""
        if self._clock() < self._fresh_until:
            return self._found
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(backend))
        return await asyncio.shield(self._looking)  # who leaves takes it from nobody

    async def _look(self, backend: Backend) -> list[Finding]:
        try:
            self._found = await examine(backend)
            self._fresh_until = self._clock() + (KEPT_S if overall(self._found) is Status.HEALTHY else KEPT_WORSE_S)
            return self._found
        finally:
            self._looking = None


async def examine(backend: Backend) -> list[Finding]:
    """Look at everything side by side, a few seconds at most."""
    return list(await asyncio.gather(*(_examine(name, check, backend) for name, check in _CHECKS.items())))


def overall(findings: list[Finding]) -> Status:
    """Return the worst status."""
    order = list(Status)
    return max((one.status for one in findings), key=order.index, default=Status.HEALTHY)


async def _examine(name: str, check: "_Check", backend: Backend) -> Finding:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_LONGEST_S):
            status, description = await check(backend)
    except TimeoutError:
        status, description = _worst_of(name), "does not answer in time"
    except UnknownSchema as error:
        status, description = _worst_of(name), str(error)
    except DependencyFailed:  # the customer's own, health-and-ops.md
        status, description = Status.DEGRADED, "the customer's storage or key cannot be used"
    except DicomwebError:
        status, description = _worst_of(name), "does not answer"
    return Finding(name, status, description, round((time.perf_counter() - began) * 1000, 1))


def _worst_of(name: str) -> Status:
    """Requests are answered without what runs in the background."""
    return Status.UNHEALTHY if name in _NEEDED else Status.DEGRADED


async def _index(backend: Backend) -> tuple[Status, str]:
    await backend.index.check()
    return Status.HEALTHY, "answers"


async def _storage(backend: Backend) -> tuple[Status, str]:
    await backend.blobs.check()
    return Status.HEALTHY, "answers"


async def _records(backend: Backend) -> tuple[Status, str]:
    with suppress(NotFound):
        await backend.records.load("health", "check")
    return Status.HEALTHY, "answers"


async def _cleanup(backend: Backend) -> tuple[Status, str]:
    count, oldest = await backend.index.read(garbage.backlog)
    often = await backend.index.read(garbage.failing)
    late = _late(oldest, backend)
    status = Status.DEGRADED if often or late > _CLEANUP_LATE else Status.HEALTHY
    text = f"{count} removals wait"
    return status, f"{text}, {often} were tried {garbage.TRIED_OFTEN} times and more" if often else text


async def _events(backend: Backend) -> tuple[Status, str]:
    if backend.events is None:
        return Status.HEALTHY, "off"
    count, oldest = await events.waiting(backend)
    return Status.DEGRADED if _late(oldest, backend) > _EVENTS_LATE else Status.HEALTHY, f"{count} events wait"


def _late(since: datetime | None, backend: Backend) -> timedelta:
    return backend.now() - since if since is not None else timedelta(0)


_Check = Callable[[Backend], Awaitable[tuple[Status, str]]]
_NEEDED = ("Index", "Storage")
_CHECKS: Mapping[str, _Check] = {
    "Index": _index,
    "Storage": _storage,
    "Records": _records,
    "Cleanup": _cleanup,
    "Events": _events,
}
