"""Events of a running service, at a real receiver (events.md)."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import client_of
from tests.e2e.conftest import running
from tests.e2e.test_crash import Victim
from tests.factories import new_uid, part10
from tests.receiver import Receiver, receiving

_PUBLIC = "https://pacs.example"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of events."""
    with receiving() as found:
        yield found


def _of(study: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["data"]["imageStudyInstanceUid"] == study]


def test_events(tmp_path: Path, receiver: Receiver) -> None:
    """Store, replacement and delete of an instance are an event each, in order, with the feed's numbers."""
    study = new_uid()
    uids: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    with (
        running("embedded", tmp_path, PUBLIC_URL=_PUBLIC, EVENT_WEBHOOK_URL=receiver.url) as url,
        client_of(f"{url}/v2", "v2") as client,
    ):
        client.store(part10(**uids))
        client.upsert(part10(**uids, PatientID="other"))
        client.http.delete(f"/studies/{study}")
        receiver.wait_for(lambda events: len(_of(study, events)) >= 3)
        entries = client.get("/changefeed?includeMetadata=false").json()

    events = _of(study, receiver.events)
    assert [one["eventType"].rpartition(".")[2] for one in events] == [
        "DicomImageCreated",
        "DicomImageUpdated",
        "DicomImageDeleted",
    ]
    assert [one["data"]["sequenceNumber"] for one in events] == [
        one["sequence"] for one in entries if one["studyInstanceUid"] == study
    ]
    assert "PatientID" not in str(events)
    assert "other" not in str(events)


def test_delete_of_study(tmp_path: Path, receiver: Receiver) -> None:
    """A deleted study is one event for each of its instances; a Store that failed, or had nothing new, is none."""
    study, instances = new_uid(), [new_uid() for _ in range(3)]
    files = [part10(StudyInstanceUID=study, SOPInstanceUID=instance) for instance in instances]
    last = new_uid()
    with (
        running("embedded", tmp_path, PUBLIC_URL=_PUBLIC, EVENT_WEBHOOK_URL=receiver.url) as url,
        client_of(f"{url}/v2", "v2") as client,
    ):
        client.store(*files)
        assert client.store(files[0]).status_code == 409
        assert client.upsert(files[0]).status_code == 200
        assert client.store(part10(PatientID=None, StudyInstanceUID=study)).status_code == 409
        client.http.delete(f"/studies/{study}")
        client.store(part10(StudyInstanceUID=last))
        receiver.wait_for(lambda events: len(_of(last, events)) == 1)

    told = [(one["eventType"].rpartition(".")[2], one["data"]["imageSopInstanceUid"]) for one in receiver.events]
    assert told[:3] == [("DicomImageCreated", instance) for instance in instances]
    assert sorted(told[3:6]) == sorted(("DicomImageDeleted", instance) for instance in instances)
    assert len(told) == 7


def test_receiver_down(tmp_path: Path, receiver: Receiver) -> None:
    """While the receiver refuses events, requests are answered as ever; afterwards all events arrive, in order."""
    studies = [new_uid() for _ in range(3)]
    refused = threading.Event()

    def refuse(_: list[dict[str, Any]]) -> int:
        refused.set()
        return 503

    receiver.answer = refuse
    with (
        running("embedded", tmp_path, PUBLIC_URL=_PUBLIC, EVENT_WEBHOOK_URL=receiver.url) as url,
        client_of(f"{url}/v2", "v2") as client,
    ):
        assert client.store(part10(StudyInstanceUID=studies[0])).status_code == 200
        assert refused.wait(60)
        assert client.store(*(part10(StudyInstanceUID=study) for study in studies[1:])).status_code == 200
        receiver.answer = lambda _: 200
        receiver.wait_for(lambda events: len(events) >= 3)

    assert [one["data"]["imageStudyInstanceUid"] for one in receiver.events] == studies


def test_partition(tmp_path: Path, receiver: Receiver) -> None:
    """Events of all partitions arrive, and name theirs."""
    settings = {"PUBLIC_URL": _PUBLIC, "EVENT_WEBHOOK_URL": receiver.url, "DATA_PARTITIONS": "true"}
    with running("embedded", tmp_path, **settings) as url:
        for name in ("ward", "Microsoft.Default"):
            with client_of(f"{url}/v2/partitions/{name}", "v2") as client:
                assert client.store(part10()).status_code == 200
        receiver.wait_for(lambda events: len(events) == 2)

    assert [one["data"]["partitionName"] for one in receiver.events] == ["ward", "Microsoft.Default"]
    assert [one["subject"].split("/")[:4] for one in receiver.events] == [
        ["pacs.example", "v1", "partitions", name] for name in ("ward", "Microsoft.Default")
    ]


def test_killed_between_publish_and_save(tmp_path: Path, receiver: Receiver) -> None:
    """A service that is killed when its events have arrived, and before it knows, sends them again after a restart."""
    studies = [new_uid() for _ in range(5)]
    settings = {"PUBLIC_URL": _PUBLIC, "EVENT_WEBHOOK_URL": receiver.url}
    seen: list[list[dict[str, Any]]] = []
    killed = threading.Event()
    with Victim(tmp_path, **settings) as victim:

        def kill(delivery: list[dict[str, Any]]) -> int:
            seen.append(delivery)
            victim.kill()
            killed.set()
            return 500

        receiver.answer = kill
        with client_of(victim.base, "v2") as client:
            client.store(*(part10(StudyInstanceUID=study) for study in studies))
        assert killed.wait(60)
    receiver.answer = lambda _: 200
    with Victim(tmp_path, **settings):
        receiver.wait_for(lambda events: {study for study in studies if _of(study, events)} == set(studies))

    again = [one for one in receiver.events if one["data"]["imageStudyInstanceUid"] in studies]
    assert [one["id"] for one in seen[0]] == [one["id"] for one in again]
    numbers = [one["data"]["sequenceNumber"] for one in receiver.events]
    assert numbers == sorted(numbers)
