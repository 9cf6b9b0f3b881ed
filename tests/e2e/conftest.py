"""The running service, on both storages and both bases, or the deployment that DICOMWEB_URL names."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.client import Client, client_of
from tests.factories import part10

ROOT = Path(__file__).parents[2]

VERSIONS = ("v1", "v1.0-prerelease", "v2")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its root URL, and whether its paths name a partition."""

    url: str
    has_partitions: bool = False

    def base(self, version: str) -> str:
        """Return the root of a version's resources."""
        return f"{self.url}/{version}" + ("/partitions/ward-7" if self.has_partitions else "")


@contextmanager
def running(storage: str, data: Path, log: Path | None = None, /, **settings: str) -> Iterator[str]:
    """Run the local host on a free port and give its root URL; it must end by itself when asked to.

    Parameters
    ----------
    log
        Where what it logs goes; the tests' own standard error unless told.
    """
    environment = os.environ | {"PORT": "0", "STORAGE": storage, "DATA": str(data), "WORKERS": "1"} | settings
    with log.open("wb") if log else nullcontext() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "localhost"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "http://" in line, f"the service did not start: {line!r}"
        yield "http://" + line.split("http://")[1].split("/")[0]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


_CASES = [
    pytest.param(("embedded", False), id="embedded"),
    pytest.param(("embedded", True), id="embedded-partitions"),
    pytest.param(("azurite", False), id="azurite"),
    pytest.param(("azurite", True), id="azurite-partitions"),
]


@pytest.fixture(scope="session", params=_CASES)
def any_service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Each kind of service in turn."""
    storage, has_partitions = request.param
    if deployed := os.environ.get("DICOMWEB_URL"):
        if storage != "embedded" or has_partitions:
            pytest.skip("DICOMWEB_URL names one deployment; the tests run against it once")
        yield Service(deployed.rstrip("/"))
        return
    with running(
        storage, tmp_path_factory.mktemp("data"), DATA_PARTITIONS=str(has_partitions), DELETE_AFTER_S="0"
    ) as url:
        found = Service(url, has_partitions)
        # The first Store makes the partition; before it, every other request is 400 (data-partitions.md).
        httpx.post(f"{found.base('v2')}/studies", content=part10(), headers={"Content-Type": "application/dicom"})
        yield found


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service with embedded storage, for what does not depend on storage."""
    with running("embedded", tmp_path_factory.mktemp("data")) as url:
        yield Service(url)


@pytest.fixture(scope="session", params=VERSIONS)
def client(request: pytest.FixtureRequest, any_service: Service) -> Iterator[Client]:
    """A client of one version's base, for rules that hold on all of them."""
    with httpx.Client(base_url=any_service.base(request.param), timeout=30) as http:
        yield Client(http, request.param)


@pytest.fixture(scope="module", params=VERSIONS)
def plain(request: pytest.FixtureRequest, service: Service) -> Iterator[Client]:
    """A client of each version, for what depends neither on the storage nor on the base."""
    with client_of(service.base(request.param), request.param) as client:
        yield client


@pytest.fixture(scope="module")
def v1(service: Service) -> Iterator[Client]:
    """A client of version 1, for what the tests of each version show to be the same in the prerelease."""
    with client_of(service.base("v1"), "v1") as client:
        yield client


@pytest.fixture(scope="module")
def v2(service: Service) -> Iterator[Client]:
    """A client of version 2, for what does not depend on the version."""
    with client_of(service.base("v2"), "v2") as client:
        yield client


@pytest.fixture
def any_v2(any_service: Service) -> Iterator[Client]:
    """A client of version 2 on each storage and base, for what takes its time."""
    with client_of(any_service.base("v2"), "v2") as client:
        yield client
