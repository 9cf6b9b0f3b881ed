"""DICOM JSON and XML, both ways (`shared/dicom/native_model.py`; PS3.19 §A.1)."""

from pathlib import Path
from typing import Any

import pytest

from shared.dicom.header import read_header
from shared.dicom.limits import MAX_DEPTH
from shared.dicom.native_model import NAMESPACE, from_xml, to_xml
from shared.errors import InvalidRequest, UnreadableFile

SAME: dict[str, dict[str, Any]] = {
    "nothing": {},
    "text": {"00080060": {"vr": "CS", "Value": ["CT"]}},
    "values": {"00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL", None]}},
    "empty": {"00100020": {"vr": "LO"}, "00081111": {"vr": "SQ"}, "7FE00010": {"vr": "OW"}},
    "blanks and marks": {"00204000": {"vr": "LT", "Value": ["  <a> & \"b\" ]]>\t'c'\r\nd\r "]}},
    "characters": {"00104000": {"vr": "LT", "Value": ["é 山 \U0001f600"]}},
    "names": {
        "00100010": {
            "vr": "PN",
            "Value": [
                {"Alphabetic": "Yamada^Tarou^^Dr^Jr", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
                {"Alphabetic": "^Given"},
                None,
                {"Alphabetic": "Trailing^^"},
                {"Phonetic": "a^b^c^d^e^f"},
            ],
        }
    },
    "whole numbers": {
        "00280010": {"vr": "US", "Value": [512]},
        "00189219": {"vr": "SS", "Value": [-1, 0]},
        "00720001": {"vr": "SV", "Value": [-(2**63)]},
        "00720002": {"vr": "UV", "Value": [2**64 - 1]},
    },
    "real numbers": {"00189073": {"vr": "FD", "Value": [0.1, -1e300, 5.0, "NaN", "-inf"]}},
    "texts of numbers": {"00280030": {"vr": "DS", "Value": ["0.50", "1e3"]}, "00200013": {"vr": "IS", "Value": ["+1"]}},
    "tags": {"00280009": {"vr": "AT", "Value": ["00181063"]}},
    "binary": {"00282000": {"vr": "OB", "InlineBinary": "AAE="}, "7FE00010": {"vr": "OW", "BulkDataURI": "a?b&c='\"<"}},
    "sequence": {
        "00081111": {
            "vr": "SQ",
            "Value": [{"00081150": {"vr": "UI", "Value": ["1.2"]}}, {}, {"0040A730": {"vr": "SQ", "Value": [{}]}}],
        }
    },
    "private": {
        "00090010": {"vr": "LO", "Value": ['ACME "1"']},
        "00090011": {"vr": "LO", "Value": ["Other"]},
        "00091010": {"vr": "UN", "InlineBinary": "AAE="},
        "00091101": {"vr": "SQ", "Value": [{"00090010": {"vr": "LO", "Value": ["X"]}, "00091001": {"vr": "LO"}}]},
    },
    "one creator twice": {
        "00090010": {"vr": "LO", "Value": ["A"]},
        "00090011": {"vr": "LO", "Value": ["A"]},
        "00091001": {"vr": "LO", "Value": ["x"]},
        "00091101": {"vr": "LO", "Value": ["y"]},
    },
    "private without creator": {"00091001": {"vr": "LO", "Value": ["x"]}},
}


@pytest.mark.parametrize("dataset", SAME.values(), ids=SAME.keys())
def test_back_and_forth(dataset: dict[str, Any]) -> None:
    """What DICOM JSON can say comes back from XML as it was."""
    assert from_xml(to_xml(dataset)) == dataset


def test_document() -> None:
    """A document is what PS3.19 §A.1.5 describes: keyword, numbers, components, private elements without block."""
    dataset = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]},
        "00090010": {"vr": "LO", "Value": ["ACME"]},
        "00091002": {"vr": "LO", "Value": ["a", None]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "x"},
    }

    assert to_xml(dataset).decode("utf-8") == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
        '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1"><Alphabetic>'
        "<FamilyName>Doe</FamilyName><GivenName>John</GivenName></Alphabetic></PersonName></DicomAttribute>"
        '<DicomAttribute tag="00090010" vr="LO"><Value number="1">ACME</Value></DicomAttribute>'
        '<DicomAttribute tag="00090002" vr="LO" privateCreator="ACME"><Value number="1">a</Value>'
        '<Value number="2"></Value></DicomAttribute>'
        '<DicomAttribute tag="7FE00010" vr="OW" keyword="PixelData"><BulkData uri="x"/></DicomAttribute>'
        "</NativeDicomModel>"
    )


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"00280030": {"vr": "DS", "Value": [0.5]}}, {"00280030": {"vr": "DS", "Value": ["0.5"]}}),
        ({"00200013": {"vr": "IS", "Value": [7]}}, {"00200013": {"vr": "IS", "Value": ["7"]}}),
        ({"00081111": {"vr": "SQ", "Value": [None]}}, {"00081111": {"vr": "SQ", "Value": [{}]}}),
        ({"00100020": {"vr": "LO", "Value": []}}, {"00100020": {"vr": "LO"}}),
        (
            {"00100020": {"vr": "LO", "Value": ["a\x1b\0\x0b"]}},
            {"00100020": {"vr": "LO", "Value": ["a" + 3 * "\ufffd"]}},
        ),
    ],
)
def test_differences(dataset: dict[str, Any], expected: dict[str, Any]) -> None:
    """What XML cannot tell apart comes back in one form."""
    assert from_xml(to_xml(dataset)) == expected


def document(content: str, root: str = f'NativeDicomModel xmlns="{NAMESPACE}"') -> bytes:
    return f"<{root}>{content}</{root.split(maxsplit=1)[0]}>".encode()


def attribute(content: str, vr: str = "LO", tag: str = "00100020", more: str = "") -> str:
    return f'<DicomAttribute tag="{tag}" vr="{vr}" {more}>{content}</DicomAttribute>'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (attribute("<Value>a</Value><Value>b</Value>"), {"vr": "LO", "Value": ["a", "b"]}),
        (attribute('<Value number="2">b</Value><Value number="1">a</Value>'), {"vr": "LO", "Value": ["a", "b"]}),
        (attribute('<Value number="3">c</Value>'), {"vr": "LO", "Value": [None, None, "c"]}),
        (attribute("\n  <Value>\n a </Value>\n <!-- comment --> "), {"vr": "LO", "Value": ["\n a "]}),
        (attribute("<Value><![CDATA[<&>]]></Value>"), {"vr": "LO", "Value": ["<&>"]}),
        (attribute("<Value>&#233;&amp;</Value>"), {"vr": "LO", "Value": ["é&"]}),
        (attribute("<InlineBinary>\n AA\n E= </InlineBinary>", "OB"), {"vr": "OB", "InlineBinary": "AAE="}),
        (attribute('<BulkData uuid="1-2"/>', "OB"), {"vr": "OB", "BulkDataURI": "1-2"}),
        (attribute("<Value>x</Value>", "US"), {"vr": "US", "Value": ["x"]}),
        (attribute(f"<Value>{'9' * 5000}</Value>", "UL"), {"vr": "UL", "Value": ["9" * 5000]}),
        (attribute("<Value>Doe^John</Value>", "PN"), {"vr": "PN", "Value": ["Doe^John"]}),
        (attribute("<Value>1</Value>", ""), {"vr": "", "Value": ["1"]}),
    ],
)
def test_read(content: str, expected: dict[str, Any]) -> None:
    """What other programs may write is read; a value that is not of its VR is left for others to find."""
    assert from_xml(document(content)) == {"00100020": expected}


def test_read_without_namespace() -> None:
    """Some programs leave the namespace out; others use a prefix."""
    expected = {"00100020": {"vr": "LO"}}

    assert from_xml(document(attribute(""), "NativeDicomModel")) == expected
    prefixed = document(attribute(""), "NativeDicomModel").replace(b"<", b"<n:").replace(b"<n:/", b"</n:")
    assert from_xml(
        prefixed.replace(b"<n:NativeDicomModel>", f'<n:NativeDicomModel xmlns:n="{NAMESPACE}">'.encode())
    ) == (expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_read_encodings(encoding: str) -> None:
    """A document may be in another encoding than UTF-8 if it says so."""
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?>{document(attribute("<Value>é</Value>")).decode()}'

    assert from_xml(text.encode(encoding)) == {"00100020": {"vr": "LO", "Value": ["é"]}}


def test_read_private() -> None:
    """A private element finds the block of its creator, wherever that stands, or a new one (PS3.19 §A.1.5)."""
    private = 'privateCreator="ACME"'
    content = (
        attribute("<Value>1</Value>", tag="00090002", more=private)
        + attribute("<Value>ACME</Value>", tag="00090012")
        + attribute("<Value>2</Value>", tag="000B0003", more=private)
        + attribute("<Value>3</Value>", tag="000D2204", more=private)
        + attribute("<Value>4</Value>", tag="00100020", more=private)
    )

    found = from_xml(document(content))

    assert {tag: element["Value"][0] for tag, element in found.items()} == {
        "00090012": "ACME",
        "00091202": "1",
        "000B0010": "ACME",
        "000B1003": "2",
        "000D0022": "ACME",
        "000D2204": "3",
        "00100020": "4",
    }
    assert list(found) == sorted(found)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
EXTERNAL = f'<!DOCTYPE NativeDicomModel SYSTEM "file:///etc/passwd"><NativeDicomModel xmlns="{NAMESPACE}"/>'
NESTED = attribute("<Item>", "SQ").removesuffix("</DicomAttribute>")

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "well-formed"),
    "text": (b"secret", "well-formed"),
    "JSON": (b"[{}]", "well-formed"),
    "cut": (document(attribute("<Value>secret</Value>"))[:-5], "well-formed"),
    "bytes that are no UTF-8": (
        document(attribute("<Value>\udcff</Value>".replace("\udcff", "~"))).replace(b"~", b"\xff"),
        "well-formed",
    ),
    "unknown encoding": (b'<?xml version="1.0" encoding="secret"?><a/>', "well-formed"),
    "control character": (document(attribute("<Value>&#27;</Value>")), "well-formed"),
    "undeclared entity": (document(attribute("<Value>&secret;</Value>")), "well-formed"),
    "entities": (BOMB.encode(), "document type"),
    "external document type": (EXTERNAL.encode(), "document type"),
    "another root": (b"<html/>", "has not got there"),
    "another namespace": (document("", 'NativeDicomModel xmlns="secret"'), "has not got there"),
    "unknown element": (document(attribute("<secret/>")), "has not got there"),
    "item outside of an attribute": (document("<Item/>"), "has not got there"),
    "text between": (document(attribute("secret")), "text between"),
    "no tag": (document('<DicomAttribute vr="LO"/>'), "without a tag"),
    "keyword for tag": (document('<DicomAttribute tag="PatientID" vr="LO"/>'), "without a tag"),
    "tag twice": (document(attribute("") + attribute("")), r"\(0010,0020\) twice"),
    "two kinds": (document(attribute("<Value/><Item/>")), "kind of content"),
    "two references": (document(attribute('<BulkData uri="a"/><BulkData uri="b"/>')), "kind of content"),
    "number 0": (document(attribute('<Value number="0"/>')), "numbered"),
    "number in words": (document(attribute('<Value number="secret"/>')), "numbered"),
    "number twice": (document(attribute('<Value number="1"/><Value number="1"/>')), "numbered"),
    "a large number": (document(attribute('<Value number="999999999">a</Value>')), "left out"),
    "many large numbers": (
        document("".join(attribute('<Value number="500"/>', tag=f"0010{n:04X}") for n in range(3))),
        "left out",
    ),
    "nesting": (document((MAX_DEPTH + 1) * NESTED), "more than 64 sequences"),
    "nesting of 10,000": (document(10_000 * NESTED), "more than 64 sequences"),
}


@pytest.mark.parametrize(("content", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(content: bytes, problem: str) -> None:
    """What is no Native DICOM Model is refused, with the line and without a value; no entity is ever expanded."""
    with pytest.raises(InvalidRequest, match=problem) as refused:
        from_xml(content)

    assert "at line " in str(refused.value)
    assert "secret" not in str(refused.value)


def test_depth() -> None:
    """As many sequences as a file may have within each other come back."""
    dataset: dict[str, Any] = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}}
    for _ in range(MAX_DEPTH):
        dataset = {"0040A730": {"vr": "SQ", "Value": [dataset]}}

    assert from_xml(to_xml(dataset)) == dataset


def test_many_private_elements() -> None:
    """The time for private elements grows with their number, not with its square."""
    content = "".join(
        attribute("", tag=f"{group:04X}00{low:02X}", more=f'privateCreator="{block}"')
        for group in (9, 11, 13)
        for block in range(100)
        for low in range(0x50)
    )

    assert len(from_xml(document(content))) == 3 * 100 * 0x51


def _normalized(dataset: dict[str, Any]) -> dict[str, Any]:
    """Take the documented differences out."""
    return {tag: _normalized_element(element) for tag, element in dataset.items()}


def _normalized_element(element: dict[str, Any]) -> dict[str, Any]:
    values = element.get("Value")
    if not values:
        return {key: value for key, value in element.items() if key != "Value"}
    if element["vr"] == "SQ":
        return element | {"Value": [_normalized(item or {}) for item in values]}
    if element["vr"] in {"IS", "DS"}:
        return element | {"Value": [None if value is None else str(value) for value in values]}
    return element | {"Value": [_writable(value) for value in values]}


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _writable(text) for key, text in value.items()}
    if isinstance(value, str):
        return "".join("\ufffd" if char < " " and char not in "\t\r\n" else char for char in value)
    return value


def test_corpus(corpus: Path) -> None:
    """The header of every real file comes back from XML, but for what is documented."""
    count = 0
    for path in sorted(corpus.glob("corpus/**/*.dcm")):
        try:
            dataset = read_header(path.read_bytes()).dataset
        except UnreadableFile:
            continue
        count += 1
        assert _normalized(from_xml(to_xml(dataset))) == _normalized(dataset), path.name
    assert count > 150


def test_huge_number() -> None:
    """A number that no float can hold is taken as it is, for whoever writes the value to refuse."""
    document = (
        b'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
        b'<DicomAttribute tag="00280010" vr="US"><Value number="1">' + b"9" * 399 + b"</Value></DicomAttribute>"
        b"</NativeDicomModel>"
    )

    assert from_xml(document) == {"00280010": {"vr": "US", "Value": [int("9" * 399)]}}
