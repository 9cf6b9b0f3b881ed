"""Requests that break a rule: the status the specification gives, a message, nothing stored by halves."""

import pytest

from tests.e2e.client import Client, named, reasons, stored
from tests.factories import multipart, new_uid, part10

_MULTIPART = "multipart/related; type=application/dicom; boundary=b"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"", "application/dicom", 409, id="single part, empty"),
        pytest.param(b"not DICOM at all", "application/dicom", 409, id="single part, not DICOM"),
        pytest.param(b"", _MULTIPART, 400, id="multipart, empty"),
        pytest.param(b"no boundary in here", _MULTIPART, 400, id="not multipart"),
        pytest.param(b"--b\r\nContent-Type: application/dicom\r\n\r\nabc", _MULTIPART, 400, id="never closed"),
        pytest.param(b"--b\r\nContent-Type: application/dic", _MULTIPART, 400, id="ends in a part's header"),
        pytest.param(b"--b\r\nContent-Type: application/dicom\r\n\r\n\r\n--b--", _MULTIPART, 409, id="empty part"),
        pytest.param(
            b"--b\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--b--", _MULTIPART, 409, id="part not DICOM"
        ),
        pytest.param(
            b"--b\r\nContent-Type: text/plain\r\n\r\nabc\r\n--b--", _MULTIPART, 415, id="part of another type"
        ),
        pytest.param(b"--b--", "multipart/related; type=application/dicom", 415, id="no boundary parameter"),
        pytest.param(b"--b--", _MULTIPART + "; start=x", 400, id="start parameter"),
        pytest.param(b"{}", "application/json", 415, id="another type"),
        pytest.param(b"abc", None, 415, id="no Content-Type"),
    ],
)
def test_body(client: Client, body: bytes, content_type: str | None, status: int) -> None:
    """A body that breaks a rule has the status of store.md and a message, and the next request is served."""
    answer = client.post(body, content_type)

    assert answer.status_code == status, answer.text
    assert len(answer.text) > 10
    assert client.store(part10()).status_code == 200


def test_unreadable_part_says_why(client: Client) -> None:
    """A part that is not DICOM fails with 43264, without UIDs, and says what was wrong; the others are stored."""
    answer = client.store(b"this is not a DICOM file", part10(), b"")

    assert answer.status_code == 202
    assert reasons(answer) == [43264, 43264]
    assert len(stored(answer)) == 1
    failed = answer.json()["00081198"]["Value"]
    assert all("00081155" not in item for item in failed)
    assert all(item["00741048"]["Value"][0]["00000902"]["Value"][0].startswith("DICOM100: ") for item in failed)


def test_unreadable_element_is_named(client: Client) -> None:
    """Of a file that cannot be read the comment names the tag as that of a rule does (store.md, "Response")."""
    file = part10(pixel_bytes=100)
    cut = file[: file.index(b"\xe0\x7f\x10\x00") - 1]
    data_sets = b'[{"0020000D": {"vr": "UI", "Value": [5]}}]'
    composed, kind = multipart([data_sets], part_headers=["Content-Type: application/dicom+json"])

    assert named(client.store(cut)) == ["(0020,000e)"]
    assert named(client.post(composed, kind.replace("/dicom", "/dicom+json"))) == ["(0020,000d)"]


def test_truncated_header(client: Client) -> None:
    """A file that ends within its header fails with 43264, wherever it ends."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, pixel_bytes=100)
    pixel_data = file.index(b"\xe0\x7f\x10\x00")

    answer = client.store(*(file[:end] for end in range(3, pixel_data, 53)))

    assert answer.status_code == 409
    assert set(reasons(answer)) == {43264}
    assert client.get(f"/studies/{study}").status_code == 404


def test_last_part_of_another_type(client: Client) -> None:
    """A request that turns out unacceptable at its last part stores nothing of the parts before it."""
    study = new_uid()
    body, content_type = multipart([part10(StudyInstanceUID=study) for _ in range(3)])
    boundary = body[2 : body.index(b"\r\n")]
    end = body.rindex(b"--" + boundary + b"--")
    bad = b"--" + boundary + b"\r\nContent-Type: image/png\r\n\r\nx\r\n--" + boundary + b"--\r\n"

    answer = client.post(body[:end] + bad, content_type)

    assert answer.status_code == 415
    assert "4" in answer.text
    assert client.get(f"/studies/{study}").status_code == 404
    assert client.search("/studies", StudyInstanceUID=study) == []


def test_body_ends_early(client: Client) -> None:
    """A multipart body that ends before its closing boundary is 400 and nothing of it is stored."""
    study = new_uid()
    body, content_type = multipart([part10(StudyInstanceUID=study) for _ in range(3)])

    answer = client.post(body[:-20], content_type)

    assert answer.status_code == 400
    assert client.get(f"/studies/{study}").status_code == 404


@pytest.mark.parametrize("uid", ["abc", "1.2|3", "1." + "1" * 64, "1.2.", "..%2F.."])
@pytest.mark.parametrize(
    "path", ["/studies/{}", "/studies/1.2/series/{}", "/studies/1.2/series/1.3/instances/{}", "/studies/{}/metadata"]
)
def test_bad_uid_in_path(client: Client, path: str, uid: str) -> None:
    """A UID out of rule in any segment is 400 and the message names the segment."""
    answer = client.get(path.format(uid))

    assert answer.status_code == 400
    assert any(name in answer.text for name in ("study", "series", "instance"))


@pytest.mark.parametrize("query", ["PatientName=<b", "PatientName=%3Cb", "x=%3cb", "<=1", "limit=5&%3C"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_markup(client: Client, method: str, query: str) -> None:
    """A query string with `<`, written or encoded, is 400 at every route (common.md, "Error bodies")."""
    answer = client.http.request(method, f"/studies?{query}", headers={"Content-Type": "application/dicom"})

    assert answer.status_code == 400
    assert "query string" in answer.text


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_unknown_method(client: Client, method: str) -> None:
    """A method that no route has is 404, as the Functions host answers, and the next request is served."""
    assert client.http.request(method, "/studies").status_code == 404
    assert client.get("/studies").status_code in {200, 204}


def test_unknown_study(client: Client) -> None:
    """What is not there is 404 for Retrieve and Delete."""
    study = new_uid()

    assert client.get(f"/studies/{study}").status_code == 404
    assert client.get(f"/studies/{study}/metadata").status_code == 404
    assert client.http.delete(f"/studies/{study}").status_code == 404
