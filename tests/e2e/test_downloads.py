"""Downloads that clients give up, and decoding beside other requests: nothing stays open, nobody waits."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest

from tests.e2e.client import ANY_INSTANCES, Client, client_of
from tests.e2e.conftest import running
from tests.factories import dataset, file_of, new_uid, part10

_ABORTED = 1000
_GROWTH_BYTES = 40 * 2**20
"""Of memory, beyond which something was kept; allocators keep some of what they were given."""
_POOLED = 12
"""Threads that the pools of index and storage may still start, until all were busy at once."""
_PATIENCE_S = 30


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a service that nobody else uses."""
    with running("embedded", tmp_path_factory.mktemp("data")) as url, client_of(f"{url}/v2", "v2") as client:
        yield client


def _worker(client: Client) -> psutil.Process:
    """Return the process that serves *client*."""
    data = {one.pid: one for one in psutil.Process().children(recursive=True)}
    port = urlsplit(str(client.http.base_url)).port
    return next(
        one
        for one in data.values()
        if "localhost.worker" in " ".join(one.cmdline())
        and any(found.laddr.port == port for found in one.net_connections("tcp"))
    )


def _abort(client: Client, path: str, accept: str) -> None:
    """Ask for a resource and leave when its first bytes have come."""
    url = urlsplit(f"{client.http.base_url}")
    with socket.create_connection((url.hostname, url.port), timeout=_PATIENCE_S) as connection:
        request = f"GET {url.path.rstrip('/')}{path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")


def _open(worker: psutil.Process) -> tuple[int, int]:
    return worker.num_fds(), worker.num_threads()


def test_aborted_downloads(alone: Client) -> None:
    """After a thousand aborted downloads no file, connection or thread is left, and memory has not grown."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study, pixel_bytes=3_000_000) for _ in range(3)]
    assert alone.store(*files).status_code == 200
    worker = _worker(alone)
    wanted = [
        (f"/studies/{study}", ANY_INSTANCES),
        (f"/studies/{study}/metadata", "application/dicom+json"),
        (f"/studies/{study}", 'multipart/related; type="application/dicom"'),
    ]
    for number in range(100):
        _abort(alone, *wanted[number % len(wanted)])
    files_before, threads_before = _settled(worker)
    memory = worker.memory_info().rss

    for number in range(_ABORTED):
        _abort(alone, *wanted[number % len(wanted)])

    files_after, threads_after = _settled(worker)
    assert files_after <= files_before + 2
    assert threads_after <= threads_before + _POOLED
    assert worker.memory_info().rss - memory < _GROWTH_BYTES


def _settled(worker: psutil.Process) -> tuple[int, int]:
    """Return the open files and the threads once they do not become fewer any more."""
    found = _open(worker)
    for _ in range(_PATIENCE_S):
        time.sleep(1)
        before, found = found, _open(worker)
        if found >= before:
            break
    return found


def test_decoding_beside(alone: Client) -> None:
    """While frames are compressed, which takes seconds, the health check is answered."""
    made = dataset(
        Rows=3000,
        Columns=3000,
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
    )
    made.PixelData = np.random.default_rng(1).integers(0, 65536, 3000 * 3000).astype("<u2").tobytes()
    made["PixelData"].VR = "OW"
    stored = alone.store(file_of(made)).json()
    path = stored["00081199"]["Value"][0]["00081190"]["Value"][0]
    ended: list[float] = []

    def compress() -> None:
        with httpx.Client(timeout=120) as http:
            kind = 'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90'
            assert http.get(f"{path}/frames/1", headers={"Accept": kind}).status_code == 200
        ended.append(time.monotonic())

    threads = [threading.Thread(target=compress) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    root = str(alone.http.base_url).partition("/v2")[0]
    answers = [httpx.get(f"{root}/health/check", timeout=_PATIENCE_S).status_code for _ in range(5)]
    answered = time.monotonic()
    for thread in threads:
        thread.join()

    assert answers == [200] * 5
    assert len(ended) == len(threads)
    assert answered < min(ended)


@pytest.mark.parametrize(
    ("cut", "path", "accept"),
    [
        (100, "", ANY_INSTANCES),
        (100, "/frames/1,2,3", 'multipart/related; type="application/octet-stream"'),
        (100, "/bulkdata/7FE00010", 'multipart/related; type="application/octet-stream"'),
        (28_000, "/rendered", "image/jpeg"),
        (28_000, "/frames/9", "application/octet-stream"),
    ],
)
def test_file_cut_short(tmp_path: Path, cut: int, path: str, accept: str) -> None:
    """Of a file that was cut short outside the service nothing is given as if it were whole, at once and not later."""
    made = dataset(
        Rows=64, Columns=64, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, SamplesPerPixel=1
    )
    made.PhotometricInterpretation, made.NumberOfFrames = "MONOCHROME2", 3
    made.PixelData = bytes(3 * 64 * 64)
    with running("embedded", tmp_path) as url, client_of(f"{url}/v2", "v2") as client:
        stored = client.store(file_of(made)).json()
        instance = stored["00081199"]["Value"][0]["00081190"]["Value"][0]
        [blob] = (tmp_path / "storage").rglob("*.dcm")
        with blob.open("r+b") as file:
            file.truncate(max(blob.stat().st_size - cut, 200))

        try:
            status = client.http.get(f"{instance}{path}", headers={"Accept": accept}).status_code
        except httpx.RemoteProtocolError:
            status = 0  # it broke off

    assert status in {0, 404, 424}
