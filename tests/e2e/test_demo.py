"""`make demo` against a running service."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from localhost.demo_study import PATIENT_ID, SLICES, STUDY
from tests.e2e.conftest import Service

ROOT = Path(__file__).parents[2]
INSTANCES = SLICES + 2


def demo(url: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"HOST", "PORT", "URL"}}
    command = [sys.executable, "-m", "localhost.demo", "--url", url]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_demo(service: Service) -> None:
    """It stores the study, shows five commands with their answers, and deletes nothing of the study.

    The second run says that everything was there.
    """
    first, second = demo(service.url), demo(service.url)

    assert (first.returncode, first.stderr) == (0, "")
    assert f"{INSTANCES} instances stored, 0 were there" in first.stdout
    assert re.findall(r"^   (\d{3}) ", first.stdout, re.MULTILINE) == ["200", "200", "200", "200", "204"]
    assert len(re.findall(rf"^   curl .*'{re.escape(service.url)}/v2/.*'$", first.stdout, re.MULTILINE)) == 5
    assert second.returncode == 0
    assert f"0 instances stored, {INSTANCES} were there" in second.stdout
    found = httpx.get(
        f"{service.url}/v2/studies?PatientID={PATIENT_ID}&includefield=NumberOfStudyRelatedInstances"
    ).json()
    assert [(one["0020000D"]["Value"], one["00201208"]["Value"]) for one in found] == [([STUDY], [INSTANCES])]


def test_demo_no_service() -> None:
    """Where nothing answers it says so in one sentence and fails."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    ended = demo(f"http://127.0.0.1:{port}")

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"No DICOM service answers at http://127.0.0.1:{port}/v2; `make run` starts one.\n"


def test_demo_other_service(service: Service) -> None:
    """Where something else answers it says what it was answered and fails."""
    ended = demo(f"{service.url}/elsewhere")

    assert ended.returncode == 1
    assert "404" in ended.stderr
