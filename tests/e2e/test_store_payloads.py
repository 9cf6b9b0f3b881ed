"""The bodies that a Store takes (store.md, "Request", "Multipart rules"; PS3.18 §8.6.1, §10.5.1; RFC 2046 §5.1)."""

from collections.abc import Callable

import pytest

from tests.e2e.client import Client, reasons, stored
from tests.factories import DICOM_PART, multipart, new_uid, part10

_LIMIT = 400_000
_MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'


def _body(*parts: tuple[str, bytes], line: str = "\r\n") -> bytes:
    """Return a multipart body with the boundary b from each part's header lines and content."""
    pieces = [f"--b{line}{head}{line if head else ''}{line}".encode() + content for head, content in parts]
    return line.encode().join([*pieces, f"--b--{line}".encode()])


@pytest.mark.parametrize(
    "content_type",
    [
        "application/dicom",
        "Application/DICOM",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
        'application/dicom; transfer-syntax="*"',
        "application/dicom;charset=utf-8",
    ],
)
def test_single_part(plain: Client, content_type: str) -> None:
    """One file is the whole body; parameters of its type are accepted (store.md, "Request")."""
    assert plain.post(part10(), content_type).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/octet-stream", "application/json", "image/jpeg", "multipart/form-data; boundary=b"],
)
def test_other_type(plain: Client, content_type: str) -> None:
    """Other types, and a missing Content-Type, are 415 (store.md, "Request")."""
    study = new_uid()

    answer = plain.post(part10(StudyInstanceUID=study), content_type)

    assert answer.status_code == 415
    assert "application/dicom" in answer.text
    assert plain.search("/studies", StudyInstanceUID=study) == []


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/related; type="application/dicom"; boundary="b"',
        "multipart/related; type=application/dicom; boundary=b",
        "multipart/related;boundary=b;type=application/dicom",
        'Multipart/Related; BOUNDARY="b"; Type="application/dicom"',
        'multipart/related; type="application/dicom"; boundary=b; charset=utf-8',
        'multipart/related; type="application/dicom"; transfer-syntax=*; boundary=b',
        "multipart/related; boundary=b",
    ],
)
def test_content_type(plain: Client, content_type: str) -> None:
    """Parameters may be quoted or not, in any order and case, and `type` absent when each part states its own."""
    file = part10()

    answer = plain.post(_body(("Content-Type: application/dicom", file)), content_type)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "boundary",
    ["b", "=", "simple boundary", "gc0pJq0M:08jU534c0p", "'()+_,-./:=?", "x" * 70, "----WebKitFormBoundaryAbC", "a--"],
)
def test_boundary(plain: Client, boundary: str) -> None:
    """Every boundary that RFC 2046 allows is understood (§5.1.1)."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study, pixel_bytes=3_000 + number) for number in range(3)]

    answer = plain.post(*multipart(files, boundary=boundary))

    assert answer.status_code == 200, answer.text
    assert plain.files(f"/studies/{study}") == files


_GOOD = "Content-Type: application/dicom"


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        pytest.param([_GOOD], 200, id="states its type"),
        pytest.param([""], 200, id="the first inherits"),
        pytest.param(["", _GOOD], 200, id="the first inherits, the second states"),
        pytest.param(["", ""], 415, id="only the first inherits"),
        pytest.param([_GOOD, ""], 415, id="a later one without type"),
        pytest.param([_GOOD, "Content-Type: text/plain"], 415, id="another type"),
        pytest.param(["Content-Type: text/plain"], 415, id="another type first"),
        pytest.param(["Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1"], 200, id="parameters"),
        pytest.param(["content-TYPE:APPLICATION/DICOM"], 200, id="any case"),
        pytest.param([f"Content-Location: x\r\n{_GOOD}\r\nContent-ID: <1@x>"], 200, id="location and id"),
        pytest.param([f'{_GOOD}\r\nContent-Disposition: form-data; name="file"; filename="a"'], 200, id="form data"),
        pytest.param([f"{_GOOD}\r\nContent-Length: 1\r\nX-Any: thing"], 200, id="other fields"),
    ],
)
def test_part_header(plain: Client, parts: list[str], status: int) -> None:
    """The type of a part decides; other fields are ignored. With one bad part nothing is stored (store.md)."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study) for _ in parts]

    answer = plain.post(_body(*zip(parts, files, strict=True)), _MULTIPART)

    assert answer.status_code == status, answer.text
    assert len(plain.search("/instances", StudyInstanceUID=study)) == (len(parts) if status == 200 else 0)


def test_part_without_type_or_default(plain: Client) -> None:
    """Without a `type` to inherit, a part must state its own (store.md, "Multipart rules")."""
    assert plain.post(_body(("", part10())), "multipart/related; boundary=b").status_code == 415


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        pytest.param('multipart/related; type="application/dicom"', 415, id="no boundary"),
        pytest.param('multipart/related; type="application/dicom"; boundary=', 415, id="empty boundary"),
        pytest.param(f"{_MULTIPART}; start=1", 400, id="start"),
        pytest.param(f'{_MULTIPART}; start="<1@x>"', 400, id="valid start"),
        pytest.param('multipart/related; type="application/dicom"; boundary=other', 400, id="another boundary"),
    ],
)
def test_bad_content_type(plain: Client, content_type: str, status: int) -> None:
    """No boundary is 415, a start parameter 400, even a valid one (store.md, "Multipart rules")."""
    body = _body((f"{_GOOD}\r\nContent-ID: <1@x>", part10()))

    answer = plain.post(body, content_type)

    assert answer.status_code == status
    assert answer.text


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: b"This is a preamble.\r\n\r\n" + body, id="preamble"),
        pytest.param(lambda body: b"\r\n" + body, id="line break first"),
        pytest.param(lambda body: body + b"epilogue\r\n--c\r\n", id="epilogue"),
        pytest.param(lambda body: body.replace(b"--b\r\n", b"--b  \t\r\n"), id="blanks behind boundaries"),
        pytest.param(lambda body: body.removesuffix(b"\r\n"), id="no line break at the end"),
    ],
)
def test_around_parts(plain: Client, change: Callable[[bytes], bytes]) -> None:
    """Text before the first and behind the last boundary, and padding of boundaries, is passed over (RFC 2046)."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study), part10(StudyInstanceUID=study)]

    answer = plain.post(change(_body(*((_GOOD, file) for file in files))), _MULTIPART)

    assert answer.status_code == 200, answer.text
    assert plain.files(f"/studies/{study}") == files


def test_line_feeds(plain: Client) -> None:
    """A body whose lines end with LF alone is understood; no byte of a file is taken for a line break (issue 3)."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study, PatientComments=text) for text in ("a", "\n--c\n", "\r\n\r\n", "end\r\n")]

    answer = plain.post(_body(*((_GOOD, file) for file in files), line="\n"), _MULTIPART)

    assert answer.status_code == 200, answer.text
    assert plain.files(f"/studies/{study}") == files


@pytest.mark.parametrize("text", ["\n--b\n", "\n--b--\n", "--b\r\n", "\r--b", "\r\n--", "\r\n\r\n"])
def test_boundary_like_content(plain: Client, text: str) -> None:
    """Where lines end with CRLF, only CRLF before a boundary ends a part: what looks like one in a file stays in it."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, PatientComments=text)

    answer = plain.post(_body((_GOOD, file)), _MULTIPART)

    assert answer.status_code == 200, answer.text
    assert plain.files(f"/studies/{study}") == [file]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no boundary at all", id="not multipart"),
        pytest.param(b"--b\r\nContent-Type: application/dicom\r\n\r\nabc\r\n", id="never closed"),
        pytest.param(b"--b\r\nContent-Type: application/dicom", id="ends in a header"),
        pytest.param(b"--b\r\nno colon\r\n\r\nabc\r\n--b--\r\n", id="no header"),
    ],
)
def test_broken(plain: Client, body: bytes) -> None:
    """A body that is not multipart, or ends before its closing boundary, is 400 (store.md, "Multipart rules")."""
    answer = plain.post(body, _MULTIPART)

    assert answer.status_code == 400
    assert answer.text


@pytest.mark.parametrize("body", [b"--b--\r\n", b"--b--", b"preamble\r\n--b--\r\nepilogue"])
def test_zero_parts(plain: Client, body: bytes) -> None:
    """A body without parts is 204 without a body (store.md, "Multipart rules")."""
    answer = plain.post(body, _MULTIPART)

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("content", [b"", b"no DICOM in here"], ids=["empty", "not DICOM"])
def test_unreadable_part(plain: Client, content: bytes) -> None:
    """A part that is empty or not DICOM fails with 43264; others go on: 202, or 409 when it is alone (store.md)."""
    alone = plain.post(_body((_GOOD, content)), _MULTIPART)
    among = plain.post(_body((_GOOD, content), (_GOOD, part10()), (_GOOD, content)), _MULTIPART)

    assert (alone.status_code, reasons(alone)) == (409, [43264])
    assert (among.status_code, reasons(among), len(stored(among))) == (202, [43264, 43264], 1)


def test_empty_single_part(plain: Client) -> None:
    """A single part without a body is 409 with one failed item, 43264 (store.md, "Multipart rules")."""
    answer = plain.post(b"", "application/dicom")

    assert (answer.status_code, reasons(answer)) == (409, [43264])


def test_part_headers_of_clients(plain: Client) -> None:
    """Parts with MIME-Version, as dcm4che's tools and others send them, are taken."""
    body, content_type = multipart([part10()], part_headers=["MIME-Version: 1.0", *DICOM_PART])

    assert plain.post(body, content_type).status_code == 200
