"""What cleanup is told to remove (`shared/index/garbage.py`), and partitions (`shared/index/partitions.py`)."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, select

from shared.index import garbage, partitions, tables
from shared.index.publishing import Refusal, publish, reserve
from shared.model import DEFAULT_PARTITION, InstanceKey
from tests.integration.index_samples import NOW, new_instance, open_database, store, uids, undone

KEYS = [InstanceKey(1, "1.1", "1.1.1", f"1.1.1.{number}") for number in range(5)]
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_database(tmp_path_factory.mktemp("index")) as opened:
        yield opened


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with undone(database) as opened:
        yield opened


def reserved(connection: Connection, count: int) -> list[int]:
    return [version for version in reserve(connection, KEYS[:count], NOW) if version is not None]


def test_expire(connection: Connection) -> None:
    """Reservations older than a moment become garbage that is due now, the oldest first; published ones do not."""
    store(connection, uids(9))
    versions = reserved(connection, 3)

    assert garbage.expire_reservations(connection, NOW, NOW, 10) == 0
    assert garbage.expire_reservations(connection, NOW + HOUR, NOW, 2) == 2
    assert garbage.due(connection, NOW, 10) == versions[:2]
    assert garbage.expire_reservations(connection, NOW + HOUR, NOW, 2) == 1
    assert garbage.expire_reservations(connection, NOW + HOUR, NOW, 2) == 0


def test_expired_not_published(connection: Connection) -> None:
    """What expired is not published any more."""
    (version,) = reserved(connection, 1)
    garbage.expire_reservations(connection, NOW + HOUR, NOW, 10)

    assert publish(connection, [new_instance(version)], NOW) == [Refusal.RESERVATION_LOST]


def test_due_order(connection: Connection) -> None:
    """What has been due longest comes first, nothing before its time, and no more than was asked for."""
    garbage.discard(connection, [3], NOW + HOUR)
    garbage.discard(connection, [1, 2], NOW + 2 * HOUR)

    assert garbage.due(connection, NOW, 10) == []
    assert garbage.due(connection, NOW + HOUR, 10) == [3]
    assert garbage.due(connection, NOW + 2 * HOUR, 2) == [3, 1]


def test_forget(connection: Connection) -> None:
    """What is forgotten is not due again."""
    garbage.discard(connection, [1, 2], NOW)

    garbage.forget(connection, [1])

    assert garbage.due(connection, NOW, 10) == [2]


def test_postpone(connection: Connection) -> None:
    """What could not be removed is due later, and the attempt is counted."""
    garbage.discard(connection, [1, 2], NOW)

    garbage.postpone(connection, [1], NOW + HOUR)
    garbage.postpone(connection, [1], NOW + 2 * HOUR)

    assert garbage.due(connection, NOW + HOUR, 10) == [2]
    attempts = connection.execute(select(tables.deleted_instance.c.version, tables.deleted_instance.c.attempts))
    assert {version: count for version, count in attempts} == {1: 2, 2: 0}  # noqa: C416 - as a row's types are unknown


def test_backlog(connection: Connection) -> None:
    """The backlog is how much waits, and since when or until when the first does."""
    assert garbage.backlog(connection) == (0, None)

    garbage.discard(connection, [1], NOW + HOUR)
    garbage.discard(connection, [2], NOW)

    assert garbage.backlog(connection) == (2, NOW)


def test_default_partition(connection: Connection) -> None:
    """The default partition is always there, under key 1."""
    ((default, _),) = partitions.find_all(connection)

    assert default == DEFAULT_PARTITION


def test_partition_case(connection: Connection) -> None:
    """A partition is found in any case and keeps the one it was made with."""
    added = partitions.find_or_add(connection, "Clinic-A", NOW)

    assert added.name == "Clinic-A"
    assert partitions.find(connection, "cLINIC-a") == added
    assert partitions.find_or_add(connection, "CLINIC-A", NOW) == added
    assert partitions.find(connection, "clinic") is None


def test_partitions(connection: Connection) -> None:
    """All partitions are listed with the time of their creation, oldest first."""
    added = partitions.find_or_add(connection, "B", NOW)

    assert partitions.find_all(connection)[1:] == [(added, NOW)]
