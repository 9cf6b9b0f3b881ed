"""Values that every layer passes: what an instance is called, what is stored, searched and found."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes of a file, in the form they happen to be in."""

ByteStream: TypeAlias = AsyncGenerator[bytes, None]
"""Bytes as they come; to be closed by whoever holds it last."""


class Level(Enum):
    """Levels of the Query/Retrieve information model (PS3.4 §C.6.1.1), outermost first."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"

    __hash__ = object.__hash__  # they are keys everywhere, and Enum's own hashes the name, in Python


class ChangeAction(Enum):
    """What a change feed entry tells; the values are those on the wire."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class Partition:
    """A namespace of UIDs; `key` is its number in the index."""

    key: int
    name: str


DEFAULT_PARTITION = Partition(1, "Microsoft.Default")
"""Holds everything while partitions are off; the first migration adds its row."""


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """What makes an instance unique: the partition's key and three UIDs without padding."""

    partition: int
    study: str
    series: str
    instance: str


@dataclass(frozen=True, slots=True)
class Scope:
    """A study, a series of it or an instance of that, by the UIDs of a path; None means all."""

    partition: int
    study: str | None = None
    series: str | None = None
    instance: str | None = None

    @property
    def level(self) -> Level:
        """The level of the resource that the scope names."""
        if self.instance is not None:
            return Level.INSTANCE
        return Level.STUDY if self.series is None else Level.SERIES


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A run of bytes of a file; `offset` from its start."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FramePage:
    """Where some neighbouring frames of a file lie (`dicom/frames.py` reads it).

    Parameters
    ----------
    first_frame
        Number of the first of them; the file's first frame is 1.
    offset
        Of native pixel data: in bytes, where frame 1 of the file starts.
    frame_bits
        Of native pixel data: length of each frame; 1-bit frames follow each other without padding (PS3.5 §8.1.1).
    fragments
        Of encapsulated pixel data: for each frame how many fragments lie before its end (4 bytes), then offset and
        length of each fragment (8 bytes each), little endian.
    """

    first_frame: int
    frame_count: int
    offset: int = 0
    frame_bits: int = 0
    fragments: bytes = b""


@dataclass(frozen=True, slots=True)
class ExternalValue:
    """A value of a study that no file holds; `tag` is a private one, `value` the text that the client gave."""

    tag: str
    vr: str
    value: str


class TagStatus(Enum):
    """How far an extended query tag is; the values are those on the wire."""

    ADDING = "adding"
    READY = "ready"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class QueryTag:
    """An extended query tag: an attribute that a customer made searchable.

    Parameters
    ----------
    path
        8 upper-case hexadecimal digits.
    creator
        Of a private tag; the block that a data set has it in is the creator's there (PS3.5 §7.8.1).
    number
        Of its row; 0 while there is none.
    operation
        What indexes the instances that were stored before it, while it does.
    has_errors
        Whether there are instances whose value could not be indexed, where that was asked.
    """

    path: str
    vr: str
    level: Level
    creator: str = ""
    number: int = 0
    status: TagStatus = TagStatus.ADDING
    is_enabled: bool = True
    operation: str | None = None
    has_errors: bool = False


@dataclass(frozen=True, slots=True)
class TagList:
    """The tags whose values are indexed, as they were after so many changes of the list."""

    revision: int = 0
    tags: tuple[QueryTag, ...] = ()


NO_TAGS = TagList()


@dataclass(frozen=True, slots=True)
class TagValue:
    """The index value of an extended query tag."""

    tag: int
    level: Level
    vr: str
    value: str | float


@dataclass(frozen=True, slots=True)
class TagError:
    """Why an instance is not found by an extended query tag; `partition` is a name."""

    partition: str
    study: str
    series: str
    instance: str
    created_at: datetime
    message: str


@dataclass(frozen=True, slots=True)
class StoreTerms:
    """What a Store request says of all its instances beside their bytes.

    Parameters
    ----------
    replaced_due_at
        When the bytes of an instance that is replaced may go; None: what is stored is never replaced.
    expires_at
        When the studies are to be deleted; None: never.
    external
        Values for the studies.
    """

    replaced_due_at: datetime | None = None
    expires_at: datetime | None = None
    external: tuple[ExternalValue, ...] = ()


NO_TERMS = StoreTerms()


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance whose bytes are durable and that waits to be published.

    Parameters
    ----------
    version
        Reserved for it by the index; names its blob.
    length_bytes
        Length of the stored file.
    values
        For each level, the index values by attribute keyword, already folded (`dicom/values.py`), without empty
        ones: a JSON object as UTF-8.
    attributes
        For each level, the elements of the data set that any version returns from a search: a DICOM JSON
        object (PS3.18 §F.2) as UTF-8, without empty elements.
    metadata
        The DICOM JSON object of the data set, UTF-8, compressed with zlib.
    frames
        Where its frames lie.
    terms
        Of the request that stores it.
    tag_revision, tag_values
        Of extended query tags: which list was known when the header was read, and the values of that one: a JSON
        array of what `TagValue` takes, "" for none.

    All of it is text or bytes, since a request may hold thousands.
    """

    version: int
    key: InstanceKey
    sop_class: str
    transfer_syntax: str
    length_bytes: int
    values: Mapping[Level, bytes]
    attributes: Mapping[Level, bytes]
    metadata: bytes
    frames: tuple[FramePage, ...] = ()
    terms: StoreTerms = NO_TERMS
    tag_revision: int = 0
    tag_values: bytes = b""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """A published instance as Retrieve needs it."""

    version: int
    key: InstanceKey
    transfer_syntax: str
    length_bytes: int


AS_STORED = "*"
"""The transfer syntax that a client asks for when any will do."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A representation that a client would take, alone or as the parts of a multipart body.

    Parameters
    ----------
    transfer_syntax
        Of each part; `AS_STORED` when any will do.
    media_type
        Of each part.
    others
        Further transfer syntaxes that will do where they are the stored one.
    """

    is_multipart: bool
    transfer_syntax: str
    media_type: str = "application/dicom"
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedAttribute:
    """An attribute that broke a rule; `tag` is 8 hexadecimal digits, or "" where the file as a whole is at fault.

    `problem` never holds a value of the attribute.
    """

    tag: str
    problem: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance of a Store; `failure` and `warning` are reason codes (PS3.18 §I.2).

    `multiple` names attributes of which only the first of several values is searched.
    """

    key: InstanceKey | None = None
    sop_class: str | None = None
    failure: int | None = None
    warning: int | None = None
    attributes: tuple[FailedAttribute, ...] = ()
    multiple: tuple[str, ...] = ()


class Kept(Enum):
    """Where the index keeps what a query compares of an attribute."""

    COLUMN = "a column of the table of its level"
    SERIES_COLUMN = "a column of the series of a study"
    COUNT = "nowhere: rows of another table are counted"
    REQUEST = "a column of the items of the Request Attributes Sequence of a series"
    EXTERNAL = "the external metadata of a study"
    TAG = "the values of an extended query tag"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that a query can match; most are in the table of `dicom/attributes.py`.

    Parameters
    ----------
    keyword
        As a query names it: nested ones by a dotted path, those without a keyword by their tag.
    tag
        8 upper-case hexadecimal digits; of a nested one a dotted path of such.
    vr
        "" where only the index knows, as of external metadata.
    column
        Of the table that `kept` names, where it has one of its own.
    number
        Of an extended query tag.
    """

    keyword: str
    tag: str
    vr: str
    level: Level
    column: str = ""
    kept: Kept = Kept.COLUMN
    number: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """One matching key of a query."""

    attribute: Attribute
    value: str


@dataclass(frozen=True, slots=True)
class Query:
    """A search, read from a query string and not yet checked against the index (PS3.18 §8.3.4).

    Parameters
    ----------
    include
        Tags; of nested attributes dotted paths of tags.
    fuzzy
        Names match by the beginnings of their words.
    matches_empty
        Two quotation marks match what has no value, and an empty value everything (PS3.18 §8.3.4.5).
    matches_each
        Of several values of an attribute that may have several, each must be there (PS3.18 §8.3.4.6).
    external
        External metadata is matched and returned too.
    private
        Tags among the conditions that are private, with their creators: a data set may have them in another block.
    erroneous
        Attributes of the conditions, as the client named them, of which not all values could be indexed.
    """

    level: Level
    scope: Scope
    conditions: tuple[Condition, ...] = ()
    include: tuple[str, ...] = ()
    include_all: bool = False
    limit: int = 100
    offset: int = 0
    fuzzy: bool = False
    matches_empty: bool = False
    matches_each: bool = False
    external: bool = False
    private: tuple[tuple[str, str], ...] = ()
    erroneous: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """One row that a search found.

    `attributes` holds for each level of the row the elements kept in the index (DICOM JSON by tag);
    `version` is the newest instance of the row, whose metadata answers for everything else.
    `scope` names the study, series or instance that the row is.
    """

    scope: Scope
    version: int
    attributes: Mapping[Level, Mapping[str, Any]]
    computed: Mapping[str, Any] = field(default_factory=dict)


class OperationStatus(Enum):
    """How far an operation is; the values are those on the wire, where no version has another word."""

    NOT_STARTED = "notStarted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Operation:
    """Long-running work (operations.md).

    Parameters
    ----------
    id
        32 lower-case hexadecimal digits.
    kind
        `reindex`; what it is called on the wire.
    partition
        The name of that which it works on; None: no partition's data can be told from it.
    input
        What it was started with, as JSON.
    checkpoint
        Where its next step begins, as JSON.
    etag
        Of the record that it was read from; None before it is saved.
    """

    id: str
    kind: str
    status: OperationStatus
    created_at: datetime
    updated_at: datetime
    percent: int = 0
    partition: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    etag: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to do."""
        return self.status not in {OperationStatus.NOT_STARTED, OperationStatus.RUNNING}


@dataclass(frozen=True, slots=True)
class FeedWindow:
    """A part of the change feed.

    Parameters
    ----------
    offset
        Without times the number before the first, as the reader was told it; else how many entries to skip.
    limit
        Without times how many such numbers, else how many entries at most.
    start, end
        Times, the first inclusive, the second not; both or none.
    sop_classes, modalities
        Of the instances; none: all.
    partitions
        Names in lower case of the partitions whose entries the caller may see; None: all.
    """

    offset: int
    limit: int
    start: datetime | None = None
    end: datetime | None = None
    sop_classes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    partitions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An entry of the change feed, and in which version its instance lives now; None: it is deleted.

    `number` is what its reader is told as its sequence: who sees some partitions alone must not learn from gaps how
    much the others store.
    """

    sequence: int
    number: int
    key: InstanceKey
    partition_name: str
    action: ChangeAction
    timestamp: datetime
    version: int
    live: int | None
    sop_class: str
    modality: str | None


class Action(Enum):
    """What a caller needs the right to do (health-and-ops.md, "Authorization")."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXPORT = "export"
    MANAGE_QUERY_TAGS = "manageExtendedQueryTags"
