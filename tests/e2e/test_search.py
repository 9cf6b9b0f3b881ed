"""Search over HTTP (PS3.18 §10.6): the six routes, matching, paging, and what is returned."""

import pytest

from tests.e2e.client import Client
from tests.factories import new_uid, part10


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
