"""`Accept` and `Content-Type` (`shared/web/media_types.py`)."""

import pytest

from shared.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from shared.errors import NotAcceptable
from shared.web.media_types import (
    DICOM_JSON,
    DICOM_XML,
    MediaType,
    parse_content_type,
    parse_media_types,
    report_type,
    require_json,
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/dicom", [MediaType("application/dicom", {})]),
        ("Application/DICOM+json", [MediaType("application/dicom+json", {})]),
        ("a/b; Q=0.5;X=Y", [MediaType("a/b", {"q": "0.5", "x": "Y"})]),
        ("a/b ;x = y ; z=1 ", [MediaType("a/b", {"x": "y", "z": "1"})]),
        ("a/b; type=application/dicom, c/d", [MediaType("a/b", {"type": "application/dicom"}), MediaType("c/d", {})]),
        ('a/b; type="application/dicom"; x=*', [MediaType("a/b", {"type": "application/dicom", "x": "*"})]),
        ('a/b; x="1;2,3=4", c/d', [MediaType("a/b", {"x": "1;2,3=4"}), MediaType("c/d", {})]),
        (r'a/b; x="\"\\"', [MediaType("a/b", {"x": '"\\'})]),
        ('a/b; x=""', [MediaType("a/b", {"x": ""})]),
        ("a/b; boundary=----=_Part_0.1", [MediaType("a/b", {"boundary": "----=_Part_0.1"})]),
        ("a/b;;x=1;", [MediaType("a/b", {"x": "1"})]),
        ("a/b,,c/d,", [MediaType("a/b", {}), MediaType("c/d", {})]),
        (", a/b", [MediaType("a/b", {})]),
        (";x=1, a/b", [MediaType("a/b", {})]),
        ("a/b; x, c/d", [MediaType("a/b", {}), MediaType("c/d", {})]),
        ("a/b c/d, e/f", [MediaType("a/b", {}), MediaType("e/f", {})]),
        ("", []),
        (" , ;", []),
    ],
)
def test_parse(header: str, expected: list[MediaType]) -> None:
    """Types and names of parameters ignore case, values may be quoted, and what cannot be read is passed over."""
    assert parse_media_types([header]) == expected


def test_parse_several_headers() -> None:
    """A header field that is repeated is one list (RFC 9110 §5.3)."""
    assert parse_media_types(["a/b, c/d", "e/f"]) == [MediaType(name, {}) for name in ("a/b", "c/d", "e/f")]


@pytest.mark.parametrize(
    ("q", "weight"),
    [("0.5", 0.5), ("0", 0), ("0.000", 0), ("1", 1), ("5", 1), ("-1", 0), ("x", 1), ("", 1), ("nan", 1), ("inf", 1)],
)
def test_weight(q: str, weight: float) -> None:
    """A q counts from 0 to 1; one that cannot be read is none."""
    assert MediaType("a/b", {"q": q}).weight == weight


@pytest.mark.parametrize(
    "accept",
    [
        [],
        [""],
        ["*/*"],
        ["application/*"],
        ["application/dicom+json"],
        ["application/json"],
        ["APPLICATION/DICOM+JSON"],
        ["application/dicom+json; charset=utf-8"],
        ["application/dicom+json, application/json"],
        ["text/html, application/json;q=0.1"],
        ["text/html", "application/dicom+json"],
        ["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"],
    ],
    ids=repr,
)
def test_json_accepted(accept: list[str]) -> None:
    """One acceptable entry is enough, whatever its weight; a missing Accept counts as any (common.md, policy 2)."""
    require_json(accept)


@pytest.mark.parametrize(
    "accept",
    [
        ["text/html"],
        ["application/dicom"],
        ["application/dicom+xml"],
        ['multipart/related; type="application/dicom+json"'],
        ["text/*", "image/png"],
        ["application/dicom+json;q=0"],
    ],
    ids=repr,
)
def test_json_not_accepted(accept: list[str]) -> None:
    """Without an acceptable entry the answer is 406 without a body; q=0 refuses (common.md; RFC 9110 §12.4.2)."""
    with pytest.raises(NotAcceptable) as refused:
        require_json(accept)

    assert str(refused.value) == ""


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([""], None),
        (["a/b"], MediaType("a/b", {})),
        (["", "a/b", "c/d"], MediaType("a/b", {})),
        (["a/b; boundary=x,y; c=d"], MediaType("a/b", {"boundary": "x,y", "c": "d"})),
        (["a/b; boundary='()+_,-./:=?"], MediaType("a/b", {"boundary": "'()+_,-./:=?"})),
        (['a/b; boundary=" x; y, z"'], MediaType("a/b", {"boundary": " x; y, z"})),
        (["a/b, c/d"], MediaType("a/b", {})),
    ],
    ids=repr,
)
def test_content_type(headers: list[str], expected: MediaType | None) -> None:
    """A Content-Type is one media type and no list: commas belong to the values of its parameters (RFC 9110 §8.3)."""
    assert parse_content_type(headers) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], DICOM_JSON),
        ([""], DICOM_JSON),
        (["*/*"], DICOM_JSON),
        (["application/*"], DICOM_JSON),
        (["application/json"], DICOM_JSON),
        (["application/dicom+json"], DICOM_JSON),
        (["application/dicom+xml"], DICOM_XML),
        (["APPLICATION/DICOM+XML"], DICOM_XML),
        (['multipart/related; type="application/dicom+xml"'], DICOM_XML),
        (["multipart/related; type=application/dicom+xml; q=0.5"], DICOM_XML),
        (["application/dicom+xml, application/dicom+json"], DICOM_JSON),
        (["application/dicom+xml", "application/dicom+json"], DICOM_JSON),
        (["application/dicom+xml, */*"], DICOM_JSON),
        (["application/dicom+xml, */*;q=0.9"], DICOM_XML),
        (["application/dicom+json;q=0.8, application/dicom+xml;q=0.9"], DICOM_XML),
        (["application/dicom+json;q=0.1, */*;q=0.9"], DICOM_XML),
        (["application/dicom+json;q=0, */*"], DICOM_XML),
        (["application/dicom+xml;q=0, */*;q=0.1"], DICOM_JSON),
        (["application/*;q=0.2, application/dicom+xml;q=0.1"], DICOM_JSON),
        (["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"], DICOM_JSON),
    ],
    ids=repr,
)
def test_report_type(accept: list[str], expected: str) -> None:
    """A Store is answered in the type with the greater weight, by the most specific range; JSON wins a tie."""
    assert report_type(accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        ["text/html"],
        ["application/xml"],
        ["application/dicom"],
        ["multipart/related"],
        ['multipart/related; type="application/dicom+json"'],
        ["application/dicom+xml;q=0"],
        ["application/dicom+json;q=0, application/dicom+xml;q=0, */*"],
    ],
    ids=repr,
)
def test_no_report_type(accept: list[str]) -> None:
    """Where neither JSON nor XML is accepted the answer is 406 without a body."""
    with pytest.raises(NotAcceptable) as refused:
        report_type(accept)

    assert str(refused.value) == ""


def test_transfer_syntaxes() -> None:
    """Each media type of pixel data has its transfer syntaxes, all different, its own UIDs (PS3.18 §8.7.3.3)."""
    assert TRANSFER_SYNTAXES["image/jp2"] == ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
    assert TRANSFER_SYNTAXES["image/dicom-rle"] == ("1.2.840.10008.1.2.5",)
    assert all(len(set(syntaxes)) == len(syntaxes) for syntaxes in TRANSFER_SYNTAXES.values())
