"""Health over HTTP: for anyone, without a version (health-and-ops.md)."""

import httpx

from tests.e2e.conftest import Service


def test_check(any_service: Service) -> None:
    """Each thing that the service leans on has a state and a time; nothing names a host."""
    answer = httpx.get(f"{any_service.url}/health/check")

    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert body["overallStatus"] == "Healthy"
    assert [one["name"] for one in body["details"]] == ["Index", "Storage", "Records", "Cleanup", "Events"]
    assert all(set(one) == {"name", "status", "description", "durationMs"} for one in body["details"])
    assert "://" not in answer.text


def test_live(any_service: Service) -> None:
    """The process is alive."""
    answer = httpx.get(f"{any_service.url}/health/live")

    assert (answer.status_code, answer.json()["overallStatus"]) == (200, "Healthy")
