"""Which representations `Accept` asks for (`shared/web/negotiation.py`)."""

import pytest

from shared.errors import NotAcceptable
from shared.model import AS_STORED, Level, Wish
from shared.web.negotiation import FRAMES, INSTANCE, RESOURCE_OF, bulk_resource, wishes

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
OCTETS = "application/octet-stream"

SEVERAL = (Level.STUDY, Level.SERIES)


def many(transfer_syntax: str) -> Wish:
    return Wish(is_multipart=True, transfer_syntax=transfer_syntax)


def one(transfer_syntax: str) -> Wish:
    return Wish(is_multipart=False, transfer_syntax=transfer_syntax)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ('multipart/related; type="application/dicom"', many(EXPLICIT)),
        ("multipart/related; type=application/dicom", many(EXPLICIT)),
        ('MULTIPART/Related; TYPE="Application/DICOM"', many(EXPLICIT)),
        ("multipart/related", many(EXPLICIT)),
        ("multipart/*", many(EXPLICIT)),
        ('multipart/related; type="application/dicom"; transfer-syntax=*', many(AS_STORED)),
        ('multipart/related; type="application/dicom"; transfer-syntax="*"', many(AS_STORED)),
        ("multipart/related; transfer-syntax=*; type=application/dicom", many(AS_STORED)),
        (f'multipart/related; type="application/dicom"; Transfer-Syntax={JPEG_2000}', many(JPEG_2000)),
        (f'multipart/related; type="application/dicom"; transfer-syntax="{JPEG_2000}"', many(JPEG_2000)),
        ('multipart/related; type="*/*"', many(AS_STORED)),
        ("multipart/related; type=*/*", many(AS_STORED)),
        ('multipart/related; type="application/*"', many(AS_STORED)),
        ("*/*", many(AS_STORED)),
        (f"*/*; transfer-syntax={EXPLICIT}", many(EXPLICIT)),
    ],
)
@pytest.mark.parametrize("level", Level)
def test_multipart(accept: str, expected: Wish, level: Level) -> None:
    """Multipart is answered at every level; without a transfer syntax it is explicit little endian (retrieve.md)."""
    assert wishes([accept], RESOURCE_OF[level]) == [expected]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/dicom", one(EXPLICIT)),
        ("application/dicom; transfer-syntax=*", one(AS_STORED)),
        ('application/dicom; transfer-syntax="*"', one(AS_STORED)),
        (f"application/dicom; transfer-syntax={JPEG_2000}", one(JPEG_2000)),
        ("Application/Dicom", one(EXPLICIT)),
    ],
)
def test_single_part(accept: str, expected: Wish) -> None:
    """One instance can be asked for as a single part; several cannot (retrieve.md, "Accept negotiation")."""
    assert wishes([accept], INSTANCE) == [expected]

    for level in SEVERAL:
        with pytest.raises(NotAcceptable):
            wishes([accept], RESOURCE_OF[level])


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("accept", [[], [""], [" , "]], ids=repr)
def test_missing(accept: list[str], level: Level) -> None:
    """A missing or empty Accept counts as any type (policy 2)."""
    assert wishes(accept, RESOURCE_OF[level]) == [many(AS_STORED)]


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/dicom+json",
        "application/octet-stream",
        "image/jp2",
        'multipart/related; type="application/octet-stream"',
        'multipart/related; type="image/jp2"',
        'multipart/related; type="application/dicom+xml"',
        "multipart/form-data",
        "*/*;q=0",
        'multipart/related; type="application/dicom";q=0.0',
    ],
)
def test_not_acceptable(accept: str, level: Level) -> None:
    """What is no DICOM file, and what the client refuses with q=0, is 406; the text says what there is."""
    with pytest.raises(NotAcceptable, match='multipart/related; type="application/dicom"'):
        wishes([accept], RESOURCE_OF[level])


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"application/dicom; transfer-syntax={JPEG_2000}, application/dicom", [one(JPEG_2000), one(EXPLICIT)]),
        (
            f"application/dicom; transfer-syntax={JPEG_2000};q=0.5, application/dicom;q=0.9",
            [one(EXPLICIT), one(JPEG_2000)],
        ),
        ("application/dicom;q=0.9, */*", [many(AS_STORED), one(EXPLICIT)]),
        ("application/dicom, application/dicom; transfer-syntax=*", [one(AS_STORED), one(EXPLICIT)]),
        ("application/dicom, application/dicom; transfer-syntax=*;q=0.9", [one(EXPLICIT), one(AS_STORED)]),
        ("application/dicom, */*", [one(EXPLICIT), many(AS_STORED)]),
        ("text/html, application/dicom;q=0.1, image/*", [one(EXPLICIT)]),
        ("application/dicom;q=0, */*;q=0.1", [many(AS_STORED)]),
    ],
)
def test_order(accept: str, expected: list[Wish]) -> None:
    """The greatest q comes first, then a named transfer-syntax=*, then the first in the header (retrieve.md)."""
    assert wishes([accept], INSTANCE) == expected
    assert wishes(accept.split(", "), INSTANCE) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", Wish(True, AS_STORED, OCTETS)),
        (f'multipart/related; type="{OCTETS}"', Wish(True, EXPLICIT, OCTETS)),
        (f"multipart/related; type={OCTETS}; transfer-syntax=*", Wish(True, AS_STORED, OCTETS)),
        ('multipart/related; type="*/*"', Wish(True, AS_STORED, OCTETS)),
        (OCTETS, Wish(False, EXPLICIT, OCTETS)),
        ('multipart/related; type="image/jp2"', Wish(True, JPEG_2000, "image/jp2", ("1.2.840.10008.1.2.4.91",))),
        (f'multipart/related; type="image/jp2"; transfer-syntax={JPEG_2000}', Wish(True, JPEG_2000, "image/jp2")),
        ("image/jls; transfer-syntax=1.2.840.10008.1.2.4.81", Wish(False, "1.2.840.10008.1.2.4.81", "image/jls")),
        ("image/x-dicom-rle", Wish(False, "1.2.840.10008.1.2.5", "image/x-dicom-rle")),
    ],
)
def test_frames(accept: str, expected: Wish) -> None:
    """Frames have a media type for each codestream, and its transfer syntaxes (PS3.18 §8.7.3.3, retrieve.md)."""
    assert wishes([accept], FRAMES) == [expected]


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom",
        "image/png",
        'multipart/related; type="application/dicom"',
        f'multipart/related; type="image/jls"; transfer-syntax={JPEG_2000}',
    ],
)
def test_no_frames(accept: str) -> None:
    """A media type that frames do not have, or a transfer syntax that it does not have, is 406 and says what is."""
    with pytest.raises(NotAcceptable, match='type="image/jls"'):
        wishes([accept], FRAMES)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", Wish(False, AS_STORED, "application/pdf")),
        ("application/pdf", Wish(False, AS_STORED, "application/pdf")),
        (OCTETS, Wish(False, AS_STORED, OCTETS)),
        ('multipart/related; type="application/pdf"', Wish(True, AS_STORED, "application/pdf")),
        ('multipart/related; type="*/*"', Wish(True, AS_STORED, "application/pdf")),
    ],
)
def test_bulk(accept: str, expected: Wish) -> None:
    """Bulk data has its own media type, and is given as plain bytes too; alone unless asked for (clients.md)."""
    assert wishes([accept], bulk_resource("application/pdf")) == [expected]
