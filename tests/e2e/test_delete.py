"""Delete over HTTP (delete.md): gone at once for every reader."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.factories import new_uid, part10


def _store(client: Client) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Store a study of two series with two instances each."""
    study, series = new_uid(), [new_uid(), new_uid()]
    instances = [(uid, new_uid()) for uid in series for _ in range(2)]
    files = [
        part10(StudyInstanceUID=study, SeriesInstanceUID=uid, SOPInstanceUID=instance) for uid, instance in instances
    ]
    assert client.store(*files).status_code == 200
    return study, series, instances


def test_study(client: Client) -> None:
    """A deleted study is 404 at every level and no search finds it; a second delete is 404."""
    study, series, instances = _store(client)

    answer = client.http.delete(f"/studies/{study}")

    assert answer.status_code == 204
    assert answer.content == b""
    for path in (f"/studies/{study}", f"/studies/{study}/series/{series[0]}", f"/studies/{study}/metadata"):
        assert client.get(path).status_code == 404
    assert client.search("/studies", StudyInstanceUID=study) == []
    assert client.search(f"/studies/{study}/instances") == []
    assert client.http.delete(f"/studies/{study}").status_code == 404
    assert len(instances) == 4


def test_series(client: Client) -> None:
    """Deleting a series leaves the others; the last one takes the study with it."""
    study, series, _ = _store(client)

    assert client.http.delete(f"/studies/{study}/series/{series[0]}").status_code == 204
    assert client.get(f"/studies/{study}/series/{series[0]}").status_code == 404
    assert len(client.files(f"/studies/{study}")) == 2

    assert client.http.delete(f"/studies/{study}/series/{series[1]}").status_code == 204
    assert client.search("/studies", StudyInstanceUID=study) == []


def test_instance(client: Client) -> None:
    """Deleting an instance leaves the others, and changes the entity tag of the metadata above it."""
    study, _, instances = _store(client)
    series, instance = instances[0]
    tag = client.get(f"/studies/{study}/metadata").headers["etag"]

    assert client.http.delete(f"/studies/{study}/series/{series}/instances/{instance}").status_code == 204

    assert len(client.files(f"/studies/{study}/series/{series}")) == 1
    assert client.get(f"/studies/{study}/metadata").headers["etag"] != tag


def test_wrong_parent(client: Client) -> None:
    """An instance is not deleted through a series that it does not belong to."""
    study, series, instances = _store(client)
    _, instance = instances[0]

    assert client.http.delete(f"/studies/{study}/series/{series[1]}/instances/{instance}").status_code == 404
    assert len(client.files(f"/studies/{study}")) == 4


def test_store_again(client: Client) -> None:
    """The same UIDs may be stored again at once."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)
    client.store(file)
    client.http.delete(f"/studies/{study}")

    answer = client.store(file)

    assert answer.status_code == 200
    assert client.files(f"/studies/{study}") == [file]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("abc", 400),
        ("1.1.", 400),
        (f"{'1' * 65}", 400),
        ("1.1/series/abc", 400),
        ("1.1/series/1.2/instances/1.3x", 400),
        ("abc/series/1.2/instances/1.3", 400),
        ("1.1", 404),
        ("1.1/series/1.2", 404),
        ("1.1/series/1.2/instances/1.3", 404),
    ],
)
def test_nothing(plain: Client, path: str, status: int) -> None:
    """A UID out of rule is 400 at every level; where all are in rule and nothing is there, 404."""
    assert plain.http.delete(f"/studies/{path}").status_code == status


def test_no_constraints(client: Client) -> None:
    """Accept, Content-Type and a body make no difference."""
    study, _, _ = _store(client)
    headers = {"Accept": "text/html", "Content-Type": "text/csv"}

    answer = client.http.request("DELETE", f"/studies/{study}", headers=headers, content=b"a,b")

    assert (answer.status_code, answer.content) == (204, b"")


def test_last_of_series(client: Client) -> None:
    """The last instance of a series takes the series with it, and of a study the study; each is 404 then."""
    study, series, instances = _store(client)

    for number, (parent, instance) in enumerate(instances, start=1):
        path = f"/studies/{study}/series/{parent}/instances/{instance}"
        assert client.http.delete(path).status_code == 204
        assert client.http.delete(path).status_code == 404
        left = [uid for uid in series if uid in {other for other, _ in instances[number:]}]
        found = client.search(f"/studies/{study}/series")
        assert sorted(one["0020000E"]["Value"][0] for one in found) == sorted(left)
    assert client.http.delete(f"/studies/{study}").status_code == 404
    assert client.search("/studies", StudyInstanceUID=study) == []


def test_values_of_study(client: Client) -> None:
    """Values of the study are the newest that the instances have which it still has (not as delete.md has it)."""
    study, first, second = new_uid(), new_uid(), new_uid()
    client.store(part10(StudyInstanceUID=study, SeriesInstanceUID=first, PatientName="First^Name"))
    client.store(part10(StudyInstanceUID=study, SeriesInstanceUID=second, PatientName="Second^Name"))

    client.http.delete(f"/studies/{study}/series/{second}")

    [found] = client.search("/studies", StudyInstanceUID=study)
    assert found["00100010"]["Value"][0]["Alphabetic"] == "First^Name"


def test_every_version(client: Client) -> None:
    """What replaced an instance, and what it replaced, are gone; one stored again is what was sent last."""
    uids: dict[str, Any] = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    study = uids["StudyInstanceUID"]
    client.store(part10(**uids, PatientID="1"))
    client.upsert(part10(**uids, PatientID="2"))

    assert client.http.delete(f"/studies/{study}").status_code == 204

    assert client.get(f"/studies/{study}").status_code == 404
    last = part10(**uids, PatientID="3")
    assert client.store(last).status_code == 200
    assert client.files(f"/studies/{study}") == [last]


def test_at_once(client: Client) -> None:
    """Of deletes at once one is 204 and the others 404: each instance is deleted, and told of, once."""
    study, _, _ = _store(client)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: client.http.delete(f"/studies/{study}").status_code, range(6)))

    assert sorted(answers) == [204, 404, 404, 404, 404, 404]


def test_beside_store(client: Client) -> None:
    """A delete beside Stores into its study takes what was there, and leaves no study without instances."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study) for _ in range(12)]
    client.store(files[0])

    with ThreadPoolExecutor(4) as threads:
        storing = [threads.submit(client.store, file) for file in files[1:]]
        deleted = [client.http.delete(f"/studies/{study}").status_code for _ in range(3)]
        stored = [one.result().status_code for one in storing]

    assert stored == [200] * 11
    assert deleted[0] == 204
    kept = client.search(f"/studies/{study}/instances")
    assert len(client.search("/studies", StudyInstanceUID=study)) == bool(kept)
    if kept:
        assert len(client.files(f"/studies/{study}")) == len(kept)
