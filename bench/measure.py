"""One storage measured: the service started, every row run against it, the raw storage asked in between."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

from bench.client import Client, send
from bench.index import Shape
from bench.instances import Template
from bench.large import STORE_EMPTY, STORE_LARGE, build_in, paths, search_rows
from bench.load import Job, Load, Stored
from bench.names import FRAMES_OF, Kind, names
from bench.raw import RawJob, RawRates
from bench.reindex import reindex
from bench.rows import ROWS, Count, Row, Transaction, marks_hold
from bench.service import ROOT, Service, running

_BASE = "/v2"
_STRIDE = 7919
"""From one frame to the next that is asked for; prime, so that each has its turn."""
_AS_STORED = "transfer-syntax=*"
_DICOM_JSON = "application/dicom+json"
_WARM_UP = Row("warm_up", "", Transaction.STORE, 4, Count(8, 2), Count(8, 2))

_ACCEPT = {
    Transaction.INSTANCES: f"application/dicom; {_AS_STORED}",
    Transaction.STUDY: f'multipart/related; type="application/dicom"; {_AS_STORED}',
    Transaction.FRAMES: f'multipart/related; type="application/octet-stream"; {_AS_STORED}',
    Transaction.RENDERED: "image/jpeg",
    Transaction.METADATA: _DICOM_JSON,
    Transaction.SEARCH: _DICOM_JSON,
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a run measures; `run` makes its UIDs its own."""

    is_quick: bool
    workers: int
    run: int
    studies: int = 0
    """Of the large index; 0: none is made."""


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one row on one storage; the raw rate and its ratio are None where a row has none."""

    storage: str
    row: str
    title: str
    unit: str
    concurrency: int
    requests: int
    per_request: int
    cpu_ms: float
    per_s: float
    p50_ms: float
    first_byte_ms: float
    peak_mib: float
    client_cpu_ms: float
    raw_per_s: float | None
    ratio: float | None
    marks: dict[str, bool]


class IncompleteAnswer(Exception):
    """The service sent fewer bytes than were stored."""


def measure(storage: str, data: Path, options: Options) -> Iterator[Result]:
    """Yield the result of each row as soon as it is measured.

    Rows that read have processes of their own: the memory that a Store took is not theirs.
    """
    raw: dict[int, RawRates] = {}
    groups = groupby(ROWS, lambda row: (row.workers or options.workers, row.reads))
    for number, ((workers, reads), rows) in enumerate(groups):
        with running(storage, data / f"service-{workers}", workers) as service:
            found = list(rows)
            # Imports, connections and caches are not what a row costs.
            if reads:
                for row in found:
                    send(_job(_reading_warm_up(row), service, options))
            else:
                send(_job(_WARM_UP, service, replace(options, run=options.run - number)))
            yield from _measure_rows(found, storage, data, service, options, raw)


def measure_large(data: Path, options: Options) -> Iterator[Result]:
    """Yield the results of searches of an index that is written directly, and of stores into an empty and into it."""
    shape = Shape(options.studies)
    folder = data / "large"
    with running("embedded", data / "empty", options.workers) as service:
        send(_job(_WARM_UP, service, options))
        stored = _measure_row(STORE_EMPTY, "embedded", service, options, None)
    yield stored
    build_in(folder, shape)
    with running("embedded", folder, options.workers) as service:
        yield _measure_reindex(service, shape)
    for workers, rows in groupby(search_rows(), lambda row: row.workers or options.workers):
        with running("embedded", folder, workers) as service:
            for row in rows:
                for some in (_few(row), row):  # imports, connections and caches are not what a row costs
                    job = _large_job(some, shape, service, options)
                    result = _measure_row(some, "embedded", service, options, None, job)
                yield result
    with running("embedded", folder, options.workers) as service:
        send(_job(_WARM_UP, service, options))
        yield _measure_row(STORE_LARGE, "embedded", service, options, RawRates(stored.per_s, stored.per_s))


def _measure_reindex(service: Service, shape: Shape) -> Result:
    """Measure how fast what is stored is indexed for a new tag, by which a later row searches."""
    service.reset_peak()
    cpu_s = service.cpu_s()
    found = reindex(service.url + _BASE)
    return Result(
        storage="embedded",
        row="large_reindex",
        title="Index what is stored for a tag",
        unit="instance",
        concurrency=1,
        requests=1,
        per_request=shape.total,
        cpu_ms=(service.cpu_s() - cpu_s) * 1000 / shape.total,
        per_s=shape.total / found.wall_s,
        p50_ms=found.wall_s * 1000,
        first_byte_ms=found.answered_s * 1000,
        peak_mib=service.peak_mib(),
        client_cpu_ms=0.0,
        raw_per_s=None,
        ratio=None,
        marks={},
    )


def _few(row: Row) -> Row:
    return replace(row, full=Count(40), quick=Count(4), marks=())


def _large_job(row: Row, shape: Shape, service: Service, options: Options) -> Job:
    requests = _count(row, options).requests
    found = tuple(paths(row, shape, requests))
    return Job(service.url + _BASE, row.concurrency, requests, None, found, _DICOM_JSON)


def _measure_rows(
    rows: Sequence[Row], storage: str, data: Path, service: Service, options: Options, raw: dict[int, RawRates]
) -> Iterator[Result]:
    for row in rows:
        if row.raw and row.concurrency not in raw:
            raw[row.concurrency] = _raw(row, data / f"raw-{row.concurrency}", service, options)
        yield _measure_row(row, storage, service, options, raw.get(row.concurrency))


def _reading_warm_up(row: Row) -> Row:
    return Row("warm_up", "", row.transaction, 4, Count(8), Count(8), of="warm_up")


def _measure_row(
    row: Row, storage: str, service: Service, options: Options, raw: RawRates | None, job: Job | None = None
) -> Result:
    count = _count(row, options)
    items = count.instances if row.unit == "instance" else count.requests
    client = Client(job or _job(row, service, options))
    service.reset_peak()
    cpu_s = service.cpu_s()
    load = client.go()
    client.end()
    cpu_s = service.cpu_s() - cpu_s
    if row.transaction in {Transaction.INSTANCES, Transaction.STUDY}:
        _check_length(load, items)
    per_s = items / load.wall_s
    figures = {
        "cpu_ms": cpu_s * 1000 / items,
        "per_s": per_s,
        "p50_ms": load.latency_ms,
        "first_byte_ms": load.first_byte_ms,
        "peak_mib": service.peak_mib(),
        "client_cpu_ms": load.client_cpu_s * 1000 / items,
    }
    raw_per_s = getattr(raw, row.raw) if row.raw else None
    ratio = per_s / raw_per_s if raw_per_s else None
    return Result(
        storage=storage,
        row=row.name,
        title=row.title,
        unit=row.unit,
        concurrency=row.concurrency,
        requests=count.requests,
        per_request=count.per_request,
        **figures,
        raw_per_s=raw_per_s,
        ratio=ratio,
        marks=marks_hold(row, storage, figures if ratio is None else figures | {"ratio": ratio}),
    )


def _check_length(load: Load, instances: int) -> None:
    expected = instances * Template(Kind.IMAGE).length
    if load.received_bytes < expected:
        raise IncompleteAnswer(f"{load.received_bytes} bytes were answered; expected at least {expected}.")


def _count(row: Row, options: Options) -> Count:
    return row.quick if options.is_quick else row.full


def _job(row: Row, service: Service, options: Options) -> Job:
    """Return what the load client is to send for a row."""
    count = _count(row, options)
    url = service.url + _BASE
    if row.transaction is Transaction.STORE:
        per_study = _per_study(row, options)
        store = Stored(options.run, _group(row.name), count.per_request, per_study, row.per_series, row.kind)
        return Job(url, row.concurrency, count.requests, store)
    paths = tuple(dict.fromkeys(_paths(row, options)))
    return Job(url, row.concurrency, count.requests, None, paths, _ACCEPT[row.transaction])


def _paths(row: Row, options: Options) -> Iterator[str]:
    """Yield the paths that a row that reads asks for."""
    stored = _row_of(row.of)
    per_study = _per_study(stored, options)
    for number in range(_count(stored, options).instances):
        one = names(options.run, _group(stored.name), number, per_study, stored.per_series)
        match row.transaction:
            case Transaction.INSTANCES:
                yield one.path
            case Transaction.STUDY:
                yield f"/studies/{one.study}"
            case Transaction.FRAMES:
                yield from _frames(one.path, row.kind)
            case Transaction.RENDERED:
                yield f"{one.path}/rendered"
            case Transaction.METADATA:
                yield f"/studies/{one.study}/metadata"
            case _:
                yield f"/studies?PatientID={one.patient_id}"


def _frames(path: str, kind: Kind) -> Iterator[str]:
    """Yield the paths of all frames, far from each other."""
    count = FRAMES_OF.get(kind, 1)
    yield from (f"{path}/frames/{number * _STRIDE % count + 1}" for number in range(count))


def _row_of(name: str) -> Row:
    return next(row for row in (_WARM_UP, *ROWS) if row.name == name)


def _group(name: str) -> int:
    """Return the number that keeps a row's instances apart from the others'."""
    return [_WARM_UP.name, *(row.name for row in (*ROWS, STORE_EMPTY, STORE_LARGE))].index(name)


def _per_study(row: Row, options: Options) -> int:
    return row.per_study or _count(row, options).instances


def _raw(row: Row, folder: Path, service: Service, options: Options) -> RawRates:
    """Return the rates of the service's storage used raw, at the row's concurrency."""
    files = 24 if options.is_quick else 300
    job = RawJob(row.concurrency, files, str(folder), service.connection_string())
    answer = subprocess.run(
        [sys.executable, "-m", "bench.raw"],
        cwd=ROOT,
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return RawRates(**json.loads(answer.stdout))
