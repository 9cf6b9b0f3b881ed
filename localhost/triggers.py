"""Functions that no request starts: a queue's messages and the clock."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.functions import TimerRequest
from azure.functions.timer import TimerRequest as Timer
from croniter import CroniterError, croniter

from localhost.invocation import FunctionFailed
from localhost.problems import SetupError
from localhost.queues import Message, Queue, QueueUnavailable

log = logging.getLogger(__name__)

_SHORTEST_POLL_S = 0.05
_LEASE_S = 60.0  # for how long a message stays hidden when the process that took it dies
_SIX_FIELDS = 6


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """`extensions.queues` of host.json, with the host's defaults."""

    batch_size: int = 16
    most_tries: int = 5
    retry_after_s: float = 0.0
    longest_poll_s: float = 60.0
    is_base64: bool = True


def read_queue_options(host_json: Mapping[str, Any]) -> QueueOptions:
    """Return what host.json says of queues."""
    given = host_json.get("extensions", {}).get("queues", {})
    defaults = QueueOptions()
    return QueueOptions(
        batch_size=int(given.get("batchSize", defaults.batch_size)),
        most_tries=int(given.get("maxDequeueCount", defaults.most_tries)),
        retry_after_s=_seconds(given.get("visibilityTimeout", "00:00:00")),
        longest_poll_s=_seconds(given.get("maxPollingInterval", "00:01:00")),
        is_base64=str(given.get("messageEncoding", "base64")).lower() == "base64",
    )


def _seconds(text: str) -> float:
    """Read a TimeSpan, `hh:mm:ss`."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError as error:
        raise SetupError(f"host.json has the time {text!r}; expected hh:mm:ss") from error


class QueueTrigger:
    """Hands the messages of a queue to a function, and those that failed too often to the poison queue."""

    def __init__(
        self,
        queue: Queue,
        poison: Queue,
        handle: Callable[[Message], Awaitable[None]],
        options: QueueOptions,
    ) -> None:
        self._queue = queue
        self._poison = poison
        self._handle = handle
        self._options = options
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until *stopping* is set and the messages under way are done.

        Cancelled, it gives back the messages under way: they are visible again.
        """
        wait_s = _SHORTEST_POLL_S
        longest_s = min(self._options.longest_poll_s, self._queue.longest_poll_s)
        try:
            while not stopping.is_set():
                if await self._take():
                    wait_s = _SHORTEST_POLL_S
                    await self._wait_for_room(stopping)
                else:
                    await sleep_until_set(stopping, wait_s)
                    wait_s = min(wait_s * 2, longest_s)
            await asyncio.gather(*self._running)
        except asyncio.CancelledError:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            raise

    async def _take(self) -> bool:
        """Start on the messages that are visible, and say whether there were any."""
        room = self._options.batch_size - len(self._running)
        try:
            messages = await self._queue.receive(room, invisible_s=_LEASE_S)
        except QueueUnavailable as error:
            log.warning("%s", error)
            return False
        for message in messages:
            task = asyncio.create_task(self._process(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return bool(messages)

    async def _wait_for_room(self, stopping: asyncio.Event) -> None:
        while len(self._running) >= self._options.batch_size and not stopping.is_set():
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED, timeout=_SHORTEST_POLL_S)

    async def _process(self, message: Message) -> None:
        lease = _Lease(self._queue, message)
        renewing = asyncio.create_task(lease.renew())
        try:
            is_done = await self._try(message)
            renewing.cancel()
            if is_done:
                await self._queue.delete(lease.message)
            else:
                await self._queue.hide(lease.message, invisible_s=self._options.retry_after_s)
        except QueueUnavailable as error:
            log.warning("%s", error)  # the message comes back when its lease ends
        except asyncio.CancelledError:
            with suppress(QueueUnavailable):
                await self._queue.hide(lease.message, invisible_s=0)
            raise
        finally:
            renewing.cancel()

    async def _try(self, message: Message) -> bool:
        """Return whether the queue is rid of the message: handled, or moved to the poison queue."""
        if message.is_readable and message.dequeue_count <= self._options.most_tries:
            try:
                await self._handle(message)
            except FunctionFailed:
                pass
            else:
                return True
        if message.is_readable and message.dequeue_count < self._options.most_tries:
            return False
        await self._poison.send(message.body)
        return True


class _Lease:
    """Keeps a message hidden while it is worked on."""

    def __init__(self, queue: Queue, message: Message) -> None:
        self._queue = queue
        self.message = message

    async def renew(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_S / 3)
            try:
                self.message = await self._queue.hide(self.message, invisible_s=_LEASE_S)
            except QueueUnavailable as error:
                log.warning("%s", error)


class TimerTrigger:
    """Runs a function by a six-field NCRONTAB in UTC; a run that takes longer than its turn makes later turns lapse."""

    def __init__(
        self,
        schedule: str,
        handle: Callable[[TimerRequest], Awaitable[None]],
        *,
        runs_on_startup: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._schedule = check_schedule(schedule)
        self._handle = handle
        self._runs_on_startup = runs_on_startup
        self._clock = clock

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until *stopping* is set and the run under way is done."""
        last = self._clock()
        if self._runs_on_startup:
            await self._fire(last)
        while True:
            # Never before the last turn: a clock that wakes us a little early must not make a turn count twice.
            last = next_turn(self._schedule, max(last, self._clock()))
            if await sleep_until_set(stopping, last - self._clock()):
                return
            await self._fire(last)

    async def _fire(self, turn: float) -> None:
        status = {"Last": _iso(turn), "Next": _iso(next_turn(self._schedule, turn)), "LastUpdated": _iso(turn)}
        with suppress(FunctionFailed):
            await self._handle(Timer(past_due=False, schedule_status=status, schedule={"AdjustForDST": False}))


def check_schedule(schedule: str) -> str:
    """Return *schedule* if it is an NCRONTAB of six fields, seconds first."""
    if len(schedule.split()) != _SIX_FIELDS:
        raise SetupError(f"timer schedule {schedule!r} does not have six fields, seconds first")
    try:
        next_turn(schedule, 0.0)
    except CroniterError as error:
        raise SetupError(f"timer schedule {schedule!r} cannot be read: {error}") from error
    return schedule


def next_turn(schedule: str, after: float) -> float:
    """Return the first turn later than *after*, both in seconds since the epoch.

    Unlike cron, NCRONTAB wants day of month and day of week both to match.
    """
    start = datetime.fromtimestamp(after, UTC)
    return croniter(schedule, start, second_at_beginning=True, day_or=False).get_next(float)


async def sleep_until_set(event: asyncio.Event, seconds: float) -> bool:
    """Sleep, but not longer than until *event* is set; return whether it is."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout=max(0.0, seconds))
    return event.is_set()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
