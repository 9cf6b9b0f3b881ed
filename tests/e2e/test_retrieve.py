"""Retrieve over HTTP (PS3.18 §10.4): stored transfer syntax, and metadata."""

import httpx
import pytest

from tests.e2e.client import ANY_INSTANCES, Client, parts_of
from tests.factories import new_uid, part10


class Study:
    """A stored study of two series with three and two instances."""

    def __init__(self, client: Client) -> None:
        self.uid, self.series = new_uid(), [new_uid(), new_uid()]
        self.files = {
            (series, new_uid()): b"" for series, count in zip(self.series, (3, 2), strict=True) for _ in range(count)
        }
        for series, instance in self.files:
            self.files[series, instance] = part10(
                StudyInstanceUID=self.uid, SeriesInstanceUID=series, SOPInstanceUID=instance, pixel_bytes=3000
            )
        assert client.store(*self.files.values()).status_code == 200


def test_levels(client: Client) -> None:
    """A study, a series and an instance give just their instances, each byte for byte."""
    study = Study(client)
    series = study.series[1]
    of_series = [file for (uid, _), file in study.files.items() if uid == series]
    _, instance = next(key for key in study.files if key[0] == series)

    assert client.files(f"/studies/{study.uid}") == list(study.files.values())
    assert client.files(f"/studies/{study.uid}/series/{series}") == of_series
    assert client.files(f"/studies/{study.uid}/series/{series}/instances/{instance}") == of_series[:1]


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"',
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'multipart/related; type="application/dicom"; transfer-syntax="1.2.840.10008.1.2.1"',
        'text/html;q=0.9, multipart/related; type="*/*"; q=0.5',
        "*/*",
    ],
)
def test_accept_multipart(client: Client, accept: str) -> None:
    """Every form of Accept that clients send for several instances is understood (clients.md)."""
    study = Study(client)

    answer = client.get(f"/studies/{study.uid}", accept)

    assert answer.status_code == 200, answer.text
    assert parts_of(answer) == list(study.files.values())


def test_accept_missing(client: Client) -> None:
    """A missing Accept counts as any type (policy 2)."""
    study = Study(client)
    request = client.http.build_request("GET", f"/studies/{study.uid}")
    del request.headers["Accept"]

    assert parts_of(client.http.send(request)) == list(study.files.values())


@pytest.mark.parametrize("accept", ["application/dicom", "application/dicom; transfer-syntax=*"])
def test_accept_single_part(client: Client, accept: str) -> None:
    """One instance comes as a single part with its length and transfer syntax when that is accepted."""
    study = Study(client)
    (series, instance), file = next(iter(study.files.items()))

    answer = client.get(f"/studies/{study.uid}/series/{series}/instances/{instance}", accept)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert answer.headers["content-length"] == str(len(file))
    assert answer.content == file


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/dicom",
        "image/png",
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.100',
        "multipart/related; type=image/jp2",
        "*/*; q=0",
    ],
)
def test_not_acceptable(client: Client, accept: str) -> None:
    """What a study cannot be given as is 406."""
    study = Study(client)

    assert client.get(f"/studies/{study.uid}", accept).status_code == 406


def test_other_syntax(client: Client) -> None:
    """A compressed instance comes as stored for `transfer-syntax=*`, and says which syntax that is."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, transfer_syntax="1.2.840.10008.1.2.4.50", pixel_bytes=500)
    client.store(file)

    answer = client.get(f"/studies/{study}", ANY_INSTANCES)

    assert parts_of(answer) == [file]
    assert b"transfer-syntax=1.2.840.10008.1.2.4.50\r\n" in answer.content
    assert client.get(f"/studies/{study}", 'multipart/related; type="application/dicom"').status_code == 406


def test_series_of_another_study(client: Client) -> None:
    """A series is not found below a study that it does not belong to."""
    one, other = Study(client), Study(client)

    for path in ("", "/metadata"):
        assert client.get(f"/studies/{one.uid}/series/{other.series[0]}{path}").status_code == 404


def test_metadata(client: Client) -> None:
    """Metadata is one JSON array of the data sets, at each level, without file meta and pixel data (PS3.18 §F)."""
    study = Study(client)
    series, instance = next(iter(study.files))
    path = f"/studies/{study.uid}"

    counts = {}
    for resource in ("", f"/series/{series}", f"/series/{series}/instances/{instance}"):
        answer = client.get(f"{path}{resource}/metadata", "application/dicom+json")
        assert answer.headers["content-type"] == "application/dicom+json"
        counts[resource] = len(answer.json())
        for dataset in answer.json():
            assert dataset["0020000D"] == {"vr": "UI", "Value": [study.uid]}
            assert not any(tag.startswith("0002") for tag in dataset)
            assert "Value" not in dataset.get("7FE00010", {})

    assert list(counts.values()) == [5, 3, 1]


def test_metadata_of_text(client: Client) -> None:
    """Text comes as UTF-8 whatever the character set of the file, and names by component group."""
    study = new_uid()
    client.store(
        part10(
            StudyInstanceUID=study,
            SpecificCharacterSet="ISO_IR 100",
            PatientName="Müller^Jürgen",
            StudyDescription="Schädel",
        )
    )

    [dataset] = client.get(f"/studies/{study}/metadata", "application/dicom+json").json()

    assert dataset["00100010"]["Value"] == [{"Alphabetic": "Müller^Jürgen"}]
    assert dataset["00081030"]["Value"] == ["Schädel"]


def test_metadata_etag(client: Client) -> None:
    """The entity tag of metadata is strong, answers 304 while nothing changed, and changes with a store."""
    study = new_uid()
    client.store(part10(StudyInstanceUID=study))
    path = f"/studies/{study}/metadata"

    tag = client.get(path).headers["etag"]

    def again(condition: str) -> httpx.Response:
        return client.http.get(path, headers={"If-None-Match": condition})

    assert tag.startswith('"')
    assert [again(form).status_code for form in (tag, tag.strip('"'), f'"x", {tag}', "*")] == [304] * 4
    assert again('"x"').status_code == 200
    client.store(part10(StudyInstanceUID=study))
    assert again(tag).status_code == 200
    assert client.get(path).headers["etag"] != tag


def test_metadata_not_acceptable(client: Client) -> None:
    """Metadata in a type that is not JSON is 406, before the UIDs are looked at."""
    assert client.get("/studies/not-a-uid/metadata", "application/dicom").status_code == 406


@pytest.mark.parametrize("is_one", [True, False])
def test_length_of_parts(client: Client, *, is_one: bool) -> None:
    """What is given as stored has a Content-Length, as multipart too, for HEAD as for GET (RFC 9110 §8.6)."""
    study = Study(client)
    series, instance = next(iter(study.files))
    path = f"/studies/{study.uid}" + (f"/series/{series}/instances/{instance}" if is_one else "")

    whole = client.get(path, "*/*")

    assert whole.headers["content-length"] == str(len(whole.content))
    assert len(parts_of(whole)) == (1 if is_one else 5)
    assert client.http.head(path).headers["content-length"] == str(len(whole.content))
