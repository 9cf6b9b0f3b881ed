"""The data elements of one file, nested ones included, from windows of its bytes to DICOM JSON (PS3.5 §7).

Knows how elements, sequences, items and fragments are laid out, and where a value must end; nothing about files.
"""

from struct import error as StructError  # noqa: N812 -- an exception in spite of its name
from typing import NamedTuple, TypeAlias

from shared.dicom.bulk import (
    INLINE_BYTES,
    ITEM,
    ITEM_END,
    ITEM_HEAD,
    PIXEL_DATA,
    SEQUENCE_END,
    BulkValue,
    BulkValues,
    skip_fragments,
)
from shared.dicom.charset import DEFAULT, Charset, charset_of
from shared.dicom.damage import Damaged, Incomplete
from shared.dicom.dictionary import EXPLICIT, IMPLICIT, Encoding, Kind, settled, vr_of
from shared.dicom.elements import BINARY, MAX_CHARACTERS, READERS, Dataset, Element, binary
from shared.dicom.encapsulation import UNDEFINED
from shared.dicom.fragments import OFFSET_TABLES
from shared.dicom.limits import COUNTED_BYTES, MAX_DEPTH, MAX_ELEMENTS, MAX_VALUES, weight_of_values
from shared.dicom.reread import MAX_BYTES, reread
from shared.errors import UnreadableFile


class Fault(NamedTuple):
    """What is wrong with an element and not to be seen in the JSON; `path` as in `BulkValue`."""

    path: str
    problem: str


Place: TypeAlias = tuple[int, int, int, int]
"""Of an element in the window: its position, where its value starts, the length of that, the end of its data set."""

_NUMERIC_TEXT, _SEQUENCE, _DELIMITER = int(Kind.NUMERIC_TEXT), int(Kind.SEQUENCE), int(Kind.DELIMITER)
_IMPLICIT, _UNKNOWN = int(Kind.IMPLICIT), int(Kind.UNKNOWN)
_ITEM_END_TAG = "{:04X}{:04X}".format(*ITEM_END)

_SHORT_ITEM, _MOST_KNOWN = 128, 1024
"""Bytes of an item, and number of items, that are read once however often they are there: many of a
structured report are codes of concepts and units that were there before."""

_HEAD = 8
_LONG_HEAD = 12
_LONGEST_SHORT_VALUE = 0xFFFF


class Walk:
    """Reads the data set of one file window by window; what has been read so far is in its attributes.

    Parameters
    ----------
    order
        Byte order, "<" or ">". Whether VRs are explicit is seen from the first element, whatever the file claims.
    inline_bytes
        Binary values longer than this are bulk data.
    """

    def __init__(self, order: str, *, inline_bytes: int = INLINE_BYTES) -> None:
        self.dataset: Dataset = {}
        self.bulk = BulkValues(inline_bytes)
        self.faults: list[Fault] = []
        self.doubts: list[str] = []
        """Why pydicom was asked, for each time."""
        self.wanted = 0
        """After an incomplete element: bytes needed from its start on, 0 when that is not known."""

        self.order = order
        self._encoding: Encoding | None = None
        self._charset = DEFAULT
        self._window, self._base, self._end = b"", 0, 0
        self._start = 0
        self._within: list[tuple[str, list[Dataset]]] = []
        """The sequences around what is read, from the outermost, and their items that are complete."""
        self._is_closed = False
        self._known: dict[bytes, Dataset] = {}
        """Short items by their bytes, as read with the character set and encoding of the data set itself."""
        self._known_charset = DEFAULT
        self._rereadable = MAX_BYTES
        self._nested = 0
        self._values = 0
        self._marks: tuple[int, int, int, int, int, Charset] = (0, 0, 0, 0, 0, DEFAULT)
        self._unsigned: list[tuple[Element, bytes]] = []

    def read(self, window: bytes, start: int, end: int, base: int) -> int:
        """Read on at *start* of a window and return the position of the first byte not consumed.

        Parameters
        ----------
        end
            Nothing is read at or behind it.
        base
            Offset of the window in the file.

        Returns
        -------
        int
            *end* or more when all was read; the bytes between are bulk data to be skipped. Less when an element is
            incomplete: `wanted` says how much of it the next window must hold.

        Raises
        ------
        UnreadableFile
            When what is there is no data element, or is damaged beyond what pydicom would read.
        """
        self._window, self._base, self._end = window, base, end
        position = start
        while position < end:
            try:
                if self.bulk.in_fragments:
                    position = self.bulk.read_fragments(EXPLICIT[self.order], window, position, end, base)
                else:
                    position = self._top(position)
            except Incomplete as incomplete:
                self._forget()
                self.wanted = incomplete.wanted
                return incomplete.start
            except Damaged as damage:
                self._forget()
                position = self._reread(damage)
        if len(self.dataset) + len(self.bulk.values) > MAX_ELEMENTS:
            raise UnreadableFile(f"more than {MAX_ELEMENTS} elements before byte {base + position}")
        return position

    def settle(self) -> None:
        """Do what only the end of the data set allows: signed values, and the order of tags (PS3.18 §F.2.2)."""
        self._sign(self.dataset, 0)
        tags = sorted(self.dataset)
        if tags != list(self.dataset):
            self.dataset = {tag: self.dataset[tag] for tag in tags}

    def _top(self, position: int) -> int:
        """Read top-level elements up to the end of the window or the start of fragments."""
        if self._encoding is None:
            if position + _HEAD > self._end:
                raise Incomplete(position, _HEAD)
            vr = self._window[position + 4 : position + 6]
            self._encoding = (EXPLICIT if vr.isalpha() and vr.isupper() else IMPLICIT)[self.order]
        return self._walk(self._encoding, self.dataset, position, self._end, is_delimited=False)

    def _walk(  # noqa: C901, PLR0912, PLR0915 -- the hot loop: a call for each element would cost more than reading it
        self, encoding: Encoding, out: Dataset, position: int, end: int, *, is_delimited: bool
    ) -> int:
        """Read the elements of one data set into *out* and return where it ends.

        Speed matters here more than anywhere: one turn of the loop for each element of each file.
        """
        window = self._window
        head, plans = encoding.head, encoding.plans
        charset = self._charset
        first, last = position, end - _HEAD
        while position <= last:
            key, length = head(window, position)
            tag, vr, kind, value_at, read = plans[key]
            start = position + value_at
            if kind <= _NUMERIC_TEXT:
                stop = start + length
                if stop > end:
                    raise self._overrun(tag, position, stop, end)
                if length:
                    if length > COUNTED_BYTES:
                        self._count_values(tag, vr, start, length)
                    try:
                        out[tag] = read(window, start, stop, charset)
                    except StructError:  # no whole number of values: not what its VR says
                        self._unfit(out, tag, vr, (position, start, length, end))
                    if kind and length > MAX_CHARACTERS[vr]:
                        self._measure(tag, vr, start, stop)
                else:
                    out[tag] = {"vr": vr}
                position = stop
                continue
            if value_at == _LONG_HEAD:
                if start > end:
                    raise self._overrun(tag, position, start, end)
                (length,) = encoding.length(window, position + _HEAD)
            if kind == _SEQUENCE:
                position = self._sequence(encoding, out, tag, (position, start, length, end))
                continue
            if kind == _DELIMITER:
                position += _HEAD
                if tag == _ITEM_END_TAG and self._within:
                    return position
                self._check_stray(tag, position - _HEAD)
                continue
            if kind == _IMPLICIT and position == first and self._within:  # so is all of the item (PS3.5 §6.2.2)
                return self._walk(IMPLICIT[self.order], out, position, end, is_delimited=is_delimited)
            if kind == _IMPLICIT:
                implicit = IMPLICIT[self.order]
                key, length = implicit.head(window, position)
                tag, vr, *_ = implicit.plans[key]
                position = self._element(implicit, out, tag, vr, (position, position + _HEAD, length, end))
            elif kind == _UNKNOWN:
                raise UnreadableFile(f"{self._at(position)}: its VR is none of PS3.5 §6.2", tag)
            else:
                position = self._element(encoding, out, tag, vr, (position, start, length, end))
            if self.bulk.in_fragments:
                return position
            charset = self._charset
        if position < end or is_delimited:
            raise self._overrun("", position, position + _HEAD, end)
        return position

    def _sequence(self, encoding: Encoding, out: Dataset, tag: str, place: Place) -> int:
        """Read a sequence with its items into *out* (PS3.5 §7.5) and return the position behind it."""
        position, start, length, end = place
        is_open = length == UNDEFINED
        stop = end if is_open else start + length
        if stop > end:
            raise self._overrun(tag, position, stop, end)
        items: list[Dataset] = []
        self._enter(tag, items, position, is_open=is_open)
        window, head = self._window, encoding.item
        known = self._known if self._charset is self._known_charset and encoding is self._encoding else {}
        at = start
        while at < stop:
            content = at + ITEM_HEAD
            if content > stop:
                raise self._overrun(tag, at, content, stop)
            group, element, length = head(window, at)
            if (group, element) != ITEM:
                break
            behind = content + length
            item = known.get(window[content:behind]) if length <= _SHORT_ITEM and behind <= stop else None
            if item is None:
                item, behind = self._item(encoding, tag, (at, content, length, stop), known)
            self._nested += len(item) + 1
            if self._nested > MAX_ELEMENTS:
                raise UnreadableFile(f"{self._at(at)}: more than {MAX_ELEMENTS} elements and items", tag)
            items.append(item)
            at = behind
        if at < stop and (group, element) != SEQUENCE_END:
            raise Damaged(f"{self._at(at)}: an item was expected", tag)
        if at >= stop and is_open:
            raise self._overrun(tag, at, at + ITEM_HEAD, stop)
        self._within.pop()
        out[tag] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        return at + ITEM_HEAD if is_open else stop

    def _item(self, encoding: Encoding, tag: str, place: Place, known: dict[bytes, Dataset]) -> tuple[Dataset, int]:
        """Read an item and return it with the position behind it; what it says of text and signs ends with it.

        A short one that depends on nothing but its bytes and has no sequences joins those that are *known*.
        """
        position, start, length, end = place
        is_open = length == UNDEFINED
        stop = end if is_open else start + length
        if stop > end:
            raise self._overrun(tag, position, stop, end)
        item: Dataset = {}
        charset, unsigned = self._charset, len(self._unsigned)
        noted = self._nested + len(self.bulk.values) + len(self.faults)
        behind = self._walk(encoding, item, start, stop, is_delimited=is_open)
        self._charset = charset
        if len(self._unsigned) > unsigned:
            self._sign(item, unsigned)
        elif (
            length <= _SHORT_ITEM
            and behind == stop
            and noted == self._nested + len(self.bulk.values) + len(self.faults)
            and len(known) < _MOST_KNOWN
        ):
            known[self._window[start:stop]] = item
        return item, behind

    def _enter(self, tag: str, items: list[Dataset], position: int, *, is_open: bool) -> None:
        """Note which sequence is read, and of a top-level one what to return to if it is incomplete."""
        if not self._within:
            self._start, self._is_closed = position, not is_open
            counts = len(self.bulk.values), len(self.faults), len(self._unsigned), self._nested, self._values
            self._marks = (*counts, self._charset)
        elif len(self._within) >= MAX_DEPTH:
            raise UnreadableFile(f"{self._at(position)}: more than {MAX_DEPTH} sequences within each other", tag)
        self._within.append((tag, items))

    def _element(self, encoding: Encoding, out: Dataset, tag: str, vr: str, place: Place) -> int:
        """Read one element that needs a second look, and return the position behind it."""
        length = place[2]
        if vr in ("", "UN"):
            if length == UNDEFINED:
                vr = "OB" if tag in PIXEL_DATA else "SQ"  # PS3.5 §6.2.2
            elif encoding.is_implicit or tag[3] in "13579BDF" or length < _LONGEST_SHORT_VALUE:
                vr = vr_of(tag, out)
        only = settled(vr, tag, out, is_implicit=encoding.is_implicit)
        if only == "SQ":
            stop = self._sequence(encoding, out, tag, place)
        elif only in BINARY:
            stop = self._binary(out, tag, only, place)
        else:
            stop = self._value(out, tag, only, place)
            if vr == "US or SS" and "Value" in out.get(tag, {}):
                self._unsigned.append((out[tag], self._window[place[1] : stop]))
        if tag == "00080005":
            self._charset = charset_of(tuple(str(term or "") for term in out.get(tag, {}).get("Value", [""])))
            if not self._within:
                self._known, self._known_charset = {}, self._charset
        elif tag.endswith("0000"):
            out.pop(tag, None)  # group lengths are no part of the model (PS3.18 §F.2.2)
        return stop

    def _value(self, out: Dataset, tag: str, vr: str, place: Place) -> int:
        """Read an element with one of the `READERS`, as the loop does for those that are plain."""
        position, start, length, end = place
        stop = start + length
        if stop > end:
            raise self._overrun(tag, position, stop, end)
        if length > COUNTED_BYTES:
            self._count_values(tag, vr, start, length)
        try:
            out[tag] = READERS[self.order][vr](self._window, start, stop, self._charset) if length else {"vr": vr}
        except StructError:
            self._unfit(out, tag, vr, place)
        if vr in MAX_CHARACTERS:
            self._measure(tag, vr, start, stop)
        return stop

    def _binary(self, out: Dataset, tag: str, vr: str, place: Place) -> int:
        """Write a short binary value into the JSON, note where a long one lies, and return the position behind it."""
        position, start, length, end = place
        is_open, is_top = length == UNDEFINED, not self._within
        stop = start if is_open else start + length
        is_inline = self.bulk.is_inline(tag, length, is_top=is_top)
        is_offset_table = is_top and tag in OFFSET_TABLES and not is_open
        if stop > end and (is_inline or is_offset_table or not is_top):
            raise self._overrun(tag, position, stop, end)
        if is_offset_table:
            self.bulk.keep_offset_table(tag, self._window[start:stop])
        if is_inline:
            out[tag] = binary(vr, self._window[start:stop]) if length else {"vr": vr}
            return stop
        out.pop(tag, None)
        value = BulkValue(self._path(tag), vr, self._base + start, None if is_open else length)
        self.bulk.add(value, is_top=is_top)
        return self._nested_fragments(tag, start, end) if is_open and not is_top else stop

    def _count_values(self, tag: str, vr: str, start: int, length: int) -> None:
        """Raise `UnreadableFile` when the long elements hold more values than memory is for."""
        self._values += weight_of_values(vr, self._window, start, start + length)
        if self._values > MAX_VALUES:
            raise UnreadableFile(f"{self._at(start)}: more than {MAX_VALUES} values", tag)

    def _unfit(self, out: Dataset, tag: str, vr: str, place: Place) -> None:
        """Take a value as it is that has no whole number of values."""
        self._note(tag, f"{place[2]} bytes are no whole {vr} values")
        self._binary(out, tag, "UN", place)

    def _nested_fragments(self, tag: str, position: int, end: int) -> int:
        try:
            stop, is_ended = skip_fragments(EXPLICIT[self.order], self._window, position, end)
        except ValueError as error:
            raise Damaged(f"{self._at(error.args[0])}: a fragment was expected", tag) from error
        if not is_ended:
            raise self._overrun(tag, position, stop + ITEM_HEAD, end)
        return stop

    def _measure(self, tag: str, vr: str, start: int, stop: int) -> None:
        """Note a number whose text is longer than its VR allows, which the JSON does not show."""
        values = self._window[start:stop].split(b"\\")
        if any(len(text.strip(b" \0")) > MAX_CHARACTERS[vr] for text in values):
            self._note(tag, f"a value over {MAX_CHARACTERS[vr]} characters")

    def _note(self, tag: str, problem: str) -> None:
        self.faults.append(Fault(self._path(tag), problem))

    def _sign(self, dataset: Dataset, since: int) -> None:
        """Make the "US or SS" values noted *since* signed if this data set has signed pixels (PS3.3 §C.7.6.3.1)."""
        representation = dataset.get("00280103", {}).get("Value")
        if not representation:
            return  # the data set around this one may know
        if representation[0] == 1:
            read = READERS[self.order]["SS"]
            for element, value in self._unsigned[since:]:
                element.update(read(value, 0, len(value), DEFAULT))
        del self._unsigned[since:]

    def _reread(self, damage: Damaged) -> int:
        """Ask pydicom about the top-level sequence at `_start`, and return the position behind it."""
        if not self._is_closed or self._encoding is None:
            raise damage
        is_implicit = self._encoding.is_implicit
        length_at = self._start + (4 if is_implicit else _HEAD)
        stop = length_at + 4 + self._encoding.length(self._window, length_at)[0]
        self._rereadable -= stop - self._start
        if self._rereadable < 0:
            raise UnreadableFile(f"{damage.problem}; more than {MAX_BYTES} bytes are damaged", damage.tag) from damage
        try:
            clean = reread(self._window[self._start : stop], is_implicit=is_implicit, order=self.order)
            inner = Walk("<", inline_bytes=len(clean))
            inner._charset, inner._rereadable = self._charset, 0
            inner.read(clean, 0, len(clean), 0)
        except UnreadableFile as error:
            raise UnreadableFile(f"{damage.problem}; {error}", damage.tag) from error
        inner.settle()
        self.dataset.update(inner.dataset)
        self.faults += inner.faults
        self.doubts.append(str(damage))
        return stop

    def _forget(self) -> None:
        """Undo what an unfinished sequence left."""
        if self._within:
            bulk, faults, unsigned, self._nested, self._values, self._charset = self._marks
            del self.bulk.values[bulk:], self.faults[faults:], self._unsigned[unsigned:]
            self._within.clear()

    def _overrun(self, tag: str, position: int, stop: int, end: int) -> Incomplete | Damaged:
        """Return what it means that something at *position* ends at *stop*, behind its surroundings' *end*."""
        if not self._within:
            return Incomplete(position, stop - position)
        if self._is_closed or end < self._end:
            return Damaged(f"{self._at(position)}: it ends {stop - end} bytes behind what holds it", tag)
        return Incomplete(self._start, 0)

    def _check_stray(self, tag: str, position: int) -> None:
        """Raise unless an item or delimiter means nothing where it was found."""
        if self._within:
            raise Damaged(f"{self._at(position)}: an element or the end of the item was expected", tag)
        if tag == "FFFEE000":
            raise UnreadableFile(f"{self._at(position)}: an item outside of a sequence", tag)

    def _path(self, tag: str) -> str:
        return "".join(f"{sequence}/{len(items) + 1}/" for sequence, items in self._within) + tag

    def _at(self, position: int) -> str:
        return f"at byte {self._base + position}"
