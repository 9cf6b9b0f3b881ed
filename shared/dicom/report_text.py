"""Structured reports as HTML and as plain text: the content tree, read from top to bottom (PS3.3 §C.17.3)."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from shared.dicom.items import Item
from shared.dicom.readable import date, date_time, person, time
from shared.errors import NotDecodable

MAX_DEPTH = 64
"""Content items within each other: what lies deeper is left out."""

_LANGUAGE = ("121049", "DCM")
"""Language of Content Item and Descendants (PS3.16 TID 1204)."""
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")
_ENGLISH = "en"
_MOST_COORDINATES = 12

_HEADER = (
    ("Patient", "PatientName"),
    ("Patient ID", "PatientID"),
    ("Birth date", "PatientBirthDate"),
    ("Sex", "PatientSex"),
    ("Study", "StudyDescription"),
    ("Study date", "StudyDate"),
    ("Accession number", "AccessionNumber"),
    ("Date of report", "ContentDate"),
    ("Completion", "CompletionFlag"),
    ("Verification", "VerificationFlag"),
)
_STYLE = "body{font-family:sans-serif;max-width:60em;margin:1em auto}th{text-align:left;padding-right:1em}"


@dataclass(frozen=True, slots=True)
class Line:
    """One content item: how deep it lies, what it is called and what it says; a value may have several lines."""

    depth: int
    name: str
    value: str


def to_html(dataset: Mapping[str, Any]) -> bytes:
    """Return a report as an HTML document in UTF-8; it holds no script and refers to nothing outside of itself.

    Raises
    ------
    NotDecodable
        The data set is no structured report.
    """
    root = _root(dataset)
    title = escape(_title(root))
    parts = [
        f'<!DOCTYPE html>\n<html lang="{_language(root)}">\n<head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<table>",
    ]
    parts += [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _header(root)]
    parts += ["</table>", *_lists(content_lines(root)), "</body>\n</html>\n"]
    return "\n".join(parts).encode("utf-8", "replace")


def to_text(dataset: Mapping[str, Any]) -> bytes:
    """Return a report as plain text in UTF-8, each level indented by two blanks.

    Raises
    ------
    NotDecodable
        The data set is no structured report.
    """
    root = _root(dataset)
    lines = [_title(root), "", *(f"{name}: {value}" for name, value in _header(root)), ""]
    for line in content_lines(root):
        indent = "  " * line.depth
        first, *more = line.value.splitlines() or [""]
        lines.append(indent + ": ".join(part for part in (line.name, first) if part))
        lines += [f"{indent}  {rest}" for rest in more]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def content_lines(root: Item, depth: int = 0) -> Iterator[Line]:
    """Yield the content items below *root* in their order, each before those that it contains."""
    if depth >= MAX_DEPTH:
        return
    for item in root.items("ContentSequence"):
        yield Line(depth, _concept(item, "ConceptNameCodeSequence"), _value(item))
        yield from content_lines(item, depth + 1)


def _root(dataset: Mapping[str, Any]) -> Item:
    root = Item(dataset)
    if not root.has("ContentSequence") and root.text("ValueType") != "CONTAINER":
        raise NotDecodable("(0040,A730) Content Sequence: missing, so that this is no structured report.")
    return root


def _title(root: Item) -> str:
    return _concept(root, "ConceptNameCodeSequence") or root.text("SeriesDescription") or "Structured report"


def _language(root: Item) -> str:
    """Return the language that the report says it is in, as HTML names it (RFC 5646)."""
    for item in root.items("ContentSequence"):
        names = [
            (one.text("CodeValue"), one.text("CodingSchemeDesignator")) for one in item.items("ConceptNameCodeSequence")
        ]
        for code in item.items("ConceptCodeSequence")[:1] if _LANGUAGE in names else ():
            return code.text("CodeValue") if _LANGUAGE_TAG.fullmatch(code.text("CodeValue")) else _ENGLISH
    return _ENGLISH


def _header(root: Item) -> Iterator[tuple[str, str]]:
    for name, keyword in _HEADER:
        text = root.text(keyword)
        if text:
            yield name, _READERS_OF_TEXT.get(keyword, str)(text)
    for observer in root.items("VerifyingObserverSequence"):
        yield "Verified by", person(observer.text("VerifyingObserverName"))


def _lists(lines: Iterator[Line]) -> Iterator[str]:
    """Yield nested lists; depths grow by one at a time."""
    depth = -1
    for line in lines:
        if line.depth > depth:
            yield "<ul>"
        else:
            yield "</li>" + "</ul></li>" * (depth - line.depth)
        depth = line.depth
        name = f"<b>{escape(line.name)}</b>" if line.name else ""
        value = escape(line.value).replace("\r\n", "<br>").replace("\n", "<br>").replace("\r", "<br>")
        yield "<li>" + ": ".join(part for part in (name, value) if part)
    if depth >= 0:
        yield "</li></ul>" * (depth + 1)


def _concept(item: Item, sequence: str) -> str:
    """Return the meaning of a code; its value where it has none."""
    return next((one.text("CodeMeaning") or _code_value(one) for one in item.items(sequence)), "")


def _code_value(code: Item) -> str:
    return next((code.text(name) for name in ("CodeValue", "LongCodeValue", "URNCodeValue") if code.has(name)), "")


def _value(item: Item) -> str:
    """Return what a content item says, by its value type (PS3.3 §C.17.3.2.1)."""
    reader = _VALUES.get(item.text("ValueType").upper())
    if reader is not None:
        return reader(item)
    target = [str(int(number)) for number in item.numbers("ReferencedContentItemIdentifier")]
    return f"see item {'.'.join(target)}" if target else ""


def _code(item: Item) -> str:
    code = next(iter(item.items("ConceptCodeSequence")), Item({}))
    names = [part for part in (_code_value(code), code.text("CodingSchemeDesignator")) if part]
    meaning = code.text("CodeMeaning")
    return f"{meaning} ({', '.join(names)})" if meaning and names else meaning or ", ".join(names)


def _measurement(item: Item) -> str:
    """Return a number with its unit; why there is none where it has none."""
    for measured in item.items("MeasuredValueSequence"):
        unit = next(iter(measured.items("MeasurementUnitsCodeSequence")), Item({}))
        name = unit.text("CodeValue")
        value = _number(measured.text("NumericValue"))
        return value if name in {"", "1"} else f"{value} {name}"
    return _concept(item, "NumericValueQualifierCodeSequence")


def _number(text: str) -> str:
    """Return a number as a person writes it: 12 for 12.0."""
    return text.removesuffix(".0")


def _reference(item: Item) -> str:
    """Return what an image, waveform or other object is called; frames and channels where they are named."""
    texts = []
    for one in item.items("ReferencedSOPSequence"):
        frames = ", ".join(str(int(number)) for number in one.numbers("ReferencedFrameNumber"))
        uid = one.text("ReferencedSOPInstanceUID")
        texts.append(f"{uid}, frames {frames}" if frames else uid)
    return "; ".join(texts)


def _coordinates(item: Item) -> str:
    values = item.numbers("GraphicData")
    size = 3 if item.text("ValueType").upper() == "SCOORD3D" else 2
    points = [values[at : at + size] for at in range(0, len(values), size)]
    shown = " ".join("(" + ", ".join(f"{part:g}" for part in point) + ")" for point in points[:_MOST_COORDINATES])
    return f"{item.text('GraphicType')} {shown}{' ...' if len(points) > _MOST_COORDINATES else ''}".strip()


def _times(item: Item) -> str:
    values = [*item.values("ReferencedDateTime"), *item.values("ReferencedTimeOffsets")]
    return f"{item.text('TemporalRangeType')} {', '.join(map(str, values[:_MOST_COORDINATES]))}".strip()


def _text(keyword: str, read: Callable[[str], str] = str) -> Callable[[Item], str]:
    return lambda item: read(item.text(keyword))


_READERS_OF_TEXT: Mapping[str, Callable[[str], str]] = {
    "PatientName": person,
    "PatientBirthDate": date,
    "StudyDate": date,
    "ContentDate": date,
}

_VALUES: Mapping[str, Callable[[Item], str]] = {
    "TEXT": _text("TextValue"),
    "CODE": _code,
    "NUM": _measurement,
    "DATE": _text("Date", date),
    "TIME": _text("Time", time),
    "DATETIME": _text("DateTime", date_time),
    "PNAME": _text("PersonName", person),
    "UIDREF": _text("UID"),
    "IMAGE": _reference,
    "WAVEFORM": _reference,
    "COMPOSITE": _reference,
    "SCOORD": _coordinates,
    "SCOORD3D": _coordinates,
    "TCOORD": _times,
    "CONTAINER": lambda _: "",
}
"""How each value type is read."""
