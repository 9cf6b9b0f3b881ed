"""Two hundred Stores of the same instances at once: each instance has one winner, and nothing disagrees afterwards."""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx
import pytest

from tests.e2e.client import Client, reasons, stored
from tests.factories import new_uid, part10
from tests.soak.service import Service, running

_REQUESTS = 200
_CLIENTS = 32
_INSTANCES = 40
_PER_REQUEST = 5
_PIXEL_BYTES = (0, 300, 70_000)


@pytest.fixture(scope="module", params=["embedded", "azurite"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two workers on each kind of storage; larger instances are streamed."""
    data = tmp_path_factory.mktemp("data")
    with running(request.param, data, workers=2, BATCH_BYTES="50000", DELETE_AFTER_S="0") as found:
        yield found


def _versions_of(study: str, count: int) -> list[list[bytes]]:
    """Return for each of *count* instances of a study a small, a middling and a large file, which differ."""
    series = new_uid()
    return [
        [
            part10(
                StudyInstanceUID=study,
                SeriesInstanceUID=series,
                SOPInstanceUID=uid,
                PatientName=f"Doe^{pixel_bytes}",
                pixel_bytes=pixel_bytes,
            )
            for pixel_bytes in _PIXEL_BYTES
        ]
        for uid in (new_uid() for _ in range(count))
    ]


def _send_all(
    service: Service, requests: list[list[bytes]], send: Callable[..., httpx.Response]
) -> list[httpx.Response]:
    """Send all requests, as many at once as there are clients, which all begin together."""
    begin = threading.Barrier(_CLIENTS)

    def send_some(number: int) -> list[httpx.Response]:
        with httpx.Client(base_url=f"{service.url}/v2", timeout=120) as http:
            begin.wait()
            return [send(Client(http), *files) for files in requests[number::_CLIENTS]]

    with ThreadPoolExecutor(_CLIENTS) as clients:
        return [answer for answers in clients.map(send_some, range(_CLIENTS)) for answer in answers]


def _entries(service: Service, study: str) -> Counter[tuple[str, str]]:
    """Return how often the change feed has each instance of a study with each action, as the index holds them."""
    database = sqlite3.connect(service.settings()["DICOM_SQL_URL"].removeprefix("sqlite:///"))
    rows = database.execute("SELECT sop_uid, action FROM change_feed WHERE study_uid = ?", [study]).fetchall()
    database.close()
    return Counter(rows)


def _check(service: Service) -> int:
    """Let the checker find nothing, and return how many instances it looked at."""
    ended = service.check("--deep", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return int(json.loads(ended.stdout)["looked_at"]["instances"])


def test_concurrent_stores(service: Service) -> None:
    """Of all requests that hold an instance exactly one stores it, for the others it is 45070 (PS3.18 §10.5.3)."""
    chance, study = Random(1), new_uid()  # noqa: S311 - the same requests each time
    files = _versions_of(study, _INSTANCES)
    uids = {file: number for number, kinds in enumerate(files) for file in kinds}
    requests = [[chance.choice(one) for one in chance.sample(files, _PER_REQUEST)] for _ in range(_REQUESTS)]
    before = _check(service)

    answers = _send_all(service, requests, Client.store)

    assert {answer.status_code for answer in answers} <= {200, 202, 409}
    winners = Counter(uid for answer in answers for uid in stored(answer))
    asked = {uids[file] for request in requests for file in request}
    assert set(winners.values()) == {1}
    assert len(winners) == len(asked)
    assert Counter(reason for answer in answers for reason in reasons(answer)) == {
        45070: _REQUESTS * _PER_REQUEST - len(winners)
    }
    assert _entries(service, study) == {(uid, "Create"): 1 for uid in winners}
    with httpx.Client(base_url=f"{service.url}/v2", timeout=120) as http:
        kept = Client(http).files(f"/studies/{study}")
    assert {uids[file] for file in kept} == asked
    assert _check(service) == before + len(winners)


def test_concurrent_replacements(service: Service) -> None:
    """However PUTs of the same instances overlap, each instance is one of the files sent, and has one creation."""
    chance, study = Random(2), new_uid()  # noqa: S311 - as above
    files = _versions_of(study, _INSTANCES // 4)
    requests = [[chance.choice(one) for one in chance.sample(files, _PER_REQUEST)] for _ in range(_REQUESTS // 3)]
    before = _check(service)

    answers = _send_all(service, requests, Client.upsert)

    assert {answer.status_code for answer in answers} == {200}
    with httpx.Client(base_url=f"{service.url}/v2", timeout=120) as http:
        kept = Client(http).files(f"/studies/{study}")
    assert sorted(map(kept.count, kept)) == [1] * len(files)
    assert all(any(file in kinds for file in kept) for kinds in files)
    entries = _entries(service, study)
    assert [count for (_, action), count in entries.items() if action == "Create"] == [1] * len(files)
    assert _check(service) == before + len(files)
