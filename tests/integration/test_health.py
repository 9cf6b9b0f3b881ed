"""What health tells, and what it does not (health-and-ops.md, "Health")."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.backend import Backend, open_backend
from shared.errors import DependencyFailed, DicomwebError, Unavailable
from shared.index.garbage import discard, postpone
from shared.index.migrate import migrate
from shared.services.events import publish
from shared.services.health import KEPT_S, KEPT_WORSE_S, Finding, Status, Watch, examine, overall
from shared.settings import Settings
from tests.integration.index_samples import store, uids

_HOST = "https://secret.host"


class _Failing:
    """Something that raises at whatever is asked of it."""

    def __init__(self, error: DicomwebError | None) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object) -> None:
            if self._error is not None:
                raise self._error
            await asyncio.sleep(3600)

        return fail


class _Sink:
    """A receiver that takes nothing."""

    async def send(self, *_: object) -> None:
        raise Unavailable(_HOST)

    async def close(self) -> None:
        """Give back nothing."""


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """An embedded backend."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url, public_url="https://a"))
    yield opened
    await opened.close()


def _by_name(findings: list[Finding]) -> dict[str, Status]:
    return {one.name: one.status for one in findings}


async def test_healthy(backend: Backend) -> None:
    """Everything is named, with its state and time, and the whole is well when each part is."""
    findings = await examine(backend)

    assert _by_name(findings) == dict.fromkeys(["Index", "Storage", "Records", "Cleanup", "Events"], Status.HEALTHY)
    assert all(one.duration_ms >= 0 for one in findings)
    assert overall(findings) is Status.HEALTHY


@pytest.mark.parametrize(
    ("part", "name", "expected"),
    [
        ("index", "Index", Status.UNHEALTHY),
        ("blobs", "Storage", Status.UNHEALTHY),
        ("records", "Records", Status.DEGRADED),
    ],
)
async def test_away(backend: Backend, part: str, name: str, expected: Status) -> None:
    """Without index or storage nothing can be served; without records requests still can. Nobody learns of hosts."""
    broken: dict[str, Any] = {part: _Failing(Unavailable(_HOST))}

    findings = await examine(replace(backend, **broken))

    assert _by_name(findings)[name] is expected
    assert overall(findings) is expected
    assert "secret" not in str(findings)


async def test_customers_storage(backend: Backend) -> None:
    """What the customer's own storage or key causes degrades the service."""
    blobs: Any = _Failing(DependencyFailed(_HOST))

    findings = await examine(replace(backend, blobs=blobs))

    assert overall(findings) is Status.DEGRADED
    assert "secret" not in str(findings)


async def test_hanging(backend: Backend) -> None:
    """What does not answer in time counts as away; the rest is told all the same."""
    blobs: Any = _Failing(None)

    findings = await examine(replace(backend, blobs=blobs))

    assert [one.name for one in findings if one.status is not Status.HEALTHY] == ["Storage"]
    assert overall(findings) is Status.UNHEALTHY


async def test_cleanup_late(backend: Backend) -> None:
    """Removals that are a day late degrade the service; those that are not due yet do not."""
    now = backend.now()
    await backend.index.write(discard, [1], now + timedelta(days=3))
    assert overall(await examine(backend)) is Status.HEALTHY

    await backend.index.write(discard, [2], now - timedelta(days=1, seconds=1))
    assert _by_name(await examine(backend))["Cleanup"] is Status.DEGRADED


async def test_cleanup_failing(backend: Backend) -> None:
    """Removals that failed again and again degrade the service."""
    now = backend.now()
    await backend.index.write(discard, [1], now)
    for _ in range(5):
        await backend.index.write(postpone, [1], now + timedelta(days=1))

    assert _by_name(await examine(backend))["Cleanup"] is Status.DEGRADED


async def test_events_late(backend: Backend) -> None:
    """Events that wait for long degrade the service."""
    with_events = replace(backend, events=_Sink())
    await publish(with_events)
    assert _by_name(await examine(with_events))["Events"] is Status.HEALTHY

    await backend.index.write(store, uids(1))  # in the past, by its clock

    await publish(with_events)
    assert _by_name(await examine(with_events))["Events"] is Status.DEGRADED


async def test_other_schema(tmp_path: Path) -> None:
    """Where the app does not know the database's schema, health says which of them is behind."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    opened = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url, public_url="https://a"))

    findings = await examine(opened)
    await opened.close()

    assert overall(findings) is Status.UNHEALTHY
    assert "The database is behind the app" in {one.name: one.description for one in findings}["Index"]


class _Counted:
    """Blobs that count how often they are looked at, each time for a while, and are well or away."""

    def __init__(self) -> None:
        self.looks = 0
        self.are_well = True
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()

    async def check(self) -> None:
        self.looks += 1
        self.is_asked.set()
        await self.may_answer.wait()
        if not self.are_well:
            raise Unavailable(_HOST)


class _Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_asked_at_once(backend: Backend) -> None:
    """Many who ask at once have one look at everything done for them, also where one of them leaves."""
    blobs: Any = _Counted()
    blobs.may_answer.clear()
    watch, counted = Watch(_Clock()), replace(backend, blobs=blobs)
    asking = [asyncio.create_task(watch.findings(counted)) for _ in range(50)]
    await blobs.is_asked.wait()
    asking.pop(0).cancel()
    blobs.may_answer.set()

    found = await asyncio.gather(*asking)

    assert blobs.looks == 1
    assert {overall(one) for one in found} == {Status.HEALTHY}


@pytest.mark.parametrize(("are_well", "kept_s"), [(True, KEPT_S), (False, KEPT_WORSE_S)], ids=["well", "away"])
async def test_asked_again(backend: Backend, are_well: bool, kept_s: float) -> None:
    """What was found is told for a few seconds, what is not well for a shorter time; then it is looked at again."""
    clock, blobs = _Clock(), _Counted()
    blobs.are_well = are_well
    counted: Any = blobs
    watch, with_counted = Watch(clock), replace(backend, blobs=counted)
    first = await watch.findings(with_counted)
    blobs.are_well = not are_well

    clock.now = kept_s - 0.1
    assert await watch.findings(with_counted) == first
    assert blobs.looks == 1

    clock.now = kept_s
    assert overall(await watch.findings(with_counted)) is not overall(first)
    assert blobs.looks == 2
