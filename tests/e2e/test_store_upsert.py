"""PUT stores and replaces (store.md, "Upsert"; managed-service-additions.md §3)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.client import Client, named, reasons, stored, warnings
from tests.factories import new_uid, part10

_REPLACEMENTS = 30
_ORIGINAL = {"msdicom-request-original": "true"}


def _named_files(**uids: str) -> Callable[..., bytes]:
    """Return a factory of files that all have the same UIDs."""
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    same: dict[str, Any] = {name: new_uid() for name in names} | uids

    def make(**attributes: Any) -> bytes:
        return part10(**(same | attributes))

    return make


def _etag(client: Client, path: str) -> str:
    return client.get(f"{path}/metadata", "application/dicom+json").headers["etag"]


def _path(answer: httpx.Response) -> str:
    url: str = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    return url


def test_new(client: Client) -> None:
    """PUT of what is not stored stores it, with the response of POST."""
    study, instance = new_uid(), new_uid()
    file = part10(StudyInstanceUID=study, SOPInstanceUID=instance)

    answer = client.upsert(file)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert stored(answer) == [instance]
    assert client.files(f"/studies/{study}") == [file]


def test_replace(client: Client) -> None:
    """PUT of other content takes the place of what is stored: file, metadata, index; it stays one instance."""
    study = new_uid()
    make = _named_files(StudyInstanceUID=study)
    first, second = make(PatientID="A", pixel_bytes=100), make(PatientID="B", pixel_bytes=9_000)
    path = _path(client.store(first))
    tag = _etag(client, path)

    answer = client.upsert(second)

    assert (answer.status_code, reasons(answer), warnings(answer)) == (200, [], [None])
    assert client.files(f"/studies/{study}") == [second]
    assert client.files(path) == [second]
    assert [one["00100020"]["Value"] for one in client.metadata(f"/studies/{study}")] == [["B"]]
    assert len(client.search("/instances", StudyInstanceUID=study)) == 1
    assert len(client.search("/studies", StudyInstanceUID=study, PatientID="B")) == 1
    assert _etag(client, path) != tag


def test_identical(client: Client) -> None:
    """PUT of byte-identical content succeeds and makes no new version: the entity tag stays (issue 3)."""
    make = _named_files()
    file = make(pixel_bytes=5_000)
    path = _path(client.store(file))
    tag = _etag(client, path)

    answer = client.upsert(file)

    assert answer.status_code == 200
    assert len(stored(answer)) == 1
    assert _etag(client, path) == tag
    assert client.files(path) == [file]


def test_identical_but_preamble(plain: Client) -> None:
    """The preamble is not kept, so a file that differs only there is identical."""
    file = part10()
    path = _path(plain.store(file))
    tag = _etag(plain, path)

    answer = plain.upsert(b"II*\0" * 32 + file[128:])

    assert answer.status_code == 200
    assert _etag(plain, path) == tag


@pytest.mark.parametrize("pixel_bytes", [0, 10_000_000], ids=["small", "larger than a batch"])
def test_replace_by_size(plain: Client, pixel_bytes: int) -> None:
    """Instances in memory and streamed ones are replaced and recognised alike."""
    make = _named_files()
    first, second = make(pixel_bytes=pixel_bytes, PatientID="A"), make(pixel_bytes=pixel_bytes, PatientID="B")
    path = _path(plain.store(first))
    tags = []

    for file in (first, second, second):
        assert plain.upsert(file).status_code == 200
        assert plain.files(path) == [file]
        tags.append(_etag(plain, path))

    assert tags[0] != tags[1] == tags[2]


def test_mixed_request(plain: Client) -> None:
    """In a PUT each part counts by itself: new, replaced, identical, refused, unreadable (store.md, "Upsert")."""
    study = new_uid()
    replaced, same = _named_files(StudyInstanceUID=study), _named_files(StudyInstanceUID=study)
    plain.store(replaced(PatientID="A"), same())
    files = [part10(StudyInstanceUID=study), replaced(PatientID="B"), part10(SeriesInstanceUID=None), same(), b"x"]

    answer = plain.upsert(*files)

    assert answer.status_code == 202
    assert len(stored(answer)) == 3
    assert reasons(answer) == [43264, 43264]
    assert sorted(plain.files(f"/studies/{study}")) == sorted([files[0], files[1], files[3]])


def test_same_instance_twice(plain: Client) -> None:
    """Of one instance several times in a PUT the last one stays."""
    study = new_uid()
    make = _named_files(StudyInstanceUID=study)
    files = [make(PatientID=name) for name in "ABC"]

    answer = plain.upsert(*files)

    assert (answer.status_code, reasons(answer)) == (200, [])
    assert plain.files(f"/studies/{study}") == [files[2]]


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_below_study(plain: Client, method: str) -> None:
    """Below a study PUT replaces only its own instances; others fail with 43265 as in POST."""
    study = new_uid()
    make = _named_files(StudyInstanceUID=study)
    other = part10()
    plain.store(make(PatientID="A"))
    body = make(PatientID="B")

    answers = [plain.post(file, "application/dicom", study=study, method=method) for file in (body, other)]

    if method == "PUT":
        assert answers[0].status_code == 200
        assert answers[0].json()["00081190"]["Value"][0].endswith(f"/{plain.version}/studies/{study}")
        assert plain.files(f"/studies/{study}") == [body]
    else:
        assert reasons(answers[0]) == [45070]
    assert (reasons(answers[1]), named(answers[1])) == ([43265], ["(0020,000d)"])


@pytest.mark.parametrize(
    ("attributes", "v1", "v2"),
    [
        pytest.param({}, 200, 200, id="no warning"),
        pytest.param({"transfer_syntax": "1.2.840.10008.1.2"}, 200, 202, id="warning 45063"),
        pytest.param({"StudyDate": "tomorrow"}, 409, 202, id="invalid value of what is indexed"),
        pytest.param({"SOPClassUID": None}, 409, 409, id="required attribute missing"),
    ],
)
def test_status(plain: Client, attributes: dict[str, Any], v1: int, v2: int) -> None:
    """A replacement is checked and answered as a POST is (store.md, "Upsert": same table)."""
    make = _named_files()
    first = make(PatientID="A")
    path = _path(plain.store(first))
    second = make(PatientID="B", **attributes)

    answer = plain.upsert(second)

    assert answer.status_code == (v2 if plain.version == "v2" else v1)
    assert plain.files(path) == [first if answer.status_code == 409 else second]


def test_no_parts(plain: Client) -> None:
    """A PUT without parts is 204."""
    assert plain.upsert().status_code == 204


def test_refused_request(plain: Client) -> None:
    """A PUT whose body turns out wrong replaces nothing (store.md, "Multipart rules")."""
    make = _named_files()
    first = make(PatientID="A")
    path = _path(plain.store(first))
    body = b"--b\r\n\r\n" + make(PatientID="B") + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"

    answers = [
        plain.post(part, "multipart/related; type=application/dicom; boundary=b", method="PUT")
        for part in (body, body[:-20])
    ]

    assert [answer.status_code for answer in answers] == [415, 400]
    assert plain.files(path) == [first]


def test_replaced_version_is_gone(plain: Client) -> None:
    """What was replaced is not reachable, through `msdicom-request-original` neither (store.md, "Upsert")."""
    make = _named_files()
    path = _path(plain.store(make(PatientID="A")))
    second = make(PatientID="B")
    plain.upsert(second)

    answer = plain.http.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"} | _ORIGINAL)

    assert answer.content == second
    assert plain.metadata(path, **_ORIGINAL)[0]["00100020"]["Value"] == ["B"]


def test_latest_value(plain: Client) -> None:
    """A replacement counts as the latest store of its study, whose values the index has (store.md)."""
    study = new_uid()
    make = _named_files(StudyInstanceUID=study)
    plain.store(make(StudyDescription="one"), part10(StudyInstanceUID=study, StudyDescription="two"))

    plain.upsert(make(StudyDescription="three"))

    found = [plain.search("/studies", StudyInstanceUID=study, StudyDescription=text) for text in ("two", "three")]
    assert list(map(len, found)) == [0, 1]


def test_after_delete(plain: Client) -> None:
    """PUT of what was deleted stores it anew, byte-identical or not."""
    file = part10()
    path = _path(plain.upsert(file))
    plain.http.delete(path)

    answer = plain.upsert(file)

    assert answer.status_code == 200
    assert plain.files(path) == [file]


def test_readers_see_one_or_the_other(any_v2: Client) -> None:
    """While an instance is replaced, each reader gets the old or the new one whole, never neither nor a mixture."""
    study = new_uid()
    make = _named_files(StudyInstanceUID=study)
    files = {make(PatientID=f"P{number:02}", pixel_bytes=1_000 + 97 * number): number for number in range(2)}
    names = [f"P{number:02}" for number in files.values()]
    path = _path(any_v2.store(next(iter(files))))
    done, wrong, seen = threading.Event(), [], set()

    def read() -> None:
        with httpx.Client(base_url=any_v2.http.base_url, timeout=30) as http:
            reader = Client(http)
            while not done.is_set():
                [content] = reader.files(path)
                [dataset] = reader.metadata(f"/studies/{study}")
                count = len(reader.search("/instances", StudyInstanceUID=study))
                if content not in files or dataset["00100020"]["Value"][0] not in names or count != 1:
                    wrong.append((len(content), dataset["00100020"], count))
                seen.add(files.get(content))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            statuses = [any_v2.upsert(list(files)[number % 2]).status_code for number in range(1, _REPLACEMENTS + 1)]
        finally:
            done.set()
        for reader in readers:
            reader.result()

    assert statuses == [200] * _REPLACEMENTS
    assert wrong == []
    assert seen <= {0, 1}


def test_concurrent_replacements(any_v2: Client) -> None:
    """Of concurrent PUTs of one instance all succeed, and one of them is what is stored afterwards."""
    study = new_uid()
    make = _named_files(StudyInstanceUID=study)
    files = [make(PatientID=f"P{number}") for number in range(6)]

    with ThreadPoolExecutor(len(files)) as pool:
        answers = list(pool.map(any_v2.upsert, files))

    assert [answer.status_code for answer in answers] == [200] * len(files)
    [found] = any_v2.files(f"/studies/{study}")
    assert found in files
    [dataset] = any_v2.metadata(f"/studies/{study}")
    assert dataset["00100020"]["Value"] == [f"P{files.index(found)}"]
    assert len(any_v2.search("/studies", StudyInstanceUID=study, PatientID=f"P{files.index(found)}")) == 1
