"""Studies and series some of whose values may be of an instance that is gone."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql as _mssql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

mssql: Any = _mssql
BYTES = "Latin1_General_100_BIN2"


def upgrade() -> None:
    """Make a table; what was stored before is in no doubt, or was so already."""
    op.create_table(
        "outdated_row",
        sa.Column("level", sa.String(8).with_variant(mssql.VARCHAR(8, collation=BYTES), "mssql"), nullable=False),
        sa.Column(
            "owner_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False
        ),
        sa.PrimaryKeyConstraint("level", "owner_id", name="pk_outdated_row"),
        sqlite_with_rowid=False,
    )
