"""Work of which a process does little at a time: who wants to, waits for a turn, and not too many wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

from shared.errors import Busy

_RETRY_AFTER_S = 2
LARGE_BYTES = 16 * 2**20
"""Frames above this are worked on one at a time: a codec takes some five times what a frame does."""


@dataclass(slots=True)
class Admission:
    """Of one request: whether it has had a turn. From then on it is never sent away, since its answer may be begun."""

    has_begun: bool = False


_ADMISSION: ContextVar[Admission | None] = ContextVar("admission", default=None)


def admit(one: Admission | None) -> None:
    """Say that what follows in this task belongs to a request; without one nobody is sent away."""
    _ADMISSION.set(one)


def admission() -> Admission | None:
    """Return what `admit` said, for a task that goes on with the request."""
    return _ADMISSION.get()


class Turns:
    """`async with turns:` waits for one of *at_once* turns, and raises `Busy` where *queue* requests wait already."""

    def __init__(self, at_once: int = 2, queue: int = 32) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._queue = queue
        self._waiting = 0

    async def __aenter__(self) -> None:
        """Take a turn."""
        one = admission()
        if self._free.locked() and self._waiting >= self._queue and one is not None and not one.has_begun:
            raise Busy("Too many requests are waiting for pixel data to be decoded.", _RETRY_AFTER_S)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        if one is not None:
            one.has_begun = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it back."""
        self._free.release()


class Decoding:
    """Turns at pixel data: some at once, but of large frames one at a time."""

    def __init__(self, at_once: int = 2, queue: int = 32) -> None:
        self._any, self._large = Turns(at_once, queue), Turns(1, queue)

    @asynccontextmanager
    async def turn(self, frame_bytes: int) -> AsyncIterator[None]:
        """Wait for a turn at a frame of so many bytes decoded; raise `Busy` where too many wait."""
        async with self._large if frame_bytes > LARGE_BYTES else nullcontext(), self._any:
            yield
