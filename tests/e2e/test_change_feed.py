"""The change feed over HTTP (change-feed.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.client import Client, client_of
from tests.e2e.conftest import VERSIONS, Service, running
from tests.factories import new_uid, part10

_TIME_VERSION = "v2"


@dataclass(frozen=True, slots=True)
class Feed:
    """The change feed of a service at one version, and a client that stores into it."""

    http: httpx.Client
    version: str
    client: Client

    def read(self, path: str = "changefeed", **params: str) -> httpx.Response:
        return self.http.get(path, params=params)

    def latest(self) -> dict[str, Any]:
        answer = self.read("changefeed/latest", includeMetadata="false")
        return answer.json() if answer.status_code == 200 else {"sequence": 0, "timestamp": "1970-01-01T00:00:00+00:00"}

    def since(self, before: dict[str, Any], **params: str) -> list[dict[str, Any]]:
        """Return the entries behind one that was read before."""
        if self.version == _TIME_VERSION:
            window = {"startTime": before["timestamp"], "limit": "200"}
        else:
            window = {"offset": str(before["sequence"]), "limit": "100"}
        answer = self.read(**(window | params))
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return [entry for entry in answer.json() if entry["sequence"] > before["sequence"]]


@pytest.fixture(params=VERSIONS)
def feed(request: pytest.FixtureRequest, any_service: Service) -> Iterator[Feed]:
    """The change feed at each version, of each kind of service."""
    version = request.param
    with (
        httpx.Client(base_url=f"{any_service.url}/{version}", timeout=30) as http,
        client_of(any_service.base(version), version) as client,
    ):
        yield Feed(http, version, client)


@pytest.fixture
def by_time(service: Service) -> Iterator[Feed]:
    """The change feed of version 2, in windows of time."""
    with httpx.Client(base_url=f"{service.url}/v2", timeout=30) as http, client_of(service.base("v2"), "v2") as client:
        yield Feed(http, "v2", client)


@pytest.fixture
def by_sequence(service: Service) -> Iterator[Feed]:
    """The change feed of version 1, in windows of sequence numbers."""
    with httpx.Client(base_url=f"{service.url}/v1", timeout=30) as http, client_of(service.base("v1"), "v1") as client:
        yield Feed(http, "v1", client)


def test_create(feed: Feed, any_service: Service) -> None:
    """A stored instance is one entry with its identifiers, class and modality, and its metadata."""
    before, (study, series, instance) = feed.latest(), (new_uid(), new_uid(), new_uid())
    uids: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
    feed.client.store(part10(**uids, Modality="MR"))

    [entry] = feed.since(before)

    metadata = entry.pop("metadata")
    assert metadata == feed.client.metadata(f"/studies/{study}")[0]
    assert datetime.fromisoformat(entry.pop("timestamp")).utcoffset() == timedelta(0)
    assert entry == {
        "sequence": before["sequence"] + 1,
        "partitionName": "ward-7" if any_service.has_partitions else "Microsoft.Default",
        "studyInstanceUid": study,
        "seriesInstanceUid": series,
        "sopInstanceUid": instance,
        "sopClassUid": "1.2.840.10008.5.1.4.1.1.2",
        "modality": "MR",
        "action": "Create",
        "state": "Current",
    }


def test_metadata_of_bulk_data(feed: Feed) -> None:
    """The URLs of bulk values in an entry's metadata work."""
    before = feed.latest()
    feed.client.store(part10(pixel_bytes=5000, Rows=50, Columns=50, BitsAllocated=16))

    [entry] = feed.since(before)

    url = entry["metadata"]["7FE00010"]["BulkDataURI"]
    assert feed.client.get(url).status_code == 200


def test_delete(feed: Feed) -> None:
    """After a delete all entries of the instance are Deleted and have no metadata; the newest tells of the delete."""
    before, study = feed.latest(), new_uid()
    feed.client.store(part10(StudyInstanceUID=study))
    feed.client.http.delete(f"/studies/{study}")

    entries = feed.since(before)

    assert [(one["action"], one["state"]) for one in entries] == [("Create", "Deleted"), ("Delete", "Deleted")]
    assert not any("metadata" in one for one in entries)


def test_store_again(feed: Feed) -> None:
    """Stored, deleted and stored again: the last entry is Current, both earlier ones Replaced with today's metadata."""
    before, study, instance = feed.latest(), new_uid(), new_uid()
    uids: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": new_uid(), "SOPInstanceUID": instance}
    feed.client.store(part10(**uids, PatientID="old"))
    feed.client.http.delete(f"/studies/{study}")
    feed.client.store(part10(**uids, PatientID="new"))

    entries = feed.since(before)

    assert [one["action"] for one in entries] == ["Create", "Delete", "Create"]
    assert [one["state"] for one in entries] == ["Replaced", "Replaced", "Current"]
    assert [one["metadata"]["00100020"]["Value"] for one in entries] == [["new"]] * 3


def test_replace(feed: Feed) -> None:
    """A replacement is an Update; the entry of what it replaced is Replaced."""
    before = feed.latest()
    uids: dict[str, Any] = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    feed.client.store(part10(**uids, PatientID="old"))
    feed.client.upsert(part10(**uids, PatientID="new"))

    entries = feed.since(before)

    assert [(one["action"], one["state"]) for one in entries] == [("Create", "Replaced"), ("Update", "Current")]


def test_failed_store(feed: Feed) -> None:
    """What was not stored is not in the change feed."""
    before, file = feed.latest(), part10()
    feed.client.store(file)
    assert feed.client.store(file).status_code == 409
    assert feed.client.store(part10(PatientID=None)).status_code == 409

    assert len(feed.since(before)) == 1


@pytest.mark.parametrize(("text", "has_metadata"), [("true", True), ("TRUE", True), ("False", False), ("false", False)])
def test_include_metadata(feed: Feed, text: str, has_metadata: bool) -> None:
    """Metadata are included unless the client says otherwise, in any case of letters, of the latest entry too."""
    before = feed.latest()
    feed.client.store(part10())

    [entry] = feed.since(before, includeMetadata=text)

    assert ("metadata" in entry) is has_metadata
    assert feed.read("changefeed/latest", includeMetadata=text).json() == entry


def test_filters(feed: Feed) -> None:
    """Entries of SOP classes or modalities can be asked for, several of each separated by commas."""
    before, other = feed.latest(), "1.2.840.10008.5.1.4.1.1.4"
    feed.client.store(part10(Modality="CT"), part10(Modality="MR", SOPClassUID=other), part10(Modality="US"))

    assert [one["modality"] for one in feed.since(before, modality="us")] == ["US"]
    assert [one["modality"] for one in feed.since(before, modality="CT,US")] == ["CT", "US"]
    assert [one["modality"] for one in feed.since(before, sopClassUid=other)] == ["MR"]
    assert feed.since(before, sopClassUid=other, modality="CT") == []


_BAD = [
    *(("limit", text) for text in ("0", "-1", "blah", "", "1.0", "٣")),
    *(("offset", text) for text in ("-1", "blah", "", str(2**63), "1" * 30)),
    *(("includeMetadata", text) for text in ("0", "1", "yes", "true-ish", "")),
    *(("sopClassUid", text) for text in ("abc", "", "1.2,")),
    *(("modality", text) for text in ("", "C%", "X" * 17)),
]


@pytest.mark.parametrize(("name", "text"), _BAD)
def test_bad_parameter(plain: Client, name: str, text: str) -> None:
    """A parameter that cannot be read, or is out of range, is 400 and named."""
    answer = plain.get("/changefeed", params={name: text})

    assert answer.status_code == 400
    assert name in answer.text


@pytest.mark.parametrize("version", VERSIONS)
def test_most(service: Service, version: str) -> None:
    """A page is at most 100 wide in version 1, 200 in version 2."""
    most = 200 if version == _TIME_VERSION else 100
    with httpx.Client(base_url=f"{service.url}/{version}") as http:
        statuses = [http.get("changefeed", params={"limit": str(limit)}).status_code for limit in (most, most + 1)]

    assert statuses == [200, 400]


@pytest.mark.parametrize("name", ["startTime", "endTime"])
@pytest.mark.parametrize("text", ["foo", "", "2024-05-01", "2024-05-01T08:00:00", "2024-13-01T08:00:00Z", "1714550400"])
def test_bad_time(by_time: Feed, name: str, text: str) -> None:
    """A time that cannot be read, or names no zone, is 400."""
    assert by_time.read(**{name: text}).status_code == 400


@pytest.mark.parametrize("name", ["startTime", "endTime", "includeMetadata"])
def test_bad_latest(by_time: Feed, by_sequence: Feed, name: str) -> None:
    """The latest entry takes includeMetadata alone; windows mean nothing to it, and times nothing to version 1."""
    expected = 400 if name == "includeMetadata" else 200
    by_time.client.store(part10())

    assert by_time.read("changefeed/latest", **{name: "foo"}).status_code == expected
    assert by_sequence.read("changefeed", **{name: "foo"}).status_code == expected


@pytest.mark.parametrize("end", ["2024-05-01T08:00:00Z", "2024-05-01T10:00:00+02:00", "2024-05-01T07:59:59Z"])
def test_empty_window(by_time: Feed, end: str) -> None:
    """A window that ends where it starts, or before, is 400."""
    assert by_time.read(startTime="2024-05-01T08:00:00Z", endTime=end).status_code == 400


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59.9999999+00:00", "9999-12-31T23:59:59.9999999-14:00"])
@pytest.mark.parametrize("start", ["0001-01-01T00:00:00.0000000+00:00", "0001-01-01T00:00:00+14:00"])
def test_all_of_time(by_time: Feed, start: str, end: str) -> None:
    """The first and the last time that clients write hold everything between them."""
    by_time.client.store(part10())

    answer = by_time.read(startTime=start, endTime=end, limit="1", includeMetadata="false")

    assert [one["sequence"] for one in answer.json()] == [1]


def test_window_of_time(by_time: Feed) -> None:
    """A window holds the entries from its start on, before its end, in order; offset and limit count entries."""
    before = by_time.latest()
    for _ in range(3):
        by_time.client.store(part10())
    first, second, third = by_time.since(before, includeMetadata="false")
    window = {"startTime": first["timestamp"], "endTime": third["timestamp"], "includeMetadata": "false"}

    assert by_time.read(**window).json() == [first, second]
    assert by_time.read(**window, offset="1").json() == [second]
    assert by_time.read(**window, limit="1").json() == [first]
    assert by_time.read(**window, offset="2").json() == []


def test_zones(by_time: Feed) -> None:
    """Times may have any zone, a plus written as such or as %2B, and any number of digits."""
    before = by_time.latest()
    by_time.client.store(part10())
    [entry] = by_time.since(before, includeMetadata="false")
    moment = datetime.fromisoformat(entry["timestamp"])
    later = (moment + timedelta(hours=2)).replace(tzinfo=None).isoformat(timespec="microseconds")
    utc = moment.replace(tzinfo=None).isoformat(timespec="microseconds")

    for start in (quote(f"{later}+02:00"), f"{later}+02:00", f"{utc}Z", f"{utc}0z"):
        assert by_time.http.get(f"changefeed?includeMetadata=false&startTime={start}").json() == [entry]
    assert by_time.read(startTime=f"{utc}1Z").json() == []
    assert by_time.read(startTime=f"{utc}Z", endTime=f"{utc}1Z", includeMetadata="false").json() == [entry]


def test_defaults_of_time(by_time: Feed) -> None:
    """Without parameters the oldest 100 entries are given; a window may have either end alone."""
    before = by_time.latest()
    by_time.client.store(*(part10() for _ in range(101)))
    entries = by_time.since(before, includeMetadata="false")
    start, end = entries[0]["timestamp"], datetime.now(UTC).isoformat()

    assert len(by_time.read(startTime=start, includeMetadata="false").json()) == 100
    assert by_time.read(startTime=start, offset="100", includeMetadata="false").json() == entries[100:]
    assert by_time.read(endTime=end, limit="1", includeMetadata="false").json()[0]["sequence"] == 1
    assert by_time.read(includeMetadata="false").json()[0]["sequence"] == 1
    assert by_time.read(endTime="1999-01-01T00:00:00Z").json() == []


@pytest.mark.parametrize("accept", ["", "text/html", "application/dicom+json", "application/json;q=0"])
def test_accept(plain: Client, accept: str) -> None:
    """Whatever the client accepts the feed is JSON."""
    plain.store(part10())
    for path in ("/changefeed", "/changefeed/latest"):
        answer = plain.http.get(path.replace("/changefeed", "changefeed", 1), headers={"Accept": accept})

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"


def test_walk(by_sequence: Feed) -> None:
    """A reader that goes on behind the last entry of each page is given every entry once."""
    before = by_sequence.latest()["sequence"]
    by_sequence.client.store(*(part10() for _ in range(23)))
    seen: list[int] = []

    while page := by_sequence.read(offset=str((seen or [before])[-1]), limit="7", includeMetadata="false").json():
        seen += [one["sequence"] for one in page]

    assert seen == list(range(before + 1, before + 24))


def test_window_of_sequence(by_sequence: Feed) -> None:
    """A window holds the entries whose numbers are above its offset and at most its limit further, 10 by default."""
    by_sequence.client.store(*(part10() for _ in range(15)))
    first = by_sequence.latest()["sequence"] - 14

    def numbers(**params: str) -> list[int]:
        entries = by_sequence.read(includeMetadata="false", **params).json()
        return [one["sequence"] for one in entries]

    assert numbers(offset=str(first - 1)) == list(range(first, first + 10))
    assert numbers(offset=str(first - 1), limit="3") == [first, first + 1, first + 2]
    assert numbers(offset=str(first + 14)) == []
    assert numbers(offset=str(2**63 - 1)) == []


def test_nothing_yet(tmp_path: Path) -> None:
    """A service in which nothing has happened has an empty feed, and no latest entry: 204."""
    with running("embedded", tmp_path) as url, httpx.Client(base_url=url) as http:
        pages = [http.get(f"{version}/changefeed").json() for version in VERSIONS]
        latest = [http.get(f"{version}/changefeed/latest") for version in VERSIONS]

    assert pages == [[], [], []]
    assert [(answer.status_code, answer.content) for answer in latest] == [(204, b"")] * 3


def test_not_in_partition(any_service: Service) -> None:
    """There is one change feed for all partitions, and none in a partition."""
    assert httpx.get(f"{any_service.url}/v2/partitions/ward-7/changefeed").status_code == 404
    assert httpx.get(f"{any_service.url}/v2/changefeed").status_code == 200


def test_head(feed: Feed) -> None:
    """HEAD answers as GET does, without a body."""
    answer = feed.http.head("changefeed")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json"
    assert "api-supported-versions" in answer.headers
