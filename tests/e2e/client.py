"""A DICOMweb client that hides nothing: raw requests, raw answers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydicom.tag import Tag

from tests.factories import multipart

ANY_INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True, slots=True)
class Client:
    """Requests below one base URL."""

    http: httpx.Client
    version: str = "v2"

    def store(self, *files: bytes, study: str | None = None, **headers: str) -> httpx.Response:
        """Store files in one multipart request."""
        body, content_type = multipart(files)
        return self.post(body, content_type, study=study, **headers)

    def upsert(self, *files: bytes, study: str | None = None, **headers: str) -> httpx.Response:
        """Store files in one multipart request that replaces what is there."""
        body, content_type = multipart(files)
        return self.post(body, content_type, study=study, method="PUT", **headers)

    def post(
        self,
        body: bytes | Iterable[bytes],
        content_type: str | None,
        *,
        study: str | None = None,
        method: str = "POST",
        **headers: str,
    ) -> httpx.Response:
        """Send a Store request with any body; a header field that is "" is left out."""
        path = "/studies" if study is None else f"/studies/{study}"
        fields = {"Accept": "application/dicom+json", "Content-Type": content_type or ""} | headers
        request = self.http.build_request(method, path, content=body)
        # httpx adds an Accept of its own, so a test that wants none takes it out.
        request.headers.update(fields)
        for name in [name for name, value in fields.items() if not value]:
            del request.headers[name]
        return self.http.send(request)

    def get(self, path: str, accept: str | None = None, params: Mapping[str, str] | None = None) -> httpx.Response:
        """Get a resource; without *accept* the Accept header is any type."""
        return self.http.get(path, headers={"Accept": accept or "*/*"}, params=params)

    def metadata(self, path: str, **headers: str) -> list[dict[str, Any]]:
        """Return the data sets below a study, series or instance."""
        answer = self.http.get(f"{path}/metadata", headers={"Accept": "application/dicom+json"} | headers)
        assert answer.status_code == 200, answer.text
        datasets: list[dict[str, Any]] = answer.json()
        return datasets

    def stored_metadata(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the data set of the one instance that a Store's response lists as stored."""
        [item] = answer.json()["00081199"]["Value"]
        [found] = self.metadata(item["00081190"]["Value"][0])
        return found

    def search(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Search and return the matches, none for 204."""
        answer = self.get(path, "application/dicom+json", params)
        assert answer.status_code in {200, 204}, answer.text
        return [] if answer.status_code == 204 else answer.json()

    def files(self, path: str) -> list[bytes]:
        """Retrieve all instances of a resource as they are stored."""
        answer = self.get(path, ANY_INSTANCES)
        assert answer.status_code == 200, answer.text
        return parts_of(answer)


def parts_of(answer: httpx.Response) -> list[bytes]:
    """Return the contents of a multipart answer, split at its boundary."""
    media_type, _, boundary = answer.headers["content-type"].partition("boundary=")
    assert media_type == 'multipart/related; type="application/dicom"; '
    opening, *parts, closing = (b"\r\n" + answer.content).split(f"\r\n--{boundary}".encode())
    assert opening == b""
    assert closing == b"--\r\n"
    heads_and_contents = [part.split(b"\r\n\r\n", 1) for part in parts]
    assert all(
        head.startswith(b"\r\nContent-Type: application/dicom; transfer-syntax=") for head, _ in heads_and_contents
    )
    return [content for _, content in heads_and_contents]


@contextmanager
def client_of(base: str, version: str) -> Iterator[Client]:
    """Give a client of one version's base."""
    with httpx.Client(base_url=base, timeout=30) as http:
        yield Client(http, version)


def reasons(answer: httpx.Response) -> list[int]:
    """Return the Failure Reasons of a Store's response, in order."""
    return [item["00081197"]["Value"][0] for item in answer.json().get("00081198", {}).get("Value", [])]


def stored(answer: httpx.Response) -> list[str]:
    """Return the SOP Instance UIDs that a Store's response lists as stored, in order."""
    return [item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])]


def warnings(answer: httpx.Response) -> list[int | None]:
    """Return the Warning Reason of each stored instance, in order."""
    items = answer.json().get("00081199", {}).get("Value", [])
    return [item.get("00081196", {"Value": [None]})["Value"][0] for item in items]


def named(answer: httpx.Response) -> list[str]:
    """Return the tags, as (gggg,eeee), that the Failed Attributes Sequences of all instances name, in order."""
    comments = [comment for item in _items(answer) for comment in item.get("00741048", {}).get("Value", [])]
    texts = [comment["00000902"]["Value"][0] for comment in comments]
    return [text.removeprefix("DICOM100: ").partition(" - ")[0] for text in texts]


def comment_name(keyword: str) -> str:
    """Return an attribute's tag as a comment writes it: (gggg,eeee) in lower-case hexadecimal."""
    return f"({Tag(keyword).group:04x},{Tag(keyword).element:04x})"


def _items(answer: httpx.Response) -> list[dict[str, Any]]:
    report = answer.json()
    return [item for tag in ("00081198", "00081199") for item in report.get(tag, {}).get("Value", [])]
