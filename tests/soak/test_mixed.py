"""All transactions at once on two hosts over one storage, which are killed again and again: nothing lost, nothing left.

`make soak` runs it for minutes on both storages (`SOAK_S` seconds each, `SOAK_SEED`); without it, for a moment on one.
"""

import json
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import background
from tests.receiver import Receiver, receiving
from tests.soak.followers import Entry, Follower
from tests.soak.hosts import Host, check, hosts
from tests.soak.writers import Writer

_IS_FULL = bool(os.environ.get("SOAK"))
_STORAGES = ("embedded", "azurite") if _IS_FULL else ("embedded",)
_SECONDS = float(os.environ.get("SOAK_S") or (300 if _IS_FULL else 12))
_SEED = int(os.environ.get("SOAK_SEED") or 6)
_WRITERS = 3
_DELETE_AFTER_S = 15
_TIMERS = ("expire_studies", "consolidate", "clean_up")
_SETTINGS = {
    "PUBLIC_URL": "https://pacs.example",
    "DELETE_AFTER_S": str(_DELETE_AFTER_S),
    "RESERVATION_EXPIRES_S": "60",
}


@pytest.mark.parametrize("storage", _STORAGES)
def test_mixed(storage: str, tmp_path: Path) -> None:
    """What was answered is there, the change feed and events tell of it once and in order, and nothing else remains."""
    chance = random.Random(_SEED)  # noqa: S311 - no secret
    with (
        receiving() as receiver,
        hosts(storage, tmp_path, 2, **_SETTINGS, EVENT_WEBHOOK_URL=receiver.url) as both,
        ThreadPoolExecutor(_WRITERS + 4) as threads,
    ):
        receiver.answer = _moody(random.Random(_SEED))  # noqa: S311
        end = time.monotonic() + _SECONDS
        writers = [Writer(both, random.Random(chance.random())) for _ in range(_WRITERS)]  # noqa: S311
        working = [threads.submit(writer.run, end) for writer in writers]
        beside = [threads.submit(_kill, both, end, random.Random(chance.random()))]  # noqa: S311
        beside.append(threads.submit(_run_timers, both[0], end, random.Random(chance.random())))  # noqa: S311
        followers = [Follower(both), Follower(both)]
        reads = (Follower.read_by_sequence, Follower.read_by_time)
        is_over = [False]
        following = [
            threads.submit(one.follow, read, lambda: is_over[0]) for one, read in zip(followers, reads, strict=True)
        ]
        try:
            for one in (*working, *beside):
                one.result()
            for writer in writers:
                writer.settle()
            time.sleep(max([0.0, *(due - time.monotonic() for one in writers for _, due in one.expiring)]))
            background.run(both[0].settings, "expire_studies")
        finally:
            is_over[0] = True
        for one in following:
            one.result()
        counts = sum((Counter(one.counts) for one in writers), Counter(killed=sum(len(one.ended) for one in both)))
        (tmp_path / "counts.json").write_text(json.dumps(counts))
        _check_feed(followers, writers)
        _check_events(receiver, followers[0].entries)
        time.sleep(_DELETE_AFTER_S)
        background.run({**both[0].settings, "RESERVATION_EXPIRES_S": "0"}, "clean_up", "consolidate", "clean_up")
        found = check(both[0], "--deep")
        assert found.returncode == 0, found.stdout + found.stderr
        with closing(sqlite3.connect(tmp_path / "index.db")) as index:
            assert index.execute("SELECT count(*) FROM reservation").fetchone() == (0,)


def _check_feed(followers: Iterable[Follower], writers: Iterable[Writer]) -> None:
    """Each follower was given each entry once and in order, and of each instance what its writer knows."""
    first, second = ([one["sequence"] for one in follower.entries] for follower in followers)
    assert first == sorted(set(first))
    assert second == first
    told: dict[str, list[str]] = {}
    studies: dict[str, str] = {}
    for entry in next(iter(followers)).entries:
        told.setdefault(entry["sopInstanceUid"], []).append(entry["action"])
        studies[entry["sopInstanceUid"]] = entry["studyInstanceUid"]
    known = {
        name: actions
        for writer in writers
        for study in (*writer.studies, *writer.ended)
        for name, actions in study.told.items()
    }
    assert {name: told.get(name) for name in known} == known
    others = {name: actions for name, actions in told.items() if name not in known}
    assert all(actions == ["Create", "Delete"] for actions in others.values()), "an expiry was not told of"
    expired = {study for writer in writers for study, _ in writer.expiring}
    assert expired <= {studies[name] for name in others}


def _check_events(receiver: Receiver, entries: Iterable[Entry]) -> None:
    """The receiver has an event of each entry, the first of each in their order, and always under the same id."""
    numbers = [entry["sequence"] for entry in entries]
    receiver.answer = lambda _: 200
    receiver.wait_for(lambda events: {event["data"]["sequenceNumber"] for event in events} >= set(numbers))
    ids: dict[int, str] = {}
    for event in receiver.events:
        assert ids.setdefault(event["data"]["sequenceNumber"], event["id"]) == event["id"]
    assert list(ids) == numbers
    assert len(set(ids.values())) == len(ids)


def _moody(chance: random.Random) -> Any:
    """Return the answers of a receiver that is slow, and refuses every third delivery."""

    def answer(_: object) -> int:
        time.sleep(chance.uniform(0, 0.5))
        return chance.choice([200, 200, 503])

    return answer


def _kill(both: list[Host], end: float, chance: random.Random) -> None:
    """Kill one of the hosts, sometimes both, and start them again, until the end."""
    while time.monotonic() < end:
        time.sleep(min(chance.uniform(0.2, 3), max(0.0, end - time.monotonic())))
        victims = chance.sample(both, chance.choice([1, 1, 1, 2]))
        for host in victims:
            host.kill()
        time.sleep(chance.uniform(0, 0.5))
        for host in victims:
            host.start()


def _run_timers(host: Host, end: float, chance: random.Random) -> None:
    """Run what timers start, far more often than they do, and kill it now and then."""
    while time.monotonic() < end:
        process = background.started(host.settings, *_TIMERS)
        time.sleep(chance.uniform(0.5, 4))
        if chance.random() < 0.3:
            process.kill()
        assert process.wait() in {0, -9}
