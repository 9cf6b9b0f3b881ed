"""Publishing: reserve a version, make what is durable visible, or give it up. Rows appear as a whole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import groupby

import orjson
from sqlalchemy import Connection, Insert, bindparam, insert, select
from sqlalchemy import delete as delete_from

from shared.index import change_feed, outdated, studies, tag_values, terms
from shared.index.garbage import chunks, discard, release
from shared.index.instances import delete_beside, stored_instances
from shared.index.tables import frame_page, instance, instance_metadata, reservation
from shared.index.tag_values import Place
from shared.model import ChangeAction, FramePage, InstanceKey, Level, NewInstance, StoreTerms

_PUBLISHED_AT_ONCE = 200
"""Instances: statements with the values of thousands take memory, and no less time for each."""


class Refusal(Enum):
    """Why an instance was not published."""

    ALREADY_STORED = "another instance of that key was first"
    RESERVATION_LOST = "the reservation expired"


@dataclass(frozen=True, slots=True)
class _Published:
    """An instance that is being published, and the version that it replaces."""

    instance: NewInstance
    place: Place
    replaced: int | None

    @property
    def change(self) -> change_feed.Change:
        """What the change feed tells of it."""
        one = self.instance
        modality = orjson.loads(one.values[Level.SERIES]).get("Modality")
        action = ChangeAction.CREATE if self.replaced is None else ChangeAction.UPDATE
        return change_feed.Change(action, one.version, one.key, one.sop_class, modality)


def reserve(connection: Connection, keys: Sequence[InstanceKey], now: datetime) -> list[int | None]:
    """Return a new version for each key, to name its blob; None where an instance of that key is published."""
    stored = stored_instances(connection, keys)
    versions = iter(reserve_any(connection, [key for key in keys if key not in stored], now))
    return [None if key in stored else next(versions) for key in keys]


def reserve_any(connection: Connection, keys: Sequence[InstanceKey], now: datetime) -> list[int]:
    """Return a new version for each key, whether an instance of that key is published or not."""
    rows = [{"reserved_at": now}] * len(keys)
    return list(connection.execute(_RESERVE, rows if len(rows) > 1 else rows[0]).scalars().all()) if rows else []


def publish(connection: Connection, instances: Sequence[NewInstance], now: datetime) -> list[Refusal | None]:
    """Make instances visible with all that is searched and read of them; return why each is not, None where it is.

    What was refused is discarded: its blob is due now. An instance whose terms say so replaces a published one of
    its key. A version that is published already counts as published, so a call whose commit nobody heard of can be
    made again.

    Raises
    ------
    InvalidRequest
        The terms contradict what is stored; nothing is published.
    """
    reserved = release(connection, [one.version for one in instances])
    lost = _unpublished(connection, [one.version for one in instances if one.version not in reserved])
    refused = dict.fromkeys(lost, Refusal.RESERVATION_LOST)
    published: list[_Published] = []
    doubtful: set[tuple[Level, int]] = set()
    waiting = [one for one in instances if one.version in reserved]
    for partition_id, group in groupby(
        sorted(waiting, key=lambda one: one.key.partition), lambda one: one.key.partition
    ):
        for page in _pages(group):
            refused |= _publish(connection, partition_id, page, published, doubtful, now)
    discard(connection, list(refused), now)
    revision = change_feed.append(connection, [one.change for one in published], now)
    if revision:
        replaced = {one.replaced for one in published if one.replaced is not None}
        tag_values.forget(connection, sorted(replaced), [], [])
        there = [(one.instance, one.place) for one in published if one.place.version not in replaced]
        tag_values.keep_published(connection, revision, there)
        owners = {number for one in published for number in (one.place.study, one.place.series)}
        doubtful |= tag_values.owners_of(connection, sorted(owners), sorted(replaced))
    outdated.mark(connection, doubtful)
    return [refused.get(one.version) for one in instances]


def publish_and_confirm(
    connection: Connection,
    instances: Sequence[NewInstance],
    unchanged: Sequence[InstanceKey],
    of: StoreTerms,
    clock: Callable[[], datetime],
) -> list[Refusal | None]:
    """Do as `publish`, and keep the terms for studies whose instances were sent again *unchanged*."""
    terms.confirm(connection, unchanged, of)
    return publish(connection, instances, clock())


def abandon(connection: Connection, versions: Sequence[int], due_at: datetime) -> None:
    """Give reservations up; their blobs are due at *due_at*. A version that was published after all stays."""
    release(connection, versions)
    discard(connection, _unpublished(connection, versions), due_at)


def _unpublished(connection: Connection, versions: Sequence[int]) -> list[int]:
    published = {
        version
        for chunk in chunks(versions)
        for version in connection.execute(_PUBLISHED, {"versions": chunk}).scalars()
    }
    return [version for version in versions if version not in published]


def _pages(instances: Iterable[NewInstance]) -> Iterator[list[NewInstance]]:
    """Cut instances into pages that have no key twice: of those the later one meets what the earlier has stored."""
    page: dict[InstanceKey, NewInstance] = {}
    for one in instances:
        if one.key in page or len(page) == _PUBLISHED_AT_ONCE:
            yield list(page.values())
            page.clear()
        page[one.key] = one
    if page:
        yield list(page.values())


def _publish(
    connection: Connection,
    partition_id: int,
    instances: Sequence[NewInstance],
    published: list[_Published],
    doubtful: set[tuple[Level, int]],
    now: datetime,
) -> dict[int, Refusal]:
    """Publish instances of one partition whose reservations hold; return those whose key is taken.

    The others are added to *published*, and to *doubtful* the rows that may say something of what they replace.
    """
    known = studies.look_up(connection, partition_id, [one.key for one in instances])
    stored = {one.version: known.instances.get(one.key, 0) for one in instances}
    refused = {
        one.version: Refusal.ALREADY_STORED
        for one in instances
        if stored[one.version] and one.terms.replaced_due_at is None
    }
    # Of two replacements at once the newer version stays: study and series have its values. The other was there before.
    outdated = [version for version, newer in stored.items() if version < newer and version not in refused]
    discard(connection, outdated, now)
    for one in instances:
        if one.version in outdated and one.terms.external:
            terms.add_missing(connection, known.studies[one.key.study].id, one.terms.external)
    accepted = [one for one in instances if one.version not in refused and one.version not in outdated]
    if not accepted:
        return refused
    parents = studies.merge(connection, known, accepted)
    doubtful |= studies.in_doubt(known, parents, accepted)
    terms.save(connection, known, parents, accepted)
    _remove_replaced(connection, known, accepted)
    _insert(connection, _INSERT, [_row(one, parents) for one in accepted])
    _insert(connection, _INSERT_METADATA, [{"version": one.version, "dicom_json": one.metadata} for one in accepted])
    _insert(connection, _INSERT_FRAMES, [_frames(one.version, page) for one in accepted for page in one.frames])
    published += [_published(one, known, parents) for one in accepted]
    return refused


def _insert(connection: Connection, statement: Insert, rows: list[dict[str, object]]) -> None:
    if rows:
        connection.execute(statement, rows if len(rows) > 1 else rows[0])


def _remove_replaced(connection: Connection, known: studies.Known, instances: Sequence[NewInstance]) -> None:
    """Remove the rows of what *instances* replace; its bytes stay for those who are reading them."""
    replaced = {known.instances[one.key]: one.terms.replaced_due_at for one in instances if one.key in known.instances}
    if not replaced:
        return
    versions = sorted(replaced)
    for chunk in chunks(versions):
        connection.execute(_DELETE_VERSIONS, {"versions": chunk})
    delete_beside(connection, versions)
    discard(connection, versions, max(due_at for due_at in replaced.values() if due_at is not None))


def _row(one: NewInstance, parents: studies.Known) -> dict[str, object]:
    return {
        "version": one.version,
        "partition_id": one.key.partition,
        "study_id": parents.studies[one.key.study].id,
        "series_id": parents.series[one.key.study, one.key.series].id,
        "study_uid": one.key.study,
        "series_uid": one.key.series,
        "sop_uid": one.key.instance,
        "sop_class_uid": one.sop_class,
        "instance_number": orjson.loads(one.values[Level.INSTANCE]).get("InstanceNumber"),
        "transfer_syntax_uid": one.transfer_syntax,
        "length_bytes": one.length_bytes,
        "attributes": one.attributes[Level.INSTANCE].decode(),
    }


def _frames(version: int, page: FramePage) -> dict[str, object]:
    return {
        "version": version,
        "first_frame": page.first_frame,
        "frame_count": page.frame_count,
        "offset_bytes": page.offset,
        "frame_bits": page.frame_bits,
        "fragments": page.fragments,
    }


def _published(one: NewInstance, known: studies.Known, parents: studies.Known) -> _Published:
    study, series = parents.studies[one.key.study].id, parents.series[one.key.study, one.key.series].id
    return _Published(one, Place(one.version, one.key.partition, study, series), known.instances.get(one.key))


_RESERVE = insert(reservation).returning(reservation.c.version)
_PUBLISHED = select(instance.c.version).where(instance.c.version.in_(bindparam("versions", expanding=True)))
_INSERT = insert(instance)
_INSERT_METADATA = insert(instance_metadata)
_INSERT_FRAMES = insert(frame_page)
_DELETE_VERSIONS = delete_from(instance).where(instance.c.version.in_(bindparam("versions", expanding=True)))
