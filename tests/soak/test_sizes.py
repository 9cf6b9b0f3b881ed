"""A request and an instance of the largest size come back byte for byte, in bounded memory and without temporary files.

`make soak` sets SOAK: full sizes on both storages. Without it, a small one of each kind on embedded storage.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import pack
from typing import TypeAlias

import httpx
import pytest

from bench.instances import Template
from bench.names import Kind, Names, names
from tests.e2e.client import ANY_INSTANCES
from tests.soak.service import Service, Watch, running

_IS_FULL = bool(os.environ.get("SOAK"))
_STORAGES = ("embedded", "azurite") if _IS_FULL else ("embedded",)
_FRAMINGS = (True, False) if _IS_FULL else (True,)
_BYTES = 4 * 2**30 if _IS_FULL else 300 * 2**20
"""Of a request: MAX_REQUEST_BYTES, or a little of it."""
_SLACK_BYTES = 2**16
_MOST_GROWTH_MIB = 200
_LONGEST_S = 1800.0
_PIECE_BYTES = 2**18
_OPENING = b"--soak\r\nContent-Type: application/dicom\r\n\r\n"
_CLOSING = b"--soak--\r\n"
_MULTIPART = 'multipart/related; type="application/dicom"; boundary=soak'

Files: TypeAlias = Iterable[Iterable[bytes | memoryview]]
"""The bytes of files, in pieces."""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files of everything that is started."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture(params=_STORAGES)
def service(request: pytest.FixtureRequest, temporary: Path, tmp_path: Path) -> Iterator[Service]:
    """A service of its own, whose data is removed at once: it is much."""
    assert temporary.is_dir()
    with running(request.param, tmp_path / "data", workers=1) as found:
        yield found
    shutil.rmtree(tmp_path / "data")


@pytest.mark.parametrize("is_chunked", _FRAMINGS, ids=["chunked", "Content-Length"][: len(_FRAMINGS)])
def test_request_of_many(service: Service, temporary: Path, is_chunked: bool) -> None:
    """A request of thousands of instances that is as large as one may be is stored and retrieved as it was."""
    template = Template(Kind.IMAGE)
    part_bytes = len(_OPENING) + template.length + len(b"\r\n")
    count = (_BYTES - _SLACK_BYTES) // part_bytes
    called = [names(0, 0, number, per_study=count) for number in range(count)]
    files = (template.file(one) for one in called)
    sent, received = hashlib.sha256(), hashlib.sha256()

    with Watch(service, temporary) as watch:
        length = None if is_chunked else count * part_bytes + len(_CLOSING)
        answer = _store(service, _parts(files, sent), _MULTIPART, length)
        assert answer.status_code == 200
        assert len(answer.json()["00081199"]["Value"]) == count
        for content in _retrieve_parts(service, called[0], template.length):
            received.update(content)

    assert received.digest() == sent.digest()
    _check(service, watch, temporary)


@pytest.mark.parametrize("is_chunked", _FRAMINGS, ids=["chunked", "Content-Length"][: len(_FRAMINGS)])
def test_one_instance(service: Service, temporary: Path, is_chunked: bool) -> None:
    """An instance that is as large as one may be is stored and retrieved as it was."""
    template, called = Template(Kind.IMAGE), names(0, 0, 0, per_study=1)
    head = template.file(called)[0]
    pixel_bytes = (_BYTES - _SLACK_BYTES - len(head)) // _PIECE_BYTES * _PIECE_BYTES
    file = _large_file(head, pixel_bytes)
    sent, received = hashlib.sha256(), hashlib.sha256()

    with Watch(service, temporary) as watch:
        length = None if is_chunked else len(head) + pixel_bytes
        answer = _store(service, _digested(file, sent), "application/dicom", length)
        assert answer.status_code == 200
        accept = {"Accept": "application/dicom; transfer-syntax=*"}
        with httpx.stream("GET", f"{service.url}/v2{called.path}", headers=accept, timeout=_LONGEST_S) as got:
            assert got.status_code == 200
            for piece in got.iter_raw():
                received.update(piece)

    assert received.digest() == sent.digest()
    _check(service, watch, temporary)


def _store(service: Service, body: Iterator[bytes], content_type: str, length: int | None) -> httpx.Response:
    """Send a body as it is made, in chunks where its *length* is not told."""
    headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
    headers |= {} if length is None else {"Content-Length": str(length)}
    return httpx.post(f"{service.url}/v2/studies", content=body, headers=headers, timeout=_LONGEST_S)


def _parts(files: Files, digest: "hashlib._Hash") -> Iterator[bytes]:
    for file in files:
        yield _OPENING
        yield from _digested(file, digest)
        yield b"\r\n"
    yield _CLOSING


def _digested(pieces: Iterable[bytes | memoryview], digest: "hashlib._Hash") -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield bytes(piece)


def _large_file(head: bytes, pixel_bytes: int) -> Iterator[bytes]:
    """Yield a file whose pixel data is so long; no two pieces of it are the same."""
    yield head[:-4] + pack("<L", pixel_bytes)
    same = secrets.token_bytes(_PIECE_BYTES - 8)
    for number in range(pixel_bytes // _PIECE_BYTES):
        yield pack("<Q", number) + same


def _retrieve_parts(service: Service, called: Names, file_bytes: int) -> Iterator[bytes]:
    """Yield the contents of the files of a study, which all have the same length, as they arrive."""
    url = f"{service.url}/v2/studies/{called.study}"
    with httpx.stream("GET", url, headers={"Accept": ANY_INSTANCES}, timeout=_LONGEST_S) as got:
        assert got.status_code == 200
        held = bytearray()
        left = 0
        for piece in got.iter_raw():
            held += piece
            while held:
                if left:
                    some = bytes(held[:left])
                    left -= len(some)
                    del held[: len(some)]
                    yield some
                elif (end := held.find(b"\r\n\r\n")) >= 0:
                    del held[: end + 4]
                    left = file_bytes
                else:
                    break
        assert held.endswith(b"--\r\n")
        assert left == 0


def _check(service: Service, watch: Watch, temporary: Path) -> None:
    """No process grew above the bound, nothing was written to temporary files, and nothing disagrees."""
    growth = watch.growth_mib()
    (temporary.parent / "growth_mib.json").write_text(json.dumps(growth))
    assert max(growth.values()) < _MOST_GROWTH_MIB, growth
    assert watch.folder_bytes == 0
    ended = service.check("--deep")
    assert ended.returncode == 0, ended.stdout + ended.stderr
