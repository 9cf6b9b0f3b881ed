"""Extended query tags: the tags, their values and words, and what could not be indexed."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql as _mssql
from sqlalchemy.types import TypeEngine

revision = "0006"
down_revision = "0005"
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
TIME = sa.DateTime().with_variant(mssql.DATETIME2(7), "mssql")
CLOCK = sa.table("change_feed_clock", sa.column("last", TIME))

STATISTICS = {
    "query_tag_value": {
        "query_tag_value": "1000000 100000 1",
        "ix_query_tag_value_partition_id_tag_id_text": "1000000 1000000 100000 5",
        "ix_query_tag_value_partition_id_tag_id_number": "1000000 1000000 100000 5",
    },
    "query_tag_word": {
        "query_tag_word": "200000 100000 2 1",
        "ix_query_tag_word_partition_id_tag_id_word": "200000 200000 100000 20",
    },
}
"""What SQLite is told of an archive's proportions, as by the first migration."""


def upgrade() -> None:
    """Make four tables, and count changes of the first in the row of the change feed's clock, which is made anew."""
    kept = op.create_table("change_feed_clock_kept", sa.Column("last", TIME, nullable=False))
    op.execute(sa.insert(kept).from_select(["last"], sa.select(CLOCK.c.last)))
    op.drop_table("change_feed_clock")
    clock = op.create_table(
        "change_feed_clock",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("last", TIME, nullable=False),
        sa.Column("tag_revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_feed_clock"),
    )
    row = sa.select(sa.literal_column("1"), kept.c.last, sa.literal_column("0"))
    op.execute(sa.insert(clock).from_select(["id", "last", "tag_revision"], row))
    op.drop_table("change_feed_clock_kept")
    op.create_table(
        "query_tag",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("path", ascii_text(8), nullable=False),
        sa.Column("creator", folded_text(64), nullable=False),
        sa.Column("vr", ascii_text(2), nullable=False),
        sa.Column("level", ascii_text(8), nullable=False),
        sa.Column("status", ascii_text(8), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("operation", ascii_text(32)),
        sa.PrimaryKeyConstraint("id", name="pk_query_tag"),
        sa.UniqueConstraint("path", name="uq_query_tag_path"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "query_tag_value",
        sa.Column("tag_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("owner_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("version", NUMBER, nullable=False),
        sa.Column("text", folded_text(400)),
        sa.Column("number", sa.Float(53)),
        sa.PrimaryKeyConstraint("tag_id", "owner_id", name="pk_query_tag_value"),
        sqlite_with_rowid=False,
    )
    for column in ("text", "number"):
        name = f"ix_query_tag_value_partition_id_tag_id_{column}"
        op.create_index(name, "query_tag_value", ["partition_id", "tag_id", column])
    op.create_table(
        "query_tag_word",
        sa.Column("tag_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("owner_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("position", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("word", folded_text(64), nullable=False),
        sa.PrimaryKeyConstraint("tag_id", "owner_id", "position", name="pk_query_tag_word"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_query_tag_word_partition_id_tag_id_word", "query_tag_word", ["partition_id", "tag_id", "word"])
    op.create_table(
        "query_tag_error",
        sa.Column("tag_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("version", NUMBER, nullable=False, autoincrement=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("message", folded_text(200), nullable=False),
        sa.PrimaryKeyConstraint("tag_id", "version", name="pk_query_tag_error"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_query_tag_error_tag_id_created_at", "query_tag_error", ["tag_id", "created_at"])
    op.create_index("ix_query_tag_error_version", "query_tag_error", ["version"])
    if op.get_context().dialect.name == "sqlite":
        rows = [
            {"tbl": table, "idx": index, "stat": counts}
            for table, indexes in STATISTICS.items()
            for index, counts in indexes.items()
        ]
        columns = (sa.column("tbl", sa.String()), sa.column("idx", sa.String()), sa.column("stat", sa.String()))
        op.bulk_insert(sa.table("sqlite_stat1", *columns), rows)
