"""The first schema: partitions, studies, series, instances, name words and the change feed."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql as _mssql
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
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
JSON_TEXT = sa.Text().with_variant(mssql.NVARCHAR(None), "mssql")
BINARY = sa.LargeBinary().with_variant(mssql.VARBINARY("max"), "mssql")
UID, KEYWORD = ascii_text(64), ascii_text(64)
DA, TM = ascii_text(8), ascii_text(13)
PN, LO, SH, CS = folded_text(400), folded_text(192), folded_text(64), folded_text(64)

STATISTICS = {
    "study": {
        "sqlite_autoindex_study_1": "20000 20000 1",
        "ix_study_partition_id": "20000 20000",
        "ix_study_partition_id_patient_name": "20000 20000 4",
        "ix_study_partition_id_patient_id": "20000 20000 4",
        "ix_study_partition_id_patient_birth_date": "20000 20000 5",
        "ix_study_partition_id_accession_number": "20000 20000 1",
        "ix_study_partition_id_referring_physician_name": "20000 20000 100",
        "ix_study_partition_id_study_date": "20000 20000 10",
        "ix_study_partition_id_study_id": "20000 20000 20",
        "ix_study_partition_id_study_description": "20000 20000 100",
    },
    "series": {
        "sqlite_autoindex_series_1": "100000 100000 1 1",
        "ix_series_partition_id": "100000 100000",
        "ix_series_study_id_modality": "100000 5 3",
        "ix_series_partition_id_modality": "100000 100000 10000",
        "ix_series_partition_id_performed_procedure_step_start_date": "100000 100000 50",
        "ix_series_partition_id_manufacturer_model_name": "100000 100000 2000",
    },
    "instance": {
        "sqlite_autoindex_instance_1": "1000000 1000000 1 1",
        "ix_instance_partition_id": "1000000 1000000",
        "ix_instance_partition_id_sop_class_uid": "1000000 1000000 100000",
        "ix_instance_study_id": "1000000 50",
        "ix_instance_series_id": "1000000 10",
    },
    "name_word": {
        "name_word": "80000 4 2 1",
        "ix_name_word_partition_id_keyword_word": "80000 80000 40000 20",
    },
}
"""What SQLite is told of an archive's proportions: rows, then rows for each value of the index's first columns.

Without it SQLite takes a partition for ten rows and reads all of it to save a sort. Azure SQL counts for itself.
"""


def upgrade() -> None:
    """Make the tables and the partition that holds everything while partitions are off."""
    op.create_table(
        "change_feed",
        sa.Column("sequence", NUMBER, nullable=False, autoincrement=True),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("study_uid", UID, nullable=False),
        sa.Column("series_uid", UID, nullable=False),
        sa.Column("sop_uid", UID, nullable=False),
        sa.Column("version", NUMBER, nullable=False),
        sa.Column("action", ascii_text(16), nullable=False),
        sa.Column("timestamp", TIME, nullable=False),
        sa.Column("sop_class_uid", UID, nullable=False),
        sa.Column("modality", CS),
        sa.PrimaryKeyConstraint("sequence", name="pk_change_feed"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deleted_instance",
        sa.Column("version", NUMBER, nullable=False, autoincrement=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_deleted_instance"),
    )
    op.create_index("ix_deleted_instance_due_at", "deleted_instance", ["due_at"])
    op.create_table(
        "instance_metadata",
        sa.Column("version", NUMBER, nullable=False, autoincrement=False),
        sa.Column("dicom_json", BINARY, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_instance_metadata"),
    )
    op.create_table(
        "partition",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("name", ascii_text(64), nullable=False),
        sa.Column("folded_name", ascii_text(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_partition"),
        sa.UniqueConstraint("folded_name", name="uq_partition_folded_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reservation",
        sa.Column("version", NUMBER, nullable=False, autoincrement=True),
        sa.Column("reserved_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_reservation"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "study",
        sa.Column("id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("study_uid", UID, nullable=False),
        sa.Column("patient_name", PN),
        sa.Column("patient_id", LO),
        sa.Column("patient_birth_date", DA),
        sa.Column("patient_sex", CS),
        sa.Column("accession_number", SH),
        sa.Column("referring_physician_name", PN),
        sa.Column("study_date", DA),
        sa.Column("study_time", TM),
        sa.Column("study_id", SH),
        sa.Column("study_description", LO),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("attributes", JSON_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.ForeignKeyConstraint(["partition_id"], ["partition.id"], name="fk_study_partition_id"),
        sa.UniqueConstraint("partition_id", "study_uid", name="uq_study_partition_id_study_uid"),
    )
    op.create_index("ix_study_partition_id", "study", ["partition_id"])
    op.create_index("ix_study_partition_id_accession_number", "study", ["partition_id", "accession_number"])
    op.create_index("ix_study_partition_id_patient_birth_date", "study", ["partition_id", "patient_birth_date"])
    op.create_index("ix_study_partition_id_patient_id", "study", ["partition_id", "patient_id"])
    op.create_index("ix_study_partition_id_patient_name", "study", ["partition_id", "patient_name"])
    op.create_index(
        "ix_study_partition_id_referring_physician_name", "study", ["partition_id", "referring_physician_name"]
    )
    op.create_index("ix_study_partition_id_study_date", "study", ["partition_id", "study_date"])
    op.create_index("ix_study_partition_id_study_description", "study", ["partition_id", "study_description"])
    op.create_index("ix_study_partition_id_study_id", "study", ["partition_id", "study_id"])
    op.create_table(
        "name_word",
        sa.Column("study_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("keyword", KEYWORD, nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("word", folded_text(64), nullable=False),
        sa.PrimaryKeyConstraint("study_id", "keyword", "position", name="pk_name_word"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_name_word_study_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_name_word_partition_id_keyword_word", "name_word", ["partition_id", "keyword", "word"])
    op.create_table(
        "series",
        sa.Column("id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("study_id", NUMBER, nullable=False),
        sa.Column("series_uid", UID, nullable=False),
        sa.Column("modality", CS),
        sa.Column("series_number", sa.Integer()),
        sa.Column("series_description", LO),
        sa.Column("body_part_examined", CS),
        sa.Column("performed_procedure_step_start_date", DA),
        sa.Column("performed_procedure_step_start_time", TM),
        sa.Column("manufacturer_model_name", LO),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("attributes", JSON_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_series_study_id"),
        sa.UniqueConstraint(
            "partition_id", "series_uid", "study_id", name="uq_series_partition_id_series_uid_study_id"
        ),
    )
    op.create_index("ix_series_partition_id", "series", ["partition_id"])
    op.create_index(
        "ix_series_partition_id_manufacturer_model_name", "series", ["partition_id", "manufacturer_model_name"]
    )
    op.create_index("ix_series_partition_id_modality", "series", ["partition_id", "modality"])
    op.create_index(
        "ix_series_partition_id_performed_procedure_step_start_date",
        "series",
        ["partition_id", "performed_procedure_step_start_date"],
    )
    op.create_index("ix_series_study_id_modality", "series", ["study_id", "modality"])
    op.create_table(
        "instance",
        sa.Column("version", NUMBER, nullable=False, autoincrement=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("study_id", NUMBER, nullable=False),
        sa.Column("series_id", NUMBER, nullable=False),
        sa.Column("study_uid", UID, nullable=False),
        sa.Column("series_uid", UID, nullable=False),
        sa.Column("sop_uid", UID, nullable=False),
        sa.Column("sop_class_uid", UID, nullable=False),
        sa.Column("instance_number", sa.Integer()),
        sa.Column("transfer_syntax_uid", UID, nullable=False),
        sa.Column("length_bytes", sa.BigInteger(), nullable=False),
        sa.Column("attributes", JSON_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_instance"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_instance_series_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_instance_study_id"),
        sa.UniqueConstraint("partition_id", "sop_uid", "series_id", name="uq_instance_partition_id_sop_uid_series_id"),
    )
    op.create_index("ix_instance_partition_id", "instance", ["partition_id"])
    op.create_index("ix_instance_partition_id_sop_class_uid", "instance", ["partition_id", "sop_class_uid"])
    op.create_index("ix_instance_series_id", "instance", ["series_id"])
    op.create_index("ix_instance_study_id", "instance", ["study_id"])
    now = datetime.now(UTC).replace(tzinfo=None)
    # With its key: Alembic lets SQL Server take, and then want, explicit ones.
    default = {"id": 1, "name": "Microsoft.Default", "folded_name": "microsoft.default", "created_at": now}
    texts = (sa.column("name", UID), sa.column("folded_name", UID))
    names = sa.table("partition", sa.column("id", sa.Integer()), *texts, sa.column("created_at", TIME))
    op.bulk_insert(names, [default])
    if op.get_context().dialect.name == "sqlite":
        op.execute("ANALYZE")  # makes the table of statistics
        rows = [
            {"tbl": table, "idx": index, "stat": counts}
            for table, indexes in STATISTICS.items()
            for index, counts in indexes.items()
        ]
        columns = (sa.column("tbl", sa.String()), sa.column("idx", sa.String()), sa.column("stat", sa.String()))
        op.bulk_insert(sa.table("sqlite_stat1", *columns), rows)
