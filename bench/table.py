"""How a result reads in the table."""

from bench.measure import Result

_COLUMNS = "{:9} {:25} {:>13} {:>7} {:>9} {:>8} {:>8} {:>7} {:>9} {:>6} {:>8}  {}"

HEADING = _COLUMNS.format(
    "storage", "row", "requests", "CPU ms", "per s", "p50 ms", "byte ms", "MiB", "raw/s", "ratio", "client", "marks"
)

NOTES = """
CPU ms   user and system time of the service's processes, without Azurite's, for one instance; metadata, search: request
per s    instances a second; metadata, search: requests. raw/s: the same files written and synced or read in a folder,
         or put and got with the SDK, at the same concurrency. ratio: per s / raw/s
p50 ms   median of a request; byte ms: median until the first byte of the body
MiB      largest resident set that a process of the service had during the row
start    CPU ms of a worker from its begin to its first answer, its local host included; of importing a module
client   CPU ms of the load client, which shares the machine, for one instance; metadata, search: request"""


def line(result: Result) -> str:
    """Return a result as one line of the table."""
    return _COLUMNS.format(
        result.storage,
        result.title,
        f"{result.requests}x{result.per_request} c{result.concurrency}",
        f"{result.cpu_ms:.2f}",
        f"{result.per_s:.1f}",
        f"{result.p50_ms:.1f}",
        f"{result.first_byte_ms:.1f}",
        f"{result.peak_mib:.0f}",
        _optional(result.raw_per_s, ".1f"),
        _optional(result.ratio, ".2f"),
        f"{result.client_cpu_ms:.2f}",
        ", ".join(f"{mark}: {'holds' if holds else 'FAILS'}" for mark, holds in result.marks.items()),
    ).rstrip()


def _optional(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
