"""Waiting in the event loop for what a thread does."""

import asyncio
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


async def result_of(future: Future[Result]) -> Result:
    """Return the result of a thread's *future*; a cancelled caller takes back only what has not begun.

    Not `asyncio.wrap_future`: its callbacks refer to each other, so a result, which may be an open file or a
    megabyte, would stay until the next garbage collection.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(_wake, done))
    try:
        await done
    except asyncio.CancelledError:
        future.cancel()
        raise
    return future.result()


def _wake(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
