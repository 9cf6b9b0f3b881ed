"""`python -m bench.compare`: measure ours beside Orthanc, and write the figures and the page after every row."""

import argparse
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from bench import service
from bench.client import ClientFailed
from bench.compare import orthanc
from bench.compare.page import line, publish
from bench.compare.results import Results
from bench.compare.rows import AZURITE, EMBEDDED, ORTHANC, Row, search_rows, transaction_rows, worker_rows
from bench.compare.run import Bench, Target
from bench.compare.starts import starts
from bench.load import Stored
from bench.service import ROOT, NotStarted

_STARTS = "starts"
_WORKER_NUMBERS = (1, 2, 4)


def main() -> int:
    """Compare; marks that do not hold are reported and are no failure."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped and data removed
    try:
        version = orthanc.install() if given.orthanc == "yes" else ""
        _compare(given, version)
    except (NotStarted, ClientFailed, orthanc.NotInstalled) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description="Measure ours beside Orthanc.")
    parser.add_argument("--rows", default="*", help="patterns of names of rows, with commas between, as store_*,study")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the requests")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--search", default="10000,100000", help="instances of the indexes that are searched")
    parser.add_argument("--orthanc", choices=("yes", "no"), default="yes")
    parser.add_argument("--azurite", choices=("yes", "no"), default="yes")
    parser.add_argument("--data", default=str(ROOT / ".data"), help="folder that keeps the data while it runs")
    parser.add_argument("--out", default="", help="JSON to write; the page is written beside it")
    return parser.parse_args()


def _compare(given: argparse.Namespace, version: str) -> None:
    results = Results.at(_out(given))
    results.begin(version, {"scale": given.scale, "rounds": given.rounds})
    Path(given.data).mkdir(parents=True, exist_ok=True)
    for rows, servers in _phases(given):
        wanted = [row for row in rows if row.is_measured and _is_wanted(row.name, given.rows)]
        if not wanted:
            continue
        data = Path(tempfile.mkdtemp(prefix="compare-", dir=given.data))
        try:
            with servers(data) as bench:
                if bench.index_bytes:
                    results.put_part("index", {"bytes_per_instance": bench.index_bytes})
                for row in wanted:
                    found = bench.measure(row)
                    results.put(found)
                    publish(results)
                    print(line(found), flush=True)
        finally:
            shutil.rmtree(data, ignore_errors=True)
    if _is_wanted(_STARTS, given.rows):
        results.put_part("starts", starts(Path(given.data), given.rounds, has_orthanc=bool(version)))
        publish(results)
    print(results.file.with_suffix(".md"))


def _out(given: argparse.Namespace) -> Path:
    """Return where the figures go: among the documents only what was measured in full."""
    default = ROOT / ("docs" if given.scale >= 1 else "bench/results") / "performance.json"
    return Path(given.out) if given.out else default


def _is_wanted(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern.strip()) for pattern in patterns.split(","))


_Started = Callable[[Path], AbstractContextManager[Bench]]


def _phases(given: argparse.Namespace) -> Iterator[tuple[list[Row], _Started]]:
    """Yield the rows that share servers, and what starts these over fresh storage."""
    others = [ORTHANC] if given.orthanc == "yes" else []
    azurite = [AZURITE] if given.azurite == "yes" else []
    rows = [row.scaled(given.scale) for row in transaction_rows()]
    yield rows, partial(_servers, [(kind, 1) for kind in (EMBEDDED, *others, *azurite)], rows, given.rounds)
    for instances in map(int, filter(None, given.search.split(","))):
        fill, *searches = search_rows(instances)
        rows = [fill, *(row.scaled(given.scale) for row in searches)]
        yield rows, partial(_filled, [(kind, 1) for kind in (EMBEDDED, *others)], rows, given.rounds)
    rows = [row.scaled(given.scale) for row in worker_rows()]
    kinds = [(kind, workers) for kind in (EMBEDDED, *azurite) for workers in _WORKER_NUMBERS]
    yield rows, partial(_servers, kinds, rows, given.rounds)


@contextmanager
def _servers(kinds: Sequence[tuple[str, int]], rows: Sequence[Row], rounds: int, data: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        # No folder is named azurite: whoever asks what the service's processes use knows Azurite's by that.
        started = (_server(kind, data / str(number), workers) for number, (kind, workers) in enumerate(kinds))
        bench = Bench([stack.enter_context(one) for one in started], rows, rounds, int(time.time()), data)
        stack.callback(bench.end)
        yield bench


@contextmanager
def _filled(kinds: Sequence[tuple[str, int]], rows: Sequence[Row], rounds: int, data: Path) -> Iterator[Bench]:
    """Fill each server's index before it is measured; what it keeps of that in memory goes with a new process."""
    places = [data / str(number) for number in range(len(kinds))]
    with ThreadPoolExecutor() as threads:  # at the same time: it takes minutes, and nothing is measured
        filled = list(threads.map(partial(_fill, rows, data), (kind for kind, _ in kinds), places))
    index_bytes = _size(data / "0" / "index.db") / rows[0].count.instances
    with _servers(kinds, rows, rounds, data) as bench:
        bench.stored = {key: stored for each in filled for key, stored in each.items()}
        bench.index_bytes = index_bytes
        yield bench


def _fill(rows: Sequence[Row], data: Path, kind: str, place: Path) -> dict[tuple[str, str], Stored]:
    different = orthanc.BULK if kind == ORTHANC else {}
    with _server(kind, place, 1, **different) as target:
        bench = Bench([target], rows, 1, 1, data)
        stored = bench.fill(rows[0])
        bench.end()
    return stored


def _size(database: Path) -> int:
    """Return the bytes of a database, what is still in its log included."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database.stat().st_size


@contextmanager
def _server(kind: str, data: Path, workers: int, **different: object) -> Iterator[Target]:
    if kind == ORTHANC:
        with orthanc.running(data, **different) as server:
            yield Target(kind, kind, server, orthanc.BASE)
    else:
        with service.running(kind, data, workers, log=data.with_suffix(".log")) as server:
            yield Target(kind, kind if workers == 1 else f"{kind}, {workers} workers", server, "/v2", workers)


if __name__ == "__main__":
    sys.exit(main())
