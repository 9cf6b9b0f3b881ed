"""Which instance is which at a Store: duplicates, padding, and the study of the path (store.md, "Study UID match")."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.client import Client, client_of, named, reasons, stored
from tests.e2e.conftest import VERSIONS, Service
from tests.factories import new_uid, part10, with_value


def test_study_of_path(client: Client) -> None:
    """Below a study only its own instances are stored; others fail with 43265 and name the attribute.

    The response has the study's URL (store.md, "Study UID match", "Response").
    """
    study = new_uid()
    own, other = part10(StudyInstanceUID=study), part10()
    base = str(client.http.base_url).rstrip("/")

    answer = client.store(own, other, study=study)

    assert answer.status_code == 202
    assert reasons(answer) == [43265]
    assert named(answer) == ["(0020,000d)"]
    assert answer.json()["00081190"] == {"vr": "UR", "Value": [f"{base}/studies/{study}"]}
    assert client.files(f"/studies/{study}") == [own]


def test_duplicate(client: Client) -> None:
    """A second instance with the same UIDs is refused with 45070 and the first one stays (PS3.18 §10.5.3)."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    uids: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
    first = part10(PatientID="A", **uids)
    client.store(first)

    answers = [client.store(part10(PatientID="B", **uids)), client.store(first)]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert [reasons(answer) for answer in answers] == [[45070], [45070]]
    assert client.files(f"/studies/{study}") == [first]


def test_store_after_delete(client: Client) -> None:
    """What was deleted can be stored again at once (store.md, "Edge cases")."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)
    client.store(file)
    client.http.delete(f"/studies/{study}")

    answer = client.store(file)

    assert answer.status_code == 200
    assert client.files(f"/studies/{study}") == [file]


def test_concurrent_duplicates(client: Client) -> None:
    """Of concurrent stores of one instance exactly one succeeds; the others are 45070 or 45071 (store.md)."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    files = [
        part10(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance, PatientID=f"P{number}")
        for number in range(6)
    ]

    with ThreadPoolExecutor(len(files)) as pool:
        answers = list(pool.map(client.store, files))

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    assert {reason for answer in answers for reason in reasons(answer)} <= {45070, 45071}
    [winner] = [file for file, answer in zip(files, answers, strict=True) if answer.status_code == 200]
    assert client.files(f"/studies/{study}") == [winner]


@pytest.mark.parametrize("uid", ["abc", "1.2.", "1." + "2" * 64, "1.2-3"])
def test_bad_study_of_path(plain: Client, uid: str) -> None:
    """A study of the path that is no UID is 400, and nothing is stored (store.md, "Request")."""
    study = new_uid()

    answer = plain.store(part10(StudyInstanceUID=study), study=uid)

    assert answer.status_code == 400
    assert "study" in answer.text
    assert plain.search("/studies", StudyInstanceUID=study) == []


@pytest.mark.parametrize(
    ("in_file", "in_path"), [("  ", ""), ("", "%20"), ("  ", "%20")], ids=["in the file", "in the path", "in both"]
)
def test_study_of_path_padded(plain: Client, in_file: str, in_path: str) -> None:
    """Trailing blanks of the study, in the path or the file, do not count in the comparison (store.md)."""
    study = new_uid()
    file = with_value(part10(), "StudyInstanceUID", "UI", (study + in_file).encode())

    answer = plain.store(file, study=study + in_path)

    assert answer.status_code == 200


def test_study_of_path_none_stored(plain: Client) -> None:
    """When no instance is of the path's study, nothing is stored and there is no RetrieveURL."""
    answer = plain.store(part10(), part10(), study=new_uid())

    assert answer.status_code == 409
    assert set(answer.json()) == {"00081198"}
    assert reasons(answer) == [43265, 43265]


@pytest.mark.parametrize("number", [2, 3])
def test_duplicate_in_one_request(plain: Client, number: int) -> None:
    """The same file more than once in one request is stored once (store.md, "Reason codes")."""
    file = part10()

    answer = plain.store(*[file] * number)

    assert answer.status_code == 202
    assert reasons(answer) == [45070] * (number - 1)
    assert len(stored(answer)) == 1


@pytest.mark.parametrize("in_one_request", [True, False], ids=["one request", "two requests"])
def test_duplicate_padded(plain: Client, in_one_request: bool) -> None:
    """The same UIDs with other padding are the same instance (common.md, "UIDs")."""
    uids: dict[str, Any] = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    files = [part10(**uids), part10()]
    for name, uid in uids.items():
        files[1] = with_value(files[1], name, "UI", f"{uid}  ".encode())

    answers = [plain.store(*files)] if in_one_request else [plain.store(file) for file in files]

    assert [reason for answer in answers for reason in reasons(answer)] == [45070]


def test_same_instance_in_two_studies(plain: Client) -> None:
    """Only study, series and instance together identify an instance (store.md, "Reason codes")."""
    instance = new_uid()

    answer = plain.store(part10(SOPInstanceUID=instance), part10(SOPInstanceUID=instance))

    assert answer.status_code == 200


def test_equal_uids(plain: Client) -> None:
    """Study, series and instance may have one UID (common.md, "UIDs")."""
    uid = new_uid()
    file = part10(StudyInstanceUID=uid, SeriesInstanceUID=uid, SOPInstanceUID=uid)

    answer = plain.store(file)

    assert answer.status_code == 200
    assert plain.files(f"/studies/{uid}/series/{uid}/instances/{uid}") == [file]


def test_versions_share(service: Service) -> None:
    """What one version stored is there for all of them, and a duplicate in each (api-versioning.md)."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)

    for number, version in enumerate(VERSIONS):
        with client_of(service.base(version), version) as client:
            assert reasons(client.store(file)) == [45070] * bool(number)
            assert client.files(f"/studies/{study}") == [file]
