"""Store over HTTP (PS3.18 §10.5; store.md): routes, Accept, response, status and reason codes.

The rest of the contract: test_store_payloads.py and test_store_composed.py, what bodies hold; test_store_sizes.py, how
they are sent; test_store_identity.py, duplicates and the study of the path; test_store_validation.py and
test_store_warnings.py, the checks; test_store_contents.py and test_store_text.py, what becomes of a file;
test_store_upsert.py, PUT; test_store_terms.py, expiry and external metadata; test_bad_input.py, refused bodies.
"""

from collections.abc import Callable

import pytest

from tests.e2e.client import Client, named, stored, warnings
from tests.factories import multipart, new_uid, part10

_IMPLICIT_VR = "1.2.840.10008.1.2"


def _base(client: Client) -> str:
    return str(client.http.base_url).rstrip("/")


def _good() -> bytes:
    return part10()


def _warned() -> bytes:
    return part10(transfer_syntax=_IMPLICIT_VR)


def _bad() -> bytes:
    return part10(SeriesInstanceUID=None)


def test_single_part(client: Client) -> None:
    """One file as the whole body is stored and comes back byte for byte (PS3.18 §10.5.1)."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    file = part10(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance, pixel_bytes=100_001)

    answer = client.post(file, "application/dicom")

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    assert stored(answer) == [instance]
    assert client.files(f"/studies/{study}/series/{series}/instances/{instance}") == [file]


def test_multipart(client: Client) -> None:
    """Several files of one request are all stored, in the order they were sent."""
    study = new_uid()
    instances = [new_uid() for _ in range(7)]
    files = [
        part10(StudyInstanceUID=study, SOPInstanceUID=uid, pixel_bytes=1000 + number)
        for number, uid in enumerate(instances)
    ]

    answer = client.store(*files)

    assert answer.status_code == 200, answer.text
    assert stored(answer) == instances
    assert client.files(f"/studies/{study}") == files


def test_url_of_instance(client: Client) -> None:
    """Each stored instance has a RetrieveURL below the base that was asked, and it works."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    file = part10(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance)

    [item] = client.store(file).json()["00081199"]["Value"]

    url = item["00081190"]["Value"][0]
    assert url == f"{_base(client)}/studies/{study}/series/{series}/instances/{instance}"
    assert client.http.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"}).content == file


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "path",
    [
        "/studies/1.2/series",
        "/studies/1.2/series/1.3",
        "/studies/1.2/series/1.3/instances/1.4",
        "/series",
        "/instances",
    ],
)
def test_no_other_route(plain: Client, method: str, path: str) -> None:
    """There is no Store below the study level, nor outside of studies (store.md, "Routes")."""
    answer = plain.http.request(method, path, content=part10(), headers={"Content-Type": "application/dicom"})

    assert answer.status_code in {404, 405}


def test_no_url_without_study(plain: Client) -> None:
    """Without a study in the path the response has no RetrieveURL of its own (store.md, "Response")."""
    assert set(plain.store(_good(), _bad()).json()) == {"00081198", "00081199"}
    assert set(plain.store(_good()).json()) == {"00081199"}


@pytest.mark.parametrize(
    ("files", "status", "status_at_v2"),
    [
        pytest.param([_good], 200, 200, id="all stored, no warning"),
        pytest.param([_good, _good], 200, 200, id="several stored, no warning"),
        pytest.param([_warned], 200, 202, id="all stored, a warning"),
        pytest.param([_good, _warned], 200, 202, id="all stored, a warning somewhere"),
        pytest.param([_good, _bad], 202, 202, id="some failed"),
        pytest.param([_bad, _warned], 202, 202, id="some failed, a warning"),
        pytest.param([_bad], 409, 409, id="the only one failed"),
        pytest.param([_bad, _bad], 409, 409, id="all failed"),
        pytest.param([], 204, 204, id="no parts"),
    ],
)
def test_status(plain: Client, files: list[Callable[[], bytes]], status: int, status_at_v2: int) -> None:
    """The status is that of store.md's table; the response is one JSON object, for no parts there is none."""
    answer = plain.store(*(make() for make in files))

    assert answer.status_code == (status_at_v2 if plain.version == "v2" else status)
    assert answer.headers["api-supported-versions"] == "1.0-prerelease, 1, 2"
    assert answer.headers["x-content-type-options"] == "nosniff"
    if files:
        assert answer.headers["content-type"] == "application/dicom+json"
        assert isinstance(answer.json(), dict)
    else:
        assert answer.content == b""


def test_failure_stops_nothing(plain: Client) -> None:
    """A part that fails stops none of the others, and its item keeps its place among the failed ones."""
    instances = [new_uid() for _ in range(5)]
    series = [None, new_uid(), None, new_uid(), None]
    files = [part10(SOPInstanceUID=uid, SeriesInstanceUID=one) for uid, one in zip(instances, series, strict=True)]

    answer = plain.store(*files)

    assert stored(answer) == [instances[1], instances[3]]
    failed = [item["00081155"]["Value"][0] for item in answer.json()["00081198"]["Value"]]
    assert failed == [instances[0], instances[2], instances[4]]


def test_stored_item(plain: Client) -> None:
    """The item of a clean instance names class, instance and URL; at v2 its Failed Attributes Sequence is empty."""
    [item] = plain.store(_good()).json()["00081199"]["Value"]

    assert item["00081150"] == {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}
    assert item["00081155"]["vr"] == "UI"
    assert item["00081190"]["vr"] == "UR"
    assert item.get("00741048") == ({"vr": "SQ"} if plain.version == "v2" else None)
    assert set(item) == {"00081150", "00081155", "00081190"} | ({"00741048"} if plain.version == "v2" else set())


def test_failed_item(plain: Client) -> None:
    """The item of a failed instance has its reason, its UIDs, and a comment for each attribute that failed."""
    instance = new_uid()

    [item] = plain.store(part10(SOPInstanceUID=instance, SeriesInstanceUID=None)).json()["00081198"]["Value"]

    assert item["00081197"] == {"vr": "US", "Value": [43264]}
    assert item["00081150"] == {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}
    assert item["00081155"] == {"vr": "UI", "Value": [instance]}
    [comment] = item["00741048"]["Value"]
    assert comment["00000902"]["vr"] == "LO"
    [text] = comment["00000902"]["Value"]
    assert text.startswith("DICOM100: (0020,000e) - ")
    assert len(text) <= 64


def test_failed_item_unreadable(plain: Client) -> None:
    """What is not readable as DICOM has an item without UIDs among the failed ones, not one of other failures."""
    report = plain.store(b"no DICOM in here").json()

    assert set(report) == {"00081198"}
    [item] = report["00081198"]["Value"]
    assert item["00081197"]["Value"] == [43264]
    assert not {"00081150", "00081155"} & set(item)


def test_implicit_vr(plain: Client) -> None:
    """Implicit VR is stored with warning 45063, unchanged (store.md, "What is stored")."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, transfer_syntax=_IMPLICIT_VR)

    answer = plain.store(file)

    assert warnings(answer) == [45063]
    assert named(answer) == []
    assert plain.files(f"/studies/{study}") == [file]


def test_implicit_vr_and_bad_value(plain: Client) -> None:
    """45063 stays the Warning Reason when attributes break rules as well; at v2 those are named (store.md)."""
    answer = plain.store(part10(transfer_syntax=_IMPLICIT_VR, PatientSex="bad value"))

    assert warnings(answer) == [45063]
    assert named(answer) == (["(0010,0040)"] if plain.version == "v2" else [])


def test_forwarded(plain: Client) -> None:
    """URLs in the response are those of the proxy that forwarded the request (common.md, "Response headers")."""
    forwarded = {"X-Forwarded-Host": "pacs.example", "X-Forwarded-Proto": "https"}

    [item] = plain.store(part10(), **forwarded).json()["00081199"]["Value"]

    assert item["00081190"]["Value"][0].startswith(f"https://pacs.example/{plain.version}/studies/")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("application/json", 200),
        ("Application/DICOM+JSON; charset=utf-8", 200),
        ("text/html, application/dicom+json;q=0.1", 200),
        ("text/html", 406),
        ("application/dicom", 406),
        ("multipart/related", 406),
        ("application/dicom+json;q=0", 406),
    ],
)
def test_accept(plain: Client, accept: str, status: int) -> None:
    """A Store is answered in DICOM JSON; where Accept does not admit it, 406 without a body and nothing is stored.

    A missing Accept counts as any (common.md, "Accept filter"; policy 2).
    """
    study = new_uid()
    body, content_type = multipart([part10(StudyInstanceUID=study)])

    answer = plain.post(body, content_type, Accept=accept)

    assert answer.status_code == status
    assert bool(answer.content) == (status == 200)
    assert len(plain.search("/studies", StudyInstanceUID=study)) == (status == 200)


def test_accept_comes_first(plain: Client) -> None:
    """406 goes before the 400 of a bad UID and the 415 of a bad body (common.md, "Accept filter")."""
    answer = plain.post(b"x", "text/plain", study="no-uid", Accept="text/html")

    assert answer.status_code == 406


def test_partial_success_is_kept(plain: Client) -> None:
    """What a request stored stays stored although others of its instances failed."""
    study = new_uid()
    good = part10(StudyInstanceUID=study)

    plain.store(good, part10(StudyInstanceUID=study, SOPClassUID=None))

    assert plain.files(f"/studies/{study}") == [good]
    assert plain.get(f"/studies/{study}/metadata").json()[0]["0020000D"]["Value"] == [study]
