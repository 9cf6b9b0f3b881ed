"""Long-running operations: a record each, and steps over a queue (architecture.md §8).

A step does what takes seconds and returns the operation with a new checkpoint. The queue may deliver an id twice, and a
process may die anywhere: a step is safe to repeat, and of two that did the same the second finds the record changed and
ends there. A marker beside the record says that there is more to do and when its id was sent last; a timer sends it
when nothing has happened for a while, and so the first time too.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson

from shared.backend import Backend
from shared.errors import Conflict, NotFound, Unavailable
from shared.model import Operation, OperationStatus
from shared.services import reindex
from shared.storage.blobs import Record

log = logging.getLogger(__name__)

_RECORDS, _MARKERS = "operations", "unfinished-operations"
_STALLED = timedelta(seconds=60)
_STANDING_STILL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an operation of a kind does next, and what is to be done when it has failed for good."""

    step: Callable[[Operation, Backend], Awaitable[Operation]]
    give_up: Callable[[Operation, Backend], Awaitable[None]]


_KINDS: Mapping[str, _Kind] = {reindex.KIND: _Kind(reindex.step, reindex.give_up)}


def new_id() -> str:
    """Return an id that no operation has."""
    return uuid4().hex


async def start(name: str, kind: str, given: Mapping[str, Any], backend: Backend) -> None:
    """Begin an operation of the id *name*; where it was begun already, nothing changes.

    Parameters
    ----------
    given
        What it works on, as JSON.
    """
    now = backend.now()
    operation = Operation(name, kind, OperationStatus.NOT_STARTED, now, now, input=given)
    with suppress(Conflict):
        await _save(operation, backend)
    with suppress(Conflict):
        await backend.records.save(_MARKERS, name, b"", etag=None)


async def find(name: str, backend: Backend) -> Operation:
    """Return an operation by its id, or raise `NotFound`."""
    try:
        return _read(await backend.records.load(_RECORDS, name))
    except NotFound as error:
        raise NotFound("There is no such operation.") from error


async def advance(name: str, backend: Backend) -> bool:
    """Do the next step of an operation and return whether another is due at once."""
    try:
        operation = await find(name, backend)
    except NotFound:
        return False
    try:
        stepped = operation if operation.is_over else await _KINDS[operation.kind].step(operation, backend)
        if not operation.is_over:
            await _save(replace(stepped, updated_at=backend.now()), backend)
    except Unavailable as error:
        log.warning("operation %s waits: %s", name, error)
        return False
    except Conflict:
        log.info("operation %s: another delivery has done this step", name)
        return False
    if stepped.is_over:
        await backend.records.delete(_MARKERS, name)
        log.info("operation %s: %s", name, stepped.status.value)
    return not stepped.is_over


async def fail(name: str, backend: Backend) -> None:
    """End an operation one of whose steps fails whenever it is tried."""
    with suppress(NotFound):
        operation = await find(name, backend)
        if not operation.is_over:
            await _KINDS[operation.kind].give_up(operation, backend)
            failed = replace(operation, status=OperationStatus.FAILED, updated_at=backend.now(), percent=100)
            await _save(failed, backend)
            log.warning("operation %s failed", name)
        await backend.records.delete(_MARKERS, name)


async def due(backend: Backend) -> list[str]:
    """Return the ids that are to be sent: of operations that have just begun, or of which nothing was heard."""
    now, found = backend.now(), []
    async for marker in backend.records.list(_MARKERS):
        if marker.body and now - datetime.fromisoformat(marker.body.decode()) < _STALLED:
            continue
        try:
            operation = await find(marker.name, backend)
        except NotFound:
            await backend.records.delete(_MARKERS, marker.name)
            continue
        if marker.body and now - operation.updated_at < _STALLED and not operation.is_over:
            continue
        with suppress(Conflict):
            await backend.records.save(_MARKERS, marker.name, now.isoformat().encode(), etag=marker.etag)
            found.append(marker.name)
    return found


async def standing_still(backend: Backend) -> list[Operation]:
    """Return operations that are not over and of which nothing was heard for an hour: the queue does not deliver."""
    found = []
    async for marker in backend.records.list(_MARKERS):
        with suppress(NotFound):
            operation = await find(marker.name, backend)
            if not operation.is_over and backend.now() - operation.updated_at > _STANDING_STILL:
                found.append(operation)
    return found


async def _save(operation: Operation, backend: Backend) -> None:
    body = orjson.dumps(
        {
            "kind": operation.kind,
            "status": operation.status,
            "createdAt": operation.created_at,
            "updatedAt": operation.updated_at,
            "percent": operation.percent,
            "partition": operation.partition,
            "input": operation.input,
            "checkpoint": operation.checkpoint,
        }
    )
    await backend.records.save(_RECORDS, operation.id, body, etag=operation.etag)


def _read(record: Record) -> Operation:
    found = orjson.loads(record.body)
    return Operation(
        record.name,
        found["kind"],
        OperationStatus(found["status"]),
        datetime.fromisoformat(found["createdAt"]),
        datetime.fromisoformat(found["updatedAt"]),
        found["percent"],
        found["partition"],
        found["input"],
        found["checkpoint"],
        record.etag,
    )
