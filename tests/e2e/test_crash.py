"""A killed service loses no instance that it answered for, and shows none that it did not publish."""

import os
import random
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import psutil
import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import ROOT
from tests.factories import part10

_WRITERS = 3
_LONGEST_S = 0.2
_KILLS = 25
_LONGEST_OPERATION_S = 90


@dataclass(slots=True)
class Sent:
    """One Store request: its study, its files by SOP Instance UID, and whether it was answered 200."""

    study: str
    files: dict[str, bytes] = field(default_factory=dict)
    answered: bool = False


class Victim:
    """A service to be killed."""

    def __init__(self, data: Path, **settings: str) -> None:
        environment = os.environ | {"PORT": "0", "STORAGE": "embedded", "DATA": str(data), "WORKERS": "1"} | settings
        self._process = subprocess.Popen(
            [sys.executable, "-m", "localhost"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "http://" in line
        self.base = "http://" + line.split("http://")[1].split("/")[0] + "/v2"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End every process at once, as a crash would."""
        if self._process.poll() is None:
            parent = psutil.Process(self._process.pid)
            for process in [*parent.children(recursive=True), parent]:
                process.kill()
            self._process.wait()


def _uid() -> str:
    return f"2.25.{secrets.randbelow(10**30) + 10**30}"


_STUDY, _INSTANCE = _uid(), _uid()
_TEMPLATES = [
    part10(StudyInstanceUID=_STUDY, SOPInstanceUID=_INSTANCE, pixel_bytes=size)
    for size in (200, 9_000, 70_000, 200_000)
]
"""Files to give other UIDs of the same length: making them anew would leave the service idle between requests."""


def _request() -> Sent:
    request = Sent(_uid())
    for template in _TEMPLATES:
        instance = _uid()
        file = template.replace(_STUDY.encode(), request.study.encode())
        request.files[instance] = file.replace(_INSTANCE.encode(), instance.encode())
    return request


def _write(base: str, sent: list[Sent], stop: threading.Event) -> None:
    """Store request after request until the service is gone."""
    with httpx.Client(base_url=base, timeout=10) as http:
        client = Client(http)
        while not stop.is_set():
            request = _request()
            sent.append(request)
            try:
                request.answered = client.store(*request.files.values()).status_code == 200
            except httpx.HTTPError:
                return


def _check(base: str, sent: list[Sent]) -> None:
    with httpx.Client(base_url=base, timeout=10) as http:
        client = Client(http)
        for request in sent:
            found = client.search(f"/studies/{request.study}/instances")
            uids = {match["00080018"]["Value"][0] for match in found}
            assert uids in ([set(request.files)] if request.answered else [set(), set(request.files)])
            if uids:
                assert sorted(client.files(f"/studies/{request.study}")) == sorted(request.files.values())
                metadata = client.get(f"/studies/{request.study}/metadata", "application/dicom+json").json()
                assert {dataset["00080018"]["Value"][0] for dataset in metadata} == uids


@pytest.mark.parametrize("seed", range(2))
def test_kill(tmp_path: Path, seed: int) -> None:
    """After SIGKILL at 25 random moments of Stores, all that was answered is there, whole, and a retry works."""
    moments = random.Random(seed)  # noqa: S311 - moments, not secrets
    sent: list[Sent] = []
    lost: list[Sent] = []
    for _ in range(_KILLS):
        with Victim(tmp_path) as victim:
            _check(victim.base, sent)
            _send_again(victim.base, [request for request in sent if not request.answered])
            sent = _write_until_killed(victim, moments.uniform(0, _LONGEST_S))
            lost += [request for request in sent if not request.answered]
    with Victim(tmp_path) as victim:
        _check(victim.base, sent)

    assert len(lost) >= _KILLS, "the kills hit too few requests in flight to prove anything"


def _write_until_killed(victim: Victim, after_s: float) -> list[Sent]:
    """Store from several clients at once, kill the service some time after its first answer, and say what was sent."""
    sent: list[Sent] = []
    stop = threading.Event()
    with ThreadPoolExecutor(_WRITERS) as writers:
        writing = [writers.submit(_write, victim.base, sent, stop) for _ in range(_WRITERS)]
        while not any(request.answered for request in sent) and not any(one.done() for one in writing):
            time.sleep(0.005)
        time.sleep(after_s)
        victim.kill()
        stop.set()
    for one in writing:
        one.result()
    return sent


def _send_again(base: str, requests: list[Sent]) -> None:
    """Send what was not answered once more, as a client would; what was stored after all is refused as stored."""
    with httpx.Client(base_url=base, timeout=10) as http:
        for request in requests:
            assert Client(http).store(*request.files.values()).status_code in {200, 409}


_INDEXED = 1200
_KILLED_AT = (1, 300, 700)


def test_kill_reindex(tmp_path: Path) -> None:
    """An operation goes on after each SIGKILL in its midst, and neither misses nor repeats what is stored beside it."""
    study, later = _uid(), _uid()
    with Victim(tmp_path) as victim, httpx.Client(base_url=victim.base, timeout=60) as http:
        for first in range(0, _INDEXED, 100):
            made = [part10(StudyInstanceUID=study, AcquisitionNumber=first + at) for at in range(100)]
            assert Client(http).store(*made).status_code == 200
        tag = {"path": "AcquisitionNumber", "level": "Instance"}
        operation = http.post("/extendedquerytags", json=[tag]).headers["Location"].rsplit("/", 1)[1]
        _wait_for_values(tmp_path, _KILLED_AT[0])
        victim.kill()
    indexed = [_values(tmp_path)]
    for count in _KILLED_AT[1:]:
        with Victim(tmp_path) as victim, httpx.Client(base_url=victim.base, timeout=60) as http:
            assert Client(http).store(part10(StudyInstanceUID=later, AcquisitionNumber=7000)).status_code == 200
            _wait_for_values(tmp_path, count)
            victim.kill()
        indexed.append(_values(tmp_path))

    with Victim(tmp_path) as victim, httpx.Client(base_url=victim.base, timeout=60) as http:
        began = time.monotonic()
        while (answer := http.get(f"/operations/{operation}")).status_code == 202:
            assert time.monotonic() - began < _LONGEST_OPERATION_S
            time.sleep(0.1)
        client = Client(http)
        assert answer.json()["status"] == "succeeded"
        assert http.get("/extendedquerytags/AcquisitionNumber").json()["status"] == "ready"
        assert _values(tmp_path) == _INDEXED + len(_KILLED_AT) - 1
        for number in range(0, _INDEXED, 61):
            [found] = client.search(f"/studies/{study}/instances", AcquisitionNumber=str(number))
            assert found["00200012"]["Value"] == [number]
        assert len(client.search("/instances", AcquisitionNumber="7000")) == len(_KILLED_AT) - 1
    assert all(count < _INDEXED for count in indexed), "a kill came only when everything was indexed"


def _values(data: Path) -> int:
    """Return how many values of extended query tags the index has, read beside the service."""
    with closing(sqlite3.connect(f"file:{data / 'index.db'}?mode=ro", uri=True, timeout=20)) as connection:
        [count] = connection.execute("SELECT count(*) FROM query_tag_value").fetchone()
    return int(count)


def _wait_for_values(data: Path, count: int) -> None:
    began = time.monotonic()
    while _values(data) < count:
        assert time.monotonic() - began < _LONGEST_OPERATION_S
        time.sleep(0.002)
