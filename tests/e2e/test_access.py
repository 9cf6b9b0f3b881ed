"""Who may do what, over HTTP: every route with every kind of token (health-and-ops.md)."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.model import Action
from tests.e2e.conftest import running
from tests.factories import part10
from tests.issuer import Issuer, bearer, issuing, key_of
from tests.unit.test_function_app import ROUTES

pytestmark = pytest.mark.skipif("DICOMWEB_URL" in os.environ, reason="a deployment does not trust the tests' issuer")

_POLICY = [
    {"value": "owner", "actions": ["*"]},
    {"value": "reader", "actions": ["read"]},
    {"value": "clinic-a", "actions": ["*"], "partitions": ["Clinic-A"]},
    {"value": "clinic-a-reader", "actions": ["read"], "partitions": ["clinic-a"]},
    {"claim": "groups", "value": "b", "actions": ["*"], "partitions": ["clinic-b"]},
]
_UIDS = {"study": "1.2.3", "series": "1.2.3.4", "instance": "1.2.3.4.5", "frames": "1", "*path": "7FE00010"}
_WADO = "?requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.4&objectUID=1.2.3.4.5"
_JSON = {"Accept": "application/dicom+json"}


@dataclass(frozen=True, slots=True)
class Guarded:
    """A service that asks for tokens of an issuer; with partitions, clinic-a holds an instance, clinic-b too."""

    issuer: Issuer
    http: httpx.Client

    def send(self, method: str, path: str, headers: dict[str, str], content: bytes | None = None) -> httpx.Response:
        return self.http.request(method, path, headers=_JSON | headers, content=content)

    def store(self, partition: str, headers: dict[str, str], **attributes: Any) -> httpx.Response:
        """Store an instance with a made-up set of UIDs unless *attributes* have some."""
        fields = headers | {"Content-Type": "application/dicom"}
        return self.send("POST", f"/v2/partitions/{partition}/studies", fields, part10(**attributes))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service with two clinics."""
    with (
        issuing() as issuer,
        running(
            "embedded",
            tmp_path_factory.mktemp("data"),
            DATA_PARTITIONS="true",
            AUTH_ISSUERS=issuer.url,
            AUTH_AUDIENCES="api://other api://dicom",
            ACCESS_POLICY=json.dumps(_POLICY),
        ) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        found = Guarded(issuer, http)
        for partition in ("clinic-a", "clinic-b"):
            uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "SOPInstanceUID": "1.2.3.4.5"}
            assert found.store(partition, bearer(issuer.token("owner")), **uids).status_code == 200
        yield found


def path_of(template: str) -> str:
    for name, value in _UIDS.items():
        template = template.replace(f"{{{name}}}", value)
    return template + (_WADO if template == "wado" else "")


_CASES = [pytest.param(method, path_of(template), id=f"{method} {template}") for method, template in ROUTES]
_FOREIGN = key_of("other")


def refused_tokens(issuer: Issuer) -> dict[str, str]:
    """Return Authorization values that nobody may get in with."""
    owner = issuer.token("owner")
    head, claims, _ = owner.split(".")
    return {
        "none": "",
        "expired": f"Bearer {issuer.token('owner', exp=1)}",
        "not yet": f"Bearer {issuer.token('owner', nbf=2**32)}",
        "audience": f"Bearer {issuer.token('owner', aud='api://elsewhere')}",
        "issuer": f"Bearer {issuer.token('owner', iss='https://evil.example')}",
        "signature": f"Bearer {issuer.token('owner', key=_FOREIGN)}",
        "key": f"Bearer {issuer.token('owner', key=_FOREIGN, key_id='forged')}",
        "no signature": f"Bearer {head}.{claims}.",
        "scheme": f"Basic {owner}",
    }


@pytest.mark.parametrize(("method", "path"), _CASES)
def test_no_way_in(guarded: Guarded, method: str, path: str) -> None:
    """Every route at both bases, whatever else is wrong, is 401 without a token that holds, and says how to get one."""
    for name, value in refused_tokens(guarded.issuer).items():
        fields = {"Authorization": value} if value else {}
        for base in ("/v2", "/v1/partitions/clinic-a", "/v2/partitions/nowhere"):
            answer = guarded.send(method, f"{base}/{path}", fields | {"Accept": "text/none"})

            assert answer.status_code == 401, name
            challenge = answer.headers["WWW-Authenticate"]
            assert challenge.startswith(f'Bearer authorization_uri="{guarded.issuer.url}"')
            assert ("invalid_token" in challenge) is bool(value)


_ACTIONS = {"GET": Action.READ, "POST": Action.WRITE, "PUT": Action.WRITE, "DELETE": Action.DELETE}


@pytest.mark.parametrize(("method", "path"), [case for case in _CASES if case.values[0] != "DELETE"])
def test_roles(guarded: Guarded, method: str, path: str) -> None:
    """An owner may do everything, a reader may read, and an unknown role gives nothing: 403."""
    resource = f"/v2/partitions/clinic-a/{path}"
    is_read = _ACTIONS[method] is Action.READ
    statuses = {
        roles: guarded.send(method, resource, bearer(guarded.issuer.token(*roles)), b"").status_code
        for roles in ((), ("unknown",), ("reader",), ("unknown", "reader"), ("owner",), ("clinic-a",))
    }

    assert {roles for roles, status in statuses.items() if status == 403} == {(), ("unknown",)} | (
        set() if is_read else {("reader",), ("unknown", "reader")}
    )
    assert statuses["owner",] == statuses["clinic-a",]
    assert all(status < 500 and status != 401 for status in statuses.values())


@pytest.mark.parametrize(("method", "path"), _CASES)
def test_other_clinic(guarded: Guarded, method: str, path: str) -> None:
    """Of another clinic every answer is that of a partition that does not exist, in status, header and body."""
    for role in ("clinic-a", "clinic-a-reader"):
        fields = bearer(guarded.issuer.token(role))
        there, nowhere = (
            guarded.send(method, f"/v2/partitions/{name}/{path}", fields, b"") for name in ("clinic-b", "clinic-x")
        )
        assert there.status_code in {400, 403}
        assert (there.status_code, there.content) == (nowhere.status_code, nowhere.content)
        ignored = {"date", "x-correlation-id"}
        assert {name: value for name, value in there.headers.items() if name not in ignored} == {
            name: value for name, value in nowhere.headers.items() if name not in ignored
        }


@pytest.mark.parametrize(
    "path",
    [
        "CLINIC-B/studies",
        "%63linic-b/studies",
        "clinic-b%20/studies",
        "clinic-b%00/studies",
        "clinic-a%2f..%2fclinic-b/studies",
        "clinic-a;clinic-b/studies",
        "%EF%BD%83linic-b/studies",
        "clinic-b/studies/",
    ],
)
def test_spellings_of_other_clinic(guarded: Guarded, path: str) -> None:
    """No spelling of another clinic's name leads to it."""
    answer = guarded.send("GET", f"/v2/partitions/{path}", bearer(guarded.issuer.token("clinic-a")))

    assert answer.status_code == 400
    assert "1.2.3" not in answer.text


def test_half_a_character(guarded: Guarded) -> None:
    """A name in a token that no record could hold is no fault of the service."""
    fields = bearer(guarded.issuer.token("reader", oid="\ud800"))

    assert guarded.send("GET", "/v2/partitions/clinic-a/studies", fields).status_code == 200


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_feed_of_other_clinic(guarded: Guarded, version: str) -> None:
    """The change feed, its latest entry and the list of partitions show a caller what it may read, and no more."""
    one = bearer(guarded.issuer.token("clinic-a-reader"))
    guarded.store("clinic-b", bearer(guarded.issuer.token("owner")))

    def seen(path: str, headers: dict[str, str]) -> set[str]:
        found = guarded.send("GET", f"/{version}/{path}", headers).json()
        return {entry["partitionName"].lower() for entry in (found if isinstance(found, list) else [found])}

    everyone = bearer(guarded.issuer.token("reader"))
    for path in ("changefeed?includeMetadata=false", "partitions"):
        assert seen(path, one) == {"clinic-a"}
        assert seen(path, everyone) > {"clinic-a"}
    assert seen("changefeed/latest", one) == {"clinic-a"}
    assert seen("changefeed/latest", everyone) == {"clinic-b"}
    nobody = bearer(guarded.issuer.token("stranger"))
    assert guarded.send("GET", f"/{version}/changefeed", nobody).status_code == 403


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_numbers_of_other_clinic(guarded: Guarded, version: str) -> None:
    """What others store leaves no gap in the numbers that a caller sees, of entries and of partitions."""
    one, owner = bearer(guarded.issuer.token("clinic-a-reader")), bearer(guarded.issuer.token("owner"))
    path = f"/{version}/changefeed?includeMetadata=false"

    def numbers(more: str = "") -> list[int]:
        return [entry["sequence"] for entry in guarded.send("GET", f"{path}&limit=100{more}", one).json()]

    before = numbers()
    for partition in ("clinic-b", "clinic-a", "clinic-b", "clinic-b", "clinic-a"):
        guarded.store(partition, owner)

    assert numbers() == [*range(1, len(before) + 3)]
    assert numbers(f"&offset={len(before)}") == [len(before) + 1, len(before) + 2]
    assert numbers(f"&offset={len(before) + 2}") == numbers("&modality=XX") == []
    latest = guarded.send("GET", f"/{version}/changefeed/latest?includeMetadata=false", one).json()
    assert latest["sequence"] == len(before) + 2
    [partition] = guarded.send("GET", f"/{version}/partitions", one).json()
    assert partition["partitionKey"] == 1


def test_delete(guarded: Guarded) -> None:
    """A reader deletes nothing, an owner of one clinic deletes there alone."""
    uid = {"StudyInstanceUID": "9.1"}
    owner = bearer(guarded.issuer.token("owner"))
    for partition in ("clinic-a", "clinic-b"):
        guarded.store(partition, owner, **uid)

    def delete(partition: str, *roles: str, **claims: Any) -> int:
        fields = bearer(guarded.issuer.token(*roles, **claims))
        return guarded.send("DELETE", f"/v2/partitions/{partition}/studies/9.1", fields).status_code

    assert delete("clinic-a", "clinic-a-reader") == 403
    assert delete("clinic-b", "clinic-a") == 400
    assert delete("clinic-a", groups=["b"]) == 400
    assert delete("clinic-a", "clinic-a") == 204
    assert delete("clinic-b", groups=["b"]) == 204


def test_reader_of_one_makes_no_partition(guarded: Guarded) -> None:
    """Nobody makes a partition who may not write it: it does not exist afterwards."""
    assert guarded.store("new-one", bearer(guarded.issuer.token("clinic-a"))).status_code == 403

    found = guarded.send("GET", "/v2/partitions/new-one/studies", bearer(guarded.issuer.token("owner")))

    assert found.status_code == 400


def test_version_before_access(guarded: Guarded) -> None:
    """The version comes first, as architecture §2 orders."""
    assert guarded.send("GET", "/v7/studies", {}).status_code == 400


@pytest.mark.parametrize("path", ["/health/check", "/v2/api.json", "/v1/api.yaml", "/swagger"])
def test_open(guarded: Guarded, path: str) -> None:
    """Health and documents need no token."""
    assert guarded.send("GET", path, {}).status_code == 200


def test_keys_out_of_reach(tmp_path: Path) -> None:
    """Where the issuer's keys cannot be fetched every call is 503: never an open door, and never the caller's fault."""
    with issuing() as issuer:
        issuer.is_down = True
        with running("embedded", tmp_path, AUTH_ISSUERS=issuer.url, AUTH_AUDIENCES="api://dicom") as url:
            answer = httpx.get(f"{url}/v2/studies", headers=bearer(issuer.token("DICOM Data Owner")))
            anonymous = httpx.get(f"{url}/v2/studies")

    assert answer.status_code == 503
    assert anonymous.status_code == 401


def test_key_of(guarded: Guarded) -> None:
    """Forged key ids make the issuer be asked once at most."""
    before = guarded.issuer.fetches

    for number in range(20):
        token = guarded.issuer.token("owner", key=_FOREIGN, key_id=f"forged-{number}")
        assert guarded.send("GET", "/v2/partitions/clinic-a/studies", bearer(token)).status_code == 401

    assert guarded.issuer.fetches <= before + 1
