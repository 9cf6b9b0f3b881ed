"""What is counted and timed, through OpenTelemetry. Attributes are names of functions and statuses, never UIDs.

Where `METRICS_TO` is empty nothing is kept: the instruments do nothing.
"""

import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from opentelemetry import metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

_meter = metrics.get_meter("dicomweb")
_requests = _meter.create_histogram(
    "dicomweb.request.duration", "s", "From the request to the beginning of its answer."
)
_received = _meter.create_counter("dicomweb.request.bytes", "By", "Bytes of bodies that were received.")
_sent = _meter.create_counter("dicomweb.response.bytes", "By", "Bytes of bodies that were sent.")
_runs = _meter.create_histogram("dicomweb.background.duration", "s", "Of one run of a function that no request starts.")
_waiting = _meter.create_gauge("dicomweb.queue.waiting", "{item}", "What waits: removals of blobs, or events.")
_age = _meter.create_gauge("dicomweb.queue.age", "s", "How long the first that waits is overdue.")
_lost = _meter.create_counter("dicomweb.audit.lost", "{record}", "Audit records that the table does not have.")


def request(function: str, method: str, status: int, seconds: float, received: int) -> None:
    """Count a request that was answered."""
    _requests.record(seconds, {"function": function, "method": method, "status": status})
    if received:
        _received.add(received, {"function": function})


def sent(function: str, length: int) -> None:
    """Count bytes of an answer."""
    _sent.add(length, {"function": function})


def audit_record_lost() -> None:
    """Count an audit record that is in the log alone."""
    _lost.add(1)


def queue(name: str, count: int, since: datetime | None, now: datetime) -> None:
    """Keep how much waits in what is worked on in the background, and how late it is."""
    _waiting.set(count, {"queue": name})
    _age.set(max((now - since).total_seconds(), 0.0) if since is not None else 0.0, {"queue": name})


@asynccontextmanager
async def background(function: str) -> AsyncIterator[None]:
    """Time a run of a function that no request starts."""
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "done"
    finally:
        _runs.record(time.perf_counter() - began, {"function": function, "outcome": outcome})


def start(to: str) -> None:
    """Send metrics to *to*, one of `RECEIVERS`, once a minute from now on; the packages are imported only here."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = RECEIVERS[to]()
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(exporter)]))


def _console() -> "MetricExporter":
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

    return ConsoleMetricExporter(out=sys.stderr)


def _otlp() -> "MetricExporter":
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter()


def _azure() -> "MetricExporter":
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter

    return AzureMonitorMetricExporter()


RECEIVERS: dict[str, Callable[[], "MetricExporter"]] = {"console": _console, "otlp": _otlp, "azure": _azure}
"""By the value of `METRICS_TO`. The addresses of the last two are in the settings that their packages read."""
