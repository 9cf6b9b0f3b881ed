"""Structured reports as text (`shared/dicom/report_text.py`; PS3.3 §C.17.3)."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from shared.dicom.header import read_header
from shared.dicom.report_text import MAX_DEPTH, to_html, to_text
from shared.errors import NotDecodable, UnreadableFile
from tests.unit.dicom_json import code, element, json_of

CORPUS = Path(__file__).parents[2].parent / "shared" / "data" / "corpus"
REPORTS = (
    "deflated/report_dfl.dcm",
    "invalid/no-pixel-data-sr.dcm",
    "sr/reportsi.dcm",
    "sr/sr-arrow.dcm",
    "sr/sr-circle.dcm",
    "sr/sr_document.dcm",
    "sr/test-SR.dcm",
)
_EMPTY_ELEMENTS = {"meta", "br"}


def named(kind: str, name: str, **attributes: Any) -> dict[str, Any]:
    """Return a content item."""
    return json_of(ValueType=kind, ConceptNameCodeSequence=[code("1", "DCM", name)], **attributes)


def report(*items: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return named("CONTAINER", "Imaging Report", ContentSequence=list(items), **attributes)


def line_of(item: dict[str, Any]) -> str:
    """Return the only line that a content item becomes."""
    return to_text(report(item)).decode("utf-8").splitlines()[-1]


ITEMS: dict[str, tuple[dict[str, Any], str]] = {
    "text": (named("TEXT", "Finding", TextValue="Nodule, 5 mm"), "Finding: Nodule, 5 mm"),
    "code": (
        named("CODE", "Site", ConceptCodeSequence=[code("39607008", "SCT", "Lung")]),
        "Site: Lung (39607008, SCT)",
    ),
    "code without meaning": (
        named("CODE", "Site", ConceptCodeSequence=[json_of(LongCodeValue="x" * 20, CodingSchemeDesignator="99A")]),
        f"Site: {'x' * 20}, 99A",
    ),
    "number": (
        named(
            "NUM",
            "Diameter",
            MeasuredValueSequence=[
                json_of(NumericValue=5.0, MeasurementUnitsCodeSequence=[code("mm", "UCUM", "millimeter")])
            ],
        ),
        "Diameter: 5 mm",
    ),
    "number without unit": (
        named(
            "NUM",
            "Count",
            MeasuredValueSequence=[
                json_of(NumericValue=2.5, MeasurementUnitsCodeSequence=[code("1", "UCUM", "no units")])
            ],
        ),
        "Count: 2.5",
    ),
    "no number": (
        named("NUM", "Ratio", NumericValueQualifierCodeSequence=[code("114000", "DCM", "Not a number")]),
        "Ratio: Not a number",
    ),
    "date": (named("DATE", "Since", Date="20260131"), "Since: 2026-01-31"),
    "time": (named("TIME", "At", Time="235959.5"), "At: 23:59:59"),
    "date and time": (named("DATETIME", "When", DateTime="202601312359+0100"), "When: 2026-01-31 23:59 +0100"),
    "day": (named("DATETIME", "When", DateTime="20260131"), "When: 2026-01-31"),
    "no date": (named("DATE", "Since", Date="spring"), "Since: spring"),
    "name": (named("PNAME", "Observer", PersonName={"Alphabetic": "Doe^Jane^^Dr"}), "Observer: Doe, Jane Dr"),
    "UID": (named("UIDREF", "Device", UID="1.2.3"), "Device: 1.2.3"),
    "image": (
        named(
            "IMAGE",
            "Source",
            ReferencedSOPSequence=[json_of(ReferencedSOPInstanceUID="1.2.3", ReferencedFrameNumber=[1, 4])],
        ),
        "Source: 1.2.3, frames 1, 4",
    ),
    "coordinates": (
        named("SCOORD", "Outline", GraphicType="POLYLINE", GraphicData=[1.5, 2, 3, 4]),
        "Outline: POLYLINE (1.5, 2) (3, 4)",
    ),
    "coordinates in space": (
        named("SCOORD3D", "Place", GraphicType="POINT", GraphicData=[1, 2, 3]),
        "Place: POINT (1, 2, 3)",
    ),
    "times": (named("TCOORD", "Beat", TemporalRangeType="POINT", ReferencedTimeOffsets=[1, 2]), "Beat: POINT 1.0, 2.0"),
    "container": (named("CONTAINER", "Findings"), "Findings"),
    "reference to an item": (json_of(ReferencedContentItemIdentifier=[1, 2, 3]), "see item 1.2.3"),
    "nothing": ({}, ""),
}
ITEMS["times"][0]["0040A138"] = element("DS", "1.0", "2.0")


@pytest.mark.parametrize(("item", "line"), ITEMS.values(), ids=ITEMS)
def test_value(item: dict[str, Any], line: str) -> None:
    """Each type of value is written as a person would (PS3.3 §C.17.3.2.1)."""
    assert line_of(item) == line


def test_text_tree() -> None:
    """Items are indented below those that contain them, further lines of a text too."""
    inner = named("TEXT", "Finding", TextValue="one\r\ntwo")
    dataset = report(
        named("CONTAINER", "Findings", ContentSequence=[inner]), named("TEXT", "Impression", TextValue="x")
    )

    assert to_text(dataset).decode("utf-8") == (
        "Imaging Report\n\n\nFindings\n  Finding: one\n    two\nImpression: x\n"
    )


def test_html_tree() -> None:
    """Lists lie within each other as the items do."""
    inner = named("TEXT", "Finding", TextValue="one\ntwo", ContentSequence=[named("TEXT", "Why", TextValue="z")])
    dataset = report(
        named("CONTAINER", "Findings", ContentSequence=[inner]), named("TEXT", "Impression", TextValue="x")
    )

    page = "".join(to_html(dataset).decode("utf-8").splitlines())

    assert (
        "<ul><li><b>Findings</b><ul><li><b>Finding</b>: one<br>two<ul><li><b>Why</b>: z</li></ul></li></ul></li>"
        "<li><b>Impression</b>: x</li></ul>"
    ) in page


def test_header() -> None:
    """A report begins with whom it is about, and who answers for it."""
    dataset = report(
        PatientName={"Alphabetic": "Doe^John"},
        StudyDate="20260131",
        VerificationFlag="VERIFIED",
        VerifyingObserverSequence=[json_of(VerifyingObserverName={"Alphabetic": "Roe^Jane"})],
    )

    lines = to_text(dataset).decode("utf-8").splitlines()

    assert lines[2:] == [
        "Patient: Doe, John",
        "Study date: 2026-01-31",
        "Verification: VERIFIED",
        "Verified by: Roe, Jane",
        "",
    ]
    assert "<th>Patient</th><td>Doe, John</td>" in to_html(dataset).decode("utf-8")


@pytest.mark.parametrize(
    ("value", "language"), [("de-CH", "de-CH"), ("fr", "fr"), ('"><script>', "en"), ("", "en"), (None, "en")]
)
def test_language(value: str | None, language: str) -> None:
    """A page is in the language that the report says it is in (PS3.16 TID 1204)."""
    name = code("121049", "DCM", "Language of Content Item and Descendants")
    item = json_of(
        ValueType="CODE", ConceptNameCodeSequence=[name], ConceptCodeSequence=[code(value or "", "RFC5646", "x")]
    )

    page = to_html(report(item) if value is not None else report()).decode("utf-8")

    assert f'<html lang="{language}">' in page


class Checker(HTMLParser):
    """Collects what a page opens and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in _EMPTY_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: bytes) -> Checker:
    """Return what a page consists of; each element ends where it must."""
    checker = Checker()
    checker.feed(page.decode("utf-8"))
    checker.close()
    assert checker.open == []
    return checker


HARMLESS = {"html", "head", "meta", "title", "style", "body", "h1", "table", "tr", "th", "td", "ul", "li", "b", "br"}


def test_hostile_text() -> None:
    """Nothing that a file says becomes an element or attribute of the page."""
    evil = "</style></b><script>alert(1)</script><img src=x onerror='a' \"b\" & &lt;"
    items = [named("TEXT", evil, TextValue=evil), named("PNAME", "x", PersonName={"Alphabetic": evil})]
    items += [named("CODE", "x", ConceptCodeSequence=[code(evil, evil, evil)]), named("UIDREF", "x", UID=evil)]
    dataset = report(*items, PatientName={"Alphabetic": evil}, PatientID=evil, StudyDescription=evil)
    dataset["0040A043"] = {"vr": "SQ", "Value": [code("1", "DCM", evil)]}

    checker = checked(to_html(dataset))

    assert checker.elements <= HARMLESS
    assert checker.attributes <= {"lang", "charset"}


def test_surrogates() -> None:
    """Text that UTF-8 cannot hold does not keep the rest from being read."""
    assert b"? ok" in to_text(report(named("TEXT", "x", TextValue="\ud800 ok")))


def test_depth() -> None:
    """What lies deeper than any report is left out."""
    item = named("TEXT", "deepest", TextValue="x")
    for _ in range(3 * MAX_DEPTH):
        item = named("CONTAINER", "level", ContentSequence=[item])

    text, page = to_text(report(item)), to_html(report(item))

    assert text.count(b"level") == MAX_DEPTH
    assert b"deepest" not in text
    assert checked(page).elements <= HARMLESS


@pytest.mark.parametrize("dataset", [{}, json_of(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Rows=5)])
def test_no_report(dataset: dict[str, Any]) -> None:
    """What has no content is no report."""
    with pytest.raises(NotDecodable):
        to_html(dataset)
    with pytest.raises(NotDecodable):
        to_text(dataset)


@pytest.mark.parametrize("name", REPORTS)
def test_corpus(name: str) -> None:
    """Real reports become well-formed pages, and text with the same lines."""
    path = CORPUS / name
    if not path.exists():
        pytest.skip("the corpus is not here")
    try:
        dataset = read_header(path.read_bytes()).dataset
    except UnreadableFile:
        pytest.skip("damaged")

    page = to_html(dataset)

    assert checked(page).elements <= HARMLESS
    assert page.count(b"<li>") >= 1
    assert len(to_text(dataset).splitlines()) >= page.count(b"<li>")
