"""Records of calls, in the log and in the table, and what never gets into the log (health-and-ops.md, "Audit log")."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.data.tables import TableServiceClient

from tests.e2e.conftest import ROOT, Service, running
from tests.factories import multipart, part10
from tests.issuer import bearer, issuing
from tests.unit.test_function_app import ROUTES

pytestmark = pytest.mark.skipif("DICOMWEB_URL" in os.environ, reason="a deployment's log is not ours to read")

_RECORD = re.compile(r'\{"Type":"audit".*\}')
_MARK = "Zebedee"
_UIDS = {"StudyInstanceUID": "1.2.777001.1", "SeriesInstanceUID": "1.2.777001.2", "SOPInstanceUID": "1.2.777001.3"}


def records(log: Path) -> list[dict[str, Any]]:
    """Return the audit records of a log, in order."""
    return [json.loads(found) for found in _RECORD.findall(log.read_text("utf-8"))]


def test_records(tmp_path: Path) -> None:
    """Each call has a start and an end record that say who did what, how it ended and what the client wants kept."""
    log = tmp_path / "log"
    with (
        issuing() as issuer,
        running("embedded", tmp_path / "data", log, AUTH_ISSUERS=issuer.url, AUTH_AUDIENCES="api://dicom") as url,
    ):
        token = bearer(issuer.token("globalReader", oid="o-1", azp="viewer"))
        custom = {"X-MS-AzureDicom-Audit-Reason": "second\topinion"}
        found = httpx.get(f"{url}/v2/studies", headers=token | custom)
        refused = httpx.get(f"{url}/v2/studies")

    start, end, *others = records(log)
    who = {"Issuer": issuer.url, "Identity": "o-1", "Application": "viewer"}
    what = {"OperationName": "search_for_studies", "Action": "read", "Method": "GET", "CallerIpAddress": "127.0.0.1"}
    kept = {"CustomHeaders": '{"x-ms-azuredicom-audit-reason":"second\\topinion"}'}
    same = who | what | kept | {"CorrelationId": found.headers["X-Correlation-Id"]}
    assert start.items() >= (same | {"ResultType": "Started"}).items()
    assert end.items() >= (same | {"ResultType": "Succeeded", "StatusCode": 204}).items()
    assert start["TimeGenerated"] <= end["TimeGenerated"]
    assert [one["CorrelationId"] for one in others] == 2 * [refused.headers["X-Correlation-Id"]]
    assert others[1].items() >= {"ResultType": "Failed", "StatusCode": 401}.items()
    assert "Identity" not in others[1]


@pytest.mark.parametrize(("number", "length", "status"), [(10, 2048, 204), (11, 1, 400), (1, 2049, 400)])
def test_custom_headers(number: int, length: int, status: int, service: Service) -> None:
    """More or longer fields than the reference takes are 400."""
    fields = {f"X-MS-AZUREDICOM-AUDIT-{index}": "x" * length for index in range(number)}

    assert httpx.get(f"{service.url}/v2/studies?PatientID=x", headers=fields).status_code == status


def rows(connection: str, query: str) -> list[dict[str, Any]]:
    with TableServiceClient.from_connection_string(connection) as service:
        return [dict(row) for row in service.get_table_client("dicomaudit").query_entities(query)]


def test_table(azurite: str, tmp_path: Path) -> None:
    """The table tells who read which study, the log does not name it; rows are in it when a strict read is answered."""
    log, study = tmp_path / "log", "1.2.777002.1"
    with running(
        "embedded", tmp_path / "data", log, DICOM_STORAGE_CONNECTION_STRING=azurite, AUDIT_STRICT="true"
    ) as url:
        httpx.get(f"{url}/v2/wado?requestType=WADO&studyUID={study}&seriesUID=1.2&objectUID=1.3")
        httpx.get(f"{url}/v2/studies/{study}/series")
        found = rows(azurite, f"StudyInstanceUid eq '{study}'")

    expected = {("retrieve_by_uri", "Started"), ("search_for_series_in_study", "Started")}
    expected.add(("search_for_series_in_study", "Succeeded"))
    # The end of the call that failed is written while others are answered: nothing was read by it.
    assert {(row["OperationName"], row["ResultType"]) for row in found} - {("retrieve_by_uri", "Failed")} == expected
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d-[0-9a-f]", row["PartitionKey"]) for row in found)
    assert study not in log.read_text("utf-8")


def ask(environment: dict[str, str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code of `python -m shared.audit`, and the records it shows."""
    done = subprocess.run(
        [sys.executable, "-m", "shared.audit", "--json", *arguments],
        cwd=ROOT,
        env=os.environ | {"DICOM_SQL_URL": "sqlite:///not-opened"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_who_read_which_study(azurite: str, tmp_path: Path) -> None:
    """An operator asks who read a study; a search that names it or finds it, and the change feed, are answers too."""
    study, environment = "1.2.777003.1", {"DICOM_STORAGE_CONNECTION_STRING": azurite}
    with (
        issuing() as issuer,
        running(
            "embedded",
            tmp_path,
            **environment,
            AUDIT_STRICT="true",
            AUTH_ISSUERS=issuer.url,
            AUTH_AUDIENCES="api://dicom",
        ) as url,
        httpx.Client(base_url=f"{url}/v2/") as http,
    ):
        owner = bearer(issuer.token("DicomDataOwner", oid="una"))
        body, content_type = multipart([part10(StudyInstanceUID=study, PatientName="Doe^Seen")])
        assert http.post("studies", content=body, headers=owner | {"Content-Type": content_type}).status_code == 200
        for who, path in (
            ("ada", f"studies/{study}/series"),
            ("bob", f"studies?StudyInstanceUID={study}"),
            ("eve", f"instances?0020000d={study}"),
            ("ida", "studies?StudyInstanceUID=1.2.777003.2"),
            ("max", "series?PatientName=Doe*"),
            ("kim", "changefeed"),
            ("lea", "changefeed?includeMetadata=false"),
        ):
            http.get(path, headers=bearer(issuer.token("DicomDataReader", oid=who)))

    code, found = ask(environment, "--study", study, "--action", "read")

    assert code == 0
    assert [(one["Identity"], one["ResultType"]) for one in found] == [
        *((who, result) for who in ("ada", "bob", "eve") for result in ("Started", "Succeeded")),
        ("max", "Succeeded"),
        ("kim", "Succeeded"),
    ]
    assert ask(environment, "--study", study, "--identity", "ida") == (1, [])
    assert ask(environment, "--study", study, "--last", "2020-01-01", "--first", "2019-12-31") == (1, [])
    assert ask({"DICOM_STORAGE_FOLDER": str(tmp_path)}) == (2, [])


@pytest.mark.parametrize(("strict", "statuses"), [("true", [503, 204]), ("false", [204, 204])])
def test_table_out_of_reach(
    azurite: str, tmp_path: Path, unused_tcp_port: int, strict: str, statuses: list[int]
) -> None:
    """Where records cannot be kept a strict service reads nothing, and still stores; another goes on."""
    broken = re.sub(r"TableEndpoint=http://127.0.0.1:\d+", f"TableEndpoint=http://127.0.0.1:{unused_tcp_port}", azurite)
    body, content_type = multipart([])
    with running("embedded", tmp_path, DICOM_STORAGE_CONNECTION_STRING=broken, AUDIT_STRICT=strict) as url:
        answers = [
            httpx.get(f"{url}/v2/studies", timeout=60),
            httpx.post(f"{url}/v2/studies", content=body, headers={"Content-Type": content_type}, timeout=60),
        ]

    assert [answer.status_code for answer in answers] == statuses


def marked() -> bytes:
    """Return an instance whose every value of a patient has the mark."""
    texts = ("PatientName", "PatientID", "PatientComments", "AccessionNumber", "StudyDescription", "InstitutionName")
    values: dict[str, Any] = _UIDS | {name: f"{_MARK}^{name[:4]}" for name in texts}
    return part10(pixel_bytes=2, PatientBirthDate=_MARK, StudyTime=_MARK, PatientSex=_MARK, **values)


def requests() -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Yield method, path, header and body of calls of every route, right and wrong, all of them with marks."""
    file = marked()
    good = {"study": "1.2.777001.1", "series": "1.2.777001.2", "instance": "1.2.777001.3", "frames": "1"}
    missing = good | {"study": "1.2.777001.9"}
    wrong = {name: f"{_MARK}-{name}" for name in good}
    body, multiple = multipart([file, file[:200], _MARK.encode(), file[:-1] + b"\xff"])
    for values in (good, missing, wrong):
        for method, template in ROUTES:
            path = template.replace("{*path}", f"00100010/{_MARK}" if values is wrong else "7FE00010")
            for name, value in values.items():
                path = path.replace(f"{{{name}}}", value)
            query = f"?PatientName={_MARK}*&includefield={_MARK}&limit={_MARK}&window={_MARK}"
            if template == "wado":
                query = "?requestType=WADO" + "".join(
                    f"&{name}={values[level]}"
                    for name, level in (("studyUID", "study"), ("seriesUID", "series"), ("objectUID", "instance"))
                )
            for accept in ("*/*", "application/dicom+json", f"image/{_MARK}"):
                fields = {"Accept": accept, "User-Agent": _MARK, "Referer": f"https://x/{_MARK}"}
                content = {"Content-Type": multiple, f"msdicom-meta-CS-{_MARK}": _MARK} if method == "PUT" else {}
                if method != "DELETE":
                    yield method, path, fields | content, body
                yield method, path + query, fields | {"Content-Type": "application/dicom"}, file
    yield (
        "POST",
        "studies",
        {"Content-Type": "application/dicom+json"},
        b'[{"00100010": {"vr": "PN", "Value": ["%s"]}}]' % (_MARK.encode()),
    )
    yield "POST", "studies", {"Content-Type": "application/dicom+xml"}, f"<NativeDicomModel>{_MARK}".encode()
    yield "POST", "studies", {"Content-Type": "application/dicom", "Content-Encoding": "gzip"}, _MARK.encode()
    yield "GET", f"studies?PatientName=%3c{_MARK}", {}, b""
    yield "GET", f"studies?{'PatientName=' + _MARK + '&' * 9000}", {}, b""
    yield "GET", f"nowhere/{_MARK}", {}, b""


def test_no_marks(tmp_path: Path) -> None:
    """Of marked data of a patient nothing is in the log at any level or in metrics, whatever goes wrong."""
    log, settings = tmp_path / "log", {"AzureFunctionsJobHost__logging__logLevel__default": "Trace"}
    settings |= {"METRICS_TO": "console", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
    with running("embedded", tmp_path / "data", log, **settings) as url, httpx.Client(base_url=f"{url}/v2/") as http:
        fields = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
        assert http.post("studies", content=marked(), headers=fields).status_code == 202
        statuses = {
            http.request(method, path, headers=fields, content=body).status_code
            for method, path, fields, body in requests()
        }
        assert _MARK in http.get("studies/1.2.777001.1/metadata").text or 404 in statuses

    text = log.read_text("utf-8")
    assert statuses >= {200, 202, 204, 400, 404, 406, 409, 414}
    assert len(records(log)) > 100
    assert " DEBUG " in text
    assert "dicomweb.request.duration" in text
    assert [line for line in text.splitlines() if _MARK.lower() in line.lower() or "777001" in line] == []


def test_settings_are_not_told(tmp_path: Path) -> None:
    """What settings hold, the address of the database among it, is in no answer and not in the log."""
    log = tmp_path / "log"
    with running("embedded", tmp_path / "secret-data", log) as url:
        answers = [
            httpx.get(f"{url}/{path}").text for path in ("health/check", "v2/api.json", "swagger", "v2/studies/x")
        ]

    assert not [text for text in [*answers, log.read_text("utf-8")] if "secret-data" in text]
