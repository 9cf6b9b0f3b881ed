"""Events from the change feed: at least once, in order, nothing lost (events.md)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update
from sqlalchemy import delete as delete_from

from shared.backend import Backend, open_backend
from shared.errors import Conflict, NotFound, Unavailable
from shared.index.instances import delete
from shared.index.migrate import migrate
from shared.index.tables import change_feed, change_feed_clock
from shared.model import Scope
from shared.services.events import load, publish, save, waiting
from shared.settings import Settings
from shared.storage.blobs import Record
from tests.integration.index_samples import NOW, store, uids
from tests.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of events."""
    with receiving() as found:
        yield found


@pytest.fixture
async def backend(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Backend]:
    """An embedded backend that sends events to the receiver."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(
        Settings(
            dicom_storage_folder=str(tmp_path),
            dicom_sql_url=url,
            public_url="https://pacs.example:8443/dicom",
            event_webhook_url=receiver.url,
            event_topic="/subscriptions/s/workspaces/w",
        )
    )
    yield opened
    await opened.close()


def _numbers(receiver: Receiver) -> list[int]:
    return [event["data"]["sequenceNumber"] for event in receiver.events]


async def test_event(backend: Backend, receiver: Receiver) -> None:
    """An event names the instance, the host and its place in the change feed, and nothing of a patient."""
    await publish(backend)
    await backend.index.write(store, uids(1) | {"PatientName": "Doe^John"})

    assert await publish(backend) == 1

    [event] = receiver.events
    assert datetime.fromisoformat(event.pop("eventTime")) == NOW
    assert len(event.pop("id")) == 36
    assert event == {
        "topic": "/subscriptions/s/workspaces/w",
        "subject": "pacs.example:8443/v1/studies/1.1/series/1.1.1/instances/1.1.1.1",
        "eventType": "Microsoft.HealthcareApis.DicomImageCreated",
        "dataVersion": "1",
        "metadataVersion": "1",
        "data": {
            "partitionName": "Microsoft.Default",
            "imageStudyInstanceUid": "1.1",
            "imageSeriesInstanceUid": "1.1.1",
            "imageSopInstanceUid": "1.1.1.1",
            "serviceHostName": "pacs.example:8443",
            "sequenceNumber": 1,
        },
    }


async def test_partition(backend: Backend, receiver: Receiver) -> None:
    """Where there are partitions the subject names one."""
    partitioned = replace(backend, settings=replace(backend.settings, data_partitions=True))
    await publish(partitioned)
    partition = await backend.add_partition("ward")
    await backend.index.write(lambda connection: store(connection, uids(1), partition=partition.key))

    await publish(partitioned)

    [event] = receiver.events
    assert event["subject"].startswith("pacs.example:8443/v1/partitions/ward/studies/1.1/")
    assert event["data"]["partitionName"] == "ward"


async def test_version(backend: Backend, receiver: Receiver) -> None:
    """The version in the subject is a setting."""
    second = replace(backend, settings=replace(backend.settings, event_version="v2"))
    await publish(second)
    await backend.index.write(store, uids(1))

    await publish(second)

    assert receiver.events[0]["subject"] == "pacs.example:8443/v2/studies/1.1/series/1.1.1/instances/1.1.1.1"


async def test_switched_on(backend: Backend, receiver: Receiver) -> None:
    """What happened before events were on is not sent; what happens afterwards is, once."""
    await backend.index.write(store, uids(1))
    assert await publish(backend) == 0
    await backend.index.write(store, uids(2))
    await backend.index.write(delete, Scope(1, "1.1"), NOW, NOW)

    assert await publish(backend) == 2
    assert await publish(backend) == 0

    assert [event["eventType"].rpartition(".")[2] for event in receiver.events] == [
        "DicomImageCreated",
        "DicomImageDeleted",
    ]


@pytest.mark.parametrize(("age_s", "is_sent"), [(0, True), (299, True), (300, True), (301, False)])
async def test_stored_before_first_run(backend: Backend, receiver: Receiver, age_s: int, is_sent: bool) -> None:
    """What was stored with events on, before they were published for the first time, is sent."""
    await backend.index.write(store, uids(1))

    await publish(replace(backend, now=lambda: NOW + timedelta(seconds=age_s)))

    assert len(receiver.events) == is_sent


async def test_restored(backend: Backend, receiver: Receiver) -> None:
    """In a database of an earlier time events go on with what happens in it, under ids of their own."""
    await publish(backend)
    await backend.index.write(store, uids(1), uids(2))
    await publish(backend)
    position = await load(backend)
    assert position is not None
    await backend.index.write(_restore)
    await backend.index.write(store, uids(3))

    await publish(replace(backend, now=lambda: NOW))

    assert _numbers(receiver) == [1, 2, 1]
    assert len({event["id"] for event in receiver.events}) == 3


def _restore(connection: Connection) -> None:
    """Forget the change feed and its numbers, an hour later."""
    connection.execute(delete_from(change_feed))
    connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'change_feed'")
    connection.execute(update(change_feed_clock).values(last=NOW + timedelta(hours=1)))


async def test_many(backend: Backend, receiver: Receiver) -> None:
    """Many events are sent in the order of the change feed, some hundred at a time."""
    await publish(backend)
    await backend.index.write(store, *(uids(1, 1, number) for number in range(1203)))

    assert await publish(backend) == 1203

    assert _numbers(receiver) == list(range(1, 1204))
    assert max(map(len, receiver.deliveries)) == 500


async def test_receiver_down(backend: Backend, receiver: Receiver) -> None:
    """A receiver that refuses, or is not there, delays events; all of them come later, in order."""
    await publish(backend)
    await backend.index.write(store, uids(1), uids(2))
    receiver.answer = lambda _: 503
    assert await publish(backend) == 0
    nowhere = replace(backend, events=open_backend(replace(backend.settings, event_webhook_url=_NOWHERE)).events)
    assert await publish(nowhere) == 0
    assert await waiting(backend) == (2, NOW)

    receiver.answer = lambda _: 202
    await publish(backend)

    assert _numbers(receiver) == [1, 2]
    assert await waiting(backend) == (0, None)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 302, 303, 304, 307, 400, 404, 410, 429, 500, 503, 599])
async def test_acknowledged(backend: Backend, receiver: Receiver, status: int) -> None:
    """Any status of 2xx acknowledges events, and nothing else: a redirect would be followed without them."""
    await publish(backend)
    await backend.index.write(store, uids(1))
    receiver.answer = lambda _: status

    assert await publish(backend) == (1 if status < 300 else 0)
    assert await waiting(backend) == ((0, None) if status < 300 else (1, NOW))


_NOWHERE = "http://127.0.0.1:9/"


class _Forgetful:
    """Records that cannot be saved, as those of a process that dies after it has sent events."""

    def __init__(self, records: Any) -> None:
        self._records = records

    async def load(self, kind: str, name: str) -> Record:
        record: Record = await self._records.load(kind, name)
        return record

    async def save(self, *_: Any, **__: Any) -> Record:
        raise Unavailable("injected")


async def test_not_saved(backend: Backend, receiver: Receiver) -> None:
    """Events whose position could not be saved are sent again, with the same ids."""
    await publish(backend)
    await backend.index.write(store, uids(1), uids(2))
    forgetful: Any = _Forgetful(backend.records)
    await publish(replace(backend, records=forgetful))

    await publish(backend)

    first, second = receiver.deliveries
    assert first == second
    assert len({event["id"] for event in first}) == 2


async def test_other_process(backend: Backend, receiver: Receiver) -> None:
    """Of two processes that publish at once one notices, and leaves the rest to the other."""
    await publish(backend)
    before = await load(backend)
    assert before is not None
    await backend.index.write(store, uids(1))
    await publish(backend)

    with pytest.raises(Conflict):
        await save(0, before.etag, backend)
    assert len(receiver.events) == 1


async def test_two_at_once(backend: Backend, receiver: Receiver) -> None:
    """Two processes that publish at once send everything at least once, and the first of each event in order."""
    await publish(backend)
    await backend.index.write(store, *(uids(1, 1, number) for number in range(700)))
    other = open_backend(backend.settings)

    await asyncio.gather(publish(backend), publish(other))
    await publish(other)

    assert list(dict.fromkeys(_numbers(receiver))) == list(range(1, 701))
    position = await load(backend)
    assert position is not None
    assert position.sequence == 700
    await other.close()


async def test_off(backend: Backend) -> None:
    """Where events are off nothing is sent, and no position kept."""
    off = replace(backend, events=None)
    await backend.index.write(store, uids(1))

    assert await publish(off) == 0
    assert await waiting(off) == (0, None)
    with pytest.raises(NotFound):
        await backend.records.load("events", "position")


async def test_event_grid(backend: Backend, receiver: Receiver) -> None:
    """Event Grid gets the same events, but its own topic; what it refuses waits."""
    pytest.importorskip("azure.eventgrid", reason="azure-eventgrid is not installed")
    from azure.core.credentials import AzureKeyCredential

    from shared.storage.event_grid import EventGridEvents

    settings = replace(backend.settings, event_grid_url="https://topic.example", event_webhook_url="")
    sink = EventGridEvents(receiver.url, AzureKeyCredential("key"))
    to_grid = replace(backend, settings=settings, events=sink)
    await publish(to_grid)
    await backend.index.write(store, uids(1))
    receiver.answer = lambda _: 400
    assert await publish(to_grid) == 0
    receiver.answer = lambda _: 200

    assert await publish(to_grid) == 1

    [event] = receiver.events
    assert "topic" not in event
    assert event["eventType"] == "Microsoft.HealthcareApis.DicomImageCreated"
    assert datetime.fromisoformat(event["eventTime"]) == datetime(2024, 5, 1, 8, tzinfo=UTC) + timedelta(0)
    await sink.close()
