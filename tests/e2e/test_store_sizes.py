"""How the body of a Store may be sent: its codings, in chunks, and how long it may be (store.md, "Request")."""

import gzip
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.client import Client, client_of
from tests.e2e.conftest import Service, running
from tests.factories import multipart, new_uid, part10

_LIMIT = 400_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a service with low limits: of requests `_LIMIT`, of instances half, of composed ones a tenth."""
    limits = {
        "MAX_REQUEST_BYTES": str(_LIMIT),
        "MAX_INSTANCE_BYTES": str(_LIMIT // 2),
        "MAX_COMPOSED_BYTES": str(_LIMIT // 10),
        "BATCH_BYTES": str(_LIMIT // 4),
    }
    with running("embedded", tmp_path_factory.mktemp("data"), **limits) as url, client_of(f"{url}/v2", "v2") as client:
        yield client


def _raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", _raw_deflate),
        ("identity", bytes),
        ("deflate, gzip", lambda content: gzip.compress(zlib.compress(content))),
    ],
)
@pytest.mark.parametrize("is_multipart", [True, False], ids=["multipart", "single"])
def test_content_encoding(plain: Client, coding: str, pack: Callable[[bytes], bytes], is_multipart: bool) -> None:
    """Bodies in the codings gzip and deflate are stored as what they hold (RFC 9110 §8.4; conformance-extras.md)."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, pixel_bytes=50_000)
    body, content_type = multipart([file]) if is_multipart else (file, "application/dicom")
    headers = {"Content-Encoding": coding}

    answer = plain.post(pack(body), content_type, **headers)

    assert answer.status_code == 200, answer.text
    assert plain.files(f"/studies/{study}") == [file]


@pytest.mark.parametrize(
    ("coding", "change", "status"),
    [
        pytest.param("br", bytes, 415, id="unknown coding"),
        pytest.param("gzip, br", bytes, 415, id="one unknown coding"),
        pytest.param("gzip, gzip, gzip", bytes, 415, id="too many codings"),
        pytest.param("gzip", lambda body: body[:-9], 400, id="ends early"),
        pytest.param("gzip", lambda body: body[:60] + b"\xff" * 20 + body[80:], 400, id="damaged"),
        pytest.param("gzip", lambda _: b"not gzip at all", 400, id="not gzip"),
        pytest.param("deflate", bytes, 400, id="gzip as deflate"),
    ],
)
def test_bad_encoding(plain: Client, coding: str, change: Callable[[bytes], bytes], status: int) -> None:
    """An unknown coding is 415, a body that does not decode 400; nothing is stored."""
    study = new_uid()
    body, content_type = multipart([part10(StudyInstanceUID=study)])
    headers = {"Content-Encoding": coding}

    answer = plain.post(change(gzip.compress(body)), content_type, **headers)

    assert answer.status_code == status
    assert plain.search("/studies", StudyInstanceUID=study) == []


def test_expect_continue(service: Service) -> None:
    """A client that waits for `100 Continue` before it sends the body gets it (RFC 9110 §10.1.1)."""
    file = part10()
    url = httpx.URL(service.base("v2"))
    head = (
        f"POST {url.path}/studies HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/dicom\r\n"
        f"Content-Length: {len(file)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )

    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(head.encode())
        interim = connection.recv(1000)
        connection.sendall(file)
        answer = connection.makefile("rb").read()

    assert interim.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 200 " in interim + answer


def _chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with length", "chunked"])
@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        pytest.param([150_000, 150_000], 200, id="within the limits"),
        pytest.param([150_000, 150_000, 150_000], 413, id="request over its limit"),
        pytest.param([1_000, 250_000], 413, id="instance over its limit"),
    ],
)
def test_size(small: Client, sizes: list[int], status: int, is_chunked: bool) -> None:
    """A request or a part over its limit is 413, and nothing of it is stored (store.md, "Request")."""
    study = new_uid()
    body, content_type = multipart([part10(StudyInstanceUID=study, pixel_bytes=size) for size in sizes])

    answer = small.post(_chunks(body) if is_chunked else body, content_type)

    assert answer.status_code == status, answer.text
    assert len(small.search("/instances", StudyInstanceUID=study)) == (len(sizes) if status == 200 else 0)
    assert small.store(part10()).status_code == 200


@pytest.mark.parametrize("size", [250_000, 500_000], ids=["instance", "request"])
def test_size_single_part(small: Client, size: int) -> None:
    """A single part has the same limits."""
    answer = small.post(part10(pixel_bytes=size), "application/dicom")

    assert answer.status_code == 413
    assert "limit" in answer.text


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_size_inflated(small: Client, coding: str, pack: Callable[[bytes], bytes]) -> None:
    """What a body inflates to is bounded as a body is: 413, however small it was, and nothing is stored."""
    study = new_uid()
    body, content_type = multipart([part10(StudyInstanceUID=study, pixel_bytes=150_000) for _ in range(20)])
    headers = {"Content-Encoding": coding}

    answer = small.post(pack(body), content_type, **headers)

    assert len(pack(body)) < _LIMIT < len(body)
    assert answer.status_code == 413
    assert small.search("/studies", StudyInstanceUID=study) == []


def test_size_composed(small: Client) -> None:
    """A request of metadata and bulk data has a limit of its own, as it is held in memory (413)."""
    metadata: list[dict[str, Any]] = [{"00104000": {"vr": "LT", "Value": ["x" * 1_000]}}] * 45

    answer = small.http.post("/studies", json=metadata, headers={"Content-Type": "application/dicom+json"})

    assert answer.status_code == 413


def test_chunked(client: Client) -> None:
    """A chunked body of several megabytes arrives whole."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study, pixel_bytes=900_000 + number) for number in range(4)]
    body, content_type = multipart(files)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 99_991):
            yield body[start : start + 99_991]

    answer = client.post(chunks(), content_type)

    assert answer.status_code == 200, answer.text
    assert client.files(f"/studies/{study}") == files
