"""When work in the background may let the database sleep: a paused database costs nothing, and any look wakes it.

Two records say it without the database: when something last changed, and when the next thing that waits for its time is
due. Timers look into the database for a while after each change, and when something is due; else they let it sleep.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson

from shared.backend import Backend
from shared.errors import Conflict, NotFound
from shared.index import garbage

AWAKE = timedelta(minutes=20)
"""After a change: longer than a transaction takes, and than a series must be quiet to be consolidated."""

NOTED_EVERY = timedelta(minutes=1)
"""By one process."""

_KIND = "background"
_NEVER = datetime.max.replace(tzinfo=UTC)
_CHANGED, _DUE = "changed", "due"


async def note(backend: Backend) -> None:
    """Note that something changes, before and after it does; nothing is lost when it then does not.

    Raises
    ------
    Unavailable
        It cannot be noted: what changed would never be cleaned up.
    """
    now = backend.now()
    last = backend.noted.get(_CHANGED)
    if not _sleeps(backend) or (last is not None and now - last < NOTED_EVERY):
        return
    await _save(_CHANGED, now, backend)
    backend.noted[_CHANGED] = now


async def is_due(backend: Backend) -> bool:
    """Whether a timer should look into the database: something changed lately, or something's time has come."""
    if not _sleeps(backend):
        return True
    changed, due = await _load(_CHANGED, backend), await _load(_DUE, backend)
    if due is None or due <= backend.now():
        return True
    return changed is not None and backend.now() - changed < AWAKE


async def settle(backend: Backend) -> None:
    """Note when the next thing is due, as far as the database knows now."""
    if _sleeps(backend):
        kept = timedelta(seconds=backend.settings.reservation_expires_s)
        due: datetime | None = await backend.index.read(garbage.next_due, kept)
        await _save(_DUE, due or _NEVER, backend)


def _sleeps(backend: Backend) -> bool:
    """Whether the database may be one that pauses; a file does not."""
    return not backend.settings.dicom_sql_url.startswith("sqlite")


async def _load(name: str, backend: Backend) -> datetime | None:
    try:
        record = await backend.records.load(_KIND, name)
    except NotFound:
        return None
    return datetime.fromisoformat(orjson.loads(record.body))


async def _save(name: str, at: datetime, backend: Backend) -> None:
    """Save a time, unless it is there already, or another process has saved its own meanwhile."""
    body = orjson.dumps(at.isoformat())
    try:
        record = await backend.records.load(_KIND, name)
        known, etag = record.body, record.etag
    except NotFound:
        known, etag = None, None
    if known != body:
        with suppress(Conflict):
            await backend.records.save(_KIND, name, body, etag=etag)
