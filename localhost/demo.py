"""`make demo`: stores a small study in the running service, then shows what the service answers about it."""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TextIO
from urllib.parse import urlsplit

from pydicom.dataset import Dataset

from localhost.demo_study import PATIENT_ID, SHOWN_SLICE, STUDY, demo_study, file_of, throw_away

_ALREADY_STORED = b"45070"
_SHOWN_CHARACTERS = 400
_BAR_CHARACTERS = 30
_TIMEOUT_S = 60
_STORE_HEADERS = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}


class DemoFailed(Exception):
    """The demo cannot go on; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered."""

    status: HTTPStatus
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """A request worth trying, below the service's base."""

    purpose: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    output: str = ""

    def curl(self, base: str) -> str:
        """Return the command line that sends it."""
        method = "" if self.method == "GET" else f" -X {self.method}"
        headers = "".join(f" -H '{name}: {value}'" for name, value in self.headers.items())
        output = f" -o {self.output}" if self.output else ""
        return f"curl{method}{headers}{output} '{base}{self.path}'"


class Service:
    """A connection to the service at *base*, its URL with the version."""

    def __init__(self, base: str) -> None:
        place = urlsplit(base)
        if place.scheme not in {"http", "https"} or not place.netloc:
            raise DemoFailed(f"URL is {base!r}; expected one like http://127.0.0.1:7071/v2")
        self.base = base if place.path.strip("/") else f"{base.rstrip('/')}/v2"
        self._path = urlsplit(self.base).path.rstrip("/")
        connection = HTTPSConnection if place.scheme == "https" else HTTPConnection
        self._connection = connection(place.netloc, timeout=_TIMEOUT_S)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send a request and return its answer, read to the end.

        Raises
        ------
        DemoFailed
            Nothing answers there.
        """
        try:
            self._connection.request(method, self._path + path, body, dict(headers))
            answer = self._connection.getresponse()
            return Answer(HTTPStatus(answer.status), answer.headers.get_content_type(), answer.read())
        except (OSError, HTTPException, ValueError) as error:
            raise DemoFailed(f"No DICOM service answers at {self.base}; `make run` starts one.") from error

    def check(self) -> None:
        """Raise `DemoFailed` unless what answers is a DICOM service."""
        answer = self.ask("GET", "/studies?limit=1", {"Accept": "application/dicom+json"})
        if answer.status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            raise DemoFailed(f"A search at {self.base} was answered {_status(answer)}; expected 200 or 204.")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    try:
        service = Service(_url(arguments, os.environ))
        try:
            _run(service, datetime.now().astimezone(), sys.stdout)
        finally:
            service.close()
    except DemoFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _url(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> str:
    """Return the service's URL: of the argument, of URL, or made of HOST and PORT."""
    host, port = environment.get("HOST") or "127.0.0.1", environment.get("PORT") or "7071"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    parser = argparse.ArgumentParser(prog="python -m localhost.demo", description="Store a study and ask about it.")
    parser.add_argument("--url", default=environment.get("URL") or f"http://{host}:{port}")
    return str(parser.parse_args(arguments).url)


def _run(service: Service, now: datetime, terminal: TextIO) -> None:
    service.check()
    study = demo_study(now)
    wasted = throw_away(now)
    files = [one for datasets in study.values() for one in datasets]
    counts = ", ".join(f"{len(datasets)} {modality}" for modality, datasets in study.items())
    print(f"Storing a study of three modalities in {service.base}: {counts}", file=terminal)
    added = store(service, files, terminal)
    print(f"{added} instances stored, {len(files) - added} were there from an earlier run.", file=terminal)
    store(service, [wasted], None)
    for number, command in enumerate(commands(study, wasted), start=1):
        answer = service.ask(command.method, command.path, {"Accept": "*/*", **command.headers})
        print(f"\n{number}. {command.purpose}\n   {command.curl(service.base)}", file=terminal)
        print(f"   {shortened(answer)}", file=terminal)
    print(f"\nTo remove the study: curl -X DELETE '{service.base}/studies/{STUDY}'", file=terminal)


def store(service: Service, datasets: Sequence[Dataset], terminal: TextIO | None) -> int:
    """Store instances one by one and return how many were not there yet.

    Raises
    ------
    DemoFailed
        One is refused for another reason than being stored already (45070).
    """
    added = 0
    for number, dataset in enumerate(datasets, start=1):
        answer = service.ask("POST", "/studies", _STORE_HEADERS, file_of(dataset))
        is_there = answer.status is HTTPStatus.CONFLICT and _ALREADY_STORED in answer.body
        if not is_there and answer.status is not HTTPStatus.OK:
            raise DemoFailed(f"Store was answered {_status(answer)}; expected 200 from {service.base}/studies.")
        added += not is_there
        if terminal is not None:
            _show_progress(number, len(datasets), dataset.Modality, terminal)
    return added


def commands(study: Mapping[str, Sequence[Dataset]], wasted: Dataset) -> Iterable[Command]:
    """Return the requests worth trying, in order."""
    slices, [document] = study["CT"], study["SR"]
    count = "includefield=NumberOfStudyRelatedInstances"
    described = "includefield=SeriesDescription&includefield=NumberOfSeriesRelatedInstances"
    return (
        Command("Search for the studies of a patient", f"/studies?PatientID={PATIENT_ID}&{count}"),
        Command("Search for the series of the study", f"/studies/{STUDY}/series?{described}"),
        Command("Read the report as metadata", f"{_path(document)}/metadata"),
        Command(
            "Retrieve an instance as it is stored",
            _path(slices[SHOWN_SLICE]),
            headers={"Accept": "application/dicom; transfer-syntax=*"},
            output="slice.dcm",
        ),
        Command("Delete an instance (one that was stored for this)", _path(wasted), "DELETE"),
    )


def _path(dataset: Dataset) -> str:
    """Return the path of an instance below the base (PS3.18 Table 10.1-1)."""
    return f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"


def shortened(answer: Answer) -> str:
    """Return status, media type and length of an answer, and of a text its beginning."""
    if not answer.body:
        return f"{_status(answer)}, no body"
    head = f"{_status(answer)}, {answer.media_type}, {len(answer.body):,} bytes"
    if answer.media_type == "application/dicom":
        return head
    text = answer.body.decode(errors="replace")
    return f"{head}\n   {text[:_SHOWN_CHARACTERS]}{' …' if len(text) > _SHOWN_CHARACTERS else ''}"


def _status(answer: Answer) -> str:
    return f"{answer.status.value} {answer.status.phrase}"


def _show_progress(done: int, total: int, modality: str, terminal: TextIO) -> None:
    """Draw a bar on a terminal; write a line for every ten instances elsewhere."""
    if terminal.isatty():
        full = _BAR_CHARACTERS * done // total
        bar = "█" * full + "░" * (_BAR_CHARACTERS - full)
        print(f"\r{bar} {done}/{total} {modality}", end="\n" if done == total else "", file=terminal, flush=True)
    elif done % 10 == 0 or done == total:
        print(f"{done} of {total}", file=terminal, flush=True)


if __name__ == "__main__":
    sys.exit(main())
