"""One row measured on several servers in turn, and what of it is kept."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.compare.rows import Row, job_of, stored_by
from bench.load import Job, Load, Stored
from bench.raw import RawJob
from bench.service import ROOT, Service

_RAW_FILES = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A server that is measured: of which kind, and by which name it stands in the results."""

    kind: str
    name: str
    service: Service
    base: str
    workers: int = 1

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.service.url + self.base


@dataclass
class Bench:
    """A set of servers over fresh storage, and what has been stored in each."""

    targets: Sequence[Target]
    rows: Sequence[Row]
    rounds: int
    run: int
    data: Path
    stored: dict[tuple[str, str], Stored] = field(default_factory=dict)
    client: Client | None = None
    index_bytes: float = 0
    """Of our database for an instance, where an index was filled."""

    def measure(self, row: Row) -> dict[str, Any]:
        """Measure a row on its targets in turn, each round beginning with another; return it as JSON."""
        targets = [one for one in self.targets if one.kind in row.targets]
        runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in targets}
        raw: dict[str, list[float]] = {one.name: [] for one in targets if row.raw}
        for target in targets:
            self.prepare(row, target)
        for number in range(self.rounds):
            first = number % len(targets)
            for target in (*targets[first:], *targets[:first]):
                if row.raw:
                    raw[target.name] += self._raw(row, target, number)
                runs[target.name].append(self.measure_once(row, target, number))
        return {
            "section": row.section,
            "row": row.name,
            "title": row.title,
            "kind": row.kind.value,
            "concurrency": row.concurrency,
            "requests": row.count.requests,
            "per_request": row.count.per_request,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "workers": {one.name: one.workers for one in targets},
            "runs": runs,
            "raw": {name: rates for name, rates in raw.items() if rates},
        }

    def fill(self, row: Row) -> dict[tuple[str, str], Stored]:
        """Store once what a row stores, not to be measured, and return what each target then has."""
        for target in self.targets:
            self.measure_once(row, target, 0)
        return self.stored

    def prepare(self, row: Row, target: Target) -> None:
        """Have what a row reads stored, and ask once for what it will ask for: imports and caches are not its cost."""
        if row.of and (row.of, target.name) not in self.stored:
            self.measure_once(next(one for one in self.rows if one.name == row.of), target, 0)
        if row.count.requests > 1:
            few = row.scaled(1 / row.count.requests)
            stored = self.stored[row.of, target.name] if row.of else stored_by(few, self._group(row), self.run)
            self._client(job_of(few, target.url, stored)).go()

    def _client(self, job: Job) -> Client:
        """Return the one client, with its next job."""
        self.client = self.client.take(job) if self.client else Client(job)
        return self.client

    def end(self) -> None:
        """Have the client end."""
        if self.client:
            self.client.end()

    def _group(self, row: Row) -> int:
        """Return the number of a row's first group; those of its rounds follow."""
        return 10 * [one.name for one in self.rows].index(row.name)

    def measure_once(self, row: Row, target: Target, number: int) -> dict[str, Any]:
        """Return the figures of one round of a row on one target."""
        service = target.service
        group = self._group(row) + number + 1
        stored = self.stored[row.of, target.name] if row.of else stored_by(row, group, self.run)
        client = self._client(job_of(row, target.url, stored))
        service.reset_peak()
        cpu_s = service.cpu_s()
        load = client.go()
        cpu_s = service.cpu_s() - cpu_s
        if not row.of:
            self.stored.setdefault((row.name, target.name), stored)
        return _figures(load, cpu_s, service, row.count.requests if row.of else row.count.instances)

    def _raw(self, row: Row, target: Target, number: int) -> list[float]:
        """Return the rate of the target's storage used raw, in a list; an archive that is not ours has none."""
        if target.base != "/v2":
            return []
        folder = self.data / f"raw-{row.name}-{target.name}-{number}"
        requests = min(_RAW_FILES, max(row.count.instances, row.concurrency))
        job = RawJob(row.concurrency, requests, str(folder), target.service.connection_string(), row.kind.value)
        said = subprocess.run(
            [sys.executable, "-m", "bench.raw"],
            cwd=ROOT,
            input=json.dumps(asdict(job)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return [float(json.loads(said.stdout)[row.raw])]


def _figures(load: Load, cpu_s: float, service: Service, items: int) -> dict[str, Any]:
    return {
        "per_s": items / load.wall_s,
        "p50_ms": load.latency_ms,
        "first_byte_ms": load.first_byte_ms,
        "cpu_ms": cpu_s * 1000 / items,
        "peak_mib": service.peak_tree_mib(),
        "largest_mib": service.peak_mib(),
        "client_cpu_ms": load.client_cpu_s * 1000 / items,
        "wrong": load.wrong,
    }
