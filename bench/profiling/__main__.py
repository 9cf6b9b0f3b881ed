"""`python -m bench.profiling`: sample the worker while each transaction runs, print and keep what used its time."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench import service
from bench.compare.page import publish
from bench.compare.results import Results, machine
from bench.compare.rows import Row, search_rows, transaction_rows
from bench.compare.run import Bench, Target
from bench.profiling.budget import budget, heaviest
from bench.rows import Count
from bench.service import ROOT

_SAMPLER = Path(__file__).parent / "sampler"
_ROWS = {
    "store_image_8": 600,
    "store_image_fifties": 12,
    "store_header_fifties": 40,
    "instance_8": 1500,
    "study": 5,
    "frames_random": 800,
    "metadata_500": 150,
    "rendered": 150,
    "patient_2000": 800,
    "first_2000": 200,
}
"""The rows that are profiled, and the requests of each: enough for hundreds of samples."""

_WAIT_S = 60
_SETTLE_S = 0.2
_FUNCTIONS = 20


class NotSampled(Exception):
    """The sampler in the worker does not answer."""


def main() -> int:
    """Profile each row and write the budgets into the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.profiling", description="Measure where the time goes.")
    parser.add_argument("--storage", choices=("embedded", "azurite"), default="embedded")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the requests")
    parser.add_argument("--data", default=str(ROOT / ".data"), help="folder that keeps the data while it runs")
    parser.add_argument("--out", default=str(ROOT / "docs" / "performance.json"), help="figures to add the budgets to")
    given = parser.parse_args()
    Path(given.data).mkdir(parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="profile-", dir=given.data))
    try:
        found = _profile(given.storage, given.scale, data)
    except NotSampled as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(data, ignore_errors=True)
    results = Results.at(Path(given.out))
    results.found.setdefault("machine", machine())
    results.found.setdefault("options", {"scale": given.scale, "rounds": 1})
    results.put_part("profile", found)
    publish(results)
    return 0


def _profile(storage: str, scale: float, data: Path) -> dict[str, object]:
    rows = [*transaction_rows(), *search_rows(2000)]
    samples = data / "samples"
    samples.mkdir()
    settings = {"PYTHONPATH": str(_SAMPLER), "PROFILE": str(samples)}
    found: dict[str, object] = {}
    with service.running(storage, data / "0", 1, log=data / "0.log", **settings) as server:
        bench = Bench([Target(storage, storage, server, "/v2")], rows, 1, int(time.time()), data)
        for row in rows:
            if row.name in _ROWS:
                requests = max(1, round(_ROWS[row.name] * scale))
                few = replace(row, count=Count(requests, row.count.per_request))
                found[row.name] = _profile_row(few, bench, samples)
        bench.end()
    return found


def _profile_row(row: Row, bench: Bench, samples: Path) -> dict[str, object]:
    """Return what a row's time went to, and print its heaviest functions."""
    target = bench.targets[0]
    bench.prepare(row, target)
    _begin(samples, row.name)
    bench.measure_once(row, target, 0)
    _begin(samples, "nothing")
    sampled = json.loads((samples / f"{row.name}.json").read_text(encoding="utf-8"))
    each = 1000 / (row.count.requests if row.of else row.count.instances)
    groups = {name: seconds * each for name, seconds in budget(sampled["stacks"]).items()}
    functions = [(seconds * each, name) for seconds, name in heaviest(sampled["stacks"], _FUNCTIONS)]
    cpu_ms = sampled["cpu_s"] * each
    title = f"{row.section}: {row.title}, {row.count.per_request} a request, {row.concurrency} at once"
    print(f"\n{title}: {cpu_ms:.3f} ms")
    print("  " + ", ".join(f"{name} {ms:.3f}" for name, ms in sorted(groups.items(), key=lambda one: -one[1])))
    print("\n".join(f"  {ms:8.3f}  {name}" for ms, name in functions), flush=True)
    return {"title": title, "cpu_ms": cpu_ms, "groups": groups, "functions": functions}


def _begin(samples: Path, phase: str) -> None:
    """Have the sampler begin a phase, and wait until what the last one used is written."""
    file = samples / "phase"
    before = file.read_text(encoding="ascii") if file.exists() else ""
    file.with_suffix(".new").write_text(phase, encoding="ascii")
    file.with_suffix(".new").replace(file)
    until = time.monotonic() + _WAIT_S
    while before and not (samples / f"{before}.json").exists():
        if time.monotonic() > until:
            raise NotSampled(f"the worker wrote no samples of {before}")
        time.sleep(0.02)
    time.sleep(_SETTLE_S)


if __name__ == "__main__":
    sys.exit(main())
