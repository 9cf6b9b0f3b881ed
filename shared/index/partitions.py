"""Partitions: namespaces of UIDs, found by name in any case and shown as first written."""

from datetime import datetime

from sqlalchemy import Connection, insert, select

from shared.index.tables import partition
from shared.model import DEFAULT_PARTITION, Partition

_FIND = select(partition.c.id, partition.c.name)
_OTHERS = select(partition.c.id).where(partition.c.id != DEFAULT_PARTITION.key).limit(1)
_ALL = select(partition.c.id, partition.c.name, partition.c.created_at).order_by(partition.c.id)


def find(connection: Connection, name: str) -> Partition | None:
    """Return the partition of that name, in any case; None when there is none."""
    row = connection.execute(_FIND.where(partition.c.folded_name == name.lower())).one_or_none()
    return None if row is None else Partition(row.id, row.name)


def find_or_add(connection: Connection, name: str, now: datetime) -> Partition:
    """Return the partition of that name, new if there was none.

    Of two writers that add it at once the second breaks a unique constraint, and its work is done again.
    """
    found = find(connection, name)
    if found is not None:
        return found
    row = {"name": name, "folded_name": name.lower(), "created_at": now}
    key = connection.execute(insert(partition).returning(partition.c.id), row).scalar_one()
    return Partition(key, name)


def has_others(connection: Connection) -> bool:
    """Whether there is a partition beside the one that holds everything while partitions are off."""
    return connection.execute(_OTHERS).first() is not None


def find_all(connection: Connection) -> list[tuple[Partition, datetime]]:
    """Return every partition with the time of its creation, oldest first."""
    return [(Partition(row.id, row.name), row.created_at) for row in connection.execute(_ALL)]
