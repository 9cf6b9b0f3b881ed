"""Header fields of a Store about whole studies: expiry and external metadata (managed-service-additions.md §4, §5)."""

from typing import Any

import pytest

from tests.e2e.client import Client
from tests.factories import new_uid, part10

_TIME, _OPTION, _LEVEL = (f"msdicom-expiry-{name}" for name in ("time-milliseconds", "option", "level"))
_SHOW = {"msdicom-request-meta": "true"}


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({_TIME: "86400000"}, id="time alone"),
        pytest.param({_TIME: "1"}, id="least time"),
        pytest.param({_TIME: "86400000", _OPTION: "RelativeToNow"}, id="with option"),
        pytest.param({_TIME: "86400000", _OPTION: "RelativeToNow", _LEVEL: "Study"}, id="with option and level"),
    ],
)
def test_expiry(plain: Client, method: str, fields: dict[str, str]) -> None:
    """A Store with expiry fields is answered as one without, and the study is there until it expires."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)

    answer = plain.post(file, "application/dicom", method=method, **fields)

    assert answer.status_code == 200, answer.text
    assert plain.files(f"/studies/{study}") == [file]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({_TIME: "0"}, id="zero"),
        pytest.param({_TIME: "-1"}, id="negative"),
        pytest.param({_TIME: "1.5"}, id="no integer"),
        pytest.param({_TIME: "soon"}, id="no number"),
        pytest.param({_TIME: "9" * 17}, id="after the end of time"),
        pytest.param({_TIME: "9" * 40}, id="far too long"),
        pytest.param({_TIME: "1000", _OPTION: "Absolute"}, id="other option"),
        pytest.param({_TIME: "1000", _LEVEL: "Series"}, id="other level"),
        pytest.param({_OPTION: "RelativeToNow"}, id="option without time"),
        pytest.param({_LEVEL: "Study"}, id="level without time"),
    ],
)
def test_bad_expiry(plain: Client, method: str, fields: dict[str, str]) -> None:
    """A bad expiry field is 400, names the field, and nothing is stored (store.md, "Expiry")."""
    study = new_uid()

    answer = plain.post(part10(StudyInstanceUID=study), "application/dicom", method=method, **fields)

    assert answer.status_code == 400
    assert "msdicom-expiry-" in answer.text
    assert plain.search("/studies", StudyInstanceUID=study) == []


_GOOD = [
    ("AE", "PACS", ["PACS"]),
    ("AS", "012Y", ["012Y"]),
    ("CS", "DONE", ["DONE"]),
    ("DA", "20240229", ["20240229"]),
    ("DT", "20240229101112.5+0100", ["20240229101112.5+0100"]),
    ("FD", "1.5", [1.5]),
    ("FL", "-1.5", [-1.5]),
    ("IS", "-7", [-7]),
    ("LO", "Trial seven", ["Trial seven"]),
    ("PN", "Roe^Jane=J", [{"Alphabetic": "Roe^Jane", "Ideographic": "J"}]),
    ("SH", "short", ["short"]),
    ("SL", "-2147483648", [-2147483648]),
    ("SS", "-32768", [-32768]),
    ("TM", "101112.123", ["101112.123"]),
    ("UI", "1.2.3", ["1.2.3"]),
    ("UL", "4294967295", [4294967295]),
    ("US", "65535", [65535]),
]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(("vr", "text", "values"), _GOOD, ids=[vr for vr, _, _ in _GOOD])
def test_external(v2: Client, method: str, vr: str, text: str, values: list[Any]) -> None:
    """A value of each VR that store.md names is stored with the study and shown when it is asked for.

    With it goes the private creator of its block.
    """
    study = new_uid()
    fields = {f"msdicom-meta-{vr}-001910FF": text}

    answer = v2.post(part10(StudyInstanceUID=study), "application/dicom", method=method, **fields)

    assert answer.status_code == 200, answer.text
    [shown] = v2.metadata(f"/studies/{study}", **_SHOW)
    assert shown["001910FF"] == {"vr": vr, "Value": values}
    assert shown["00190010"] == {"vr": "LO", "Value": ["Microsoft"]}
    assert list(shown) == sorted(shown)
    [hidden] = v2.metadata(f"/studies/{study}")
    assert not {"001910FF", "00190010"} & set(hidden)


def test_external_on_every_level(any_v2: Client) -> None:
    """External metadata is of the study: all three metadata resources show it, in every instance."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    files = [
        part10(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance),
        part10(StudyInstanceUID=study),
    ]

    any_v2.store(*files, **{"msdicom-meta-LO-001911FF": "Trial seven", "msdicom-meta-CS-002112AB": "DONE"})

    for path, count in (("", 2), (f"/series/{series}", 1), (f"/series/{series}/instances/{instance}", 1)):
        shown = any_v2.metadata(f"/studies/{study}{path}", **_SHOW)
        assert [one["001911FF"]["Value"] for one in shown] == [["Trial seven"]] * count
        assert [one["002112AB"]["Value"] for one in shown] == [["DONE"]] * count
    assert any_v2.files(f"/studies/{study}") == files


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_external_again(v2: Client, method: str) -> None:
    """A later Store into the study changes the values that it names and no other (store.md, "External metadata")."""
    study = new_uid()
    first = {"msdicom-meta-LO-001911FF": "one", "msdicom-meta-SH-001912FF": "two"}
    v2.store(part10(StudyInstanceUID=study), **first)

    answer = v2.post(
        part10(StudyInstanceUID=study), "application/dicom", method=method, **{"msdicom-meta-LO-001911FF": "three"}
    )

    assert answer.status_code == 200
    for shown in v2.metadata(f"/studies/{study}", **_SHOW):
        assert shown["001911FF"]["Value"] == ["three"]
        assert shown["001912FF"]["Value"] == ["two"]


def test_external_of_identical_content(v2: Client) -> None:
    """A PUT of byte-identical content still sets the external values of its study."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)
    v2.store(file)

    v2.upsert(file, **{"msdicom-meta-LO-001911FF": "one"})

    assert v2.metadata(f"/studies/{study}", **_SHOW)[0]["001911FF"]["Value"] == ["one"]


def test_external_with_other_vr(v2: Client) -> None:
    """A value of another VR than the study has fails the whole request (store.md, "External metadata")."""
    study = new_uid()
    v2.store(part10(StudyInstanceUID=study), **{"msdicom-meta-LO-001911FF": "one"})
    other = new_uid()

    answer = v2.store(
        part10(StudyInstanceUID=study), part10(StudyInstanceUID=other), **{"msdicom-meta-SH-001911FF": "two"}
    )

    assert answer.status_code == 400
    assert "001911FF" in answer.text
    [shown] = v2.metadata(f"/studies/{study}", **_SHOW)
    assert shown["001911FF"] == {"vr": "LO", "Value": ["one"]}
    assert v2.search("/studies", StudyInstanceUID=other) == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"msdicom-meta-LO-00100020": "x"}, id="tag of the standard"),
        pytest.param({"msdicom-meta-LO-00190010": "x"}, id="private creator"),
        pytest.param({"msdicom-meta-LO-000110FF": "x"}, id="group that is never private"),
        pytest.param({"msdicom-meta-SQ-001910FF": "x"}, id="sequence"),
        pytest.param({"msdicom-meta-DS-001910FF": "1"}, id="VR that is not offered"),
        pytest.param({"msdicom-meta-XX-001910FF": "x"}, id="no VR"),
        pytest.param({"msdicom-meta-LO": "x"}, id="no tag"),
        pytest.param({"msdicom-meta-LO-001910F": "x"}, id="short tag"),
        pytest.param({"msdicom-meta-LO-0019-10FF": "x"}, id="misspelt tag"),
        pytest.param({"msdicom-meta-DA-001910FF": "tomorrow"}, id="no DA"),
        pytest.param({"msdicom-meta-US-001910FF": "65536"}, id="over the range of US"),
        pytest.param({"msdicom-meta-IS-001910FF": "1.5"}, id="no IS"),
        pytest.param({"msdicom-meta-SH-001910FF": "x" * 17}, id="too long for SH"),
        pytest.param({"msdicom-meta-LO-001910FF": "a\\b"}, id="several values"),
        pytest.param({"msdicom-meta-LO-001910FF": "x", "msdicom-meta-DA-001911FF": "x"}, id="one of two"),
    ],
)
def test_bad_external(v2: Client, fields: dict[str, str]) -> None:
    """One bad field fails the whole request with 400, and nothing is stored (store.md, "External metadata")."""
    study = new_uid()

    answer = v2.store(part10(StudyInstanceUID=study), **fields)

    assert answer.status_code == 400
    assert v2.search("/studies", StudyInstanceUID=study) == []


@pytest.mark.parametrize(("value", "status"), [("true", 200), ("True", 200), ("false", 200), ("maybe", 400)])
def test_wish(v2: Client, value: str, status: int) -> None:
    """`msdicom-request-meta` is true or false (managed-service-additions.md §5)."""
    study = new_uid()
    v2.store(part10(StudyInstanceUID=study), **{"msdicom-meta-LO-001911FF": "one"})

    answer = v2.http.get(f"/studies/{study}/metadata", headers={"msdicom-request-meta": value})

    assert answer.status_code == status
    if status == 200:
        assert ("001911FF" in answer.json()[0]) is (value.lower() == "true")


def test_external_and_etag(v2: Client) -> None:
    """The entity tag of metadata that shows external values changes with them."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)
    tags = []

    for value in ("one", "two", "two"):
        v2.upsert(file, **{"msdicom-meta-LO-001911FF": value})
        tags.append(v2.http.get(f"/studies/{study}/metadata", headers=_SHOW).headers["etag"])

    assert tags[0] != tags[1] == tags[2]


def test_external_gone_with_study(v2: Client) -> None:
    """External values go with their study: what is stored under its UID later has none of them."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)
    v2.store(file, **{"msdicom-meta-LO-001911FF": "one"})
    v2.http.delete(f"/studies/{study}")
    v2.store(file)

    [shown] = v2.metadata(f"/studies/{study}", **_SHOW)

    assert "001911FF" not in shown


def test_external_at_every_version(plain: Client) -> None:
    """External metadata is understood at every version, so that no client loses what it sent (decisions.md)."""
    study = new_uid()

    answer = plain.store(part10(StudyInstanceUID=study), **{"msdicom-meta-LO-001911FF": "one"})

    assert answer.status_code == 200
    assert plain.metadata(f"/studies/{study}", **_SHOW)[0]["001911FF"]["Value"] == ["one"]
