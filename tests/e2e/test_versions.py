"""Versions in the path (api-versioning.md)."""

import httpx
import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import Service


def test_supported_versions(client: Client) -> None:
    """Every answer of the API, an error too, lists the versions."""
    for path in ("/studies", "/studies/not-a-uid", "/studies/1.2.3"):
        assert client.get(path).headers["api-supported-versions"] == "1.0-prerelease, 1, 2"


@pytest.mark.parametrize("path", ["/v3/studies", "/v99/studies/1.2", "/v2.1/series"])
def test_unknown_version(service: Service, path: str) -> None:
    """A well-formed version that does not exist is 400 with the code UnsupportedApiVersion."""
    answer = httpx.get(service.url + path)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "UnsupportedApiVersion"
    assert path.split("/")[1][1:] in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/studies", "/vfoo/studies", "/v/studies", "/v2-/studies", "/", "/v2"])
def test_no_version(service: Service, path: str) -> None:
    """A path without a version, or with a malformed one, is 404 without version headers."""
    answer = httpx.get(service.url + path)

    assert answer.status_code == 404
    assert "api-supported-versions" not in answer.headers


@pytest.mark.parametrize("version", ["v1.0", "v2.0", "V2"])
def test_other_spellings(service: Service, version: str) -> None:
    """v1.0 and v2.0 are v1 and v2; the case of the letter does not matter."""
    assert httpx.get(f"{service.url}/{version}/studies").status_code in {200, 204}


def test_common_headers(service: Service) -> None:
    """Content sniffing is off, and the server does not name itself."""
    answer = httpx.get(f"{service.url}/v2/studies")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_health(service: Service) -> None:
    """The health check needs no version and tells of each dependency, without paths or hosts."""
    answer = httpx.get(f"{service.url}/health/check")

    assert answer.status_code == 200
    assert answer.json()["overallStatus"] == "Healthy"
    names = {detail["name"] for detail in answer.json()["details"]}
    assert names == {"Index", "Storage", "Records", "Cleanup", "Events"}
    assert "api-supported-versions" not in answer.headers


def test_partitions_off(service: Service) -> None:
    """Without data partitions, a path that names one is 400 (data-partitions.md)."""
    answer = httpx.get(f"{service.url}/v2/partitions/a/studies")

    assert answer.status_code == 400
    assert "partition" in answer.text
