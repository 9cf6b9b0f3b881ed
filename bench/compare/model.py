"""How many instances a second a deployment on Flex Consumption stores, what that costs, and what gives way first.

`ASSUMED` is what is not measured here; the CPU time of an instance and the size of its rows are taken from the figures.
The same arithmetic predicts the rows with several workers, which were measured: `checked` holds one beside the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from math import ceil
from typing import Any

from bench.compare.figures import figure
from bench.compare.rows import AZURITE

INSTANCES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
RATES = (1000, 3000, 10_000)
"""Images a second that a deployment is worked out for."""

ASSUMED: dict[str, tuple[float, str, str]] = {
    "cores": (1, "cores", "of an instance of 2048 MB, as the platform documents"),
    "core_speed": (1, "", "of such a core to one of this machine: unknown until it is measured there"),
    "used": (0.7, "", "part of a core that is used before requests wait for each other"),
    "host_cpu_ms": (1.5, "ms", "the Functions host, which passes each request and its bytes on, for an instance"),
    "memory_gb": (2, "GB", "of an instance, as billed"),
    "image_mb": (0.528, "MB", "a CT image of the rows above"),
    "log_factor": (
        2.5,
        "",
        "log bytes to bytes of the database: rows that are changed or deleted later, records' headers, page splits",
    ),
    "writes": (
        1.05,
        "requests",
        "to the storage account for an instance: its file, and a share of its series' document",
    ),
    "account_requests": (20_000, "a second", "a storage account's documented default; 40,000 in the largest regions"),
    "account_mb": (
        25_000 / 8,
        "MB/s",
        "a storage account's documented default of 25 Gbit/s; 60 in the largest regions",
    ),
    "quota_cores": (250, "cores", "of all Flex Consumption apps of a subscription in a region, unless raised"),
    "price_gb_s": (0.000026, "$", "a GB-second on demand, list price"),
    "price_executions": (0.40, "$", "a million executions, list price"),
    "price_writes": (0.055, "$", "10,000 writes to hot blobs, list price, locally redundant"),
}
"""Each assumption: its value, its unit, and where it comes from."""

DATABASES: dict[str, float] = {
    "serverless, 2 vCores": 9,
    "provisioned, 8 vCores": 36,
    "provisioned, 16 vCores or more": 50,
    "Hyperscale": 100,
}
"""Documented log rates in MB/s: 4.5 a vCore up to 50 on General Purpose, 100 on Hyperscale whatever its size."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the model takes from the figures."""

    store_cpu_ms: float
    """Of the app, for a CT image that is stored by the Azure SDK."""
    index_bytes: float
    """Of the database, for an instance."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many images a second each part allows."""

    app: float
    log: float
    requests: float
    ingress: float

    @property
    def first(self) -> str:
        """The part that allows least."""
        return min((one.name for one in fields(self)), key=lambda name: float(getattr(self, name)))

    @property
    def rate(self) -> float:
        """Images a second in all."""
        return float(getattr(self, self.first))


def measured(found: Mapping[str, Any]) -> Measured | None:
    """Return what the model needs of the figures, None where they lack it."""
    row = found.get("rows", {}).get("store_image_8")
    stored = figure(row, AZURITE, "cpu_ms") if row else None
    index = found.get("index", {}).get("bytes_per_instance")
    return Measured(stored.median, index) if stored and index else None


def limits(instances: int, of: Measured, log_mb_s: float, accounts: int = 1) -> Limits:
    """Return what each part of a deployment allows."""
    return Limits(
        app=instances * instance_rate(of),
        log=log_mb_s * 1e6 / (of.index_bytes * _of("log_factor")),
        requests=accounts * _of("account_requests") / _of("writes"),
        ingress=accounts * _of("account_mb") / _of("image_mb"),
    )


def instance_rate(of: Measured) -> float:
    """Return how many images a second one instance of the app stores."""
    cpu_ms = of.store_cpu_ms / _of("core_speed") + _of("host_cpu_ms")
    return _of("cores") * _of("used") * 1000 / cpu_ms


def cost_per_million(of: Measured, rate_of_each: float | None = None) -> float:
    """Return dollars for a million images, one a request, when each instance stores so many a second."""
    seconds = 1e6 / (rate_of_each or instance_rate(of))
    app = seconds * _of("memory_gb") * _of("price_gb_s") + _of("price_executions")
    return app + 1e6 * _of("writes") / 10_000 * _of("price_writes")


@dataclass(frozen=True, slots=True)
class Needed:
    """What a rate takes."""

    rate: float
    instances: int
    log_mb_s: float
    databases: int
    accounts: int


def needed(rate: float, of: Measured) -> Needed:
    """Return how many instances, databases of the fastest log, and storage accounts a rate takes."""
    log_mb_s = rate * of.index_bytes * _of("log_factor") / 1e6
    by_requests = rate * _of("writes") / _of("account_requests")
    by_bytes = rate * _of("image_mb") / _of("account_mb")
    accounts = ceil(max(by_requests, by_bytes))
    return Needed(rate, ceil(rate / instance_rate(of)), log_mb_s, ceil(log_mb_s / max(DATABASES.values())), accounts)


def checked(found: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str, float, float]]:
    """Yield rows with several workers, the target, the predicted and the measured rate.

    Predicted as above: a worker is a core's worth of its CPU time, and the machine's cores are shared with the client
    that asks. What it leaves out is what the measurement shows: waits for the disk, for Azurite's process, for locks.
    """
    cpus = found["machine"]["cpus"]
    for row in found.get("rows", {}).values():
        for target in row["runs"] if row["section"] == "Workers" else ():
            rate, cpu, client = (figure(row, target, name) for name in ("per_s", "cpu_ms", "client_cpu_ms"))
            if rate and cpu and client:
                workers = row["workers"][target]
                predicted = min(workers * 1000 / cpu.median, cpus * 1000 / (cpu.median + client.median))
                yield row, target, predicted, rate.median


def _of(name: str) -> float:
    return ASSUMED[name][0]
