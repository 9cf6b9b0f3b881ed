"""Two deployments do not migrate one database at the same time (`shared/index/migration_lock.py`)."""

import pytest
from sqlalchemy import create_engine

from shared.errors import Unavailable
from shared.index.migration_lock import migrating_alone
from tests.sql_server import URL, Server


@pytest.mark.parametrize("answer", [0, 1], ids=["at once", "after waiting"])
def test_order(answer: int) -> None:
    """The lock belongs to the session: it is taken before the migration's transaction and given back behind it."""
    server = Server(answers={"sp_getapplock": [[[answer]]]})

    with create_engine(URL, module=server).connect() as connection:
        server.said.clear()
        with migrating_alone(connection), connection.begin():
            connection.exec_driver_sql("ALTER TABLE study")

    taken, _, altered, _, given_back, *_ = server.said
    assert "sp_getapplock" in taken
    assert "ALTER" in altered
    assert "sp_releaseapplock" in given_back
    assert all("@LockOwner = 'Session'" in said for said in (taken, given_back))
    assert [said for said in server.said if said not in {taken, altered, given_back}] == ["COMMIT"] * 3 + ["ROLLBACK"]


@pytest.mark.parametrize("answer", [-1, -2, -3, -999])
def test_not_given(answer: int) -> None:
    """Without the lock nothing is migrated, and the message says who holds it."""
    server = Server(answers={"sp_getapplock": [[[answer]]]})

    with (
        create_engine(URL, module=server).connect() as connection,
        pytest.raises(Unavailable, match="another deployment migrates"),
        migrating_alone(connection),
    ):
        pytest.fail("it must not be migrated")


def test_failed_migration() -> None:
    """After a failed migration its own error is what is heard of; closing the session gives the lock back."""
    server = Server(answers={"sp_getapplock": [[[0]]]})
    engine = create_engine(URL, module=server)

    with pytest.raises(ZeroDivisionError), engine.connect() as connection, migrating_alone(connection):
        raise ZeroDivisionError
    engine.dispose()

    assert not any("sp_releaseapplock" in said for said in server.said)
    assert all(connection.closed for connection in server.connections)


def test_on_sqlite() -> None:
    """On SQLite nothing is asked: the transaction holds the file's lock."""
    with create_engine("sqlite://").connect() as connection, migrating_alone(connection):
        assert not connection.in_transaction()
