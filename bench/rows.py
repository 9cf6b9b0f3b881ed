"""The rows of the table: what is measured, in which order, and what it may cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bench.names import PER_SERIES, Kind


class Transaction(Enum):
    """What a row does to the service."""

    STORE = "store"
    INSTANCES = "instances"
    STUDY = "study"
    FRAMES = "frames"
    RENDERED = "rendered"
    METADATA = "metadata"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Mark:
    """The most, or the least, that one figure of a row may be; `storages` are those that it is asked of."""

    figure: str
    limit: float
    storages: tuple[str, ...]
    is_least: bool = False

    def __str__(self) -> str:
        """Return the mark as the table shows it."""
        return f"{self.figure} {'>=' if self.is_least else '<='} {self.limit:g}"

    def holds(self, value: float) -> bool:
        """Return whether a figure is within the mark."""
        return value >= self.limit if self.is_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Count:
    """How many requests a row sends, and how many instances each one stores or is answered with."""

    requests: int
    per_request: int = 1

    @property
    def instances(self) -> int:
        """How many instances that makes."""
        return self.requests * self.per_request


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Parameters
    ----------
    name
        Names the row in the results, and for rows that read the instances that were stored.
    unit
        What the figures are for one of: `instance` or `request`.
    concurrency
        Connections, each with one request at a time.
    of
        The row whose instances are read.
    per_study
        Instances of a study; 0 puts all of the row into one.
    per_series
        Instances of a series at most.
    kind
        What the files are that it stores.
    raw
        The rate of the storage used raw, at the same concurrency, that the row is held against: `write` or `read`.
    workers
        Processes of the service that answer; 0 stands for the number that the run was asked for.
    """

    name: str
    title: str
    transaction: Transaction
    concurrency: int
    full: Count
    quick: Count
    unit: str = "instance"
    of: str = ""
    per_study: int = 0
    per_series: int = PER_SERIES
    kind: Kind = Kind.IMAGE
    raw: str = ""
    workers: int = 0
    marks: tuple[Mark, ...] = ()

    @property
    def reads(self) -> bool:
        """Whether it leaves what is stored as it is."""
        return self.transaction is not Transaction.STORE


_STORE_CPU = Mark("cpu_ms", 2.5, ("embedded",))
_REPORT_CPU = Mark("cpu_ms", 6, ("embedded",))
_STORE_RATE = Mark("ratio", 0.6, ("azurite",), is_least=True)
_HEADER_RATE = Mark("per_s", 1000, ("embedded",), is_least=True)
_MEMORY = Mark("peak_mib", 150, ("embedded", "azurite"))
_INSTANCE_CPU = Mark("cpu_ms", 0.6, ("embedded",))
_INSTANCE_RATE = Mark("ratio", 0.55, ("azurite",), is_least=True)
_STUDY_RATE = Mark("per_s", 1_000_000_000 / 527_000, ("embedded",), is_least=True)
"""1,000 MB/s, of files of 527 KB."""
_FRAME = (Mark("p50_ms", 1.5, ("embedded",)), Mark("p50_ms", 12, ("azurite",)), _MEMORY)
_RENDERED = Mark("cpu_ms", 5, ("embedded",))
_FIRST_BYTE = Mark("first_byte_ms", 15, ("embedded", "azurite"))

# The index is filled with files without pixel data, 100 a request, through the service: the same rows, less to write.
# The large ones come first: a process keeps memory that it once used, and their peak must be their own.
ROWS = (
    Row(
        "store_large",
        "Store, a large request",
        Transaction.STORE,
        1,
        Count(1, 2000),
        Count(1, 40),
        raw="write",
        marks=(_MEMORY,),
    ),
    Row(
        "study_large",
        "Retrieve a large study",
        Transaction.STUDY,
        1,
        Count(1, 2000),
        Count(1, 40),
        of="store_large",
        raw="read",
        marks=(_MEMORY, _FIRST_BYTE),
    ),
    Row("store_1", "Store", Transaction.STORE, 1, Count(500), Count(24), raw="write"),
    Row("store_8", "Store", Transaction.STORE, 8, Count(500), Count(40), raw="write", marks=(_STORE_CPU, _STORE_RATE)),
    Row("store_32", "Store", Transaction.STORE, 32, Count(500), Count(32), raw="write"),
    Row(
        "store_batches",
        "Store",
        Transaction.STORE,
        4,
        Count(20, 50),
        Count(4, 10),
        raw="write",
        marks=(_STORE_CPU, _STORE_RATE),
    ),
    Row(
        "reports",
        "Store structured reports",
        Transaction.STORE,
        8,
        Count(300),
        Count(24),
        kind=Kind.REPORT,
        marks=(_REPORT_CPU,),
    ),
    Row(
        "instances",
        "Retrieve instances",
        Transaction.INSTANCES,
        8,
        Count(1000),
        Count(100),
        of="store_8",
        raw="read",
        marks=(_INSTANCE_CPU, _INSTANCE_RATE),
    ),
    Row(
        "study",
        "Retrieve a study",
        Transaction.STUDY,
        1,
        Count(5, 500),
        Count(3, 40),
        of="store_8",
        raw="read",
        marks=(Mark("first_byte_ms", 10, ("embedded",)), _STUDY_RATE),
    ),
    Row(
        "rendered",
        "Render them",
        Transaction.RENDERED,
        1,
        Count(300),
        Count(20),
        "request",
        "store_8",
        marks=(_RENDERED,),
    ),
    Row("store_frames", "Store 200 frames", Transaction.STORE, 1, Count(1), Count(1), kind=Kind.FRAMES),
    Row(
        "frames",
        "Retrieve a frame of these",
        Transaction.FRAMES,
        1,
        Count(400),
        Count(20),
        "request",
        "store_frames",
        kind=Kind.FRAMES,
        marks=_FRAME,
    ),
    Row("store_slide", "Store a slide", Transaction.STORE, 1, Count(1), Count(1), kind=Kind.SLIDE),
    Row(
        "tiles",
        "Retrieve a tile of it",
        Transaction.FRAMES,
        1,
        Count(400),
        Count(20),
        "request",
        "store_slide",
        kind=Kind.SLIDE,
        marks=_FRAME,
    ),
    # The first request is answered from the rows and has the series consolidated; the others are given what then lies.
    Row(
        "metadata",
        "Metadata of that study",
        Transaction.METADATA,
        1,
        Count(200),
        Count(20),
        "request",
        "store_8",
        marks=(Mark("cpu_ms", 10, ("embedded",)),),
    ),
    # So few in a series that no request has it consolidated.
    Row(
        "store_short_series",
        "Store short series",
        Transaction.STORE,
        4,
        Count(5, 100),
        Count(2, 100),
        per_series=40,
        kind=Kind.HEADER,
    ),
    Row(
        "metadata_rows",
        "Metadata of that study",
        Transaction.METADATA,
        1,
        Count(40),
        Count(20),
        "request",
        "store_short_series",
        marks=(Mark("cpu_ms", 50, ("embedded",)),),
    ),
    Row(
        "fill",
        "Store without pixel data",
        Transaction.STORE,
        4,
        Count(100, 100),
        Count(2, 100),
        per_study=20,
        kind=Kind.HEADER,
    ),
    Row("search", "Search by PatientID", Transaction.SEARCH, 1, Count(300), Count(60), "request", "fill"),
    Row(
        "fill_workers",
        "The same, two workers",
        Transaction.STORE,
        4,
        Count(100, 100),
        Count(2, 100),
        per_study=20,
        kind=Kind.HEADER,
        workers=2,
        marks=(_HEADER_RATE,),
    ),
)


def marks_hold(row: Row, storage: str, figures: Mapping[str, float]) -> dict[str, bool]:
    """Return for each mark that a row has on a storage, as text, whether it holds."""
    return {str(mark): mark.holds(figures[mark.figure]) for mark in row.marks if storage in mark.storages}
