"""CORS, limits and the header fields of all answers, over HTTP (health-and-ops.md, common.md)."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.settings import WITHOUT_TOKENS
from tests.e2e.conftest import ROOT, Service, running
from tests.factories import multipart, new_uid, part10
from tests.unit.test_function_app import ROUTES

pytestmark = pytest.mark.skipif("DICOMWEB_URL" in os.environ, reason="a deployment has settings of its own")

_VIEWER = "https://viewer.example"
_OPEN = ["/health/check", "/v2/api.json", "/swagger"]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with small limits and an origin whose pages may call."""
    with (
        running(
            "embedded",
            tmp_path_factory.mktemp("data"),
            CORS_ORIGINS=_VIEWER,
            CORS_CREDENTIALS="true",
            MAX_URL_CHARACTERS="300",
            MAX_HEADER_FIELDS="30",
            MAX_QUERY_PARAMETERS="5",
            MAX_INCLUDE_FIELDS="5",
            MAX_FRAMES="3",
            MAX_PARTS="2",
            ANSWER_WITHIN_S="1",
        ) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        yield http


def paths() -> list[str]:
    return [*_OPEN, *sorted({f"/v2/{template}" for _, template in ROUTES})]


@pytest.mark.parametrize("path", paths())
def test_preflight(strict: httpx.Client, path: str) -> None:
    """A browser's question before it calls is answered for each path, without a token."""
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,content-type"}

    allowed = strict.options(path, headers=asked | {"Origin": _VIEWER})
    refused = strict.options(path, headers=asked | {"Origin": "https://evil.example"})

    assert allowed.status_code == refused.status_code == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == _VIEWER
    assert allowed.headers["Access-Control-Allow-Credentials"] == "true"
    assert allowed.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
    assert not [name for name in refused.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health/check"), ("GET", "/v2/studies"), ("GET", "/v9/studies"), ("GET", "/v2/studies/x/metadata")],
)
def test_fields(strict: httpx.Client, method: str, path: str) -> None:
    """Every answer, an error too, has the fields that protect it, and those of CORS for an origin that may call."""
    answer = strict.request(method, path, headers={"Origin": _VIEWER})

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "form-action 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Access-Control-Allow-Origin"] == _VIEWER
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Server" not in answer.headers


def test_no_origins(service: Service) -> None:
    """Without origins in the settings no page of another may call."""
    answer = httpx.get(f"{service.url}/v2/studies", headers={"Origin": _VIEWER})

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        (f"/v2/studies?PatientID={'x' * 300}", 0, 414),
        (f"/swagger?{'x' * 300}", 0, 414),
        ("/v2/studies?PatientID=x", 40, 431),
        ("/v2/studies?a&b&c&d&e&f", 0, 400),
        ("/v2/studies?includefield=PatientID,PatientSex,PatientName,Modality,StudyID,StudyTime", 0, 400),
        ("/v2/studies/1.2/series/1.2/instances/1.2/frames/1,2,3,4", 0, 400),
        ("/v2/studies/1.2/series/1.2/instances/1.2/frames/1,2,3", 0, 404),
    ],
)
def test_limits(strict: httpx.Client, path: str, fields: int, status: int) -> None:
    """What is over a limit has its status."""
    assert strict.get(path, headers={f"X-{number}": "x" for number in range(fields)}).status_code == status


@pytest.mark.parametrize(("number", "status"), [(2, 200), (3, 413)])
def test_parts(strict: httpx.Client, number: int, status: int) -> None:
    """More parts, or instances in one part, than the limit are 413, and nothing of them is stored."""
    study, first = new_uid(), {"Accept": "application/dicom+json"}
    body, content_type = multipart([part10(StudyInstanceUID=study) for _ in range(number)])
    sop_class = {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]}
    one = {"00080016": sop_class, "00100020": {"vr": "LO", "Value": ["x"]}, "0020000D": {"vr": "UI", "Value": [study]}}
    many = [one | {tag: {"vr": "UI", "Value": [new_uid()]} for tag in ("00080018", "0020000E")} for _ in range(number)]

    parts = strict.post("/v2/studies", content=body, headers=first | {"Content-Type": content_type})
    instances = strict.post("/v2/studies", json=many, headers=first | {"Content-Type": "application/dicom+json"})

    assert (parts.status_code, instances.status_code) == (status, status)
    assert strict.get(f"/v2/studies?StudyInstanceUID={study}").status_code == (200 if status == 200 else 204)


def test_time_to_answer(strict: httpx.Client) -> None:
    """A client that does not send what it announced is told to come again, and holds nothing any longer."""
    address = (strict.base_url.host, strict.base_url.port or 80)
    with socket.create_connection(address, timeout=60) as stalled:
        stalled.sendall(
            b"POST /v2/studies HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n"
            b"Content-Type: application/dicom\r\nContent-Length: 100\r\n\r\nhalf"
        )
        head = stalled.recv(65536)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in head.lower()


def test_slow_upload(strict: httpx.Client) -> None:
    """A client that is slow but sends may take its time: it counts from the last byte."""
    file = part10()

    def slowly() -> Iterator[bytes]:
        for at in range(5):
            time.sleep(0.4)
            yield file[at * len(file) // 5 : (at + 1) * len(file) // 5]

    fields = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}

    assert strict.post("/v2/studies", content=slowly(), headers=fields).status_code == 200


def test_budget(tmp_path: Path) -> None:
    """A caller with too many requests is told when to come again; health is not counted."""
    with running("embedded", tmp_path, CALLER_REQUESTS_PER_S="1", CALLER_BURST="3") as url:
        answers = [httpx.get(f"{url}/v2/studies") for _ in range(10)]
        health = httpx.get(f"{url}/health/check")

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.status_code for answer in answers} == {204, 429}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert health.status_code == 200


def test_open_by_accident(tmp_path: Path) -> None:
    """A service that others can reach does not start without tokens; nor does one that says so in the wrong words."""
    for settings in ({"HOST": "0.0.0.0"}, {"ACCESS_WITHOUT_TOKENS": "true"}):  # noqa: S104 - it is refused
        environment = os.environ | {"PORT": "0", "DATA": str(tmp_path), "STORAGE": "embedded"} | settings
        done = subprocess.run(
            [sys.executable, "-m", "localhost"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

        assert done.returncode == 1
        assert "ACCESS_WITHOUT_TOKENS" in done.stderr


def test_open_on_purpose(tmp_path: Path) -> None:
    """With the sentence it starts, and one line of the log says what that means."""
    log = tmp_path / "log"
    with running("embedded", tmp_path / "data", log, HOST="0.0.0.0", ACCESS_WITHOUT_TOKENS=WITHOUT_TOKENS) as url:  # noqa: S104
        for _ in range(3):
            assert httpx.get(f"{url}/v2/studies").status_code == 204

    assert log.read_text("utf-8").count("no tokens are asked for") == 1
