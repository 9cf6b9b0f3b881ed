"""Search over HTTP (PS3.18 §10.6): the six routes, matching, paging, and what is returned."""

from typing import Any

import pytest
from pydicom import Dataset

from shared.dicom.native_model import from_xml
from tests.e2e.client import Client
from tests.factories import new_uid, part10, with_value


def _store_three(client: Client, patient: str) -> list[str]:
    """Store three studies of one patient with dates in three years; the UIDs, newest last."""
    studies = [new_uid() for _ in range(3)]
    files = [
        part10(PatientID=patient, StudyInstanceUID=study, StudyDate=date, AccessionNumber=f"{patient[-7:]}-{date}")
        for study, date in zip(studies, ("20190131", "20200229", "20211231"), strict=True)
    ]
    assert client.store(*files).status_code == 200
    return studies


def _studies(client: Client, **params: str) -> list[str]:
    return [match["0020000D"]["Value"][0] for match in client.search("/studies", **params)]


def test_exact(client: Client) -> None:
    """An attribute matches its whole value, by keyword or tag, ignoring case; newest studies come first."""
    patient = new_uid()
    studies = _store_three(client, patient)

    assert _studies(client, PatientID=patient) == studies[::-1]
    assert _studies(client, **{"00100020": patient}) == studies[::-1]
    assert _studies(client, AccessionNumber=f"{patient[-7:]}-20200229") == [studies[1]]
    assert _studies(client, PatientID=patient[:-1]) == []


def test_name(client: Client) -> None:
    """A person's name matches ignoring case and accents (search.md, "Matching")."""
    name, study = f"Grün^{new_uid()}", new_uid()
    client.store(part10(StudyInstanceUID=study, SpecificCharacterSet="ISO_IR 192", PatientName=name))

    assert _studies(client, PatientName=name.upper().replace("Ü", "U")) == [study]


def test_date_range(client: Client) -> None:
    """Dates match by value or by a range, both ends inclusive, either open (PS3.4 §C.2.2.2.5)."""
    patient = new_uid()
    first, second, third = _store_three(client, patient)

    found = {
        value: _studies(client, PatientID=patient, StudyDate=value)
        for value in ("20200229", "20190131-20200229", "20200229-", "-20200228", "20220101-")
    }

    assert found == {
        "20200229": [second],
        "20190131-20200229": [second, first],
        "20200229-": [third, second],
        "-20200228": [first],
        "20220101-": [],
    }


def test_uid_list(client: Client) -> None:
    """A list of UIDs matches any of them, by comma or backslash."""
    first, second, third = _store_three(client, new_uid())

    assert _studies(client, StudyInstanceUID=f"{first},{third}") == [third, first]
    assert _studies(client, StudyInstanceUID=f"{first}\\{second}") == [second, first]


def test_paging(client: Client) -> None:
    """Limit and offset walk the same order, and a Warning says when matches remain."""
    patient = new_uid()
    studies = _store_three(client, patient)[::-1]

    pages = [_studies(client, PatientID=patient, limit="2", offset=offset) for offset in ("0", "2", "4")]

    assert pages == [studies[:2], studies[2:], []]
    partial = client.get("/studies", params={"PatientID": patient, "limit": "2"})
    whole = client.get("/studies", params={"PatientID": patient})
    assert partial.headers["warning"].startswith("299 ")
    assert "warning" not in whole.headers


def test_routes(client: Client) -> None:
    """The six routes give results of their level, within their scope."""
    patient, study, first, second = new_uid(), new_uid(), new_uid(), new_uid()
    files = [
        part10(PatientID=patient, StudyInstanceUID=study, SeriesInstanceUID=series, Modality=modality)
        for series, modality, count in ((first, "CT", 2), (second, "MR", 1))
        for _ in range(count)
    ]
    client.store(*files)

    found = {
        path: len(client.search(path, **params))
        for path, params in {
            "/studies": {"PatientID": patient},
            "/series": {"PatientID": patient},
            "/instances": {"PatientID": patient},
            f"/studies/{study}/series": {},
            f"/studies/{study}/instances": {"Modality": "CT"},
            f"/studies/{study}/series/{first}/instances": {},
            f"/studies/{new_uid()}/series": {},
        }.items()
    }

    assert list(found.values()) == [1, 2, 3, 2, 2, 2, 0]
    assert client.search("/studies", PatientID=patient, ModalitiesInStudy="MR", includefield="00201208") == [
        client.search("/studies", PatientID=patient, includefield="NumberOfStudyRelatedInstances,ModalitiesInStudy")[0]
    ]


def test_defaults(client: Client) -> None:
    """Without includefield a version's own defaults come; the long list at v1, the short one at v2 (search.md)."""
    patient = new_uid()
    client.store(part10(PatientID=patient, PatientSex="O", StudyDescription="Knee", StudyDate="20200101"))

    [match] = client.search("/studies", PatientID=patient)

    assert match["00100020"]["Value"] == [patient]
    assert ("00100040" in match) == (client.version != "v2")
    assert ("00081030" in match) == (client.version == "v2")
    assert list(match) == sorted(match)


def test_includefield(client: Client) -> None:
    """Any attribute may be included, at any level: of the index, of the newest instance, or computed."""
    patient, study = new_uid(), new_uid()
    client.store(part10(PatientID=patient, StudyInstanceUID=study, Modality="CT", Rows=16, InstitutionName="Ward"))

    [match] = client.search("/studies", PatientID=patient, includefield="00080060,InstitutionName,00201208")
    [instance] = client.search(f"/studies/{study}/instances", includefield="all")

    assert match["00080060"]["Value"] == ["CT"]
    assert match["00080080"]["Value"] == ["Ward"]
    assert match["00201208"]["Value"] == [1]
    assert instance["00280010"]["Value"] == [16]
    assert instance["0020000D"]["Value"] == [study]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("foo=1", "foo"),
        ("PatientID=", "PatientID"),
        ("PatientID=a&00100020=b", "PatientID"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("fuzzymatching=maybe", "fuzzymatching"),
        ("includefield=Nothing", "Nothing"),
        ("StudyDate=2020", "StudyDate"),
        ("StudyDate=20201301", "StudyDate"),
        ("StudyDate=20210101-20200101", "StudyDate"),
        ("StudyDate=-", "StudyDate"),
        ("StudyInstanceUID=a", "StudyInstanceUID"),
        ("Modality=CT", "Modality"),
        ("PatientName=%3Cb%3E", "&lt;"),
    ],
)
def test_bad_query(client: Client, query: str, named: str) -> None:
    """A query that breaks a rule is 400 and the message names the parameter (search.md, "Parameters")."""
    answer = client.http.get(f"/studies?{query}")

    assert answer.status_code == 400
    assert named in answer.text


def test_not_acceptable(client: Client) -> None:
    """A search in a type that is not JSON is 406."""
    assert client.get("/studies", "text/html").status_code == 406


def test_ohif_worklist(client: Client) -> None:
    """The worklist query of OHIF is answered as OHIF needs it (clients.md)."""
    patient = new_uid()
    client.store(part10(PatientID=patient, PatientName="Doe^Jane", Modality="US"))
    fields = "00081030%2C00080060%2C00080090%2C00100030%2C00080061"
    query = f"limit=101&offset=0&fuzzymatching=false&includefield={fields}&00100020=*{patient[5:-1]}*"

    answer = client.http.get(f"/studies?{query}", headers={"Accept": "application/dicom+json"})

    [match] = answer.json()
    assert match["00080061"]["Value"] == ["US"]


def test_sequence_key(plain: Client) -> None:
    """Keys within the Request Attributes Sequence find series, and the answer shows them (PS3.4 §C.2.2.2.6)."""
    study, step = new_uid(), new_uid()[-10:]
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = step, "R1"
    plain.store(part10(StudyInstanceUID=study, RequestAttributesSequence=[item]), part10(StudyInstanceUID=study))
    key = "RequestAttributesSequence.ScheduledProcedureStepID"

    [match] = plain.search("/series", **{key: step})

    assert match["00400275"]["Value"][0]["00400009"]["Value"] == [step]
    assert plain.search(f"/studies/{study}/series", **{key: f"{step}x"}) == []
    assert len(plain.search(f"/studies/{study}/series", **{"00400275.00401001": "r1"})) == 1


def test_included_path(v2: Client) -> None:
    """A path in includefield shows of a sequence only what it names (PS3.18 §8.3.4.3)."""
    study = new_uid()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.3", "1.2.4"
    v2.store(part10(StudyInstanceUID=study, ReferencedStudySequence=[item]))

    [match] = v2.search(
        "/studies", StudyInstanceUID=study, includefield="ReferencedStudySequence.ReferencedSOPInstanceUID"
    )

    assert match["00081110"] == {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.4"]}}]}


def test_empty_value_matching(v2: Client) -> None:
    """Two quotation marks find what has no value, where that is asked for; nothing finds all (PS3.18 §8.3.4.5)."""
    patient, empty, filled = new_uid(), new_uid(), new_uid()
    v2.store(part10(PatientID=patient, StudyInstanceUID=empty, StudyDescription=""))
    v2.store(part10(PatientID=patient, StudyInstanceUID=filled, StudyDescription="Knee"))

    assert _studies(v2, PatientID=patient, StudyDescription='""', emptyvaluematching="true") == [empty]
    assert _studies(v2, PatientID=patient, StudyDescription="", emptyvaluematching="true") == [filled, empty]
    assert v2.get("/studies", params={"StudyDescription": ""}).status_code == 400


def test_multiple_value_matching(v2: Client) -> None:
    """With multiplevaluematching each of several modalities must be there, without it any (PS3.4 §C.2.2.2.8)."""
    patient, both, one = new_uid(), new_uid(), new_uid()
    for study, modality in ((both, "CT"), (both, "PT"), (one, "CT")):
        v2.store(part10(PatientID=patient, StudyInstanceUID=study, Modality=modality))

    assert _studies(v2, PatientID=patient, ModalitiesInStudy="CT\\PT", multiplevaluematching="true") == [both]
    assert _studies(v2, PatientID=patient, ModalitiesInStudy="CT\\PT") == [one, both]


def test_combined_range(v2: Client) -> None:
    """Ranges of a date and its time are one range (PS3.4 §C.2.2.2.5)."""
    patient, inside, before = new_uid(), new_uid(), new_uid()
    v2.store(part10(PatientID=patient, StudyInstanceUID=inside, StudyDate="20200102", StudyTime="0300"))
    v2.store(part10(PatientID=patient, StudyInstanceUID=before, StudyDate="20200101", StudyTime="0300"))

    assert _studies(v2, PatientID=patient, StudyDate="20200101-20200103", StudyTime="10-12") == [inside]


def test_computed(v2: Client) -> None:
    """Counts, classes, availability and URLs come when they are named (PS3.18 §10.6.3.3)."""
    study, series = new_uid(), new_uid()
    v2.store(part10(StudyInstanceUID=study, SeriesInstanceUID=series), part10(StudyInstanceUID=study))
    fields = "NumberOfStudyRelatedSeries,00201208,SOPClassesInStudy,RetrieveURL,InstanceAvailability"

    [match] = v2.search("/studies", StudyInstanceUID=study, includefield=fields)
    [of_series] = v2.search(f"/studies/{study}/series", SeriesInstanceUID=series, includefield="00201209,00081190")

    assert [match[tag]["Value"] for tag in ("00201206", "00201208", "00080062", "00080056")] == [
        [2], [2], ["1.2.840.10008.5.1.4.1.1.2"], ["ONLINE"],
    ]  # fmt: skip
    assert match["00081190"]["Value"] == [str(v2.http.base_url).rstrip("/") + f"/studies/{study}"]
    assert of_series["00201209"]["Value"] == [1]
    assert of_series["00081190"]["Value"][0].endswith(f"/studies/{study}/series/{series}")
    assert v2.search("/studies", StudyInstanceUID=study, NumberOfStudyRelatedInstances="3") == []


def test_all_of_an_instance(v2: Client) -> None:
    """`all` shows everything of an instance, private attributes too."""
    study = new_uid()
    v2.store(with_value(part10(StudyInstanceUID=study, InstitutionName="Ward"), 0x00091001, "LO", b"secret"))

    [match] = v2.search(f"/studies/{study}/instances", includefield="all")
    [named] = v2.search("/studies", StudyInstanceUID=study, includefield="00091001")

    assert match["00080080"]["Value"] == ["Ward"]
    assert match["00091001"]["Value"] == ["secret"]
    assert named["00091001"]["Value"] == ["secret"]


@pytest.mark.parametrize("accept", ["application/dicom+xml", 'multipart/related; type="application/dicom+xml"'])
def test_xml(plain: Client, accept: str) -> None:
    """Results come as XML, a part for each, when that is asked for (PS3.18 §8.7.3)."""
    patient = new_uid()
    plain.store(part10(PatientID=patient), part10(PatientID=patient))

    answer = plain.get("/studies", accept, {"PatientID": patient})

    media_type, _, boundary = answer.headers["content-type"].partition("; boundary=")
    parts = answer.content.split(f"--{boundary}".encode())
    assert media_type == 'multipart/related; type="application/dicom+xml"'
    assert (parts[0], parts[-1]) == (b"", b"--\r\n")
    assert len(parts[1:-1]) == 2
    for part in parts[1:-1]:
        head, _, document = part.partition(b"\r\n\r\n")
        assert head == b"\r\nContent-Type: application/dicom+xml"
        assert from_xml(document.strip())["00100020"]["Value"] == [patient]


def test_accept_parameter(v2: Client) -> None:
    """`accept` of the query decides what results come in, and is no attribute (PS3.18 §8.3.3.1)."""
    patient = new_uid()
    v2.store(part10(PatientID=patient))

    answer = v2.get("/studies", "application/dicom+json", {"PatientID": patient, "accept": "application/dicom+xml"})

    assert answer.headers["content-type"].startswith("multipart/related")


def test_long_uri(plain: Client) -> None:
    """Path and query over 8,192 characters are 414; up to there a list of UIDs is read."""
    path = len(plain.http.base_url.path.rstrip("/") + "/studies?StudyInstanceUID=")
    uids = ",".join(["1.2.3.4"] * 2000)

    longest = plain.http.get("/studies?StudyInstanceUID=" + uids[: 8192 - path].rpartition(",")[0])
    longer = plain.http.get("/studies?StudyInstanceUID=" + uids[: 8193 - path].ljust(8193 - path, "1"))

    assert longest.status_code in {200, 204}
    assert longer.status_code == 414


def test_external(v2: Client) -> None:
    """External metadata is matched and shown where it is asked for, and nowhere else (managed-service-additions.md)."""
    study, other, text = new_uid(), new_uid(), new_uid()[-16:]
    v2.store(part10(StudyInstanceUID=study), **{"msdicom-meta-LO-001912FF": f"Trial {text}"})
    v2.store(part10(StudyInstanceUID=other), **{"msdicom-meta-LO-001912FF": "Another"})
    shown = {"Accept": "application/dicom+json", "msdicom-request-meta": "true"}

    found = v2.http.get(f"/studies?001912FF=trial {text}", headers=shown)
    series = v2.http.get(f"/series?001912FF=*{text}&includefield=001912FF", headers=shown)

    [match] = found.json()
    assert match["0020000D"]["Value"] == [study]
    assert match["001912FF"] == {"vr": "LO", "Value": [f"Trial {text}"]}
    assert match["00190012"]["Value"] == ["Microsoft"]
    assert len(series.json()) == 1
    assert v2.get("/studies", params={"001912FF": "Another"}).status_code == 400
    assert "001912FF" not in v2.search("/studies", StudyInstanceUID=study, includefield="001912FF")[0]


@pytest.mark.parametrize(
    ("vr", "stored", "value", "found"),
    [
        ("DA", "20200102", "20200101-20200103", True),
        ("DA", "20200102", "-20200101", False),
        ("IS", "7", "007", True),
        ("FD", "1.5", "1.50", True),
        ("US", "7", "8", False),
        ("PN", "Doe^Jo", "döe^jo", True),
        ("CS", "DONE", "done", True),
    ],
)
def test_external_vr(v2: Client, vr: str, stored: str, value: str, found: bool) -> None:
    """External metadata matches as its VR wants it; names by their words too."""
    study, tag = new_uid(), "0021" + new_uid()[-4:].replace("0", "1")
    v2.store(part10(StudyInstanceUID=study), **{f"msdicom-meta-{vr}-{tag}": stored})
    shown = {"Accept": "application/dicom+json", "msdicom-request-meta": "true"}
    query = f"StudyInstanceUID={study}&{tag}={value}"

    assert (v2.http.get(f"/studies?{query}", headers=shown).status_code == 200) is found
    if vr == "PN":
        fuzzy = v2.http.get(f"/studies?StudyInstanceUID={study}&{tag}=do&fuzzymatching=true", headers=shown)
        assert fuzzy.status_code == 200


def test_newest_value(v2: Client) -> None:
    """The newest non-empty value of a study is found and shown, after deletes and upserts too (search.md)."""
    patient, study = new_uid(), new_uid()
    names: dict[str, Any] = {"PatientID": patient, "StudyInstanceUID": study}
    uids: list[dict[str, Any]] = [{"SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()} for _ in range(3)]
    v2.store(part10(**names, **uids[0], StudyDescription="one"))
    v2.store(part10(**names, **uids[1], StudyDescription="two"))
    v2.store(part10(**names, **uids[2], StudyDescription=""))

    assert _studies(v2, PatientID=patient, StudyDescription="two") == [study]
    assert _studies(v2, PatientID=patient, StudyDescription="one") == []
    v2.upsert(part10(**names, **uids[0], StudyDescription="three"))
    assert _studies(v2, PatientID=patient, StudyDescription="three") == [study]
    v2.http.delete(f"/studies/{study}/series/{uids[2]['SeriesInstanceUID']}")
    assert _studies(v2, PatientID=patient, StudyDescription="three") == [study]
    v2.http.delete(f"/studies/{study}")
    assert _studies(v2, PatientID=patient) == []
