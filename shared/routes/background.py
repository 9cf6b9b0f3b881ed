"""Functions that no request starts: timers."""

import azure.functions as func

from shared import metrics
from shared.backend import backend
from shared.services import cleanup, consolidation, events, expiry

blueprint = func.Blueprint()


@blueprint.function_name("clean_up")
@blueprint.timer_trigger(arg_name="timer", schedule="0 */3 * * * *", run_on_startup=False, use_monitor=False)
async def clean_up(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Remove the bytes of what was deleted and of what crashes left, every three minutes."""
    async with metrics.background("clean_up"):
        await cleanup.clean_up(backend())


@blueprint.function_name("consolidate")
@blueprint.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", run_on_startup=False, use_monitor=False)
async def consolidate(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Put the metadata of quiet series into documents, every five minutes."""
    async with metrics.background("consolidate"):
        await consolidation.consolidate_quiet(backend())


@blueprint.function_name("expire_studies")
@blueprint.timer_trigger(arg_name="timer", schedule="15 */10 * * * *", run_on_startup=False, use_monitor=False)
async def expire_studies(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Delete studies whose time has come, every ten minutes."""
    async with metrics.background("expire_studies"):
        await expiry.delete_expired(backend())


@blueprint.function_name("publish_events")
@blueprint.timer_trigger(arg_name="timer", schedule="*/5 * * * * *", run_on_startup=True, use_monitor=False)
async def publish_events(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the worker passes it by name
    """Publish what the change feed tells, every five seconds where events are on."""
    async with metrics.background("publish_events"):
        await events.publish(backend())
