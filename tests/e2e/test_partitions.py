"""Data partitions over HTTP (data-partitions.md): namespaces that see nothing of each other."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import running
from tests.factories import new_uid, part10


@pytest.fixture(scope="module")
def partitioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with data partitions, none made yet."""
    with running("embedded", tmp_path_factory.mktemp("data"), DATA_PARTITIONS="true") as url:
        yield url


@pytest.fixture
def outside(partitioned: str) -> Iterator[httpx.Client]:
    """A client of the version, outside any partition."""
    with httpx.Client(base_url=f"{partitioned}/v2") as http:
        yield http


def _client(http: httpx.Client, name: str) -> Client:
    return Client(httpx.Client(base_url=f"{http.base_url}partitions/{name}"))


def test_same_uids(outside: httpx.Client) -> None:
    """The same instance lives in two partitions; retrieve, search and delete touch one only."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)
    one, other = _client(outside, "clinic-a"), _client(outside, "clinic-b")

    answers = [one.store(file), other.store(file)]
    one.http.delete(f"/studies/{study}")

    assert [answer.status_code for answer in answers] == [200, 200]
    assert "/partitions/clinic-b/" in answers[1].json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    assert one.search("/studies", StudyInstanceUID=study) == []
    assert other.files(f"/studies/{study}") == [file]


def test_without_name(outside: httpx.Client) -> None:
    """Where partitions are on, a path without one is 400."""
    assert outside.get("/studies").status_code == 400


@pytest.mark.parametrize("name", ["a b", "x" * 65, "ä", "a$b"])
def test_bad_name(outside: httpx.Client, name: str) -> None:
    """A name that breaks the rule is 400, for a Store too."""
    assert _client(outside, name).store(part10()).status_code == 400


def test_unknown(outside: httpx.Client) -> None:
    """Only a Store makes a partition: everything else in one that does not exist is 400."""
    nobody = _client(outside, "nobody")

    assert nobody.get("/studies").status_code == 400
    assert nobody.get("/studies/1.2").status_code == 400
    assert nobody.http.delete("/studies/1.2").status_code == 400


def test_refused_store(outside: httpx.Client) -> None:
    """A Store that its path or Accept refuses makes no partition."""
    refused = _client(outside, "refused")

    assert refused.store(part10(), study="not-a-uid").status_code == 400
    assert refused.get("/studies").status_code == 400


def test_case(outside: httpx.Client) -> None:
    """A partition is found whatever the case of its letters."""
    study = new_uid()
    _client(outside, "Ward").store(part10(StudyInstanceUID=study))

    assert len(_client(outside, "wARD").search("/studies", StudyInstanceUID=study)) == 1


def test_kept(tmp_path: Path) -> None:
    """Partitions outlast a restart."""
    study = new_uid()
    with running("embedded", tmp_path, DATA_PARTITIONS="true") as url, httpx.Client(base_url=f"{url}/v2/") as http:
        assert _client(http, "a").store(part10(StudyInstanceUID=study)).status_code == 200
    with running("embedded", tmp_path, DATA_PARTITIONS="true") as url, httpx.Client(base_url=f"{url}/v2/") as http:
        assert len(_client(http, "a").search("/studies")) == 1
