"""The searches of real clients are answered as these need it (clients.md, "What viewers and clients really send")."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.client import Client
from tests.factories import new_uid, part10

_JSON = "application/dicom+json"
_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_WORKLIST = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"


def _ask(client: Client, path: str, query: str, accept: str = _JSON) -> list[dict[str, Any]]:
    """Send a query string as it is."""
    answer = client.http.get(f"{path}?{query}", headers={"Accept": accept})
    assert answer.status_code in {200, 204}, answer.text
    matches: list[dict[str, Any]] = answer.json() if answer.status_code == 200 else []
    return matches


@pytest.mark.parametrize(
    "condition",
    ["PatientName=*{name}*", "PatientName=%2A{name}%2A", "00100020=*{id}*", "AccessionNumber=*{accession}*",
     "StudyDescription=*{name}*", "ModalitiesInStudy=US&00100020={id}", "StudyDate=20200101-20200103&00100020={id}"],
)  # fmt: skip
def test_ohif_worklist(v2: Client, condition: str) -> None:
    """OHIF's worklist and each of its filters, the asterisk written either way."""
    unique = new_uid()[-12:]
    values = {"name": f"N{unique}", "id": f"I{unique}", "accession": f"A{unique}"}
    v2.store(
        part10(
            PatientName=f"X{values['name']}Y^Z",
            PatientID=f"{values['id']}",
            AccessionNumber=f"{values['accession']}",
            StudyDescription=f"of {values['name']} it",
            StudyDate="20200102",
            Modality="US",
        )
    )

    [match] = _ask(v2, "/studies", f"{_WORKLIST}&{condition.format(**values)}")

    assert match["00100020"]["Value"] == [values["id"]]


def test_ohif_expand(v2: Client) -> None:
    """OHIF opens several studies by UIDs with backslashes between, and asks for their series."""
    studies = [new_uid() for _ in range(3)]
    v2.store(*(part10(StudyInstanceUID=study, SeriesNumber="7", SeriesDescription="Axial") for study in studies))

    found = _ask(v2, "/studies", f"{_WORKLIST}&StudyInstanceUID={studies[0]}%5C{studies[2]}")
    [series] = _ask(v2, f"/studies/{studies[0]}/series", "includefield=00080021%2C00080031%2C0008103E%2C00200011")

    assert {match["0020000D"]["Value"][0] for match in found} == {studies[0], studies[2]}
    assert (series["0008103E"]["Value"], series["00200011"]["Value"]) == (["Axial"], [7])


def test_ohif_modalities(v2: Client) -> None:
    """A study without a modality has no empty ModalitiesInStudy, which would empty OHIF's worklist."""
    patient = new_uid()
    v2.store(part10(PatientID=patient, Modality=None), part10(PatientID=patient, Modality="CT"))

    found = _ask(v2, "/studies", f"00100020={patient}&includefield=ModalitiesInStudy")

    assert sorted(str(match.get("00080061", {}).get("Value")) for match in found) == ["None", "['CT']"]


def test_wsidicom(v2: Client) -> None:
    """Wsidicom asks for the slides of a series and the transfer syntax that they are stored in."""
    study, series = new_uid(), new_uid()
    uids: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    v2.store(part10(**uids, SOPClassUID=_SLIDE, Modality="SM"), part10(**uids, Modality="SM"))
    query = f"00080016={_SLIDE}&00080060=SM&0020000E={series}&includefield=AvailableTransferSyntaxUID"

    [match] = _ask(v2, f"/studies/{study}/instances", query)

    assert match["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]


def test_ez_wsi(v2: Client) -> None:
    """ez-wsi asks with 40 fields, each in a parameter of its own, and stops without the transfer syntax of the file."""
    study, series = new_uid(), new_uid()
    v2.store(part10(StudyInstanceUID=study, SeriesInstanceUID=series, Rows=16, SOPClassUID=_SLIDE))
    fields = ["00020010", "00282000", "52009229", "00081115", "00280010", "00080016", "00080018", "00480006"]
    fields += [f"0028{number:04X}" for number in range(0x30, 0x50)]
    query = "&".join(f"includefield={field}" for field in fields)

    [match] = _ask(v2, f"/studies/{study}/series/{series}/instances", query, "*/*")

    assert match["00020010"]["Value"] == ["1.2.840.10008.1.2.1"]
    assert match["00280010"]["Value"] == [16]
    assert match["00080016"]["Value"] == [_SLIDE]
    assert len(fields) == 40


def test_weasis(v2: Client) -> None:
    """A query that begins with an ampersand has no empty parameter."""
    patient = new_uid()
    v2.store(part10(PatientID=patient))

    assert len(_ask(v2, "/studies", f"&PatientID={quote(patient)}&limit=10")) == 1
