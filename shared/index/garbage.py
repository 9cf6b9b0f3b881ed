"""What deletes and crashes leave behind: reservations nobody published and versions whose blobs must go."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from shared.index.tables import deleted_instance, reservation, series_document, study_expiry

T = TypeVar("T")

CHUNK = 500
"""Versions in one statement: Azure SQL takes at most 2,100 parameters."""

TRIED_OFTEN = 5
"""Removals of a blob that failed, after which somebody should look; trying goes on."""

_EXPIRED = (
    select(reservation.c.version)
    .where(reservation.c.reserved_at < bindparam("before"))
    .order_by(reservation.c.version)
    .limit(bindparam("limit"))
)
_DUE = (
    select(deleted_instance.c.version)
    .where(deleted_instance.c.due_at <= bindparam("now"))
    .order_by(deleted_instance.c.due_at, deleted_instance.c.version)
    .limit(bindparam("limit"))
)
_BACKLOG = select(func.count(), func.min(deleted_instance.c.due_at)).select_from(deleted_instance)
_OLDEST_RESERVATION = select(func.min(reservation.c.reserved_at))
_NEXT_DUE = [
    select(func.min(column))
    for column in (deleted_instance.c.due_at, series_document.c.due_at, study_expiry.c.expires_at)
]
_ATTEMPTS = select(deleted_instance.c.version, deleted_instance.c.attempts).where(
    deleted_instance.c.version.in_(bindparam("versions", expanding=True))
)
_FAILING = select(func.count()).select_from(deleted_instance).where(deleted_instance.c.attempts >= TRIED_OFTEN)
_RELEASE = (
    delete(reservation)
    .where(reservation.c.version.in_(bindparam("versions", expanding=True)))
    .returning(reservation.c.version)
)
_RELEASE_ONE = delete(reservation).where(reservation.c.version == bindparam("only")).returning(reservation.c.version)
_FORGET = delete(deleted_instance).where(deleted_instance.c.version.in_(bindparam("versions", expanding=True)))
_POSTPONE = (
    update(deleted_instance)
    .where(deleted_instance.c.version.in_(bindparam("versions", expanding=True)))
    .values(due_at=bindparam("until"), attempts=deleted_instance.c.attempts + 1)
)


def expire_reservations(connection: Connection, before: datetime, now: datetime, limit: int) -> int:
    """Take at most *limit* reservations older than *before* away; their blobs are due now. Returns how many."""
    expired = connection.execute(_EXPIRED, {"before": before, "limit": limit}).scalars().all()
    released = release(connection, expired)
    discard(connection, sorted(released), now)
    return len(released)


def due(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Return at most *limit* versions whose blobs may go now, the longest due first."""
    return list(connection.execute(_DUE, {"now": now, "limit": limit}).scalars())


def attempts(connection: Connection, versions: Sequence[int]) -> dict[int, int]:
    """Return how often the removal of each version was tried before."""
    return {
        version: count
        for chunk in chunks(versions)
        for version, count in connection.execute(_ATTEMPTS, {"versions": chunk})
    }


def forget(connection: Connection, versions: Sequence[int]) -> None:
    """Drop versions whose blobs are gone."""
    for chunk in chunks(versions):
        connection.execute(_FORGET, {"versions": chunk})


def postpone(connection: Connection, versions: Sequence[int], until: datetime) -> None:
    """Count an attempt for versions whose blobs could not be removed, and try again after *until*."""
    for chunk in chunks(versions):
        connection.execute(_POSTPONE, {"versions": chunk, "until": until})


def backlog(connection: Connection) -> tuple[int, datetime | None]:
    """Return how many versions wait for their removal and when the first of them is or was due."""
    count, oldest = connection.execute(_BACKLOG).one()
    return count, oldest


def next_due(connection: Connection, kept: timedelta) -> datetime | None:
    """Return when the next thing that waits for its time is due; reservations are *kept* for so long. None: nothing."""
    reserved = connection.execute(_OLDEST_RESERVATION).scalar()
    times = [connection.execute(statement).scalar() for statement in _NEXT_DUE]
    return min(filter(None, [*times, reserved and reserved + kept]), default=None)


def failing(connection: Connection) -> int:
    """Return how many versions wait although their removal was tried often."""
    return connection.execute(_FAILING).scalar_one()


def release(connection: Connection, versions: Sequence[int]) -> set[int]:
    """End reservations and return those that were still there; cleanup has taken the others."""
    if len(versions) == 1:
        return set(connection.execute(_RELEASE_ONE, {"only": versions[0]}).scalars())
    return {
        version for chunk in chunks(versions) for version in connection.execute(_RELEASE, {"versions": chunk}).scalars()
    }


def discard(connection: Connection, versions: Sequence[int], due_at: datetime) -> None:
    """Note versions whose blobs must go from *due_at* on; one noted before is due then too."""
    if not versions:
        return
    forget(connection, versions)
    connection.execute(
        insert(deleted_instance), [{"version": version, "due_at": due_at, "attempts": 0} for version in versions]
    )


def chunks(items: Sequence[T], length: int = CHUNK) -> list[Sequence[T]]:
    """Cut a sequence into pieces of *length*."""
    return [items[start : start + length] for start in range(0, len(items), length)]
