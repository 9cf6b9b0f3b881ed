"""Series documents, and where in them the metadata of instances lie."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql as _mssql
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

mssql: Any = _mssql


def ascii_text(length: int) -> TypeEngine[str]:
    """Text of ASCII alone, compared as bytes."""
    return sa.String(length).with_variant(mssql.VARCHAR(length, collation="Latin1_General_100_BIN2"), "mssql")


NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime().with_variant(mssql.DATETIME2(7), "mssql")


def upgrade() -> None:
    """Make two tables."""
    op.create_table(
        "series_document",
        sa.Column("id", NUMBER, nullable=False, autoincrement=True),
        sa.Column("series_id", NUMBER, nullable=False),
        sa.Column("base", ascii_text(1000), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("is_stale", sa.Boolean(), nullable=False),
        sa.Column("length_bytes", sa.BigInteger(), nullable=False),
        sa.Column("lines_start", sa.BigInteger(), nullable=False),
        sa.Column("lines_end", sa.BigInteger(), nullable=False),
        sa.Column("lines_crc", sa.BigInteger(), nullable=False),
        sa.Column("lines_inflated", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series_document"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_series_document_series_id", "series_document", ["series_id"])
    op.create_index("ix_series_document_due_at_is_stale", "series_document", ["due_at", "is_stale"])
    op.create_table(
        "document_entry",
        sa.Column("version", NUMBER, nullable=False, autoincrement=False),
        sa.Column("document_id", NUMBER, nullable=False),
        sa.Column("segment_start", sa.BigInteger(), nullable=False),
        sa.Column("segment_bytes", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_document_entry"),
        sa.ForeignKeyConstraint(["document_id"], ["series_document.id"], name="fk_document_entry_document_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_document_entry_document_id", "document_entry", ["document_id"])
