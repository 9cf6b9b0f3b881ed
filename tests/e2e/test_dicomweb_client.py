"""The PyPI client `dicomweb-client` works unchanged."""

import io

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from tests.e2e.conftest import VERSIONS, Service
from tests.factories import new_uid, part10


@pytest.fixture(scope="module", params=VERSIONS)
def web(request: pytest.FixtureRequest, any_service: Service) -> DICOMwebClient:
    """A client of one version's base."""
    return DICOMwebClient(url=any_service.base(request.param))


def _datasets(study: str, count: int, pixel_bytes: int) -> list[pydicom.Dataset]:
    series = new_uid()
    files = [part10(StudyInstanceUID=study, SeriesInstanceUID=series, pixel_bytes=pixel_bytes) for _ in range(count)]
    return [pydicom.dcmread(io.BytesIO(file)) for file in files]


def test_round_trip(web: DICOMwebClient) -> None:
    """Store, search, metadata, retrieve and delete, with chunked uploads of over 1 MB."""
    study = new_uid()
    datasets = _datasets(study, 3, 700_000)

    report = web.store_instances(datasets)

    assert len(report.ReferencedSOPSequence) == 3
    assert "FailedSOPSequence" not in report
    assert len(web.search_for_studies(search_filters={"StudyInstanceUID": study})) == 1
    assert len(web.search_for_series(study)) == 1
    assert len(web.search_for_instances(study)) == 3
    assert len(web.retrieve_study_metadata(study)) == 3
    assert web.retrieve_study(study) == datasets
    first = datasets[0]
    uids = (study, first.SeriesInstanceUID, first.SOPInstanceUID)
    assert web.retrieve_instance(*uids) == first
    assert web.retrieve_instance_metadata(*uids)["00080018"]["Value"] == [first.SOPInstanceUID]
    assert web.retrieve_series(study, first.SeriesInstanceUID) == datasets
    web.delete_study(study)
    assert web.search_for_instances(study) == []


def test_any_syntax(web: DICOMwebClient) -> None:
    """A compressed instance is retrieved as stored when any transfer syntax is accepted."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, transfer_syntax="1.2.840.10008.1.2.4.90", pixel_bytes=1000)
    web.store_instances([pydicom.dcmread(io.BytesIO(file))])

    [dataset] = web.retrieve_study(study, media_types=(("application/dicom", "*"),))

    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
