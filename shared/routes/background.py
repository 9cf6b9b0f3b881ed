"""Functions that no request starts: timers, and the queue of long-running operations.

None of the timers wakes a database that sleeps when nothing is to be done.
"""

from collections.abc import Awaitable, Callable
from typing import List  # noqa: UP035 - the worker refuses `list[str]` for a queue

import azure.functions as func

from shared import activity, metrics
from shared.backend import Backend, backend
from shared.services import cleanup, consolidation, events, expiry, operations, query_tags, renewal

blueprint = func.Blueprint()

_HOST = "AzureWebJobsStorage"
_OPERATIONS = "dicom-operations"


@blueprint.function_name("clean_up")
@blueprint.timer_trigger(arg_name="timer", schedule="0 */3 * * * *", run_on_startup=False, use_monitor=False)
async def clean_up(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Remove the bytes of what was deleted and of what crashes left, every three minutes."""
    await _run("clean_up", _clean_up)


@blueprint.function_name("consolidate")
@blueprint.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", run_on_startup=False, use_monitor=False)
async def consolidate(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Put the metadata of quiet series into documents, every five minutes."""
    await _run("consolidate", consolidation.consolidate_quiet)


@blueprint.function_name("expire_studies")
@blueprint.timer_trigger(arg_name="timer", schedule="15 */10 * * * *", run_on_startup=False, use_monitor=False)
async def expire_studies(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Delete studies whose time has come, every ten minutes."""
    await _run("expire_studies", expiry.delete_expired)


@blueprint.function_name("publish_events")
@blueprint.timer_trigger(arg_name="timer", schedule="*/5 * * * * *", run_on_startup=True, use_monitor=False)
async def publish_events(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Publish what the change feed tells, every five seconds where events are on."""
    await _run("publish_events", _publish)


@blueprint.function_name("resume_operations")
@blueprint.queue_output(arg_name="ids", queue_name=_OPERATIONS, connection=_HOST)
@blueprint.timer_trigger(arg_name="timer", schedule="40 * * * * *", run_on_startup=True, use_monitor=False)
async def resume_operations(timer: func.TimerRequest, ids: func.Out[List[str]]) -> None:  # noqa: ARG001, UP006 - as above
    """Put operations that have begun, or of which nothing is heard, on the queue, every minute."""
    async with metrics.background("resume_operations"):
        if found := await operations.due(backend()):
            ids.set(found)


@blueprint.function_name("run_operation")
@blueprint.queue_output(arg_name="again", queue_name=_OPERATIONS, connection=_HOST)
@blueprint.queue_trigger(arg_name="message", queue_name=_OPERATIONS, connection=_HOST)
async def run_operation(message: func.QueueMessage, again: func.Out[str]) -> None:
    """Do a step of an operation, whose id is the message, and put it on the queue again while there is more."""
    name = message.get_body().decode()
    async with metrics.background("run_operation"):
        if await operations.advance(name, backend()):
            again.set(name)


@blueprint.function_name("fail_operation")
@blueprint.queue_trigger(arg_name="message", queue_name=f"{_OPERATIONS}-poison", connection=_HOST)
async def fail_operation(message: func.QueueMessage) -> None:
    """End an operation whose step has failed as often as it was tried."""
    async with metrics.background("fail_operation"):
        await operations.fail(message.get_body().decode(), backend())


async def _clean_up(context: Backend) -> int:
    """Return whether anything was removed; deletes of tags, operations and renewals that died are taken up too."""
    removed = await cleanup.clean_up(context)
    await query_tags.tidy(context)
    await renewal.renew_all(context)
    return removed


async def _publish(context: Backend) -> bool:
    """Return whether there may be more to do: a receiver that is down delays events and loses none."""
    return bool(await events.publish(context)) or (await events.waiting(context))[0] > 0


async def _run(name: str, work: Callable[[Backend], Awaitable[int]]) -> None:
    context = backend()
    async with metrics.background(name):
        if await activity.is_due(context):
            if await work(context):
                await activity.note(context)  # it left work behind, most likely
            if name == "clean_up":
                await activity.settle(context)
