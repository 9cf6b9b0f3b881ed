"""The load client: a process of its own that reads one job, says `ready`, waits for a line, sends, and reports.

Blocking sockets in one thread per connection: it spends a fraction of what a service spends on the same request. A job
that names a check has every answer looked at, off the clock: when all is sent, or between requests where answers are
large, which are asked for one by one.
"""

import gzip
import http.client
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
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
_KEPT_BYTES = 2**23
"""Of an answer that waits to be checked; a larger one is checked before the next request."""
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
    instances: int = 0
    """How many there are in all, where a check must know."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to send: *requests* over *concurrency* connections, either of `store` or, in turn, GETs of `paths`.

    `check` names the one of `bench.checks` that every answer must stand, `of` what was stored that is read.
    """

    url: str
    concurrency: int
    requests: int
    store: Stored | None = None
    paths: tuple[str, ...] = ()
    accept: str = "*/*"
    check: str = ""
    of: Stored | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What the client saw; times from the first byte sent, in milliseconds, are medians."""

    wall_s: float
    latency_ms: float
    first_byte_ms: float
    received_bytes: int
    client_cpu_s: float
    wrong: dict[str, int] = field(default_factory=dict)
    """How many answers had which fault; without a check such an answer ends the client instead."""


@dataclass(frozen=True, slots=True)
class _Timed:
    latency_s: float
    first_byte_s: float
    received_bytes: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer that is still to be checked."""

    number: int
    status: int
    content_type: str
    encoding: str
    body: bytes | memoryview


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
    wrong: Counter[str] = Counter()
    kept: list[_Kept] = []

    def send_some(connection: http.client.HTTPConnection) -> list[_Timed]:
        timed, buffer = [], bytearray(_READ_BYTES)
        while (number := _next(numbers, lock)) is not None:
            one, answer = _send(connection, job, number, buffer)
            timed.append(one)
            if answer is not None and len(answer.body) > _KEPT_BYTES:
                wrong[_fault(job, answer)] += 1
                _connect_again(connection)
            elif answer is not None:
                kept.append(replace(answer, body=bytes(answer.body)))
            del answer  # it looks into the buffer, which may have to grow
        return timed

    began = time.perf_counter()
    with ThreadPoolExecutor(job.concurrency) as threads:
        timed = [one for some in threads.map(send_some, connections) for one in some]
    wall_s = time.perf_counter() - began
    wrong.update(_fault(job, answer) for answer in kept)
    return Load(
        wall_s=sum(one.latency_s for one in timed) if job.check and job.concurrency == 1 else wall_s,
        latency_ms=median(one.latency_s for one in timed) * 1000,
        first_byte_ms=median(one.first_byte_s for one in timed) * 1000,
        received_bytes=sum(one.received_bytes for one in timed),
        client_cpu_s=sum(one.cpu_s for one in timed),
        wrong={fault: count for fault, count in wrong.items() if fault},
    )


def _connect_again(connection: http.client.HTTPConnection) -> None:
    """Open a connection anew: a server may close one that was silent while an answer was checked."""
    connection.close()
    connection.connect()


def _next(numbers: Iterator[int], lock: Lock) -> int | None:
    with lock:
        return next(numbers, None)


def _send(
    connection: http.client.HTTPConnection, job: Job, number: int, buffer: bytearray
) -> tuple[_Timed, _Kept | None]:
    """Send one request and read its answer into the buffer, which grows for it when there is a check."""
    base = urlsplit(job.url).path
    began, cpu = time.perf_counter(), time.thread_time()
    if job.store is not None:
        length = str(_body_length(job.store))
        headers = _STORE_HEADERS | {"Content-Length": length}
        connection.request("POST", f"{base}/studies", _body(job.store, number), headers)
    else:
        # Some servers would compress pixels too, which costs them far more than the bytes are worth.
        headers = {"Accept": job.accept, "Accept-Encoding": "gzip" if "json" in job.accept else "identity"}
        connection.request("GET", base + job.paths[number % len(job.paths)], headers=headers)
    answer = connection.getresponse()
    if answer.status != http.HTTPStatus.OK and not job.check:
        raise UnexpectedAnswer(f"status {answer.status}, expected 200: {answer.read(500)!r}")
    received = answer.readinto(memoryview(buffer)[:1])
    first_byte = time.perf_counter() - began
    while read := answer.readinto(memoryview(buffer)[received if job.check else 0 :]):
        received += read
        if job.check and received == len(buffer):
            buffer.extend(bytes(received))
    timed = _Timed(time.perf_counter() - began, first_byte, received, time.thread_time() - cpu)
    if not job.check:
        return timed, None
    content_type, encoding = answer.getheader("Content-Type", ""), answer.getheader("Content-Encoding", "")
    return timed, _Kept(number, answer.status, content_type, encoding, memoryview(buffer)[:received])


def _fault(job: Job, answer: _Kept) -> str:
    """Return what is wrong with an answer, "" for nothing."""
    from bench.checks import Answer, fault

    body = gzip.decompress(answer.body) if answer.encoding == "gzip" else answer.body
    path = "" if job.store else job.paths[answer.number % len(job.paths)]
    read = job.store or job.of
    if read is None:
        return ""
    return fault(job.check, Answer(path, answer.number, answer.status, answer.content_type, body), read)


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
    for line in sys.stdin:
        job = _read_job(line)
        if job.store is not None:
            _template(job.store.kind)
        if job.check:
            import bench.checks  # noqa: F401 - now, not while it is measured
        connections = connect(job)
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(asdict(send(job, connections))), flush=True)
        for connection in connections:
            connection.close()


def _read_job(line: str) -> Job:
    given = json.loads(line)
    for name in ("store", "of"):
        if given[name]:
            given[name] = Stored(**given[name] | {"kind": Kind(given[name]["kind"])})
    given["paths"] = tuple(given["paths"])
    return Job(**given)


if __name__ == "__main__":
    _main()
