"""The state of operations over HTTP (operations.md), and what of tags and operations a caller may do and see."""

import json
import os
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest

from tests.e2e.conftest import VERSIONS, Service, running
from tests.e2e.test_query_tags import Tags, tags_of
from tests.factories import file_with
from tests.issuer import bearer, issuing

_AGE = {"path": "PatientAge", "level": "Study"}


@pytest.fixture
def tags(service: Service) -> Iterator[Tags]:
    with tags_of(service) as found:
        yield found


def test_begun(tags: Tags) -> None:
    """An operation that is not over is 202 with its own URL; one that is, 200 without."""
    began = tags.add(_AGE)

    at_first = tags.http.get(began.headers["Location"])
    tags.finished(began)
    at_last = tags.http.get(began.headers["Location"])

    assert began.json() == {"id": began.json()["id"], "href": began.headers["Location"]}
    if at_first.status_code == 202:  # it may have ended before
        assert at_first.headers["Location"] == began.headers["Location"]
        assert at_first.json()["status"] in {"notStarted", "running"}
        assert 0 <= at_first.json()["percentComplete"] < 100
    assert at_last.status_code == 200
    assert "Location" not in at_last.headers
    assert at_last.json().keys() == {
        "operationId",
        "type",
        "createdTime",
        "lastUpdatedTime",
        "status",
        "percentComplete",
        "resources",
    }
    assert (at_last.json()["type"], at_last.json()["percentComplete"]) == ("reindex", 100)


@pytest.mark.parametrize("version", VERSIONS)
def test_word_of_version(service: Service, tags: Tags, version: str) -> None:
    """Each version finds the operations of all, and has its own word for success."""
    began = httpx.post(f"{service.url}/v1/extendedquerytags", json=[_AGE])
    done = tags.finished(began)

    found = httpx.get(f"{service.url}/{version}/operations/{done['operationId']}").json()

    assert began.headers["Location"] == f"{service.url}/v1/operations/{done['operationId']}"
    assert done["status"] == "completed"
    assert found["status"] == ("succeeded" if version == "v2" else "completed")
    assert found["resources"] == [f"{service.url}/{version}/extendedquerytags/00101010"]


@pytest.mark.parametrize("form", ["{0.hex}", "{0}", "{{{0}}}", "({0})"])
def test_id(tags: Tags, form: str) -> None:
    """An id may be written as any GUID, in either case."""
    done = tags.finished(tags.add(_AGE))
    text = form.format(UUID(done["operationId"]))

    for written in (text, text.upper()):
        assert tags.http.get(f"/operations/{written}").json()["operationId"] == done["operationId"]


@pytest.mark.parametrize("name", ["0" * 32, "x", "1" * 31, "{" + str(UUID(int=1)), "unfinished-operations"])
def test_unknown(tags: Tags, name: str) -> None:
    """What is no id, or not that of an operation, is 404."""
    assert tags.http.get(f"/operations/{name}").status_code == 404


@pytest.mark.skipif("DICOMWEB_URL" in os.environ, reason="a deployment does not trust the tests' issuer")
def test_rights(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tags are changed by who may do so everywhere; who reads one partition sees of others neither errors nor count."""
    policy = [
        {"value": "owner", "actions": ["*"]},
        {"value": "reader", "actions": ["read"]},
        {"value": "a", "actions": ["*"], "partitions": ["a"]},
        {"value": "writer", "actions": ["write"]},
    ]
    settings = {"DATA_PARTITIONS": "true", "AUTH_AUDIENCES": "api://dicom", "ACCESS_POLICY": json.dumps(policy)}
    with (
        issuing() as issuer,
        running("embedded", tmp_path_factory.mktemp("data"), AUTH_ISSUERS=issuer.url, **settings) as url,
        httpx.Client(base_url=f"{url}/v1", timeout=30) as http,
    ):
        tokens = {name: bearer(issuer.token(name)) for name in ("owner", "reader", "a", "writer")}
        for partition in ("a", "b", "b"):
            fields = tokens["owner"] | {"Content-Type": "application/dicom"}
            assert http.post(
                f"/partitions/{partition}/studies", content=file_with("PatientAge", "45"), headers=fields
            ).is_success

        refused = {
            name: http.post("/extendedquerytags", json=[_AGE], headers=tokens[name]).status_code
            for name in ("reader", "a", "writer")
        }
        http.headers.update(tokens["owner"])
        tags = Tags(http)
        done = tags.finished(tags.add(_AGE))
        counts = {}
        for name in ("owner", "reader", "a"):
            http.headers.update(tokens[name])
            shown = tags.get("PatientAge").json()
            counts[name] = (shown["errors"]["count"], len(tags.errors_of("PatientAge")))
            assert http.get(f"/operations/{done['operationId']}").status_code == 200
        http.headers.update(tokens["a"])
        others = {one["partitionName"] for one in tags.errors_of("PatientAge")}
        http.headers.update(tokens["writer"])

        assert refused == dict.fromkeys(("reader", "a", "writer"), 403)
        assert counts == {"owner": (3, 3), "reader": (3, 3), "a": (1, 1)}
        assert others == {"a"}
        assert [tags.get().status_code, http.get(f"/operations/{done['operationId']}").status_code] == [403, 403]
        http.headers.update(tokens["a"])
        assert tags.patch("PatientAge", {"queryStatus": "enabled"}).status_code == 403
        assert tags.delete("PatientAge").status_code == 403
