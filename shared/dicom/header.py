"""The header of a DICOM Part 10 file in one pass over its bytes (PS3.10 §7): what Store needs to know of a file.

File meta information, the way into a deflated data set, and reading a file while it arrives; the data elements
themselves are `walk.py`'s.
"""

import re
import zlib
from dataclasses import dataclass
from struct import Struct, unpack_from
from typing import Any, TypeAlias

from shared.dicom.bulk import ITEM_HEAD, BulkValue
from shared.dicom.elements import LONG, Dataset
from shared.dicom.fragments import BEGINNING, Fragments
from shared.dicom.walk import Fault, Walk
from shared.errors import UnreadableFile

__all__ = ["MAX_HEADER_BYTES", "BulkValue", "Fault", "Header", "HeaderReader", "is_deflated", "read_header"]

Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_HEADER_BYTES = 64 * 1024 * 1024
"""More than any known header without its bulk data; bounds memory and, for a deflated file, what is inflated."""

_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
"""Transfer syntaxes whose whole data set is deflated (PS3.5 §A.5, §A.7)."""
_BIG_ENDIAN = "1.2.840.10008.1.2.2"

_PREFIX_AT, _PREFIX = 128, b"DICM"
_META_AT = _PREFIX_AT + len(_PREFIX)
_META_GROUP, _TRANSFER_SYNTAX = 0x0002, 0x0010
_META_WINDOW = 1024
_LONG_VRS = frozenset(vr.encode("ascii") for vr in LONG)
_HEAD, _LONG_HEAD = 8, 12
_META_HEAD = Struct("<HH2sH").unpack_from
_LENGTH = Struct("<L").unpack_from
_UID = re.compile(rb"[0-9.]{1,64}")

_WINDOW = 64 * 1024
"""Bytes looked at together; an ordinary header fits in one window."""
_INFLATED_BYTES, _INFLATION = 8 * 1024 * 1024, 32
"""How far a deflated data set may grow: so many bytes, and for each that has arrived so many more. More is a bomb."""
_FRAGMENT_HEAD = ITEM_HEAD + BEGINNING
"""Bytes looked at of each fragment."""
_GROWTH = 4
"""How much more of a sequence of unknown length to wait for, so that reading it again stays cheap in all."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself.

    Parameters
    ----------
    transfer_syntax
        (0002,0010) without padding.
    dataset
        DICOM JSON object (PS3.18 §F.2), without file meta information, group lengths and bulk values.
    bulk
        Every binary value that is not in `dataset`, in the order of the file; pixel data among them.
    pixel_data
        Pixel Data, Float or Double Float Pixel Data of the data set itself, unless it is empty.
    fragments
        Of encapsulated pixel data.
    faults
        What is wrong with elements and not to be seen in `dataset`, in the order of the file.
    read_by
        "pass"; or "pydicom" and why it was asked about a part.
    """

    transfer_syntax: str
    dataset: dict[str, Any]
    bulk: tuple[BulkValue, ...]
    pixel_data: BulkValue | None
    fragments: Fragments | None
    faults: tuple[Fault, ...]
    read_by: str

    @property
    def is_deflated(self) -> bool:
        """Whether the offsets of bulk values count the inflated data set instead of the file's own bytes."""
        return self.transfer_syntax in _DEFLATED


def read_header(file: Buffer, *, max_header_bytes: int = MAX_HEADER_BYTES) -> Header:
    """Read the header of a whole file in memory.

    Raises
    ------
    UnreadableFile
        Says at which byte, in which element, what was found and what was expected.
    """
    reader = HeaderReader(max_header_bytes=max_header_bytes)
    reader.feed(file)
    return reader.finish()


def is_deflated(head: Buffer) -> bool:
    """Return whether the file that begins with *head* has a deflated data set: a little of it may be a lot to read."""
    try:
        value, _ = _file_meta(bytes(head), is_last=False)
    except UnreadableFile:
        return False
    return value is not None and value.rstrip(b"\0 ").decode("latin-1") in _DEFLATED


class HeaderReader:
    """Reads the header of a file while the file arrives; keeps only what it has not read yet.

    More lenient than PS3.10 §7: a file that ends within its pixel data is readable, and nothing behind pixel data
    makes it unreadable. Without a transfer syntax it is not: nobody could be told what the file holds.

    Parameters
    ----------
    max_header_bytes
        Bound of what is kept, and of all elements together but for the bulk values of the data set itself. A
        deflated data set is inflated no further.
    """

    def __init__(self, *, max_header_bytes: int = MAX_HEADER_BYTES) -> None:
        self._limit = max_header_bytes
        self._transfer_syntax = ""
        self._walk: Walk | None = None
        self._dataset_at = 0
        self._inflater: zlib._Decompress | None = None
        self._deflated = 0
        self._kept = bytearray()
        """Arrived and not read; begins at `_at`."""
        self._wanted = _META_AT
        """Bytes that `_kept` must hold before it is worth another look."""
        self._at = 0
        """Offset in the file of the next byte to read; beyond `_arrived` while bulk data is skipped."""
        self._arrived = 0
        self._is_over = False

    @property
    def transfer_syntax(self) -> str:
        """(0002,0010), or "" before it has arrived."""
        return self._transfer_syntax

    @property
    def is_deflated(self) -> bool:
        """Whether what is fed has to be inflated first, which may take long even where nothing is kept of it."""
        return self._inflater is not None

    @property
    def dataset(self) -> Dataset:
        """The elements read so far; not to be changed."""
        return self._walk.dataset if self._walk else {}

    @property
    def pixel_data(self) -> BulkValue | None:
        """Where the pixel data begins, once that is known."""
        return self._walk.bulk.pixel_data if self._walk else None

    def has_passed(self, tag: str) -> bool:
        """Return whether the element with this *tag*, or a later one, has been read: it will not come any more."""
        if self._walk is None:
            return False
        last_bulk = self._walk.bulk.values[-1].path[:8] if self._walk.bulk.values else ""
        return max(next(reversed(self._walk.dataset), ""), last_bulk) >= tag

    @property
    def ahead(self) -> int:
        """How many of the next bytes need not be fed but can be skipped: they belong to a long value."""
        return 0 if self._inflater is not None else max(self._at - self._arrived, 0)

    def skip(self, length: int) -> None:
        """Take the next *length* bytes, at most those `ahead`, for fed."""
        self._arrived += length

    def feed(self, data: Buffer) -> None:
        """Take the next bytes of the file.

        Raises
        ------
        UnreadableFile
            As soon as no further bytes could make the header readable.
        """
        start = 0
        if self._walk is None:
            older, start = self._begin(data)
            self._continue(older, 0)
        self._continue(data, start)

    def finish(self) -> Header:
        """Return the header of the file that has been fed.

        Raises
        ------
        UnreadableFile
            When the file ends within its header.
        """
        if self._walk is None:
            value, end = _file_meta(bytes(self._kept), is_last=True)
            if value is None:
                raise UnreadableFile(f"the file ends at byte {len(self._kept)}, within its file meta information")
            rest = bytes(self._kept[end:])
            walk = self._open(value, end)
            self._continue(rest, 0)
        else:
            walk = self._walk
        if self._kept:
            self._advance(walk, bytes(self._kept), 0, is_last=True)
        if walk.bulk.pixel_data is None:
            self._check_end(walk)
        walk.settle()
        return self._header(walk)

    def so_far(self) -> Header:
        """Return what has been read of the file that is being fed: whole elements, the last ones missing.

        Raises
        ------
        UnreadableFile
            When not even the file meta information has arrived.
        """
        if self._walk is None:
            raise UnreadableFile(f"no data set within {len(self._kept)} bytes")
        return self._header(self._walk)

    def _header(self, walk: Walk) -> Header:
        return Header(
            self._transfer_syntax,
            walk.dataset,
            tuple(walk.bulk.values),
            walk.bulk.pixel_data,
            walk.bulk.fragments,
            tuple(walk.faults),
            "; ".join(["pydicom", *walk.doubts]) if walk.doubts else "pass",
        )

    def _begin(self, data: Buffer) -> tuple[bytes, int]:
        """Read the file meta information, and return what follows it: bytes kept before, and where in *data*."""
        view = memoryview(data)
        used = 0
        while used < len(view):
            more = view[used : used + max(self._wanted - len(self._kept), _META_WINDOW)]
            used += len(more)
            self._kept += more
            if len(self._kept) < self._wanted:
                break
            value, end = _file_meta(bytes(self._kept), is_last=False)
            if value is not None:
                older = bytes(self._kept[end : len(self._kept) - used])
                start = max(end - (len(self._kept) - used), 0)
                self._open(value, end)
                return older, start
            if end > self._limit:
                raise UnreadableFile(f"file meta information of {end} bytes or more; at most {self._limit} are read")
            self._wanted = end
        return b"", len(view)

    def _open(self, transfer_syntax: bytes, end: int) -> Walk:
        """Begin the walk over the data set, which starts at byte *end*."""
        uid = transfer_syntax.rstrip(b"\0 ")
        if not _UID.fullmatch(uid):
            raise UnreadableFile("Transfer Syntax UID is missing or is no UID", "00020010")
        self._transfer_syntax = uid.decode("ascii")
        self._walk = Walk(">" if self._transfer_syntax == _BIG_ENDIAN else "<")
        if self._transfer_syntax in _DEFLATED:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._dataset_at = self._at = self._arrived = end
        self._kept.clear()
        return self._walk

    def _continue(self, data: Buffer, start: int) -> None:
        """Take *data* from *start* on, unless the data set has not begun."""
        if self._walk is None:
            return
        if self._inflater is None:
            self._take(self._walk, data, start)
        else:
            self._inflate(self._walk, self._inflater, memoryview(data)[start:])

    def _inflate(self, walk: Walk, inflater: "zlib._Decompress", data: memoryview) -> None:
        """Inflate and take *data* piece by piece, up to the bound (PS3.5 §A.5)."""
        for at in range(0, len(data), _WINDOW):
            rest: Buffer = data[at : at + _WINDOW]
            self._deflated += len(rest)
            limit = min(self._limit, _INFLATED_BYTES + _INFLATION * self._deflated)
            has_more = True
            while has_more and not inflater.eof and not self._is_over:
                try:
                    piece = inflater.decompress(rest, _WINDOW)
                except zlib.error as error:
                    raise UnreadableFile(f"the deflated data set is damaged behind byte {self._arrived}") from error
                self._take(walk, piece, 0)
                rest = inflater.unconsumed_tail
                has_more = len(piece) == _WINDOW or len(rest) > 0
                if self._arrived - self._dataset_at > limit:
                    self._is_over = walk.bulk.pixel_data is not None
                    if not self._is_over:
                        raise UnreadableFile(f"no pixel data and no end within {limit} bytes inflated")

    def _take(self, walk: Walk, data: Buffer, start: int) -> None:
        """Read *data* from *start* on, which follows everything taken before, window by window."""
        size, view = len(data), memoryview(data)
        begin = self._arrived - start
        self._arrived = begin + size
        taken = start
        while taken < size and not self._is_over:
            if self._kept:
                more = view[taken : taken + max(self._wanted - len(self._kept), 1)]
                taken += len(more)
                self._kept += more
                if len(self._kept) >= self._wanted:
                    self._advance(walk, bytes(self._kept), 0)
            elif self._at > begin + taken:
                taken = min(size, self._at - begin)
            elif isinstance(data, bytes) and taken == start:
                taken = size
                self._advance(walk, data, start)
            else:
                window = bytes(view[taken : taken + (_FRAGMENT_HEAD if walk.bulk.in_fragments else _WINDOW)])
                taken += len(window)
                self._advance(walk, window, 0)

    def _advance(self, walk: Walk, window: bytes, start: int, *, is_last: bool = False) -> None:
        """Read what can be read of a window whose *start* lies at `_at`, and keep the rest."""
        base, position, end = self._at - start, start, len(window)
        self._kept.clear()
        try:
            while position < end:
                stop = min(end, position + self._budget(walk, base + position))
                position = walk.read(window, position, stop, base)
                if position < stop or (stop < end and not self._budget(walk, base + position)):
                    if not is_last:
                        budget = self._budget(walk, base + position)
                        self._wanted = _wanted(walk, stop - position, budget, base + position)
                    self._kept += window[position:]
                    break
        except UnreadableFile:
            if walk.bulk.pixel_data is None:
                raise
            self._is_over = True
        self._at = base + position

    def _budget(self, walk: Walk, at: int) -> int:
        """Return how many bytes of header there may be behind byte *at*."""
        return max(0, self._limit - (at - self._dataset_at - walk.bulk.skipped))

    def _check_end(self, walk: Walk) -> None:
        """Raise `UnreadableFile` when the file must not end where it did; padding of a few zeros is let through."""
        end = f"the file ends at byte {self._arrived}"
        if self._inflater is not None and not self._inflater.eof:
            raise UnreadableFile(f"{end} of the inflated data set, within deflated bytes")
        if self._at > self._arrived or walk.bulk.in_fragments:
            value = walk.bulk.values[-1]
            wanted = "fragments and a delimiter" if value.length is None else f"{value.length} bytes"
            raise UnreadableFile(f"at byte {value.offset}: {wanted} were expected; {end}", value.path)
        if len(self._kept) >= _HEAD or any(self._kept):
            tag = _tag_at(self._kept, walk.order) if len(self._kept) >= _HEAD else ""
            wanted = f"{walk.wanted} bytes" if walk.wanted else "its end"
            raise UnreadableFile(f"at byte {self._at}: {wanted} were expected; {end}", tag)


def _wanted(walk: Walk, have: int, budget: int, at: int) -> int:
    """Return how much of an incomplete element to wait for; as it may be large, not just a little more."""
    wanted = walk.wanted or min(_GROWTH * have, budget)
    if wanted > budget or wanted <= have:
        found = f"{walk.wanted} bytes" if walk.wanted else f"more than {have} bytes"
        raise UnreadableFile(f"the element at byte {at} needs {found}; the header may have {budget} more")
    return wanted


def _file_meta(file: bytes, *, is_last: bool) -> tuple[bytes | None, int]:
    """Return the value of Transfer Syntax UID and where the file meta information ends (PS3.10 §7.1).

    The group length is not believed; elements are read up to the first of another group. None and the number of
    bytes needed when *file* is too short to tell.
    """
    if len(file) < _META_AT:
        return None, _META_AT
    if not file.startswith(_PREFIX, _PREFIX_AT):
        raise UnreadableFile("not a DICOM file: DICM was expected at byte 128")
    position, value = _META_AT, b""
    while position + _HEAD <= len(file):
        group, element, vr, length = _META_HEAD(file, position)
        if group != _META_GROUP:
            return value, position
        start = position + _HEAD
        if vr in _LONG_VRS:
            start = position + _LONG_HEAD
            if start > len(file):
                return None, start
            (length,) = _LENGTH(file, position + _HEAD)
        elif not (vr.isalpha() and vr.isupper()):
            raise UnreadableFile(f"at byte {position}: file meta information is explicit VR", f"0002{element:04X}")
        stop = start + length
        if stop > len(file):
            return None, stop
        if element == _TRANSFER_SYNTAX:
            value = file[start:stop]
        position = stop
    return (value if is_last else None), (position if is_last else position + _HEAD)


def _tag_at(element: bytearray, order: str) -> str:
    group, number = unpack_from(f"{order}HH", element)
    return f"{group:04X}{number:04X}"
