"""Keys of searches: external metadata, and the items of Request Attributes Sequences."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql as _mssql
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

mssql: Any = _mssql
BYTES = "Latin1_General_100_BIN2"


def ascii_text(length: int) -> TypeEngine[str]:
    """Text of ASCII alone, compared as bytes."""
    return sa.String(length).with_variant(mssql.VARCHAR(length, collation=BYTES), "mssql")


def folded_text(length: int) -> TypeEngine[str]:
    """Text compared as bytes."""
    return sa.String(length).with_variant(mssql.NVARCHAR(length, collation=BYTES), "mssql")


NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

STATISTICS = {
    "external_key": {
        "external_key": "20000 2 1",
        "ix_external_key_partition_id_tag_vr_text": "20000 20000 10000 10000 4",
        "ix_external_key_partition_id_tag_vr_number": "20000 20000 10000 10000 4",
    },
    "request_item": {
        "request_item": "100000 1 1",
        "ix_request_item_partition_id_scheduled_procedure_step_id": "100000 100000 5",
        "ix_request_item_partition_id_requested_procedure_id": "100000 100000 5",
    },
}
"""What SQLite is told of an archive's proportions, as by the first migration."""


def upgrade() -> None:
    """Make two tables. What was stored before is matched by them once it is stored again."""
    op.create_table(
        "external_key",
        sa.Column("study_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("tag", ascii_text(8), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("vr", ascii_text(2), nullable=False),
        sa.Column("text", folded_text(400)),
        sa.Column("number", sa.Float(53)),
        sa.PrimaryKeyConstraint("study_id", "tag", name="pk_external_key"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_external_key_study_id"),
        sqlite_with_rowid=False,
    )
    for column in ("text", "number"):
        name = f"ix_external_key_partition_id_tag_vr_{column}"
        op.create_index(name, "external_key", ["partition_id", "tag", "vr", column])
    op.create_table(
        "request_item",
        sa.Column("series_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("position", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("scheduled_procedure_step_id", folded_text(64)),
        sa.Column("requested_procedure_id", folded_text(64)),
        sa.PrimaryKeyConstraint("series_id", "position", name="pk_request_item"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_request_item_series_id"),
        sqlite_with_rowid=False,
    )
    for column in ("scheduled_procedure_step_id", "requested_procedure_id"):
        op.create_index(f"ix_request_item_partition_id_{column}", "request_item", ["partition_id", column])
    if op.get_context().dialect.name == "sqlite":
        rows = [
            {"tbl": table, "idx": index, "stat": counts}
            for table, indexes in STATISTICS.items()
            for index, counts in indexes.items()
        ]
        columns = (sa.column("tbl", sa.String()), sa.column("idx", sa.String()), sa.column("stat", sa.String()))
        op.bulk_insert(sa.table("sqlite_stat1", *columns), rows)
