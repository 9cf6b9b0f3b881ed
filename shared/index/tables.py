"""The schema of the index. SQLite and Azure SQL get the same tables; what differs is in the types below.

Text is compared as bytes on both: it is folded before it comes here (`dicom/values.py`), so no collation decides.
A row's number is the version of the instance that first needed it, so numbers grow with time and are never reused.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mssql as _mssql
from sqlalchemy.types import TypeDecorator, TypeEngine

from shared.dicom.values import LENGTHS, WORD_LENGTH

mssql: Any = _mssql  # some of its types are not annotated
BYTES = "Latin1_General_100_BIN2"


class UtcTime(TypeDecorator[datetime]):
    """An aware time in UTC, kept without its zone: `datetime2(7)`, or text that sorts on SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:  # noqa: D102
        impl: TypeEngine[datetime] = mssql.DATETIME2(7) if dialect.name == "mssql" else DateTime()
        return dialect.type_descriptor(impl)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.replace(tzinfo=UTC)


def ascii_text(length: int) -> TypeEngine[str]:
    """UIDs, keywords and other texts of ASCII alone."""
    return String(length).with_variant(mssql.VARCHAR(length, collation=BYTES), "mssql")


def folded_text(length: int) -> TypeEngine[str]:
    """Folded values of attributes."""
    return String(length).with_variant(mssql.NVARCHAR(length, collation=BYTES), "mssql")


NUMBER = BigInteger().with_variant(Integer(), "sqlite")
UID = ascii_text(LENGTHS["UI"])
KEYWORD = ascii_text(64)
JSON_TEXT = Text().with_variant(mssql.NVARCHAR(None), "mssql")
BINARY = LargeBinary().with_variant(mssql.VARBINARY("max"), "mssql")
PN, LO, SH, CS = (folded_text(LENGTHS[vr]) for vr in ("PN", "LO", "SH", "CS"))
DA, TM = (ascii_text(LENGTHS[vr]) for vr in ("DA", "TM"))

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# Namespaces of UIDs; read at every request, cached by the caller. `folded_name` finds a name in any case.
partition = Table(
    "partition",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", ascii_text(64), nullable=False),
    Column("folded_name", ascii_text(64), nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

# One row for each study of a partition that has instances. Search reads it; publish and delete write it.
# `study_id` is the attribute StudyID, not a key; `attributes` holds what searches return (DICOM JSON by tag);
# `revision` counts changes, so that of two writers that merged at once the second notices.
study = Table(
    "study",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("partition_id", Integer, ForeignKey("partition.id"), nullable=False),
    Column("study_uid", UID, nullable=False),
    Column("patient_name", PN),
    Column("patient_id", LO),
    Column("patient_birth_date", DA),
    Column("patient_sex", CS),
    Column("accession_number", SH),
    Column("referring_physician_name", PN),
    Column("study_date", DA),
    Column("study_time", TM),
    Column("study_id", SH),
    Column("study_description", LO),
    Column("revision", Integer, nullable=False),
    Column("attributes", JSON_TEXT, nullable=False),
    UniqueConstraint("partition_id", "study_uid"),  # every request by UID; the race of two first stores
    Index(None, "partition_id"),  # listing newest first: the row's number stands behind it in both engines
    Index(None, "partition_id", "patient_name"),  # searches by one attribute, here and below
    Index(None, "partition_id", "patient_id"),
    Index(None, "partition_id", "patient_birth_date"),
    Index(None, "partition_id", "accession_number"),
    Index(None, "partition_id", "referring_physician_name"),
    Index(None, "partition_id", "study_date"),
    Index(None, "partition_id", "study_id"),
    Index(None, "partition_id", "study_description"),
)

# One row for each series that has instances; otherwise as `study`.
series = Table(
    "series",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("partition_id", Integer, nullable=False),
    Column("study_id", NUMBER, ForeignKey("study.id"), nullable=False),
    Column("series_uid", UID, nullable=False),
    Column("modality", CS),
    Column("series_number", Integer),
    Column("series_description", LO),
    Column("body_part_examined", CS),
    Column("performed_procedure_step_start_date", DA),
    Column("performed_procedure_step_start_time", TM),
    Column("manufacturer_model_name", LO),
    Column("revision", Integer, nullable=False),
    Column("attributes", JSON_TEXT, nullable=False),
    UniqueConstraint("partition_id", "series_uid", "study_id"),  # requests by UID, in a study or without one
    Index(None, "partition_id"),  # listing newest first
    Index(None, "study_id", "modality"),  # the series of a study; ModalitiesInStudy
    Index(None, "partition_id", "modality"),
    Index(None, "partition_id", "performed_procedure_step_start_date"),
    Index(None, "partition_id", "manufacturer_model_name"),
)

# One row for each published instance, named by the version of its blob. Every read decides by it what exists.
instance = Table(
    "instance",
    metadata,
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("partition_id", Integer, nullable=False),
    Column("study_id", NUMBER, ForeignKey("study.id"), nullable=False),
    Column("series_id", NUMBER, ForeignKey("series.id"), nullable=False),
    Column("study_uid", UID, nullable=False),
    Column("series_uid", UID, nullable=False),
    Column("sop_uid", UID, nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("instance_number", Integer),
    Column("transfer_syntax_uid", UID, nullable=False),
    Column("length_bytes", BigInteger, nullable=False),
    Column("attributes", JSON_TEXT, nullable=False),
    UniqueConstraint("partition_id", "sop_uid", "series_id"),  # requests by UID; who is first stores an instance
    Index(None, "partition_id"),  # listing newest first: the version stands behind it in both engines
    Index(None, "partition_id", "sop_class_uid"),  # searches by class
    Index(None, "partition_id", "instance_number"),  # searches by number, in no study
    Index(None, "study_id"),  # the instances of a study by version; their number
    Index(None, "series_id"),  # the instances of a series by version; their number
)

# The DICOM JSON object of an instance, compressed with zlib; Retrieve Metadata and wide searches read it. Once its
# series has been consolidated it is in a document instead, and `document_entry` says where.
# Without a foreign key, so that one statement deletes instances and says which they were.
instance_metadata = Table(
    "instance_metadata",
    metadata,
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("dicom_json", BINARY, nullable=False),
)

# Blobs that hold the metadata of the instances of a series (`services/documents.py` knows their form). One is in use
# while `due_at` is empty; else that is when its blob may go. `attempts` to remove it forbid its use. `instances` counts
# its lines; `is_stale` says that one of these is shown no more. `base` begins the URLs in it. The `lines_*` say where
# its lines lie, compressed, and their checksum and length when inflated.
series_document = Table(
    "series_document",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("series_id", NUMBER, nullable=False),
    Column("base", ascii_text(1000), nullable=False),
    Column("instances", Integer, nullable=False),
    Column("is_stale", Boolean, nullable=False),
    Column("length_bytes", BigInteger, nullable=False),
    Column("lines_start", BigInteger, nullable=False),
    Column("lines_end", BigInteger, nullable=False),
    Column("lines_crc", BigInteger, nullable=False),
    Column("lines_inflated", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime),
    Column("attempts", SmallInteger, nullable=False),
    Index(None, "series_id"),  # the document of a series
    Index(None, "due_at", "is_stale"),  # what is due; which of those in use are to be written anew
    sqlite_autoincrement=True,  # the number names a blob and is never given out twice
)

# Where the metadata of published instances lie whose series has been consolidated: line `line`, from 0, of a segment
# of a document that is in use. Every published version has a row here or in `instance_metadata`.
document_entry = Table(
    "document_entry",
    metadata,
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("document_id", NUMBER, ForeignKey("series_document.id"), nullable=False),
    Column("segment_start", BigInteger, nullable=False),
    Column("segment_bytes", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Index(None, "document_id"),  # whether a document is still needed
    sqlite_with_rowid=False,
)

# Where the frames of published instances lie, some neighbouring ones a row (`FramePage`); Retrieve reads the row of a
# frame. An instance whose frames cannot be told, or that has none, has no row.
frame_page = Table(
    "frame_page",
    metadata,
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("first_frame", Integer, primary_key=True, autoincrement=False),
    Column("frame_count", Integer, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),
    Column("frame_bits", BigInteger, nullable=False),
    Column("fragments", BINARY, nullable=False),
    sqlite_with_rowid=False,
)

# When a study is to be deleted; the last Store into it decides, and without a row it stays.
study_expiry = Table(
    "study_expiry",
    metadata,
    Column("study_id", NUMBER, ForeignKey("study.id"), primary_key=True, autoincrement=False),
    Column("expires_at", UtcTime, nullable=False),
    Index(None, "expires_at"),  # what has expired, oldest first
)

# Values of a study that no file holds, by private tag, as the client wrote them.
external_value = Table(
    "external_value",
    metadata,
    Column("study_id", NUMBER, ForeignKey("study.id"), primary_key=True, autoincrement=False),
    Column("tag", ascii_text(8), primary_key=True),
    Column("vr", ascii_text(2), nullable=False),
    Column("value", JSON_TEXT, nullable=False),
    sqlite_with_rowid=False,
)

# The folded values of external metadata, which Search compares; `number` of VRs that are numbers, else `text`.
# `partition_id` stands here too, as it begins the keys of the indexes.
external_key = Table(
    "external_key",
    metadata,
    Column("study_id", NUMBER, ForeignKey("study.id"), primary_key=True, autoincrement=False),
    Column("tag", ascii_text(8), primary_key=True),
    Column("partition_id", Integer, nullable=False),
    Column("vr", ascii_text(2), nullable=False),
    Column("text", PN),
    Column("number", Float(53)),
    Index(None, "partition_id", "tag", "vr", "text"),  # the VRs of a tag; searches by text
    Index(None, "partition_id", "tag", "vr", "number"),  # searches by number
    sqlite_with_rowid=False,
)

# The folded values of each item of a series' Request Attributes Sequence; Search looks for an item that matches.
request_item = Table(
    "request_item",
    metadata,
    Column("series_id", NUMBER, ForeignKey("series.id"), primary_key=True, autoincrement=False),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("partition_id", Integer, nullable=False),
    Column("scheduled_procedure_step_id", SH),
    Column("requested_procedure_id", SH),
    Index(None, "partition_id", "scheduled_procedure_step_id"),  # searches by one of them
    Index(None, "partition_id", "requested_procedure_id"),
    sqlite_with_rowid=False,
)

# Versions given out and not yet published: what a crash leaves here, cleanup turns into a deleted instance.
reservation = Table(
    "reservation",
    metadata,
    Column("version", NUMBER, primary_key=True, autoincrement=True),
    Column("reserved_at", UtcTime, nullable=False),
    sqlite_autoincrement=True,  # a version names a blob and is never given out twice
)

# Versions whose blobs cleanup removes once they are due.
deleted_instance = Table(
    "deleted_instance",
    metadata,
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("due_at", UtcTime, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Index(None, "due_at"),  # what is due, oldest first
)

# The folded words of each study's names; fuzzy matching looks up the beginnings of neighbouring words.
name_word = Table(
    "name_word",
    metadata,
    Column("study_id", NUMBER, ForeignKey("study.id"), primary_key=True, autoincrement=False),
    Column("keyword", KEYWORD, primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("partition_id", Integer, nullable=False),
    Column("word", folded_text(WORD_LENGTH), nullable=False),
    Index(None, "partition_id", "keyword", "word"),  # fuzzy matching: studies with a word that begins so
    sqlite_with_rowid=False,
)

# What happened to instances, in order; never changed. Readers of the change feed read it by sequence or by time, events
# by sequence, the checker by version.
change_feed = Table(
    "change_feed",
    metadata,
    Column("sequence", NUMBER, primary_key=True, autoincrement=True),
    Column("partition_id", Integer, nullable=False),
    Column("study_uid", UID, nullable=False),
    Column("series_uid", UID, nullable=False),
    Column("sop_uid", UID, nullable=False),
    Column("version", NUMBER, nullable=False),
    Column("action", ascii_text(16), nullable=False),
    Column("timestamp", UtcTime, nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("modality", CS),
    Index(None, "timestamp"),  # windows of time; the sequence stands behind it in both engines
    Index(None, "version"),  # which entries tell of a version
    Index(None, "partition_id"),  # counts for who may not see all of them
    sqlite_autoincrement=True,
)

# One row, which whoever appends to the change feed changes first: so entries become readable in the order of their
# sequence, and their times never fall. No entry will have an earlier time than `last`. `tag_revision` counts changes of
# the list of extended query tags, 0 where there never was one (`tag_values.py` says why it stands here).
change_feed_clock = Table(
    "change_feed_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", UtcTime, nullable=False),
    Column("tag_revision", Integer, nullable=False),
)

# The extended query tags; `creator` is "" but for private ones. `operation` is that which indexes what was stored
# before, while it does. Search and Store read the table, Store from memory.
query_tag = Table(
    "query_tag",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("path", ascii_text(8), nullable=False, unique=True),
    Column("creator", folded_text(64), nullable=False),
    Column("vr", ascii_text(2), nullable=False),
    Column("level", ascii_text(8), nullable=False),
    Column("status", ascii_text(8), nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("operation", ascii_text(32)),
    sqlite_autoincrement=True,  # values may outlive their tag by a moment: no other tag must get its number
)

# What Search compares of an extended query tag: `number` of VRs that are numbers, else `text`. `owner_id` is a study, a
# series or the version of an instance, as the tag's level says, and `version` the instance that the value is from.
query_tag_value = Table(
    "query_tag_value",
    metadata,
    Column("tag_id", Integer, primary_key=True, autoincrement=False),
    Column("owner_id", NUMBER, primary_key=True, autoincrement=False),
    Column("partition_id", Integer, nullable=False),
    Column("version", NUMBER, nullable=False),
    Column("text", PN),
    Column("number", Float(53)),
    Index(None, "partition_id", "tag_id", "text"),  # searches by text; the owner stands behind it in both engines
    Index(None, "partition_id", "tag_id", "number"),  # searches by number
    sqlite_with_rowid=False,
)

# The folded words of values that are names, as `name_word` has those of studies.
query_tag_word = Table(
    "query_tag_word",
    metadata,
    Column("tag_id", Integer, primary_key=True, autoincrement=False),
    Column("owner_id", NUMBER, primary_key=True, autoincrement=False),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("partition_id", Integer, nullable=False),
    Column("word", folded_text(WORD_LENGTH), nullable=False),
    Index(None, "partition_id", "tag_id", "word"),  # fuzzy matching
    sqlite_with_rowid=False,
)

# Studies and series some of whose values may be of an instance that is gone; `services/renewal.py` reads what is left
# of them. A row that is gone too may stand here for a while.
outdated_row = Table(
    "outdated_row",
    metadata,
    Column("level", ascii_text(8), primary_key=True),
    Column("owner_id", NUMBER, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# Why an instance that was stored before its tag could not be indexed.
query_tag_error = Table(
    "query_tag_error",
    metadata,
    Column("tag_id", Integer, primary_key=True, autoincrement=False),
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("created_at", UtcTime, nullable=False),
    Column("message", folded_text(200), nullable=False),
    Index(None, "tag_id", "created_at"),  # the errors of a tag in order
    Index(None, "version"),  # what goes with an instance
    sqlite_with_rowid=False,
)
