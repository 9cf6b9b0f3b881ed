"""Whether an answer is right: the one place that knows what a request of the benchmark must be answered with.

Everything follows from the path and from what was stored: names have their numbers, files and frames are made again,
and a query is answered by looking at every study.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from bench.instances import Template, frame, windowed
from bench.load import Stored
from bench.names import Kind, Names, names, number_of

_SOP_INSTANCE, _SERIES, _STUDY = "00080018", "0020000E", "0020000D"
_FAILED, _REFERENCED, _REFERENCED_INSTANCE = "00081198", "00081199", "00081155"
_IN_METADATA = {"00281050": 40, "00200032": -175, "00080070": "Phantom Works", "00280010": 512}
"""What the metadata of every image holds: elements, some of them in no index (PS3.18 §10.4.1.1.2)."""

_FURTHEST = 4.0
"""How far the grey levels of a rendered image may be from the expected, of 255, on average: JPEG is lossy."""

_THUMBNAIL_EDGE = 512


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, its body decoded, and the request's path and number."""

    path: str
    number: int
    status: int
    content_type: str
    body: bytes | memoryview


def fault(check: str, answer: Answer, stored: Stored) -> str:
    """Return in a few words what is wrong with an answer, "" for nothing."""
    if answer.status not in {200, 204}:
        return f"status {answer.status}"
    try:
        return CHECKS[check](answer, stored)
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        return f"unreadable: {type(error).__name__}"


def _stored(answer: Answer, stored: Stored) -> str:
    """The response names each instance of the request as stored, and none as failed (PS3.18 §10.5.3)."""
    report = orjson.loads(answer.body)
    if report.get(_FAILED, {}).get("Value"):
        return "instances failed"
    found = [item[_REFERENCED_INSTANCE]["Value"][0] for item in report[_REFERENCED]["Value"]]
    first = answer.number * stored.per_request
    expected = {one.instance for one in _names(stored, range(first, first + stored.per_request))}
    return _difference(found, expected)


def _files(answer: Answer, stored: Stored) -> str:
    """Every file of the study or the instance, byte for byte."""
    template = _template(stored.kind)
    expected = dict(_headers(answer.path, stored))
    length = template.length
    found = []
    for part in _parts(answer):
        header = bytes(part[: length - len(template.pixels)])
        if len(part) != length or header not in expected or part[len(header) :] != template.pixels:
            return "bytes differ"
        found.append(expected[header])
    return _difference(found, set(expected.values()))


def _frame(answer: Answer, stored: Stored) -> str:
    """The one frame, byte for byte as it is in the file."""
    parts = list(_parts(answer))
    if len(parts) != 1:
        return f"{len(parts)} frames, expected 1"
    right = frame(stored.kind, int(answer.path.rsplit("/", 1)[1]))
    # A fragment of an odd length would have a byte behind it (PS3.5 §A.4); all of these are even.
    return "" if parts[0] == right else "pixels differ"


def _metadata(answer: Answer, stored: Stored) -> str:
    """The data set of each instance, with what is in no index too."""
    found = orjson.loads(answer.body)
    for one in found:
        if any(one[tag]["Value"][0] != value for tag, value in _IN_METADATA.items()):
            return "elements differ"
    expected = {one.instance for one in _names(stored, _numbers(answer.path, stored))}
    return _difference([one[_SOP_INSTANCE]["Value"][0] for one in found], expected)


def _rendered(answer: Answer, stored: Stored) -> str:
    """The image, in the window that was asked for (PS3.3 §C.11.2.1.2)."""
    import numpy as np

    right = windowed(stored.kind)
    picture = _picture(answer)
    if picture.shape != right.shape:
        return f"size {picture.shape}, expected {right.shape}"
    return "" if float(np.abs(picture - right).mean()) <= _FURTHEST else "grey levels differ"


def _thumbnail(answer: Answer, _stored: Stored) -> str:
    """A smaller picture that is no single grey: what it shows is the server's to decide (PS3.18 §10.4.1.1.5)."""
    picture = _picture(answer)
    if max(picture.shape) > _THUMBNAIL_EDGE:
        return f"size {picture.shape}"
    return "" if float(picture.std()) > 1 else "a single grey"


def _found(answer: Answer, stored: Stored) -> str:
    """The page of what matches: as many as it must have, each of them a match, none twice (PS3.18 §10.6)."""
    found = orjson.loads(answer.body) if answer.status == 200 else []
    split = urlsplit(answer.path)
    query = dict(parse_qsl(split.query))
    level, matches = _matches(split.path, query, stored)
    uids = [one[level]["Value"][0] for one in found]
    count = min(int(query.get("limit", len(matches))), max(len(matches) - int(query.get("offset", 0)), 0))
    if len(uids) != count:
        return f"{len(uids)} matches, expected {count}"
    if len(set(uids)) != len(uids):
        return "a match twice"
    return "" if matches.issuperset(uids) else "other matches than expected"


CHECKS: Mapping[str, Callable[[Answer, Stored], str]] = {
    "stored": _stored,
    "files": _files,
    "frame": _frame,
    "metadata": _metadata,
    "rendered": _rendered,
    "thumbnail": _thumbnail,
    "found": _found,
}


def _difference(found: list[str], expected: set[str]) -> str:
    if len(found) != len(expected):
        return f"{len(found)} instances, expected {len(expected)}"
    return "" if set(found) == expected else "other instances than expected"


def _names(stored: Stored, numbers: range) -> Iterator[Names]:
    for number in numbers:
        yield names(stored.run, stored.group, number, stored.per_study, stored.per_series)


def _numbers(path: str, stored: Stored) -> range:
    """Return the numbers of the instances that a path of the Retrieve transaction names."""
    parts = urlsplit(path).path.split("/")
    if "instances" in parts:
        number = number_of(parts[parts.index("instances") + 1])
        return range(number, number + 1)
    first = number_of(parts[parts.index("studies") + 1]) * stored.per_study
    return range(first, min(first + stored.per_study, stored.instances))


@cache
def _template(kind: Kind) -> Template:
    return Template(kind)


def _headers(path: str, stored: Stored) -> Iterator[tuple[bytes, str]]:
    for one in _names(stored, _numbers(path, stored)):
        yield _template(stored.kind).file(one)[0], one.instance


def _parts(answer: Answer) -> Iterator[memoryview]:
    """Yield the payloads of a multipart body (PS3.18 §8.6.1)."""
    boundary = answer.content_type.split("boundary=")[1].split(";")[0].strip('"').encode()
    body = memoryview(answer.body)
    text = answer.body if isinstance(answer.body, bytes) else bytes(answer.body)
    start = text.index(b"--" + boundary)
    while True:
        start = text.index(b"\r\n", start) + 2
        payload = start if text[start : start + 2] == b"\r\n" else text.index(b"\r\n\r\n", start) + 2
        end = text.index(b"\r\n--" + boundary, payload)
        yield body[payload + 2 : end]
        start = end + 4 + len(boundary)
        if text[start : start + 2] == b"--":
            return


def _picture(answer: Answer) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(answer.body)).convert("L"), dtype=float)


def _matches(path: str, query: Mapping[str, str], stored: Stored) -> tuple[str, set[str]]:
    """Return the tag of the UIDs of the level that is searched, and those that match."""
    parts = path.strip("/").split("/")
    if len(parts) == 1:
        studies = _studies(stored.run, stored.group, stored.per_study, stored.per_series, stored.instances)
        return _STUDY, {one.study for one in studies if _is_match(one, query)}
    within = list(_names(stored, _numbers(f"/studies/{parts[1]}", stored)))
    if parts[-1] == "series":
        return _SERIES, {one.series for one in within}
    return _SOP_INSTANCE, {one.instance for one in within if one.series in parts}


@cache
def _studies(run: int, group: int, per_study: int, per_series: int, instances: int) -> list[Names]:
    return [names(run, group, number, per_study, per_series) for number in range(0, instances, per_study)]


def _is_match(study: Names, query: Mapping[str, str]) -> bool:
    return all(MATCHES[key](study, value, query) for key, value in query.items() if key in MATCHES)


def _is_named(study: Names, value: str, query: Mapping[str, str]) -> bool:
    if query.get("fuzzymatching") == "true":
        words = study.patient_name.replace("^", " ").casefold().split()
        return any(word.startswith(value.casefold()) for word in words)
    return fnmatchcase(study.patient_name.casefold(), value.casefold())


def _is_within(study: Names, value: str, _query: Mapping[str, str]) -> bool:
    low, _, high = value.partition("-")
    return low <= study.study_date <= (high or "99999999")


MATCHES: Mapping[str, Callable[[Names, str, Mapping[str, str]], bool]] = {
    "PatientID": lambda study, value, _: study.patient_id == value,
    "AccessionNumber": lambda study, value, _: study.accession_number == value,
    "StudyInstanceUID": lambda study, value, _: study.study == value,
    "ModalitiesInStudy": lambda study, value, _: study.modality == value,
    "PatientName": _is_named,
    "StudyDate": _is_within,
}
"""How a study is matched by each key that is searched with."""
