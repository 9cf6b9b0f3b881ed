"""Searches while others store and delete: what was there is found, what was gone is not (search.md)."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest

from tests.e2e.client import client_of
from tests.factories import new_uid, part10
from tests.soak.service import Service, running

_STUDIES = 60
_PER_STUDY = 2
_WRITERS = 3
_LEVELS = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}


@dataclass
class _Study:
    """When its Store and its deletion began and were answered; never, where they are not."""

    uids: dict[str, set[str]]
    files: list[bytes]
    is_deleted: bool
    store_began: float = float("inf")
    stored: float = float("inf")
    delete_began: float = float("inf")
    deleted: float = float("inf")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two workers: what one of them stored the other finds."""
    with running("embedded", tmp_path_factory.mktemp("data"), workers=2) as found:
        yield found


def test_while_storing_and_deleting(service: Service) -> None:
    """A search finds all that was published before it began, and nothing that was deleted before; studies whole."""
    patient = new_uid()[-16:]
    studies = [_study(patient, is_deleted=number % 2 == 0) for number in range(_STUDIES)]
    is_over = threading.Event()

    with ThreadPoolExecutor() as threads:
        searching = [threads.submit(_search_on, service, patient, studies, is_over) for _ in range(2)]
        writing = [threads.submit(_write, service, studies[number::_WRITERS]) for number in range(_WRITERS)]
        try:
            for one in writing:
                one.result()
        finally:
            is_over.set()
        counts = [one.result() for one in searching]

    assert min(counts) > 20, "else nothing was seen"


def _study(patient: str, *, is_deleted: bool) -> _Study:
    study, series, instances = new_uid(), new_uid(), [new_uid() for _ in range(_PER_STUDY)]
    named: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "PatientID": patient}
    files = [part10(SOPInstanceUID=uid, **named) for uid in instances]
    return _Study({"studies": {study}, "series": {series}, "instances": set(instances)}, files, is_deleted)


def _write(service: Service, studies: list[_Study]) -> None:
    with client_of(f"{service.url}/v2", "v2") as client:
        for one in studies:
            one.store_began = time.monotonic()
            assert client.store(*one.files).status_code == 200
            one.stored = time.monotonic()
            if one.is_deleted:
                one.delete_began = time.monotonic()
                assert client.http.delete(f"/studies/{next(iter(one.uids['studies']))}").status_code == 204
                one.deleted = time.monotonic()


def _search_on(service: Service, patient: str, studies: list[_Study], is_over: threading.Event) -> int:
    """Search until there is nothing more to see; return how often."""
    count = 0
    with client_of(f"{service.url}/v2", "v2") as client:
        for level, tag in cycle(_LEVELS.items()):
            if is_over.is_set():
                return count
            began = time.monotonic()
            found = client.search(f"/{level}", PatientID=patient, limit="200")
            ended = time.monotonic()
            uids = [one[tag]["Value"][0] for one in found]
            for one in studies:
                seen = one.uids[level].intersection(uids)
                assert seen in (set(), one.uids[level]), "a part of what one Store published"
                if one.stored < began and ended < one.delete_began:
                    assert seen, "published before the search began, and not found"
                if one.deleted < began or one.store_began > ended:
                    assert not seen, "found, and deleted before the search began"
            assert len(uids) == len(set(uids))
            count += 1
    return count
