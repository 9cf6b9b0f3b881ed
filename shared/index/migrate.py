"""Bring a database to the newest schema: ``python -m shared.index.migrate`` with `DICOM_SQL_URL` set.

Runs at deployment with an identity that may change the schema; the app's own may not. Locally it runs at start.
"""

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import DicomwebError, Unavailable
from shared.index import partitions, schema
from shared.index.database import open_engine
from shared.index.migration_lock import migrating_alone
from shared.index.server import require_snapshots

_SETTING = "DICOM_SQL_URL"
_PARTITIONS = "DATA_PARTITIONS"
_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url: str) -> None:
    """Run the migrations that have not run, all in one transaction; others who migrate wait for it.

    A schema that a newer app made stays as it is.

    Raises
    ------
    Unavailable
        When the database cannot be opened or written, or another deployment has been migrating for too long.
    UnknownSchema
        When only a newer app can use the database.
    """
    engine = open_engine(url, writes=True, statement_s=0)  # an index on a large table takes what it takes
    try:
        if engine.dialect.name == "sqlite":
            Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        with engine.connect() as connection, migrating_alone(connection), connection.begin():
            _run_missing(connection)
    except OSError as error:
        raise Unavailable("The folder of the database cannot be made.") from error
    except SQLAlchemyError as error:
        raise Unavailable("The database cannot be opened or written.") from error
    finally:
        engine.dispose()


def script_config() -> Config:
    """Return the configuration that finds the migrations from any working directory."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def main() -> int:
    """Migrate the database that the environment names; return the exit code."""
    url = os.environ.get(_SETTING)
    if not url:
        sys.stderr.write(f"{_SETTING} is not set; it is the SQLAlchemy URL of the database.\n")
        return 2
    try:
        migrate(url)
        hidden = os.environ.get(_PARTITIONS, "").strip().lower() != "true" and _has_partitions(url)
    except DicomwebError as error:
        cause = error.__cause__
        detail = getattr(cause, "orig", None) or cause
        sys.stderr.write(f"{_SETTING}: {error}{f' ({detail})' if detail else ''}\n")
        return 1
    if hidden:
        sys.stderr.write(
            f"{_PARTITIONS} is not true, and the database has data partitions: they would be out of reach.\n"
        )
        return 1
    return 0


def _has_partitions(url: str) -> bool:
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return partitions.has_others(connection)
    except SQLAlchemyError as error:
        raise Unavailable("The database cannot be read.") from error
    finally:
        engine.dispose()


def _run_missing(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        require_snapshots(connection)
    found = schema.revision(connection)
    if schema.is_ahead(found):
        schema.require_generation(found)
    elif found != schema.NEWEST:
        config = script_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


if __name__ == "__main__":
    sys.exit(main())
