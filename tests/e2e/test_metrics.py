"""Metrics of a running service: counts and durations, and no UIDs (health-and-ops.md, "Metrics")."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.client import client_of
from tests.e2e.conftest import ROOT
from tests.factories import new_uid, part10


def test_console(tmp_path: Path) -> None:
    """Requests are counted by function and status with their bytes; no UID and no partition is an attribute."""
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    study = new_uid()
    environment = os.environ | {
        "PORT": "0",
        "STORAGE": "embedded",
        "DATA": str(tmp_path / "data"),
        "WORKERS": "1",
        "METRICS_TO": "console",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "localhost"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    url = "http://" + process.stdout.readline().split("http://")[1].split("/")[0]
    with client_of(f"{url}/v2", "v2") as client:
        client.store(part10(StudyInstanceUID=study))
        client.files(f"/studies/{study}")
        assert client.get("/studies/1.2.3").status_code == 404
    deadline = time.monotonic() + 30
    while "dicomweb.response.bytes" not in log.read_text("utf-8") and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0

    text = log.read_text("utf-8")
    for wanted in ("dicomweb.request.duration", "dicomweb.request.bytes", "dicomweb.response.bytes"):
        assert wanted in text
    assert '"function": "store_instances"' in text
    assert '"status": 404' in text
    assert study not in text
    assert "1.2.3" not in text
