"""Waiting in the event loop for what a thread does (`shared/threads.py`)."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.threads import result_of


class Large:
    """A result that is worth freeing."""


async def test_result() -> None:
    """The result of the thread, or its error, is the caller's."""
    with ThreadPoolExecutor() as pool:
        assert await result_of(pool.submit(lambda: 7)) == 7
        with pytest.raises(ZeroDivisionError):
            await result_of(pool.submit(lambda: 1 // 0))


async def test_freed() -> None:
    """A result that nobody wants any more is gone at once, without a garbage collection."""
    gc.disable()
    try:
        with ThreadPoolExecutor() as pool:
            large = await result_of(pool.submit(Large))
            seen = weakref.ref(large)
            del large
        assert seen() is None
    finally:
        gc.enable()


async def test_cancelled() -> None:
    """A cancelled caller takes back what has not begun; what has begun is done."""
    done: list[int] = []
    gate = threading.Event()

    def work(number: int) -> None:
        gate.wait(10)
        done.append(number)

    with ThreadPoolExecutor(1) as pool:
        first = asyncio.create_task(result_of(pool.submit(work, 1)))
        second = asyncio.create_task(result_of(pool.submit(work, 2)))
        await asyncio.sleep(0.01)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        gate.set()

    assert done == [1]
