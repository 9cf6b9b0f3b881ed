"""What metadata say of values that they do not hold (`shared/dicom/references.py`)."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from shared.dicom.bulk import BulkValue
from shared.dicom.header import read_header
from shared.dicom.references import with_references
from shared.errors import UnreadableFile
from tests.factories import dataset, file_of, part10

JPEG = "1.2.840.10008.1.2.4.50"
SYNTAX = {"00083002": {"vr": "UI", "Value": [JPEG]}}


def bulk(path: str, vr: str = "OB") -> BulkValue:
    return BulkValue(path, vr, 1000, 2000)


def sequence(*items: dict[str, Any]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def test_top_level() -> None:
    """A bulk value becomes an element with its VR and its path, in the order of tags (PS3.18 §F.2.2)."""
    given = {"00080018": {"vr": "UI"}, "7FE00020": {"vr": "OV"}}

    found = with_references(given, [bulk("7FE00010", "OW"), bulk("00281201", "OW")], JPEG)

    assert list(found) == ["00080018", "00083002", "00281201", "7FE00010", "7FE00020"]
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "7FE00010"}


def test_nested() -> None:
    """A bulk value within sequences stands in its item, in the order of tags there."""
    inner = sequence({}, {"00289999": {"vr": "LO"}})
    given = {"52009230": sequence({"00289145": inner}, {})}

    found = with_references(given, [bulk("52009230/1/00289145/2/00281201"), bulk("52009230/2/00420011")], JPEG)

    first, second = found["52009230"]["Value"]
    empty, item = first["00289145"]["Value"]
    assert empty == {}
    assert list(item.items()) == [
        ("00281201", {"vr": "OB", "BulkDataURI": "52009230/1/00289145/2/00281201"}),
        ("00289999", {"vr": "LO"}),
    ]
    assert second == {"00420011": {"vr": "OB", "BulkDataURI": "52009230/2/00420011"}}


def test_given_stays() -> None:
    """What is given is not changed."""
    given = {"52009230": sequence({})}
    before = deepcopy(given)

    with_references(given, [bulk("52009230/1/00420011")], JPEG)

    assert given == before


@pytest.mark.parametrize(
    "path", ["52009230/1/00420011", "00091001/1/00420011", "00091002/2/00420011", "00091003/1/00420011"]
)
def test_no_place(path: str) -> None:
    """A bulk value is left out that lies in an item the data set has not got, as when a sequence came twice."""
    given = {"00091001": {"vr": "SQ"}, "00091002": sequence({}), "00091003": {"vr": "LO", "Value": []}}

    assert with_references(given, [bulk(path)], JPEG) == SYNTAX | given


def test_twice() -> None:
    """Of a tag that came as bytes and as a sequence the metadata show one."""
    found = with_references({"00091001": sequence({})}, [bulk("00091001"), bulk("00091001/1/00420011")], JPEG)

    assert found == SYNTAX | {"00091001": sequence({})}


def test_transfer_syntax() -> None:
    """Available Transfer Syntax UID is that of the file, whatever the file says of it (PS3.18 §10.4.1.1.2)."""
    assert with_references({"00083002": {"vr": "UI", "Value": ["1.2"]}}, [], JPEG) == SYNTAX


def test_file() -> None:
    """Every bulk value of a header is found by its path in what is made of it."""
    made = dataset(EncapsulatedDocument=bytes(5000))
    made.add_new("IconImageSequence", "SQ", [dataset(ICCProfile=bytes(3000)), dataset(ICCProfile=bytes(3000))])
    header = read_header(file_of(made))

    found = with_references(header.dataset, header.bulk, header.transfer_syntax)

    assert len(header.bulk) == 3
    for value in header.bulk:
        assert element_at(found, value.path) == {"vr": value.vr, "BulkDataURI": value.path}


def test_pixel_data() -> None:
    """Pixel data is a bulk value however short it is."""
    header = read_header(part10(pixel_bytes=2))

    found = with_references(header.dataset, header.bulk, header.transfer_syntax)

    assert found["7FE00010"] == {"vr": "OB", "BulkDataURI": "7FE00010"}


def test_corpus(corpus: Path) -> None:
    """Every bulk value of every readable real file is found by its path."""
    found = 0
    for file in sorted((corpus / "corpus").rglob("*")):
        try:
            header = read_header(file.read_bytes() if file.is_file() else b"")
        except UnreadableFile:
            continue
        shown = with_references(header.dataset, header.bulk, header.transfer_syntax)
        assert [element_at(shown, value.path)["BulkDataURI"] for value in header.bulk] == [
            value.path for value in header.bulk
        ]
        found += len(header.bulk)

    assert found > 100


def element_at(shown: dict[str, Any], path: str) -> dict[str, Any]:
    place: Any = shown
    *way, tag = path.split("/")
    for sequence_tag, number in zip(way[::2], way[1::2], strict=True):
        place = place[sequence_tag]["Value"][int(number) - 1]
    found: dict[str, Any] = place[tag]
    return found
