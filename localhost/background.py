"""The queue and timer triggers of an app's functions."""

from collections.abc import Callable, Iterable
from typing import Any, get_type_hints

from azure.functions import TimerRequest
from azure.functions.queue import QueueMessage

from localhost.functions import Function
from localhost.invocation import Invoker
from localhost.problems import SetupError
from localhost.queues import Message
from localhost.triggers import QueueOptions, QueueTrigger, TimerTrigger

Trigger = QueueTrigger | TimerTrigger


def make_triggers(functions: Iterable[Function], invoker: Invoker, options: QueueOptions) -> list[Trigger]:
    """Return one trigger for each function that a queue or the clock starts.

    Raises
    ------
    SetupError
        A connection is not set, or a schedule cannot be read; the message names the function.
    """
    triggers: list[Trigger] = []
    for function in functions:
        make = _MAKERS.get(function.trigger.kind)
        try:
            for output in function.outputs:
                invoker.queue(output)
            if make is not None:
                triggers.append(make(function, invoker, options))
        except SetupError as error:
            raise SetupError(f"function {function.name}: {error}") from error
    return triggers


def _queue_trigger(function: Function, invoker: Invoker, options: QueueOptions) -> QueueTrigger:
    wanted = get_type_hints(function.handler).get(function.trigger.name)
    read = _READERS.get(wanted, _read_message)

    async def handle(message: Message) -> None:
        await invoker.call(function, read(message))

    queue, poison = invoker.queue(function.trigger), invoker.queue(function.trigger, "-poison")
    return QueueTrigger(queue, poison, handle, options)


def _timer_trigger(function: Function, invoker: Invoker, _: QueueOptions) -> TimerTrigger:
    async def handle(timer: TimerRequest) -> None:
        await invoker.call(function, timer)

    return TimerTrigger(
        invoker.resolve(str(function.trigger.details["schedule"])),
        handle,
        runs_on_startup=bool(function.trigger.details.get("runOnStartup", False)),
    )


def _read_message(message: Message) -> QueueMessage:
    return QueueMessage(
        id=message.id,
        body=message.body,
        dequeue_count=message.dequeue_count,
        expiration_time=message.expires,
        insertion_time=message.inserted,
        time_next_visible=message.visible_again,
        pop_receipt=message.receipt,
    )


_MAKERS: dict[str, Callable[[Function, Invoker, QueueOptions], Trigger]] = {
    "queueTrigger": _queue_trigger,
    "timerTrigger": _timer_trigger,
}

# By the annotation of the parameter; the worker gives a QueueMessage unless text or bytes are asked for.
_READERS: dict[Any, Callable[[Message], Any]] = {
    bytes: lambda message: message.body,
    str: lambda message: message.body.decode(errors="replace"),
}
