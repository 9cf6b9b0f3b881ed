"""A DICOMweb client that hides nothing: raw requests, raw answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.factories import multipart

ANY_INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True, slots=True)
class Client:
    """Requests below one base URL."""

    http: httpx.Client
    version: str = "v2"

    def store(self, *files: bytes, study: str | None = None) -> httpx.Response:
        """Store files in one multipart request."""
        body, content_type = multipart(files)
        return self.post(body, content_type, study=study)

    def post(
        self, body: bytes | Iterable[bytes], content_type: str | None, *, study: str | None = None, **headers: str
    ) -> httpx.Response:
        """Send a Store request with any body."""
        path = "/studies" if study is None else f"/studies/{study}"
        fields = {"Accept": "application/dicom+json"} | headers
        if content_type is not None:
            fields["Content-Type"] = content_type
        return self.http.post(path, content=body, headers=fields)

    def get(self, path: str, accept: str | None = None, params: Mapping[str, str] | None = None) -> httpx.Response:
        """Get a resource; without *accept* the Accept header is any type."""
        return self.http.get(path, headers={"Accept": accept or "*/*"}, params=params)

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


def reasons(answer: httpx.Response) -> list[int]:
    """Return the Failure Reasons of a Store's response, in order."""
    return [item["00081197"]["Value"][0] for item in answer.json().get("00081198", {}).get("Value", [])]


def stored(answer: httpx.Response) -> list[str]:
    """Return the SOP Instance UIDs that a Store's response lists as stored, in order."""
    return [item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])]
