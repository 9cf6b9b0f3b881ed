"""Delete over HTTP (delete.md): gone at once for every reader."""

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


def test_bad_uid(client: Client) -> None:
    """A UID out of rule is 400."""
    assert client.http.delete("/studies/abc").status_code == 400
