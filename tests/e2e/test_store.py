"""Store over HTTP (PS3.18 §10.5): the ordinary cases, on every version, base and storage."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Client, reasons, stored
from tests.factories import multipart, new_uid, part10


def test_single_part(client: Client) -> None:
    """One file as the whole body is stored and comes back byte for byte (PS3.18 §10.5.1)."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    file = part10(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance, pixel_bytes=100_001)

    answer = client.post(file, "application/dicom")

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    assert stored(answer) == [instance]
    assert client.files(f"/studies/{study}/series/{series}/instances/{instance}") == [file]


def test_multipart(client: Client) -> None:
    """Several files of one request are all stored, in the order they were sent."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study, pixel_bytes=1000 + number) for number in range(7)]

    answer = client.store(*files)

    assert answer.status_code == 200, answer.text
    assert len(stored(answer)) == 7
    assert client.files(f"/studies/{study}") == files


def test_url_of_instance(client: Client) -> None:
    """Each stored instance has a RetrieveURL below the base that was asked, and it works."""
    file = part10()

    [item] = client.store(file).json()["00081199"]["Value"]

    url = item["00081190"]["Value"][0]
    assert url.startswith(str(client.http.base_url))
    assert client.http.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"}).content == file


def test_study_of_path(client: Client) -> None:
    """Below a study only its own instances are stored; others fail with 43265 (store.md, "Study UID match")."""
    study = new_uid()
    own, other = part10(StudyInstanceUID=study), part10()

    answer = client.store(own, other, study=study)

    assert answer.status_code == 202
    assert reasons(answer) == [43265]
    assert answer.json()["00081190"]["Value"] == [f"{str(client.http.base_url).rstrip('/')}/studies/{study}"]
    assert client.files(f"/studies/{study}") == [own]


def test_study_of_path_none_stored(client: Client) -> None:
    """When no instance is of the path's study, nothing is stored and there is no RetrieveURL."""
    answer = client.store(part10(), study=new_uid())

    assert answer.status_code == 409
    assert "00081190" not in answer.json()
    assert answer.json()["00081198"]["Value"][0]["00741048"]["Value"]


def test_duplicate(client: Client) -> None:
    """A second instance with the same UIDs is refused with 45070 and the first one stays (PS3.18 §10.5.3)."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    uids: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
    first = part10(PatientID="A", **uids)
    client.store(first)

    answer = client.store(part10(PatientID="B", **uids))

    assert answer.status_code == 409
    assert reasons(answer) == [45070]
    assert client.files(f"/studies/{study}") == [first]


def test_duplicate_in_one_request(client: Client) -> None:
    """The same file twice in one request is stored once."""
    file = part10()

    answer = client.store(file, file)

    assert answer.status_code == 202
    assert reasons(answer) == [45070]
    assert len(stored(answer)) == 1


def test_missing_attribute(client: Client) -> None:
    """An instance without a required attribute fails with 43264, which names the attribute; the others are stored."""
    good, bad = part10(), part10(SeriesInstanceUID=None)

    answer = client.store(bad, good)

    assert answer.status_code == 202
    assert reasons(answer) == [43264]
    comments = answer.json()["00081198"]["Value"][0]["00741048"]["Value"]
    assert "(0020,000e)" in comments[0]["00000902"]["Value"][0]


@pytest.mark.parametrize("uid", ["11|", "abc.123", "1." + "2" * 64, ""])
def test_bad_uid(client: Client, uid: str) -> None:
    """A UID that breaks the rule of common.md fails the instance with 43264."""
    answer = client.store(part10(StudyInstanceUID=uid))

    assert answer.status_code == 409
    assert reasons(answer) == [43264]


def test_empty_patient_id(client: Client) -> None:
    """An empty Patient ID fails the instance at v1; at v2 it is stored with warning 1 and 202 (store.md)."""
    answer = client.store(part10(PatientID=""))

    if client.version == "v2":
        assert answer.status_code == 202
        [item] = answer.json()["00081199"]["Value"]
        assert item["00081196"]["Value"] == [1]
        assert "(0010,0020)" in item["00741048"]["Value"][0]["00000902"]["Value"][0]
    else:
        assert answer.status_code == 409
        assert reasons(answer) == [43264]


def test_clean_instance_at_v2(client: Client) -> None:
    """A stored instance without a warning has an empty Failed Attributes Sequence at v2 and none at v1."""
    [item] = client.store(part10()).json()["00081199"]["Value"]

    assert item.get("00741048") == ({"vr": "SQ"} if client.version == "v2" else None)
    assert "00081196" not in item


def test_implicit_vr(client: Client) -> None:
    """Implicit VR is stored with warning 45063, unchanged; at v2 the status is 202 (store.md)."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, transfer_syntax="1.2.840.10008.1.2")

    answer = client.store(file)

    assert answer.status_code == (202 if client.version == "v2" else 200)
    assert answer.json()["00081199"]["Value"][0]["00081196"]["Value"] == [45063]
    assert client.files(f"/studies/{study}") == [file]


def test_preamble(client: Client) -> None:
    """The 128 bytes before the DICM prefix come back as zeros (store.md, "What is stored")."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)

    client.store(b"II*\0" * 32 + file[128:])

    assert client.files(f"/studies/{study}") == [bytes(128) + file[128:]]


def test_chunked(client: Client) -> None:
    """A chunked body of several megabytes arrives whole."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study, pixel_bytes=900_000 + number) for number in range(4)]
    body, content_type = multipart(files)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 99_991):
            yield body[start : start + 99_991]

    answer = client.post(chunks(), content_type)

    assert answer.status_code == 200, answer.text
    assert client.files(f"/studies/{study}") == files


def test_larger_than_a_batch(client: Client) -> None:
    """An instance larger than the memory of a batch is streamed to storage and comes back byte for byte."""
    study = new_uid()
    files = [
        part10(StudyInstanceUID=study),
        part10(StudyInstanceUID=study, pixel_bytes=40_000_000),
        part10(StudyInstanceUID=study),
    ]

    answer = client.store(*files)

    assert answer.status_code == 200, answer.text
    assert sorted(client.files(f"/studies/{study}"), key=len) == sorted(files, key=len)


def test_no_parts(client: Client) -> None:
    """A multipart body without parts is 204."""
    answer = client.post(b"--b--\r\n", "multipart/related; type=application/dicom; boundary=b")

    assert answer.status_code == 204
    assert answer.content == b""


def test_missing_accept_counts_as_any(client: Client) -> None:
    """A Store whose Accept admits no DICOM JSON is 406, before anything is read (common.md, "Accept filter")."""
    body, content_type = multipart([part10()])

    answer = client.post(body, content_type, Accept="text/html")

    assert answer.status_code == 406
    assert answer.content == b""


def test_compressed_body(client: Client) -> None:
    """A body in an encoding that is not understood is refused, never taken for an empty or broken one."""
    body, content_type = multipart([part10()])
    headers = {"Content-Encoding": "gzip"}

    answer = client.post(gzip.compress(body), content_type, **headers)

    assert answer.status_code == 415
