"""DICOM JSON and the Native DICOM Model in XML, both ways (PS3.19 §A.1, PS3.18 Annex F): the one place that knows XML.

What does not come back as it went: an IS or DS is text, a null item an empty one, an empty array of values no array,
and a character that XML 1.0 cannot write is U+FFFD.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr  # nosec B406 # they write, and read nothing

from shared.dicom.attributes import keyword_of
from shared.dicom.limits import MAX_DEPTH
from shared.dicom.names import GROUPS
from shared.dicom.private_blocks import Blocks, creators_of, is_private
from shared.errors import InvalidRequest

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_WHOLE_NUMBERS = frozenset({"SL", "SS", "SV", "UL", "US", "UV"})
_REAL_NUMBERS = frozenset({"FL", "FD"})

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_POSITION = re.compile(r"[1-9][0-9]{0,8}")
_LONGEST_NUMBER = 400
_MAX_GAPS = 1000
"""Positions of values that one document may leave out: they take memory and nothing of the document."""


def to_xml(dataset: Mapping[str, Any]) -> bytes:
    """Return a DICOM JSON object as a document of the Native DICOM Model (PS3.19 §A.1.5)."""
    start = f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
    return "".join([start, *_attributes(dataset), "</NativeDicomModel>"]).encode("utf-8")


def from_xml(document: bytes) -> dict[str, Any]:
    """Return a document of the Native DICOM Model as a DICOM JSON object, in the order of its tags.

    Values are not checked against their VR: that is left to whoever uses them.

    Raises
    ------
    InvalidRequest
        The document is not well-formed, is no Native DICOM Model, declares a document type (the only source of
        entities), or nests deeper than `MAX_DEPTH` sequences.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(document, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: encodings that it does not know
        raise InvalidRequest(f"XML: not well-formed at line {reader.parser.ErrorLineNumber}.") from error
    finally:
        del reader.parser  # it refers back, and would keep the data set until the next garbage collection
    return reader.dataset


def _attributes(dataset: Mapping[str, Any]) -> Iterator[str]:
    creators = creators_of(dataset)
    blocks = Counter((block[:4], creator) for block, creator in creators.items())
    for tag, element in dataset.items():
        creator = creators.get(tag[:6])
        # A private element goes without its block, unless only the block tells which of two of a creator it is in.
        is_free = creator is not None and blocks[tag[:4], creator] == 1
        attributes = {
            "tag": f"{tag[:4]}00{tag[6:]}" if is_free else tag,
            "vr": element["vr"],
            "keyword": keyword_of(tag),
            "privateCreator": creator,
        }
        head = "".join(f" {name}={quoteattr(_xml(value))}" for name, value in attributes.items() if value)
        yield f"<DicomAttribute{head}>"
        yield from _content(element)
        yield "</DicomAttribute>"


def _content(element: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(_xml(element['BulkDataURI']))}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), start=1):
        if element["vr"] == "SQ":
            yield f'<Item number="{number}">'
            yield from _attributes(value or {})
            yield "</Item>"
        elif isinstance(value, Mapping) or (value is None and element["vr"] == "PN"):
            name: Mapping[str, str] = value or {}
            groups = "".join(f"<{group}>{_name(name[group])}</{group}>" for group in GROUPS if name.get(group))
            yield f'<PersonName number="{number}">{groups}</PersonName>'
        else:
            yield f'<Value number="{number}">{"" if value is None else _text(str(value))}</Value>'


def _name(group: str) -> str:
    components = zip(_COMPONENTS, group.split("^", len(_COMPONENTS) - 1), strict=False)
    return "".join(f"<{name}>{_text(component)}</{name}>" for name, component in components)


def _text(value: str) -> str:
    return escape(_xml(value), {"\r": "&#13;"})


def _xml(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)


@dataclass(slots=True)
class _Node:
    """An element that has begun."""

    name: str
    attributes: Mapping[str, str]
    texts: list[str] = field(default_factory=list)
    children: list["_Child"] = field(default_factory=list)


class _Child(NamedTuple):
    """An element that has ended; `number` is its own or ""."""

    name: str
    number: str
    value: Any


class _Attribute(NamedTuple):
    tag: str
    creator: str
    element: dict[str, Any]


class _Reader:
    """Builds a data set from the events of one document; no tree of it ever exists."""

    def __init__(self) -> None:
        self.dataset: dict[str, Any] = {}
        self.parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self._open: list[_Node] = []
        self._depth = 0
        self._gaps = 0

    def _refuse_doctype(self, *_: object) -> None:
        raise self._invalid("a document type declaration, which is not allowed")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        parent = self._open[-1].name if self._open else ""
        if namespace not in {"", NAMESPACE} or parent not in _PARENTS.get(local, ()):
            raise self._invalid("an element that the Native DICOM Model has not got there")
        self._depth += local == "Item"
        if self._depth > MAX_DEPTH:
            raise self._invalid(f"more than {MAX_DEPTH} sequences within each other")
        self._open.append(_Node(local, attributes))

    def _characters(self, text: str) -> None:
        node = self._open[-1]
        if node.name in _TEXTS:
            node.texts.append(text)
        elif text.strip():
            raise self._invalid("text between elements")

    def _end(self, _: str) -> None:
        node = self._open.pop()
        self._depth -= node.name == "Item"
        value = self._MEANINGS[node.name](self, node)
        if self._open:
            self._open[-1].children.append(_Child(node.name, node.attributes.get("number", ""), value))
        else:
            self.dataset = value

    def _text(self, node: _Node) -> str:
        text = "".join(node.texts)
        node.texts.clear()
        return text

    def _base64(self, node: _Node) -> str:
        return "".join(self._text(node).split())

    def _reference(self, node: _Node) -> str:
        return node.attributes.get("uri", node.attributes.get("uuid", ""))

    def _components(self, node: _Node) -> str:
        found = {child.name: child.value for child in node.children}
        texts = [found.get(name, "") for name in _COMPONENTS]
        last = max((_COMPONENTS.index(name) for name in found), default=-1)
        return "^".join(texts[: last + 1])

    def _person_name(self, node: _Node) -> dict[str, str] | None:
        return {child.name: child.value for child in node.children if child.value} or None

    def _attribute(self, node: _Node) -> _Attribute:
        tag, vr = node.attributes.get("tag", ""), node.attributes.get("vr", "")
        if not _TAG.fullmatch(tag):
            raise self._invalid("a DicomAttribute without a tag of 8 hexadecimal digits")
        element: dict[str, Any] = {"vr": vr}
        kinds = {child.name for child in node.children}
        if len(kinds) > 1 or (not kinds <= _NUMBERED and len(node.children) > 1):
            raise self._invalid("a DicomAttribute with more than one kind of content")
        for kind in kinds:
            is_list = kind in _NUMBERED
            element[_KEYS.get(kind, "Value")] = self._values(node, vr) if is_list else node.children[0].value
        creator = node.attributes.get("privateCreator", "") if is_private(tag) else ""
        return _Attribute(tag.upper(), creator.strip(" "), element)

    def _values(self, node: _Node, vr: str) -> list[Any]:
        """Return the values at the positions that their numbers say; without a number, behind the one before."""
        placed: dict[int, Any] = {}
        position = 0
        for child in node.children:
            number = child.number or str(position + 1)
            if not _POSITION.fullmatch(number) or int(number) in placed:
                raise self._invalid("values that are not numbered from 1")
            position = int(number)
            placed[position] = _value(child.value, vr)
        self._gaps += max(placed) - len(placed)
        if self._gaps > _MAX_GAPS:
            raise self._invalid(f"more than {_MAX_GAPS} values left out")
        return [placed.get(number) for number in range(1, max(placed) + 1)]

    def _dataset(self, node: _Node) -> dict[str, Any]:
        """Return the attributes by tag; private ones in the block of their creator (PS3.19 §A.1.5)."""
        attributes: list[_Attribute] = [child.value for child in node.children]
        dataset: dict[str, Any] = {}
        for one in attributes:
            if not one.creator:
                self._add(dataset, one.tag, one.element)
        private = [one for one in attributes if one.creator]
        if private:
            blocks = Blocks(dataset, [one.tag for one in attributes])
            for one in private:
                try:
                    self._add(dataset, blocks.tag(one.tag, one.creator), one.element)
                except ValueError as error:
                    raise self._invalid("more private blocks than a group has") from error
        return dict(sorted(dataset.items()))

    def _add(self, dataset: dict[str, Any], tag: str, element: dict[str, Any]) -> None:
        if tag in dataset:
            raise self._invalid(f"({tag[:4]},{tag[4:]}) twice in a data set")
        dataset[tag] = element

    def _invalid(self, found: str) -> InvalidRequest:
        return InvalidRequest(f"XML: {found}, at line {self.parser.CurrentLineNumber}.")

    _MEANINGS: ClassVar[Mapping[str, Callable[["_Reader", _Node], Any]]] = {
        "NativeDicomModel": _dataset,
        "Item": _dataset,
        "DicomAttribute": _attribute,
        "Value": _text,
        "PersonName": _person_name,
        "InlineBinary": _base64,
        "BulkData": _reference,
        **dict.fromkeys(GROUPS, _components),
        **dict.fromkeys(_COMPONENTS, _text),
    }
    """What an element stands for once it has ended."""


def _value(value: Any, vr: str) -> Any:
    """Return what DICOM JSON has for the text of a value; text that is no number of the VR stays text."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    if vr not in _WHOLE_NUMBERS | _REAL_NUMBERS or len(value) > _LONGEST_NUMBER:
        return value
    try:
        number = int(value) if vr in _WHOLE_NUMBERS else float(value)
    except ValueError:
        return value
    return number if isinstance(number, int) or isfinite(number) else value


_PARENTS: Mapping[str, tuple[str, ...]] = {
    "NativeDicomModel": ("",),
    "DicomAttribute": ("NativeDicomModel", "Item"),
    **dict.fromkeys(("Item", "Value", "PersonName", "InlineBinary", "BulkData"), ("DicomAttribute",)),
    **dict.fromkeys(GROUPS, ("PersonName",)),
    **dict.fromkeys(_COMPONENTS, GROUPS),
}
"""Where each element may be."""

_TEXTS = frozenset({"Value", "InlineBinary", *_COMPONENTS})
_NUMBERED = frozenset({"Value", "Item", "PersonName"})
_KEYS = {"InlineBinary": "InlineBinary", "BulkData": "BulkDataURI"}
