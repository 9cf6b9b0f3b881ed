"""One migration at a time: two deployments that race would both find the old schema."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from shared.errors import Unavailable

LONGEST_WAIT_S = 600
"""For another deployment's migration."""

_NAME = "dicomweb-migration"

# Owned by the session, not by the transaction: it is held before the migration looks what has run. A session that
# breaks off gives it back.
_TAKE = (
    "SET NOCOUNT ON; DECLARE @answer int; "
    f"EXEC @answer = sp_getapplock @Resource = N'{_NAME}', @LockMode = 'Exclusive', @LockOwner = 'Session', "
    f"@LockTimeout = {LONGEST_WAIT_S * 1000}; SELECT @answer"
)
_GIVE_BACK = f"EXEC sp_releaseapplock @Resource = N'{_NAME}', @LockOwner = 'Session'"


@contextmanager
def migrating_alone(connection: Connection) -> Iterator[None]:
    """Keep others from migrating; on SQLite the transaction itself does that.

    After an error the lock stays until the connection is closed.

    Raises
    ------
    Unavailable
        Another deployment has been migrating for `LONGEST_WAIT_S`, or the server does not give the lock.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    answer = connection.exec_driver_sql(_TAKE).scalar()
    connection.commit()
    if answer is None or answer < 0:
        raise Unavailable(
            f"The lock of migrations was not given within {LONGEST_WAIT_S // 60} minutes (sp_getapplock: {answer}): "
            "another deployment migrates this database. Try again when it is done."
        )
    yield
    connection.exec_driver_sql(_GIVE_BACK)
    connection.commit()
