"""An index to count the change feed's entries of some partitions, as who sees no others numbers them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NAME = "ix_change_feed_partition_id"


def upgrade() -> None:
    """Make the index, and tell SQLite that a partition has many entries."""
    op.create_index(NAME, "change_feed", ["partition_id"])
    if op.get_context().dialect.name == "sqlite":
        columns = (sa.column("tbl", sa.String()), sa.column("idx", sa.String()), sa.column("stat", sa.String()))
        row = {"tbl": "change_feed", "idx": NAME, "stat": "1000000 1000000"}
        op.bulk_insert(sa.table("sqlite_stat1", *columns), [row])
