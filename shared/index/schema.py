"""Which schemas of the database this app can work with; it looks without Alembic, since starts must be short.

A schema is a revision of four digits. The first is its generation: one that begins a new generation cannot be used by
the app before it. All others only add, so that the app before goes on beside them while it is being replaced.
"""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from shared.errors import Unavailable

_MIGRATIONS = Path(__file__).parent / "migrations" / "versions"
_REVISION_DIGITS = 4

NEWEST = max(path.name[:_REVISION_DIGITS] for path in _MIGRATIONS.glob("[0-9]*.py"))
"""The schema that this app was written for."""

_written = Table("alembic_version", MetaData(), Column("version_num", String(32)))


class UnknownSchema(Unavailable):
    """App and database do not fit each other; the message says which of them is behind."""


def require_known(connection: Connection) -> None:
    """Look whether the app can work with the schema that the database has.

    Raises
    ------
    UnknownSchema
        It cannot.
    """
    found = revision(connection)
    if is_ahead(found):
        require_generation(found)
    elif found != NEWEST:
        raise UnknownSchema(
            f"The database is behind the app: its schema is {found or 'empty'}, the app's {NEWEST}. "
            "Run the migration (python -m shared.index.migrate)."
        )


def require_generation(found: str) -> None:
    """Refuse the schema *found*, which a newer app made, where only that app can use it."""
    if found[:1] != NEWEST[:1]:
        raise UnknownSchema(
            f"The app is behind the database: its schema is {NEWEST}, the database's {found}. Deploy a newer app."
        )


def is_ahead(found: str) -> bool:
    """Whether a newer app than this one made the schema *found*."""
    return found > NEWEST


def revision(connection: Connection) -> str:
    """Return the revision of the database's schema, "" where it has none."""
    if not inspect(connection).has_table(_written.name):
        return ""
    return str(connection.execute(select(_written.c.version_num)).scalar() or "")
