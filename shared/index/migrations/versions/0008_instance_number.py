"""An index for searches by Instance Number in no study: without it they read every instance."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = "ix_instance_partition_id_instance_number"


def upgrade() -> None:
    """Make the index, and tell SQLite that many instances have the same number."""
    op.create_index(NAME, "instance", ["partition_id", "instance_number"])
    if op.get_context().dialect.name == "sqlite":
        columns = (sa.column("tbl", sa.String()), sa.column("idx", sa.String()), sa.column("stat", sa.String()))
        row = {"tbl": "instance", "idx": NAME, "stat": "1000000 1000000 4000"}
        op.bulk_insert(sa.table("sqlite_stat1", *columns), [row])
