"""What a cold start costs: a worker from its begin to its first answer, and the imports of each family of routes."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench.service import ROOT, running

MOST_S = 1.5
"""The mark: user and system time until the first answer, on two cores."""

_FIRST = {"live": "/health/live", "search": "/v2/studies?PatientID=1", "retrieve": "/v2/studies/1.2/metadata"}
_FAMILIES = (
    "function_app",
    *(f"shared.routes.{one.stem}" for one in sorted((ROOT / "shared/routes").glob("[a-z]*.py"))),
)
_MEASURE = "import time, {module}; print(time.process_time())"


@dataclass(frozen=True, slots=True)
class Start:
    """The CPU time of one beginning, in seconds."""

    what: str
    cpu_s: float


def starts(data: Path, *, is_quick: bool) -> Iterator[Start]:
    """Yield what each begin costs: first answers of a worker with embedded storage, then imports."""
    for name, path in list(_FIRST.items())[: 1 if is_quick else None]:
        with running("embedded", data / "start", 1) as service:
            _get(service.url + path)
            yield Start(f"first answer: {name}", service.worker_cpu_s())
    for module in _FAMILIES[: 1 if is_quick else None]:
        yield Start(f"import {module}", _import_s(module))


def line(start: Start) -> str:
    """Return one line of the table, with the mark where there is one."""
    mark = ""
    if start.what.startswith("first"):
        mark = f"at most {MOST_S} s: {'holds' if start.cpu_s <= MOST_S else 'FAILS'}"
    return f"{'start':9} {start.what:39} {start.cpu_s * 1000:>7.0f}  {mark}".rstrip()


def _get(url: str) -> None:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}")
    connection.getresponse().read()
    connection.close()


def _import_s(module: str) -> float:
    """Return the CPU time of a fresh process that imports *module*, the better of two: the first may compile."""
    command = [sys.executable, "-c", _MEASURE.format(module=module)]
    return min(float(subprocess.check_output(command, cwd=ROOT, text=True)) for _ in range(2))
