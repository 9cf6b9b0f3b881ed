"""Extended query tags over HTTP: the tables of extended-query-tags.md, each row a case."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.client import Client, client_of, named, reasons, warnings
from tests.e2e.conftest import Service
from tests.factories import file_with, new_uid, part10, with_value

_PATH = "/extendedquerytags"
_LONGEST_S = 60


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a service, below a version, where no partition is named."""

    http: httpx.Client

    def add(self, *entries: Any) -> httpx.Response:
        return self.http.post(_PATH, json=list(entries))

    def get(self, path: str = "", **params: Any) -> httpx.Response:
        return self.http.get(f"{_PATH}{path and '/'}{path}", params=params)

    def patch(self, path: str, body: object) -> httpx.Response:
        return self.http.patch(f"{_PATH}/{path}", json=body)

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(f"{_PATH}/{path}")

    def finished(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the operation that an answer begins, when it is over."""
        assert answer.status_code == 202, answer.text
        began = time.monotonic()
        while (found := self.http.get(answer.json()["href"])).status_code == 202:
            assert time.monotonic() - began < _LONGEST_S, found.text
            time.sleep(0.05)
        done: dict[str, Any] = found.json()
        return done

    def errors_of(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"{path}/errors").json()
        return found


@contextmanager
def tags_of(service: Service, version: str = "v2") -> Iterator[Tags]:
    """Give the tags of a service, which are none before and after."""
    with httpx.Client(base_url=f"{service.url}/{version}", timeout=60) as http:
        found = Tags(http)
        try:
            yield found
        finally:
            for one in found.get(limit=200).json():
                found.delete(one["path"])


@pytest.fixture
def tags(service: Service) -> Iterator[Tags]:
    with tags_of(service) as found:
        yield found


@pytest.fixture
def any_tags(any_service: Service) -> Iterator[Tags]:
    with tags_of(any_service) as found:
        yield found


_AGE = {"path": "PatientAge", "level": "Study"}
_PRIVATE = {"path": "00111001", "vr": "SS", "privateCreator": "ACME 1", "level": "Instance"}


def private_file(number: int, block: int = 0x10, **attributes: Any) -> bytes:
    """Return a file with a private value in a block of ACME 1."""
    file = with_value(part10(**attributes), 0x00110000 | block, "LO", b"ACME 1")
    return with_value(file, 0x00110001 | block << 8, "SS", number.to_bytes(2, "little", signed=True))


def test_life(any_v2: Client, any_tags: Tags) -> None:
    """Standard and private tags are added, found over what was stored before and after, disabled and deleted."""
    study, other = new_uid(), new_uid()
    any_v2.store(private_file(-3, 0x22, StudyInstanceUID=study, PatientAge="045Y"))

    began = any_tags.add(_AGE, {"path": "AcquisitionNumber", "level": "series"}, _PRIVATE)
    done = any_tags.finished(began)
    any_v2.store(private_file(-3, StudyInstanceUID=other, PatientAge="045Y", AcquisitionNumber="0007"))

    assert done["status"] == "succeeded"
    assert [url.rsplit("/", 1)[1] for url in done["resources"]] == ["00101010", "00200012", "00111001"]
    assert began.headers["Location"] == began.json()["href"]
    assert any_tags.get().json() == [
        {"path": "00101010", "vr": "AS", "level": "study", "status": "ready", "queryStatus": "enabled"},
        {"path": "00200012", "vr": "IS", "level": "series", "status": "ready", "queryStatus": "enabled"},
        {
            "path": "00111001",
            "vr": "SS",
            "privateCreator": "ACME 1",
            "level": "instance",
            "status": "ready",
            "queryStatus": "enabled",
        },
    ]
    found = any_v2.search("/studies", PatientAge="045Y", StudyInstanceUID=f"{study},{other}")
    assert [one["0020000D"]["Value"][0] for one in found] == [other, study]
    assert found[0]["00101010"] == {"vr": "AS", "Value": ["045Y"]}
    assert len(any_v2.search(f"/studies/{other}/series", AcquisitionNumber="7")) == 1
    assert any_v2.search(f"/studies/{study}/series", AcquisitionNumber="7") == []
    [instance] = any_v2.search(f"/studies/{study}/instances", **{"00111001": "-3"})
    assert instance["00112201"] == {"vr": "SS", "Value": [-3]}
    assert instance["00110022"] == {"vr": "LO", "Value": ["ACME 1"]}

    assert any_tags.patch("PatientAge", {"queryStatus": "Disabled"}).json()["queryStatus"] == "disabled"
    assert any_v2.get("/studies", params={"PatientAge": "045Y"}).status_code == 400
    assert any_tags.delete("00101010").status_code == 204
    assert any_tags.get("PatientAge").status_code == 404
    assert any_v2.get("/studies", params={"PatientAge": "045Y"}).status_code == 400
    any_tags.finished(any_tags.add(_AGE))
    assert len(any_v2.search("/studies", PatientAge="045Y", StudyInstanceUID=study)) == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], ""),
        ({}, ""),
        ([3], "[0]"),
        ([{"level": "Study"}], "[0].Path"),
        ([{"path": "PatientAge"}], "[0].Level"),
        ([_AGE, {"path": None, "level": "Study"}], "[1].Path"),
        ([{"path": "PatientAge", "level": "Studys"}], "[0].Level"),
        ([{"path": "PatientAge", "level": 1}], "[0].Level"),
        ([_AGE | {"vr": "DS"}], "[0]"),
        ([_AGE | {"vr": "LO"}], "[0]"),
        ([_AGE | {"vr": 1}], "[0].VR"),
        ([{"path": "PatientWeight", "level": "Study"}], "[0]"),
        ([_AGE, {"path": "00101010", "level": "Series"}], "[1].Path"),
        ([{"path": "PatientID", "level": "Study"}], "[0]"),
        ([{"path": "RequestAttributesSequence.RequestedProcedureID", "level": "Study"}], "[0]"),
        ([_AGE | {"privateCreator": "ACME"}], "[0]"),
        ([{name: value for name, value in _PRIVATE.items() if name != "privateCreator"}], "[0]"),
        ([{name: value for name, value in _PRIVATE.items() if name != "vr"}], "[0]"),
        ([_PRIVATE | {"privateCreator": "A" * 65}], "[0]"),
        ([_PRIVATE | {"path": f"0011{0x1000 + n:04X}"} for n in range(129)], "128"),
    ],
)
def test_bad_entry(tags: Tags, body: Any, text: str) -> None:
    """What breaks a rule is 400, and the message says where; nothing of the request is added."""
    answer = tags.http.post(_PATH, json=body)

    assert answer.status_code == 400
    assert text in answer.text
    assert tags.get().json() == []


def test_bad_body(tags: Tags) -> None:
    """A body of another type is 415, one that is no JSON 400; comments and names in any case are read."""
    assert tags.http.post(_PATH, content=b"[]", headers={"Content-Type": "text/plain"}).status_code == 415
    assert tags.http.post(_PATH, content=b"[", headers={"Content-Type": "application/json"}).status_code == 400
    lenient = b'[{"PATH": "PatientAge", "Level": "STUDY", /* any */ "vr": "as",},]'

    answer = tags.http.post(_PATH, content=lenient, headers={"Content-Type": "application/json"})

    assert tags.finished(answer)["status"] == "succeeded"


def test_conflicts(tags: Tags) -> None:
    """A tag that there is, in whatever status, is 409; while tags are being added the operation is named."""
    began = tags.add(_AGE)
    during = tags.add({"path": "PatientSex", "level": "Study"})
    tags.finished(began)

    after = tags.add({"path": "00101010", "level": "Instance"})

    if during.status_code == 409:  # the operation may have ended before
        assert during.headers["Location"] == began.headers["Location"]
        assert during.headers["Content-Type"].startswith("text/plain")
    else:
        tags.finished(during)
    assert after.status_code == 409
    assert "Location" not in after.headers
    tags.patch("PatientAge", {"queryStatus": "disabled"})
    assert tags.add(_AGE).status_code == 409


def test_most(tags: Tags) -> None:
    """128 tags are the most, whether they come at once or not."""
    many = [_PRIVATE | {"path": f"0011{0x1000 + n:04X}"} for n in range(128)]
    tags.finished(tags.add(*many))

    assert tags.add(_AGE).status_code == 400
    assert len(tags.get().json()) == 100
    assert [one["path"] for one in tags.get(limit=2, offset=127).json()] == ["0011107F"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("PatientAge", 404), ("00101010", 404), ("0010101", 400), ("Age", 400), ("PatientAge.PatientSex", 400)],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "errors"])
def test_path(tags: Tags, method: str, path: str, status: int) -> None:
    """A path that is none is 400, one without a tag 404."""
    where = f"{_PATH}/{path}" + ("/errors" if method == "errors" else "")
    body = {"queryStatus": "enabled"} if method == "PATCH" else None

    answer = tags.http.request("GET" if method == "errors" else method, where, json=body)

    assert answer.status_code == status


@pytest.mark.parametrize("where", ["", "PatientAge/errors"])
@pytest.mark.parametrize(
    ("params", "status"),
    [({"limit": 0}, 400), ({"limit": 201}, 400), ({"limit": "x"}, 400), ({"offset": -1}, 400), ({"limit": 200}, 200)],
)
def test_page(tags: Tags, where: str, params: dict[str, Any], status: int) -> None:
    """`limit` is 1 to 200, `offset` 0 or more."""
    tags.add(_AGE)

    answer = tags.get(where, **params)

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/plain" if status == 400 else "application/json")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"queryStatus": None},
        {"queryStatus": 1},
        {"queryStatus": "on"},
        {"queryStatus": "enabled", "level": "Study"},
    ],
)
def test_bad_patch(tags: Tags, body: object) -> None:
    """A PATCH is of the one property, with one of its two values."""
    tags.add(_AGE)

    assert tags.patch("PatientAge", body).status_code == 400


def test_patch_twice(tags: Tags) -> None:
    """PATCH may be repeated, and answers with the tag."""
    tags.finished(tags.add(_AGE))

    for status in ("disabled", "DISABLED", "enabled", "Enabled"):
        answer = tags.patch("PatientAge", {"querystatus": status})
        assert answer.status_code == 200
        assert answer.json() == tags.get("PatientAge").json()
        assert answer.json()["queryStatus"] == status.lower()


def test_errors(v1: Client, tags: Tags) -> None:
    """An old value that breaks a rule disables the tag; enabled again it finds the others, and says what it lacks."""
    study, good = new_uid(), new_uid()
    stored = v1.store(
        file_with("PatientAge", "45", StudyInstanceUID=study), part10(StudyInstanceUID=good, PatientAge="045Y")
    )
    assert stored.status_code == 200

    done = tags.finished(tags.add(_AGE))

    assert done["status"] == "succeeded"
    found = tags.get("PatientAge").json()
    assert (found["status"], found["queryStatus"]) == ("ready", "disabled")
    assert found["errors"] == {"count": 1, "href": f"{tags.http.base_url}extendedquerytags/00101010/errors"}
    [error] = tags.errors_of("PatientAge")
    assert error.keys() == {
        "studyInstanceUid",
        "seriesInstanceUid",
        "sopInstanceUid",
        "createdTime",
        "partitionName",
        "errorMessage",
    }
    assert (error["studyInstanceUid"], error["partitionName"]) == (study, "Microsoft.Default")
    assert v1.get("/studies", params={"PatientAge": "045Y"}).status_code == 400
    tags.patch("PatientAge", {"queryStatus": "enabled"})
    answer = v1.get("/studies", params={"00101010": "045Y"})
    assert answer.headers["erroneous-dicom-attributes"] == "00101010"
    assert good in answer.text
    assert "erroneous-dicom-attributes" not in v1.get("/studies", params={"PatientID": "P1"}).headers

    v1.http.delete(f"/studies/{study}")

    assert tags.errors_of("PatientAge") == []
    assert "errors" not in tags.get("PatientAge").json()
    assert "erroneous-dicom-attributes" not in v1.get("/studies", params={"PatientAge": "045Y"}).headers


def test_store_v1(v1: Client, tags: Tags) -> None:
    """Version 1 refuses an instance whose value of a tag breaks a rule, or has another VR, and names the attribute."""
    tags.finished(tags.add({"path": "AcquisitionNumber", "level": "Instance"}, _PRIVATE))
    wrong_vr = private_file(1).replace(b"\x11\x00\x01\x10SS", b"\x11\x00\x01\x10US")

    broken = v1.store(file_with("AcquisitionNumber", "7x"))
    other = v1.store(wrong_vr)

    assert (broken.status_code, reasons(broken), named(broken)) == (409, [43264], ["(0020,0012)"])
    assert (other.status_code, named(other)) == (409, ["(0011,1001)"])
    several = v1.store(file_with("AcquisitionNumber", "7\\8"))
    assert "AcquisitionNumber" in several.headers["Warning"]


def test_store_v2(v2: Client, tags: Tags) -> None:
    """Version 2 stores such an instance with a warning, and does not index it; that is no error of the tag."""
    tags.finished(tags.add({"path": "AcquisitionNumber", "level": "Instance"}, _PRIVATE))
    study = new_uid()
    wrong_vr = private_file(1, StudyInstanceUID=study).replace(b"\x11\x00\x01\x10SS", b"\x11\x00\x01\x10US")

    broken = v2.store(file_with("AcquisitionNumber", "7x", StudyInstanceUID=study))
    other = v2.store(wrong_vr)

    assert (broken.status_code, warnings(broken), named(broken)) == (202, [1], ["(0020,0012)"])
    assert (other.status_code, warnings(other), named(other)) == (202, [1], ["(0011,1001)"])
    assert v2.stored_metadata(other)["00111001"] == {"vr": "US", "Value": [1]}
    assert v2.search(f"/studies/{study}/instances", **{"00111001": "1"}) == []
    assert tags.errors_of("00111001") == tags.errors_of("AcquisitionNumber") == []


_MATCHES = [
    ("PatientAge", "045Y", "045y", True),
    ("PatientAge", "045Y", "046Y", False),
    ("ContentDate", "20240102", "20240101-20240131", True),
    ("ContentDate", "20240102", "20240103-", False),
    ("ContentTime", "101500", "10", False),
    ("ContentTime", "101500", "10-11", True),
    ("AcquisitionDateTime", "20240102101500", "20240102-20240103", True),
    ("AcquisitionNumber", "0003", "3", True),
    ("AcquisitionNumber", "3", "0004", False),
    ("ExaminedBodyThickness", 2.5, "2.50", True),
    ("PerformingPhysicianName", "Müller^Jörg", "muller^jorg", True),
    ("PerformingPhysicianName", "Müller^Jörg", "mull*", True),
    ("StationName", "CT_1", "CT?1", True),
    ("StationName", "CTx1", "CT_1", False),
    ("FrameOfReferenceUID", "1.2.3", "1.2.3,1.2.4", True),
    ("Rows", 5, "5", True),
]


@pytest.fixture(scope="module")
def matched(service: Service) -> Iterator[Client]:
    """A client of a service with a tag for each attribute of the cases."""
    with tags_of(service) as found, client_of(service.base("v2"), "v2") as client:
        found.finished(
            found.add(*({"path": path, "level": "Instance"} for path in sorted({one[0] for one in _MATCHES})))
        )
        yield client


@pytest.mark.parametrize(("keyword", "stored", "value", "matches"), _MATCHES)
def test_matching(matched: Client, keyword: str, stored: Any, value: str, matches: bool) -> None:
    """A tag is matched as its VR wants it."""
    study = new_uid()
    attributes: dict[str, Any] = {"StudyInstanceUID": study, "SpecificCharacterSet": "ISO_IR 192", keyword: stored}
    matched.store(part10(**attributes))

    found = matched.search(f"/studies/{study}/instances", **{keyword: value})

    assert bool(found) is matches


@pytest.mark.parametrize(
    ("keyword", "value"), [("AcquisitionNumber", "x"), ("ContentDate", "2024"), ("FrameOfReferenceUID", "x")]
)
def test_no_value(matched: Client, keyword: str, value: str) -> None:
    """A value that is none of the tag's VR is 400."""
    assert matched.get("/instances", params={keyword: value}).status_code == 400


def test_fuzzy(matched: Client) -> None:
    """Names of tags match word by word when that is asked for."""
    study = new_uid()
    matched.store(part10(StudyInstanceUID=study, PerformingPhysicianName="Doe^John"))
    path = f"/studies/{study}/instances"

    for value, matches in (("jo", True), ("do jo", True), ("jo do", False), ("ohn", False)):
        found = matched.search(path, PerformingPhysicianName=value, fuzzymatching="true")
        assert bool(found) is matches, value


def test_routes(matched: Client) -> None:
    """An attribute of a tag at instance level is 400 where results are studies or series."""
    assert matched.get("/studies", params={"PatientAge": "045Y"}).status_code == 400
    assert matched.get("/series", params={"PatientAge": "045Y"}).status_code == 400


def test_upsert_and_delete(matched: Client) -> None:
    """A replaced instance is found by its new value alone; a deleted one not at all."""
    uids: dict[str, Any] = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    path = f"/studies/{uids['StudyInstanceUID']}/instances"
    matched.store(part10(**uids, PatientAge="010Y"))

    matched.upsert(part10(**uids, PatientAge="020Y"))

    assert matched.search(path, PatientAge="010Y") == []
    assert len(matched.search(path, PatientAge="020Y")) == 1
    matched.http.delete(
        f"{path}/{uids['SOPInstanceUID']}".replace("/instances", f"/series/{uids['SeriesInstanceUID']}/instances")
    )
    assert matched.search(path, PatientAge="020Y") == []
