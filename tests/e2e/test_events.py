"""Events of a running service, at a real receiver (events.md)."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
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


def _is_on(base: str, receiver: Receiver) -> None:
    """Wait until events are on: they are from the first run of their function."""
    for _ in range(60):
        client = httpx.post(f"{base}/studies", content=part10(), headers={"Content-Type": "application/dicom"})
        assert client.status_code == 200
        try:
            receiver.wait_for(bool, 6)
        except AssertionError:
            continue
        return
    pytest.fail("no event arrived")


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
        _is_on(f"{url}/v2", receiver)
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


def test_killed_between_publish_and_save(tmp_path: Path, receiver: Receiver) -> None:
    """A service that is killed when its events have arrived, and before it knows, sends them again after a restart."""
    studies = [new_uid() for _ in range(5)]
    settings = {"PUBLIC_URL": _PUBLIC, "EVENT_WEBHOOK_URL": receiver.url}
    seen: list[list[dict[str, Any]]] = []
    killed = threading.Event()
    with Victim(tmp_path, **settings) as victim:
        _is_on(victim.base, receiver)

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
