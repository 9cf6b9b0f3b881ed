"""The change feed: one entry for every instance that was created, updated or deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert

from shared.index.tables import change_feed
from shared.model import ChangeAction, InstanceKey

_APPEND = insert(change_feed)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one version of an instance; `modality` as it is indexed."""

    action: ChangeAction
    version: int
    key: InstanceKey
    sop_class: str
    modality: str | None


def append(connection: Connection, changes: Sequence[Change], now: datetime) -> None:
    """Add an entry for each change, in this order; they are readable when the caller's transaction commits."""
    if not changes:
        return
    rows = [
        {
            "partition_id": change.key.partition,
            "study_uid": change.key.study,
            "series_uid": change.key.series,
            "sop_uid": change.key.instance,
            "version": change.version,
            "action": change.action.value,
            "timestamp": now,
            "sop_class_uid": change.sop_class,
            # Code strings are upper case (PS3.5 §6.2), so folding lost nothing.
            "modality": change.modality and change.modality.upper(),
        }
        for change in changes
    ]
    connection.execute(_APPEND, rows if len(rows) > 1 else rows[0])
