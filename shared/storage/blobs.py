"""What a blob store and a record store do, and what blobs and records are called.

A blob is written once under its instance's version and never changed; the index decides whether anyone
can see it. Names hold numbers, never anything of a patient.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zlib import crc32

from shared.errors import DicomwebError, InvalidRequest, PayloadTooLarge
from shared.model import Buffer, ByteStream

CHECK_BLOB = "health/check"
"""What `BlobStore.check` writes and reads."""

MAX_RECORD_BYTES = 65_536
"""What one property of a table's row holds."""

_WORD = r"(?!\.)[A-Za-z0-9._-]{1,128}"
_BLOB_NAME = re.compile(rf"{_WORD}(/{_WORD}){{0,7}}")
_RECORD_NAME = re.compile(_WORD)


VERSIONS_OF_BLOCK = 256
_INSTANCE_BLOB = re.compile(r"instances/[0-9a-f]{3}/([0-9]{12})\.dcm")


def instance_blob(version: int) -> str:
    """Return the blob name of the file of one instance's *version*.

    Neighbouring versions share a folder, so that a batch syncs one folder entry; blocks of 256 are spread
    over 4,096 prefixes, so that Azure Storage can divide the load.
    """
    return f"instances/{_prefix(version // VERSIONS_OF_BLOCK):03x}/{version:012d}.dcm"


def thumbnail_blob(version: int) -> str:
    """Return the blob name of the thumbnail of one instance's *version*, beside its file."""
    return f"{instance_blob(version).removesuffix('.dcm')}.jpg"


def thumbnail_of(name: str) -> int | None:
    """Return the version whose `thumbnail_blob` is called *name*; None when there is none."""
    return version_of(f"{name.removesuffix('.jpg')}.dcm") if name.endswith(".jpg") else None


def version_of(name: str) -> int | None:
    """Return the version whose `instance_blob` is called *name*; None when there is none."""
    match = _INSTANCE_BLOB.fullmatch(name)
    version = int(match[1]) if match else None
    return version if version is not None and instance_blob(version) == name else None


def blocks_by_name(last: int) -> Sequence[int]:
    """Return the first version of each block up to version *last*, in the order in which their blobs are listed."""
    return [block * VERSIONS_OF_BLOCK for block in sorted(range(last // VERSIONS_OF_BLOCK + 1), key=_prefix)]


DOCUMENTS = "documents/"
"""What the name of every series document begins with."""

_DOCUMENTS_OF_FOLDER = 1000
_DOCUMENT_BLOB = re.compile(r"documents/[0-9]{9}/([0-9]{12})\.json\.gz")


def document_blob(number: int) -> str:
    """Return the blob name of a series document; they sort by number, as few are written in a second."""
    return f"{DOCUMENTS}{number // _DOCUMENTS_OF_FOLDER:09d}/{number:012d}.json.gz"


def document_of(name: str) -> int | None:
    """Return the number whose `document_blob` is called *name*; None when there is none."""
    match = _DOCUMENT_BLOB.fullmatch(name)
    number = int(match[1]) if match else None
    return number if number is not None and document_blob(number) == name else None


def _prefix(block: int) -> int:
    return crc32(block.to_bytes(8, "big")) & 0xFFF


def is_blob_name(name: str) -> bool:
    """Whether a blob can be called *name*: words of letters, digits, `.`, `_` and `-`, none beginning with a dot."""
    return _BLOB_NAME.fullmatch(name) is not None


def is_record_name(name: str) -> bool:
    """Whether a record or a kind of records can be called *name*: one such word."""
    return _RECORD_NAME.fullmatch(name) is not None


def check_record(kind: str, name: str, body: bytes) -> None:
    """Raise `InvalidRequest` or `PayloadTooLarge` where no store could save a record."""
    if not (is_record_name(kind) and is_record_name(name)):
        raise InvalidRequest("A record cannot have this kind or name.")
    if len(body) > MAX_RECORD_BYTES:
        raise PayloadTooLarge(f"A record of {len(body)} bytes; it may have {MAX_RECORD_BYTES}.")


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as a listing shows it; `modified` is when it was written, by the storage's clock."""

    name: str
    length_bytes: int
    modified: datetime


class BlobStore(Protocol):
    """Immutable blobs. Whatever has returned is durable; driver errors are raised as our own.

    No blob has a name that `is_blob_name` denies: it is not found, and cannot be written (`InvalidRequest`).
    """

    async def write(self, blobs: Sequence[tuple[str, Buffer]]) -> list[DicomwebError | None]:
        """Write whole blobs side by side and return each one's error, in order; an existing name is replaced."""

    async def write_stream(self, name: str, chunks: AsyncIterable[Buffer]) -> int:
        """Write one blob while it arrives, in bounded memory, and return its length in bytes.

        Several chunks are held before they are written, so none may change once it was given. Until this has
        returned, readers may find nothing or a part. If *chunks* raises, the error passes through and what was
        written is removed or unreachable.
        """

    async def read(self, name: str, *, start: int = 0, length: int | None = None) -> ByteStream:
        """Open a blob and return its bytes from *start*, at most *length*, in chunks of at most 4 MiB.

        As in a slice, what lies beyond the end is left out: reading from there on gives no chunk. What is open
        is closed when the iterator is dropped.

        Raises
        ------
        NotFound
            Before the first chunk, when there is no such blob.
        Unavailable
            When the storage does not answer, also between chunks.
        """

    async def delete(self, names: Sequence[str]) -> list[DicomwebError | None]:
        """Remove blobs and return each one's error, in order; one that is not there counts as removed."""

    def list(self, prefix: str = "", after: str = "") -> AsyncIterator[StoredBlob]:
        """Yield the blobs whose names begin with *prefix* and sort behind *after*, by name, a page at a time.

        One that is written or removed meanwhile may be missing or not. Names are compared character by character:
        what `instance_blob` gives sorts by prefix, then by version.

        Raises
        ------
        Unavailable
            When the storage does not answer, also between blobs.
        """

    async def check(self) -> None:
        """Raise `Unavailable` when blobs cannot be written and read now."""

    async def close(self) -> None:
        """Give back threads and connections; nothing works afterwards."""


@dataclass(frozen=True, slots=True)
class Record:
    """A small document; `etag` changes with each save."""

    kind: str
    name: str
    body: bytes
    etag: str


class RecordStore(Protocol):
    """Small documents by kind and name, saved only if unchanged since they were read (Table Storage, a folder).

    No record has a kind or name that `is_record_name` denies: it is not found, and cannot be saved.
    """

    async def load(self, kind: str, name: str) -> Record:
        """Return a record or raise `NotFound`."""

    async def save(self, kind: str, name: str, body: bytes, *, etag: str | None) -> Record:
        """Save a record that is unchanged since it was read; *etag* None means that it must not exist yet.

        Raises
        ------
        Conflict
            It was saved or removed by someone else, or exists already.
        InvalidRequest
            It cannot be called this.
        PayloadTooLarge
            *body* is larger than `MAX_RECORD_BYTES`.
        """

    def list(self, kind: str) -> AsyncIterator[Record]:
        """Yield all records of a kind, by name; one saved meanwhile may be missing."""

    async def delete(self, kind: str, name: str) -> None:
        """Remove a record; one that is not there counts as removed."""

    async def close(self) -> None:
        """Give back threads and connections; nothing works afterwards."""
