"""Real DICOM files: each is stored or refused as its manifest expects, and comes back byte for byte."""

import csv
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import Service

_EXPECTED = {
    "store": {HTTPStatus.OK, HTTPStatus.ACCEPTED},
    "odd": {HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT},
    "refuse": {HTTPStatus.CONFLICT},
}
_FOLDER = Path(__file__).parents[3] / "shared" / "data" / "corpus"


def _manifest() -> list[dict[str, str]]:
    """Return the rows of the manifest; none where the folder is absent, which `corpus` reports as a skip."""
    if not _FOLDER.is_dir():
        return [{"file": "absent", "expect": "store"}]
    with (_FOLDER / "manifest.csv").open(newline="") as rows:
        return list(csv.DictReader(rows))


@pytest.mark.parametrize("row", _manifest(), ids=lambda row: row["file"])
def test_file(service: Service, corpus: Path, row: dict[str, str]) -> None:
    """A conforming file is stored and comes back as it was, preamble aside; no file is a server error."""
    file = (corpus / "corpus" / row["file"]).read_bytes()
    with httpx.Client(base_url=service.base("v2"), timeout=60) as http:
        client = Client(http)

        answer = client.post(file, "application/dicom")

        assert answer.status_code in _EXPECTED[row["expect"]], answer.text
        if answer.status_code != HTTPStatus.CONFLICT:
            [item] = answer.json()["00081199"]["Value"]
            path = item["00081190"]["Value"][0].removeprefix(str(http.base_url).rstrip("/"))
            assert client.files(path) == [bytes(128) + file[128:]]
            [dataset] = client.get(f"{path}/metadata", "application/dicom+json").json()
            assert dataset["00080018"]["Value"] == item["00081155"]["Value"]
            assert http.delete(path).status_code == HTTPStatus.NO_CONTENT
