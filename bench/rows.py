"""The rows of the table: what is measured, in which order, and what it may cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Transaction(Enum):
    """What a row does to the service."""

    STORE = "store"
    FILL = "fill"
    INSTANCES = "instances"
    STUDY = "study"
    METADATA = "metadata"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Mark:
    """The most that one figure of a row may be; `storages` are those that it is asked of."""

    figure: str
    limit: float
    storages: tuple[str, ...]


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
    raw
        The rate of the storage used raw, at the same concurrency, that the row is held against: `write` or `read`.
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
    raw: str = ""
    marks: tuple[Mark, ...] = ()


_STORE_CPU = Mark("cpu_ms", 3.5, ("embedded",))
_MEMORY = Mark("peak_mib", 150, ("embedded", "azurite"))
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
    Row("store_8", "Store", Transaction.STORE, 8, Count(500), Count(40), raw="write", marks=(_STORE_CPU,)),
    Row("store_32", "Store", Transaction.STORE, 32, Count(500), Count(32), raw="write"),
    Row("store_batches", "Store", Transaction.STORE, 4, Count(20, 50), Count(4, 10), raw="write", marks=(_STORE_CPU,)),
    Row("instances", "Retrieve instances", Transaction.INSTANCES, 8, Count(1000), Count(100), of="store_8", raw="read"),
    Row(
        "study",
        "Retrieve a study",
        Transaction.STUDY,
        1,
        Count(5, 500),
        Count(3, 40),
        of="store_8",
        raw="read",
        marks=(_FIRST_BYTE,),
    ),
    Row("metadata", "Metadata of that study", Transaction.METADATA, 1, Count(40), Count(20), "request", "store_8"),
    Row("fill", "Store without pixel data", Transaction.FILL, 4, Count(100, 100), Count(2, 100), per_study=20),
    Row("search", "Search by PatientID", Transaction.SEARCH, 1, Count(300), Count(60), "request", "fill"),
)


def marks_hold(row: Row, storage: str, figures: Mapping[str, float]) -> dict[str, bool]:
    """Return for each mark that a row has on a storage, as text, whether it holds."""
    asked = [mark for mark in row.marks if storage in mark.storages]
    return {f"{mark.figure} <= {mark.limit:g}": figures[mark.figure] <= mark.limit for mark in asked}
