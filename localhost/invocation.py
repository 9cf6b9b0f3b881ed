"""Calling a function: what it is given, and what becomes of what it gives back."""

import asyncio
import logging
import os
import threading
import traceback
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from azure.functions import Out
from azure.functions import QueueMessage as AnyQueueMessage
from starlette.requests import ClientDisconnect

from localhost.functions import Binding, Function
from localhost.problems import SetupError
from localhost.queues import Queue, Queues

log = logging.getLogger(__name__)


class FunctionFailed(Exception):
    """A function raised, or gave back what cannot be used; it has been logged."""


class Invoker:
    """Calls functions: async ones on the loop, others in threads; what they put out goes into queues.

    Parameters
    ----------
    is_base64
        Whether the texts of queue messages are base64.
    """

    def __init__(self, environment: Mapping[str, str], queues: Queues, *, is_base64: bool) -> None:
        self._environment = environment
        self._queues = queues
        self._is_base64 = is_base64
        self._threads = ThreadPoolExecutor(_thread_count(environment), "function")

    async def call(self, function: Function, value: Any, invocation: str = "") -> Any:
        """Call a function with the trigger's *value*, send what it put into queues, and return what it returned.

        Raises
        ------
        FunctionFailed
            It raised something, which is logged; `ClientDisconnect` passes.
        """
        outputs = {binding.name: Output() for binding in function.outputs if binding.name != "$return"}
        arguments = {function.trigger.name: value, **outputs}
        if function.wants_context:
            arguments["context"] = Context(invocation or str(uuid.uuid4()), function.name, str(Path.cwd()))
        try:
            if function.is_async:
                returned = await function.handler(**arguments)
            else:
                loop = asyncio.get_running_loop()
                returned = await loop.run_in_executor(self._threads, partial(function.handler, **arguments))
            for binding in function.outputs:
                await self._send(binding, returned if binding.name == "$return" else outputs[binding.name].get())
        except Exception as error:
            if isinstance(error, ClientDisconnect) and function.trigger.kind == "httpTrigger":
                raise
            log_failure(function, error)
            raise FunctionFailed(function.name) from error
        return returned

    async def _send(self, binding: Binding, value: Any) -> None:
        """Put what a function set or returned into a queue; None is nothing."""
        for body in _bodies(value):
            await self.queue(binding).send(body)

    def queue(self, binding: Binding, suffix: str = "") -> Queue:
        """Return the queue that a binding names, or the one beside it whose name ends in *suffix*."""
        name = self.resolve(str(binding.details["queueName"])) + suffix
        return self._queues.open(str(binding.details["connection"]), name, is_base64=self._is_base64)

    def resolve(self, text: str) -> str:
        """Replace `%NAME%` by the app setting of that name."""
        if not (len(text) > 2 and text.startswith("%") and text.endswith("%")):  # noqa: PLR2004 - the two signs
            return text
        name = text[1:-1]
        if name not in self._environment:
            raise SetupError(f"the binding expression {text} names an app setting that is not set")
        return self._environment[name]

    async def close(self) -> None:
        """Give back threads and connections."""
        await self._queues.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class Output(Out[Any]):
    """What a function sets for one of its output bindings."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Keep the value until the function has returned."""
        self._value = val

    def get(self) -> Any:
        """Return the value that was set last."""
        return self._value


@dataclass(frozen=True, slots=True)
class Context:
    """What a parameter named `context` is given."""

    invocation_id: str
    function_name: str
    function_directory: str
    thread_local_storage: threading.local | None = None
    trace_context: None = None
    retry_context: None = None


def log_failure(function: Function, error: Exception) -> None:
    """Log type and place, and not the text: it may quote the request."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s failed: %s\n%s", function.name, type(error).__name__, frames.rstrip())


def _bodies(value: Any) -> list[bytes]:
    """Return the bodies of the messages that a function gave to a queue output."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value.encode()]
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, AnyQueueMessage):
        return [value.get_body()]
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return [body for one in value for body in _bodies(one)]
    raise TypeError(f"a queue takes str, bytes, QueueMessage or a list of them, not {type(value).__name__}")


def _thread_count(environment: Mapping[str, str]) -> int:
    text = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return int(text) if text.isdigit() and int(text) else min(32, (os.cpu_count() or 1) + 4)
