"""Alembic's environment: runs migrations on the connection that `migrate.py` gives, or writes them as SQL.

``alembic`` itself is only needed to begin a new migration; see `script_config`.
"""

from typing import Any

from alembic import context
from sqlalchemy import Connection

from shared.index.tables import metadata

connection: Connection | None = context.config.attributes.get("connection")
options: dict[str, Any] = {"target_metadata": metadata, "transactional_ddl": True}
if connection is None:
    context.configure(dialect_name=context.config.attributes.get("dialect", "mssql"), **options)
else:
    context.configure(connection=connection, **options)

with context.begin_transaction():
    context.run_migrations()
