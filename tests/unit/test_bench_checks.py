"""The checks of the comparison: each finds what is wrong with an answer, and nothing with a right one."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from bench.checks import Answer, fault
from bench.instances import Template, frame, windowed
from bench.load import Stored
from bench.names import Kind, Names, names

_BOUNDARY = "b"
_STORED = Stored(1, 2, per_request=2, per_study=4, per_series=2, kind=Kind.HEADER, instances=8)
_IMAGES = replace(_STORED, kind=Kind.MR)


def _one(number: int, stored: Stored = _STORED) -> Names:
    return names(stored.run, stored.group, number, stored.per_study, stored.per_series)


def _multipart(*payloads: bytes) -> bytes:
    parts = (b"--b\r\nContent-Type: application/octet-stream\r\n\r\n" + payload + b"\r\n" for payload in payloads)
    return b"".join(parts) + b"--b--"


def _file(number: int) -> bytes:
    header, pixels = Template(_IMAGES.kind).file(_one(number, _IMAGES))
    return header + bytes(pixels)


def _report(*numbers: int, failed: tuple[int, ...] = ()) -> bytes:
    def items(some: tuple[int, ...]) -> dict[str, Any]:
        return {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [_one(one).instance]}} for one in some]}

    return orjson.dumps({"00081199": items(numbers)} | ({"00081198": items(failed)} if failed else {}))


def _data_set(number: int, *, rows: int = 512) -> dict[str, Any]:
    values = {"00080018": _one(number).instance, "00281050": 40, "00200032": -175, "00280010": rows}
    return {tag: {"vr": "", "Value": [value]} for tag, value in (values | {"00080070": "Phantom Works"}).items()}


def _picture(change: Callable[[Any], Any] = lambda pixels: pixels) -> bytes:
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(change(windowed(_IMAGES.kind)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _studies(*numbers: int) -> bytes:
    return orjson.dumps([{"0020000D": {"vr": "UI", "Value": [_one(number).study]}} for number in numbers])


_STUDY = f"/studies/{_one(0).study}"
_BY_PATIENT = f"/studies?PatientID={_one(4).patient_id}"
_PIXELS = frame(Kind.MR, 1)

CASES: dict[str, tuple[str, str, bytes, Stored, str]] = {
    "stored": ("stored", "", _report(2, 3), _STORED, ""),
    "stored fewer": ("stored", "", _report(2), _STORED, "1 instances, expected 2"),
    "stored others": ("stored", "", _report(2, 4), _STORED, "other instances than expected"),
    "stored some": ("stored", "", _report(2, 3, failed=(3,)), _STORED, "instances failed"),
    "files": ("files", _one(5, _IMAGES).path, _multipart(_file(5)), _IMAGES, ""),
    "files of a study": ("files", _STUDY, _multipart(*map(_file, range(4))), _IMAGES, ""),
    "files missing": ("files", _STUDY, _multipart(*map(_file, range(3))), _IMAGES, "3 instances, expected 4"),
    "files twice": ("files", _STUDY, _multipart(*map(_file, (0, 1, 2, 2))), _IMAGES, "other instances than expected"),
    "files of another": ("files", _one(5, _IMAGES).path, _multipart(_file(4)), _IMAGES, "bytes differ"),
    "files cut": ("files", _one(5, _IMAGES).path, _multipart(_file(5)[:-1]), _IMAGES, "bytes differ"),
    "files changed": ("files", _one(5, _IMAGES).path, _multipart(_file(5)[:-1] + b"!"), _IMAGES, "bytes differ"),
    "frame": ("frame", "/frames/1", _multipart(_PIXELS), _IMAGES, ""),
    "frame changed": ("frame", "/frames/1", _multipart(b"!" + _PIXELS[1:]), _IMAGES, "pixels differ"),
    "frame twice": ("frame", "/frames/1", _multipart(_PIXELS, _PIXELS), _IMAGES, "2 frames, expected 1"),
    "metadata": ("metadata", _STUDY + "/metadata", orjson.dumps([_data_set(one) for one in range(4)]), _STORED, ""),
    "metadata of fewer": ("metadata", _STUDY, orjson.dumps([_data_set(0)]), _STORED, "1 instances, expected 4"),
    "metadata changed": ("metadata", _STUDY, orjson.dumps([_data_set(0, rows=1)]), _STORED, "elements differ"),
    "metadata without": ("metadata", _STUDY, b"[{}]", _STORED, "unreadable: KeyError"),
    "rendered": ("rendered", "", _picture(), _IMAGES, ""),
    "rendered otherwise": ("rendered", "", _picture(lambda pixels: 255 - pixels), _IMAGES, "grey levels differ"),
    "rendered smaller": (
        "rendered",
        "",
        _picture(lambda pixels: pixels[:9, :9]),
        _IMAGES,
        "size (9, 9), expected (256, 256)",
    ),
    "rendered as text": ("rendered", "", b"no picture", _IMAGES, "unreadable: UnidentifiedImageError"),
    "thumbnail": ("thumbnail", "", _picture(), _IMAGES, ""),
    "thumbnail black": ("thumbnail", "", _picture(lambda pixels: pixels * 0), _IMAGES, "a single grey"),
    "found": ("found", _BY_PATIENT, _studies(4), _STORED, ""),
    "found none": ("found", _BY_PATIENT, b"[]", _STORED, "0 matches, expected 1"),
    "found another": ("found", _BY_PATIENT, _studies(0), _STORED, "other matches than expected"),
    "found a page": ("found", "/studies?limit=1&offset=1", _studies(0), _STORED, ""),
    "found behind the last": ("found", "/studies?limit=1&offset=2", _studies(0), _STORED, "1 matches, expected 0"),
    "found twice": ("found", "/studies?limit=2", _studies(0, 0), _STORED, "a match twice"),
}


@pytest.mark.parametrize(("check", "path", "body", "stored", "expected"), CASES.values(), ids=CASES)
def test_fault(check: str, path: str, body: bytes, stored: Stored, expected: str) -> None:
    """A right answer has no fault; a wrong one has the fault that it was given."""
    answer = Answer(path, 1, 200, f'multipart/related; boundary="{_BOUNDARY}"', body)

    assert fault(check, answer, stored) == expected


def test_fault_status() -> None:
    """A status that tells of no success is a fault whatever the body says."""
    assert fault("found", Answer("/studies", 0, 404, "", _studies(0, 4)), _STORED) == "status 404"


NAMED = {
    "PatientName=smith*": {0},
    "PatientName=*00^John*": {0, 4},
    "PatientName=John": set(),
    "PatientName=john&fuzzymatching=true": {0, 4},
    "StudyDate=20100101-20100131": {0},
    "StudyDate=20100201-": {4},
    "ModalitiesInStudy=MR": {4},
    "AccessionNumber=" + _one(4).accession_number: {4},
    "StudyInstanceUID=" + _one(0).study: {0},
}


@pytest.mark.parametrize(("query", "numbers"), NAMED.items(), ids=NAMED)
def test_found_by(query: str, numbers: set[int]) -> None:
    """What must be found by each key is what a look at every study finds."""
    answer = Answer(f"/studies?{query}", 0, 200, "", _studies(*numbers))

    assert fault("found", answer, _STORED) == ""
    assert fault("found", replace(answer, body=_studies(*({0, 4} - numbers or {8}))), _STORED) != ""
