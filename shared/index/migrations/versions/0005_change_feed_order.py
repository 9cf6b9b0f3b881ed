"""The change feed in order: its clock, and indexes by time and version."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql as _mssql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

mssql: Any = _mssql

TIME = sa.DateTime().with_variant(mssql.DATETIME2(7), "mssql")
FIRST: sa.ColumnElement[datetime] = sa.literal_column("'1970-01-01 00:00:00.000000'")
FEED = sa.table("change_feed", sa.column("timestamp", TIME))


def upgrade() -> None:
    """Make a table of one row, which knows the latest time, and two indexes."""
    op.create_index("ix_change_feed_timestamp", "change_feed", ["timestamp"])
    op.create_index("ix_change_feed_version", "change_feed", ["version"])
    clock = op.create_table(
        "change_feed_clock",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("last", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_feed_clock"),
    )
    last = sa.select(sa.literal_column("1"), sa.func.coalesce(sa.func.max(FEED.c.timestamp), FIRST))
    op.execute(sa.insert(clock).from_select(["id", "last"], last))
