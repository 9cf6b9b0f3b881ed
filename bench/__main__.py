"""`python -m bench`: measure, print one table, keep the figures in bench/results/."""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.client import ClientFailed
from bench.measure import IncompleteAnswer, Options, Result, measure, measure_large
from bench.service import ROOT, NotStarted
from bench.start import Start, starts
from bench.start import line as line_of_start
from bench.table import HEADING, NOTES, line

_STORAGES = {"embedded": ("embedded",), "azurite": ("azurite",), "both": ("embedded", "azurite")}


def main() -> int:
    """Run the benchmark; marks that do not hold are reported and are no failure."""
    try:
        _run(_arguments())
    except (NotStarted, ClientFailed, IncompleteAnswer) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _run(given: argparse.Namespace) -> None:
    options = Options(given.quick, given.workers, int(time.time()), given.studies)
    results: list[Result] = []
    begun: list[Start] = []
    print(HEADING, flush=True)
    for storage in ("large",) if options.studies else _STORAGES[given.storage]:
        data = Path(tempfile.mkdtemp(prefix="bench-", dir=_folder(given.data)))
        try:
            for result in measure_large(data, options) if options.studies else measure(storage, data, options):
                results.append(result)
                print(line(result), flush=True)
        finally:
            shutil.rmtree(data, ignore_errors=True)
    if not options.studies:
        data = Path(tempfile.mkdtemp(prefix="bench-", dir=_folder(given.data)))
        try:
            for start in starts(data, is_quick=options.is_quick):
                begun.append(start)
                print(line_of_start(start), flush=True)
        finally:
            shutil.rmtree(data, ignore_errors=True)
    print(NOTES)
    print(f"\n{_write(results, begun, options, Path(given.results))}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what each transaction costs.")
    parser.add_argument("--storage", choices=sorted(_STORAGES), default="both")
    parser.add_argument(
        "--studies",
        type=int,
        default=0,
        help="measure searches instead, of an index of so many studies, as 10000, of 100 instances, written directly",
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a smoke test, no measurement")
    parser.add_argument("--workers", type=int, default=1, help="processes of the service that answer requests")
    parser.add_argument("--data", default=str(ROOT / ".data"), help="folder that keeps the data while it runs")
    parser.add_argument("--results", default=str(ROOT / "bench" / "results"), help="folder of the figures")
    return parser.parse_args()


def _folder(path: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(results: list[Result], begun: list[Start], options: Options, folder: Path) -> Path:
    """Write the figures, and what they were measured on, as JSON."""
    now = datetime.now(UTC)
    found = {
        "time": now.isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "options": asdict(options),
        "results": [asdict(result) for result in results],
        "starts": [asdict(start) for start in begun],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return file


if __name__ == "__main__":
    sys.exit(main())
