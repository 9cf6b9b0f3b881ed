"""The engine for Azure SQL by pyodbc: pooling, waking a paused database, time limits, login (azure-sql.md).

Two things are assumed of the database. READ_COMMITTED_SNAPSHOT is on, as it is in Azure SQL: each statement sees what
was committed when it began, and readers hinder no writer; the migration looks. And nothing relies on one statement of
a transaction seeing the same as the one before: who writes says which revision it read, or takes an update lock.
"""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

from shared.errors import Unavailable
from shared.index.failures import asks_to_come_back

CONNECTIONS = 16
STATEMENT_S = 60
"""What a statement takes at most; a request that waits for longer is not answered in time anyway."""

WAKING_PAUSES_S: Sequence[float] = (0.5, 1, 2, *[4] * 22)
"""Between attempts to connect while the database wakes or moves: a minute and a half."""

_LOGIN_S = 30
_RECYCLED_AFTER_S = 25 * 60
_SNAPSHOTS = "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE name = DB_NAME()"


def server_engine(
    url: URL,
    client_id: str = "",
    *,
    statement_s: int = STATEMENT_S,
    pauses_s: Sequence[float] = WAKING_PAUSES_S,
    driver: object = None,
) -> Engine:
    """Return an engine for Azure SQL; a URL without a user logs in by identity.

    Parameters
    ----------
    client_id
        Of the user-assigned identity; "" for the developer's own login.
    statement_s
        What a statement takes at most, in seconds; 0: no limit.
    driver
        A module as PEP 249 describes it, in place of pyodbc.

    Raises
    ------
    Unavailable
        The driver is missing.
    """
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            module=driver,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            pool_recycle=_RECYCLED_AFTER_S,
            fast_executemany=True,
            connect_args={"timeout": _LOGIN_S},
        )
    except ImportError as error:
        raise Unavailable("SQL Server needs the package pyodbc and an ODBC driver manager.") from error
    pyodbc: Any = engine.dialect.dbapi
    pyodbc.pooling = False  # one pool is enough; the driver manager's would keep connections alive unseen
    if not url.username:
        from shared.identity import blocking_credential  # only where there is an identity
        from shared.index.identity import log_in_by_token, token_of

        log_in_by_token(engine, token_of(blocking_credential(client_id)))
    _connect_patiently(engine, pauses_s)
    _limit_statements(engine, statement_s)
    return engine


def require_snapshots(connection: Connection) -> None:
    """Raise `Unavailable` where readers would wait for writers (READ_COMMITTED_SNAPSHOT is off)."""
    if not connection.exec_driver_sql(_SNAPSHOTS).scalar():
        raise Unavailable(
            "READ_COMMITTED_SNAPSHOT of the database is off. Switch it on: "
            "ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE."
        )


def _connect_patiently(engine: Engine, pauses_s: Sequence[float]) -> None:
    """Connect again and again to a database that says that it wakes; the last attempt is SQLAlchemy's own."""

    def connect(dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        for pause_s in pauses_s:
            try:
                return dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.Error as error:
                if not asks_to_come_back(error):
                    raise
            time.sleep(pause_s)
        return None

    event.listen(engine, "do_connect", connect)


def _limit_statements(engine: Engine, statement_s: int) -> None:
    def limit(connection: DBAPIConnection, _: object) -> None:
        connection.timeout = statement_s

    event.listen(engine, "connect", limit)
