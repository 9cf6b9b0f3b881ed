"""Frame pages, expiry of studies, external metadata."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql as _mssql
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

mssql: Any = _mssql


def ascii_text(length: int) -> TypeEngine[str]:
    """Text of ASCII alone, compared as bytes."""
    return sa.String(length).with_variant(mssql.VARCHAR(length, collation="Latin1_General_100_BIN2"), "mssql")


NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime().with_variant(mssql.DATETIME2(7), "mssql")
JSON_TEXT = sa.Text().with_variant(mssql.NVARCHAR(None), "mssql")
BINARY = sa.LargeBinary().with_variant(mssql.VARBINARY("max"), "mssql")


def upgrade() -> None:
    """Make three tables."""
    op.create_table(
        "frame_page",
        sa.Column("version", NUMBER, nullable=False, autoincrement=False),
        sa.Column("first_frame", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("frame_count", sa.Integer(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("frame_bits", sa.BigInteger(), nullable=False),
        sa.Column("fragments", BINARY, nullable=False),
        sa.PrimaryKeyConstraint("version", "first_frame", name="pk_frame_page"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "study_expiry",
        sa.Column("study_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("study_id", name="pk_study_expiry"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_study_expiry_study_id"),
    )
    op.create_index("ix_study_expiry_expires_at", "study_expiry", ["expires_at"])
    op.create_table(
        "external_value",
        sa.Column("study_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("tag", ascii_text(8), nullable=False),
        sa.Column("vr", ascii_text(2), nullable=False),
        sa.Column("value", JSON_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "tag", name="pk_external_value"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_external_value_study_id"),
        sqlite_with_rowid=False,
    )
