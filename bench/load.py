"""The load client: a process of its own that reads one job, says `ready`, waits for a line, sends, and reports.

Blocking sockets in one thread per connection: it spends a fraction of what a service spends on the same request.
"""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from statistics import median
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.names import Kind, names

if TYPE_CHECKING:
    from bench.instances import Template

_BOUNDARY = "bench-boundary"
_PART = f"\r\n--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
_CLOSE = f"\r\n--{_BOUNDARY}--\r\n".encode()
_STORE_HEADERS = {
    "Accept": "application/dicom+json",
    "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
}
_READ_BYTES = 2**20
_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Stored:
    """The instances that a job stores: those of a *group* of a *run*, *per_request* in each request."""

    run: int
    group: int
    per_request: int
    per_study: int
    per_series: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Job:
    """What to send: *requests* over *concurrency* connections, either of `store` or, in turn, GETs of `paths`."""

    url: str
    concurrency: int
    requests: int
    store: Stored | None = None
    paths: tuple[str, ...] = ()
    accept: str = "*/*"


@dataclass(frozen=True, slots=True)
class Load:
    """What the client saw; times from the first byte sent, in milliseconds, are medians."""

    wall_s: float
    latency_ms: float
    first_byte_ms: float
    received_bytes: int
    client_cpu_s: float


@dataclass(frozen=True, slots=True)
class _Timed:
    latency_s: float
    first_byte_s: float
    received_bytes: int


class UnexpectedAnswer(Exception):
    """The service answered with another status than expected."""


def connect(job: Job) -> list[http.client.HTTPConnection]:
    """Return the job's connections, open."""
    connections = [
        http.client.HTTPConnection(urlsplit(job.url).netloc, timeout=_TIMEOUT_S) for _ in range(job.concurrency)
    ]
    for connection in connections:
        connection.connect()
    return connections


def send(job: Job, connections: list[http.client.HTTPConnection]) -> Load:
    """Send everything, each connection the next request as soon as its last one is answered."""
    numbers, lock = iter(range(job.requests)), Lock()

    def send_some(connection: http.client.HTTPConnection) -> list[_Timed]:
        timed = []
        while (number := _next(numbers, lock)) is not None:
            timed.append(_send(connection, job, number))
        return timed

    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(job.concurrency) as threads:
        timed = [one for some in threads.map(send_some, connections) for one in some]
    return Load(
        wall_s=time.perf_counter() - began,
        latency_ms=median(one.latency_s for one in timed) * 1000,
        first_byte_ms=median(one.first_byte_s for one in timed) * 1000,
        received_bytes=sum(one.received_bytes for one in timed),
        client_cpu_s=time.process_time() - cpu,
    )


def _next(numbers: Iterator[int], lock: Lock) -> int | None:
    with lock:
        return next(numbers, None)


def _send(connection: http.client.HTTPConnection, job: Job, number: int) -> _Timed:
    """Send one request and pass over the body of its answer."""
    base = urlsplit(job.url).path
    began = time.perf_counter()
    if job.store is not None:
        length = str(_body_length(job.store))
        headers = _STORE_HEADERS | {"Content-Length": length}
        connection.request("POST", f"{base}/studies", _body(job.store, number), headers)
    else:
        path = job.paths[number % len(job.paths)]
        connection.request("GET", base + path, headers={"Accept": job.accept, "Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    if answer.status != http.HTTPStatus.OK:
        raise UnexpectedAnswer(f"status {answer.status}, expected 200: {answer.read(500)!r}")
    received = len(answer.read(1))
    first_byte = time.perf_counter() - began
    buffer = bytearray(_READ_BYTES)
    while read := answer.readinto(buffer):
        received += read
    return _Timed(time.perf_counter() - began, first_byte, received)


@cache
def _template(kind: Kind) -> "Template":
    """Return the one template of the process; a client that only reads does without it, and without pydicom."""
    from bench.instances import Template

    return Template(kind)


def _body(store: Stored, number: int) -> Iterator[bytes | memoryview]:
    """Yield a multipart body piece by piece (PS3.18 §8.6.1); the pixels of all instances are one buffer."""
    for instance in range(number * store.per_request, (number + 1) * store.per_request):
        differing = names(store.run, store.group, instance, store.per_study, store.per_series)
        header, pixels = _template(store.kind).file(differing)
        yield _PART + header
        if pixels:
            yield pixels
    yield _CLOSE


def _body_length(store: Stored) -> int:
    return store.per_request * (len(_PART) + _template(store.kind).length) + len(_CLOSE)


def _main() -> None:
    given = json.loads(sys.stdin.readline())
    if given["store"]:
        given["store"] = Stored(**given["store"] | {"kind": Kind(given["store"]["kind"])})
    given["paths"] = tuple(given["paths"])
    job = Job(**given)
    if job.store is not None:
        _template(job.store.kind)
    connections = connect(job)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(send(job, connections))), flush=True)


if __name__ == "__main__":
    _main()
