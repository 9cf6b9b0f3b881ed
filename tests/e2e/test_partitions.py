"""Data partitions over HTTP (data-partitions.md): namespaces that see nothing of each other."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from function_app import app
from shared.model import Action
from shared.web.endpoint import ROUTES, Endpoint
from tests.e2e.client import Client, client_of
from tests.e2e.conftest import ROOT, Service, running
from tests.factories import new_uid, part10

assert app, "importing the app registers its routes"

PARTITIONED = [one for one in ROUTES if one.has_partitions]
"""Every route whose path names a partition where the service has them, as the app registers them."""

_DICOM = {"Content-Type": "application/dicom"}


def _name(route: Endpoint) -> str:
    return route.name


def _path(route: Endpoint) -> str:
    """Return a path of a route, with UIDs of nothing."""
    return route.template.replace("{*path}", "{path}").format(
        study="1.2", series="1.3", instance="1.4", frames="1", path="7FE00010"
    )


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


@pytest.mark.parametrize("route", PARTITIONED, ids=_name)
def test_without_name(outside: httpx.Client, route: Endpoint) -> None:
    """Where partitions are on, a path without one is 400, whatever is asked for."""
    answer = outside.request(route.method, f"/{_path(route)}", content=part10(), headers=_DICOM)

    assert answer.status_code == 400
    assert "partitions" in answer.text


@pytest.mark.parametrize("route", PARTITIONED, ids=_name)
def test_with_name(service: Service, route: Endpoint) -> None:
    """Where partitions are off, a path with one is 400, that of the default too."""
    for name in ("one", "Microsoft.Default"):
        url = f"{service.url}/v2/partitions/{name}/{_path(route)}"
        answer = httpx.request(route.method, url, content=part10(), headers=_DICOM)

        assert answer.status_code == 400
        assert "partitions" in answer.text


@pytest.mark.parametrize("name", ["a b", "%20", "x" * 65, "ä", "a$b", "a,b", "a%2Fb", "a%00", "a\\b", "a:b"])
def test_bad_name(outside: httpx.Client, name: str) -> None:
    """A name that breaks the rule is 400, for a Store too, and makes no partition."""
    before = outside.get("partitions").json()

    assert _client(outside, name).store(part10()).status_code == 400
    assert outside.get("partitions").json() == before


@pytest.mark.parametrize("name", ["a", "x" * 64, "A.b_c-1", "0", "-", "_x", "Microsoft.default2"])
def test_good_name(outside: httpx.Client, name: str) -> None:
    """A name has 1 to 64 letters, digits, dots, hyphens and underscores."""
    answer = _client(outside, name).store(part10())

    assert answer.status_code == 200
    assert f"/partitions/{name}/studies/" in answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]


@pytest.mark.parametrize("route", [one for one in PARTITIONED if one.action is not Action.WRITE], ids=_name)
def test_unknown(outside: httpx.Client, route: Endpoint) -> None:
    """Only a Store makes a partition: everything else in one that does not exist is 400, not 404."""
    nobody = _client(outside, "nobody")

    assert nobody.http.request(route.method, f"/{_path(route)}").status_code == 400
    assert "nobody" not in outside.get("partitions").text


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


def test_list(outside: httpx.Client) -> None:
    """The list has the default and every partition that was made, as first written, with key and time."""
    before = outside.get("partitions").json()
    _client(outside, "Listed").store(part10())
    _client(outside, "LISTED").store(part10())

    answer = outside.get("partitions")

    assert answer.headers["content-type"] == "application/json"
    assert before[0].items() >= {"partitionKey": 1, "partitionName": "Microsoft.Default"}.items()
    [added] = [one for one in answer.json() if one not in before]
    assert set(added) == {"partitionKey", "partitionName", "createdDate"}
    assert added["partitionName"] == "Listed"
    assert datetime.fromisoformat(added["createdDate"]).utcoffset() == timedelta(0)


def test_list_without(v2: Client) -> None:
    """Where partitions are off there is no list, and no path with one: 400."""
    assert v2.get("/partitions").status_code == 400
    assert v2.get("/partitions/Microsoft.Default/studies").status_code == 400


def test_default(outside: httpx.Client) -> None:
    """The default partition is one as any other."""
    study = new_uid()

    assert _client(outside, "Microsoft.Default").store(part10(StudyInstanceUID=study)).status_code == 200
    assert len(_client(outside, "microsoft.default").search("/studies", StudyInstanceUID=study)) == 1


def test_race(tmp_path: Path) -> None:
    """Of Stores that make a partition at once in two processes all succeed, and there is one partition."""
    names = ["race", "Race", "RACE", "rAce"] * 3
    with (
        running("embedded", tmp_path, DATA_PARTITIONS="true", WORKERS="2") as url,
        ThreadPoolExecutor(len(names)) as threads,
    ):
        statuses = list(threads.map(lambda name: _store(url, name), names))
        listed = httpx.get(f"{url}/v2/partitions").json()

    assert statuses == [200] * len(names)
    assert [one["partitionKey"] for one in listed] == [1, 2]


def _store(url: str, name: str) -> int:
    path = f"{url}/v2/partitions/{name}/studies"
    return httpx.post(path, content=part10(), headers={"Content-Type": "application/dicom"}, timeout=30).status_code


def test_on_and_off(tmp_path: Path) -> None:
    """Switched on, what was stored before is in the default partition; off again is refused once there are others."""
    study = new_uid()
    with running("embedded", tmp_path) as url, client_of(f"{url}/v2", "v2") as client:
        client.store(part10(StudyInstanceUID=study))
    with running("embedded", tmp_path, DATA_PARTITIONS="true") as url, httpx.Client(base_url=f"{url}/v2/") as http:
        assert len(_client(http, "Microsoft.Default").search("/studies", StudyInstanceUID=study)) == 1
    with running("embedded", tmp_path) as url:
        assert httpx.get(f"{url}/v2/studies/{study}/metadata").status_code == 200
    with running("embedded", tmp_path, DATA_PARTITIONS="true") as url:
        assert _store(url, "other") == 200
    finished = subprocess.run(
        [sys.executable, "-m", "localhost"],
        cwd=ROOT,
        env=os.environ | {"PORT": "0", "STORAGE": "embedded", "DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert finished.returncode == 1
    assert "DATA_PARTITIONS" in finished.stderr


@pytest.fixture(scope="module")
def one_and_other(partitioned: str) -> Iterator[tuple[Client, Client, dict[str, str]]]:
    """Clients of two partitions, the second with something else in it, and the UIDs of an image in the first."""
    uids = {"study": new_uid(), "series": new_uid(), "instance": new_uid()}
    names = {"StudyInstanceUID": "study", "SeriesInstanceUID": "series", "SOPInstanceUID": "instance"}
    image: dict[str, Any] = {name: uids[level] for name, level in names.items()} | _IMAGE
    with httpx.Client(base_url=f"{partitioned}/v2") as http:
        one, other = _client(http, "one"), _client(http, "other")
        assert one.store(part10(pixel_bytes=5000, **image)).status_code == 200
        assert other.store(part10()).status_code == 200
        yield one, other, uids


_IMAGE = {
    "Rows": 50,
    "Columns": 50,
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 0,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
}
_READS = [one.template for one in PARTITIONED if one.method == "GET"]
_QUERIES = {
    "wado": "?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}",
    "studies": "?StudyInstanceUID={study}",
    "series": "?StudyInstanceUID={study}",
    "instances": "?StudyInstanceUID={study}",
}


@pytest.mark.parametrize("template", _READS)
def test_reads_apart(one_and_other: tuple[Client, Client, dict[str, str]], template: str) -> None:
    """What is found in one partition, by whichever route, is not there in another."""
    one, other, uids = one_and_other
    values = uids | {"frames": "1", "path": "7FE00010"}
    path = (template.replace("{*path}", "{path}") + _QUERIES.get(template, "")).format(**values)

    assert one.get(f"/{path}").status_code == 200
    assert other.get(f"/{path}").status_code in {204, 404}


@pytest.mark.parametrize("template", [one.template for one in PARTITIONED if one.method == "DELETE"])
def test_deletes_apart(one_and_other: tuple[Client, Client, dict[str, str]], template: str) -> None:
    """A delete in one partition finds nothing of another."""
    one, other, uids = one_and_other

    assert other.http.delete("/" + template.format(**uids)).status_code == 404
    assert len(one.files(f"/studies/{uids['study']}")) == 1


@pytest.mark.parametrize("route", [one for one in PARTITIONED if one.method in {"POST", "PUT"}], ids=_name)
def test_stores_apart(one_and_other: tuple[Client, Client, dict[str, str]], route: Endpoint) -> None:
    """A Store in one partition leaves the instance of the same UIDs in another as it is."""
    one, other, uids = one_and_other
    [before] = one.files(f"/studies/{uids['study']}")
    image: dict[str, Any] = {
        "StudyInstanceUID": uids["study"],
        "SeriesInstanceUID": uids["series"],
        "SOPInstanceUID": uids["instance"],
    }

    path = route.template.format(**uids)
    stored = other.http.request(route.method, f"/{path}", content=part10(**image), headers=_DICOM)
    assert stored.status_code == 200
    assert other.http.delete(f"/studies/{uids['study']}").status_code == 204

    assert one.files(f"/studies/{uids['study']}") == [before]
