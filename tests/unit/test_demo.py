"""The study of `make demo`."""

import io
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import pairwise

import pydicom
import pytest
from pydicom.dataset import Dataset

from localhost.demo import Answer, Command, Service, shortened
from localhost.demo_study import CLIP_FRAMES, SLICES, STUDY, demo_study, file_of, throw_away

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

# Attributes of type 1 (PS3.3 §A.3, §A.7, §A.35.2), which must have a value.
TYPE_1 = {
    "CT": "ImageType InstanceNumber PixelSpacing ImageOrientationPatient ImagePositionPatient RescaleIntercept"
    " RescaleSlope FrameOfReferenceUID Rows Columns PixelData",
    "US": "ImageType NumberOfFrames FrameIncrementPointer FrameTime Rows Columns PlanarConfiguration PixelData",
    "SR": "SeriesNumber InstanceNumber CompletionFlag VerificationFlag ContentDate ContentTime ValueType"
    " ConceptNameCodeSequence ContinuityOfContent ContentSequence",
}
# Attributes of type 2 of all of them, which must be there.
TYPE_2 = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber"
    " ReferringPhysicianName SeriesNumber Manufacturer"
)


@pytest.fixture(scope="module")
def study() -> dict[str, list[Dataset]]:
    return {modality: [_read(one) for one in datasets] for modality, datasets in demo_study(NOW).items()}


def _read(dataset: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(file_of(dataset)))


def test_modalities(study: dict[str, list[Dataset]]) -> None:
    """The study has a CT volume of 40 slices, an ultrasound clip and a report, each of its modality."""
    counts = {modality: len(datasets) for modality, datasets in study.items()}
    said = {one.Modality for datasets in study.values() for one in datasets}

    assert counts == {"CT": SLICES, "US": 1, "SR": 1}
    assert said == set(counts)
    assert SLICES == 40


def test_uids(study: dict[str, list[Dataset]]) -> None:
    """All instances are of one study, each modality is a series, and no two instances share a UID."""
    instances = [one for datasets in study.values() for one in datasets]

    assert {one.StudyInstanceUID for one in instances} == {STUDY}
    assert len({one.SeriesInstanceUID for one in instances}) == len(study)
    assert len({one.SOPInstanceUID for one in instances}) == len(instances)
    assert all(one.SOPInstanceUID.is_valid for one in instances)


def test_uids_again(study: dict[str, list[Dataset]]) -> None:
    """Another run at another time makes the same instances."""
    later = demo_study(datetime(2027, 1, 1, tzinfo=UTC))

    assert [one.SOPInstanceUID for one in later["CT"]] == [one.SOPInstanceUID for one in study["CT"]]


def test_clock(study: dict[str, list[Dataset]]) -> None:
    """The study is dated by the clock that is given."""
    assert (study["SR"][0].StudyDate, study["SR"][0].StudyTime) == ("20260304", "050607")


@pytest.mark.parametrize("modality", TYPE_1)
def test_required(study: dict[str, list[Dataset]], modality: str) -> None:
    """Attributes of type 1 have a value and those of type 2 are there (PS3.5 §7.4)."""
    instance = study[modality][0]

    assert [keyword for keyword in TYPE_1[modality].split() if instance[keyword].is_empty] == []
    assert [keyword for keyword in TYPE_2.split() if keyword not in instance] == []


def test_positions(study: dict[str, list[Dataset]]) -> None:
    """The slices lie side by side, evenly, in the order of their numbers."""
    slices = sorted(study["CT"], key=lambda one: int(one.InstanceNumber))
    heights = [float(one.ImagePositionPatient[2]) for one in slices]

    assert {high - low for low, high in pairwise(heights)} == {5.0}


def test_phantom(study: dict[str, list[Dataset]]) -> None:
    """The volume shows a ball in a gradient: wider in the middle than at its ends, over a background that rises."""
    middle, end = study["CT"][SLICES // 2].pixel_array, study["CT"][2].pixel_array

    assert (middle > 1000).sum() > 2 * (end > 1000).sum() > 0
    assert middle[0, 0] < middle[0, -1] < middle[-1, -1] < 1000


def test_clip(study: dict[str, list[Dataset]]) -> None:
    """The clip is in colour, and its frames differ."""
    frames = study["US"][0].pixel_array

    assert frames.shape == (CLIP_FRAMES, 120, 160, 3)
    assert len({frame.tobytes() for frame in frames}) == CLIP_FRAMES


def test_report(study: dict[str, list[Dataset]]) -> None:
    """The report refers to a slice of the volume, in its content and as evidence (PS3.3 §C.17.2.3)."""
    report, slices = study["SR"][0], {one.SOPInstanceUID for one in study["CT"]}

    seen = [item for item in report.ContentSequence if item.ValueType == "IMAGE"]
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]

    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID in slices for item in seen] == [True]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID in slices
    assert evidence.SeriesInstanceUID == study["CT"][0].SeriesInstanceUID


def test_throw_away(study: dict[str, list[Dataset]]) -> None:
    """What is stored to be deleted has no UID and no patient in common with the study."""
    wasted, kept = throw_away(NOW), study["CT"][0]

    keywords = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    assert [keyword for keyword in keywords if wasted[keyword].value == kept[keyword].value] == []


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:7071", "http://127.0.0.1:7071/v2"),
        ("http://127.0.0.1:7071/", "http://127.0.0.1:7071/v2"),
        ("https://h/v1/partitions/a", "https://h/v1/partitions/a"),
    ],
)
def test_base(url: str, base: str) -> None:
    """A URL without a path is the root of a service, to which the version is added."""
    assert Service(url).base == base


def test_curl() -> None:
    """A command is shown as curl sends it, quoted for a shell."""
    command = Command("", "/studies?a=1&b=2", "DELETE", {"Accept": "*/*"}, "file")

    assert command.curl("http://h/v2") == "curl -X DELETE -H 'Accept: */*' -o file 'http://h/v2/studies?a=1&b=2'"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Answer(HTTPStatus.NO_CONTENT, "text/plain", b""), "204 No Content, no body"),
        (Answer(HTTPStatus.OK, "application/dicom", b"\0" * 1000), "200 OK, application/dicom, 1,000 bytes"),
        (Answer(HTTPStatus.OK, "text/plain", b"short"), "200 OK, text/plain, 5 bytes\n   short"),
    ],
    ids=["empty", "binary", "text"],
)
def test_shortened(answer: Answer, text: str) -> None:
    """An answer is shown with its status, and with its body where that is text."""
    assert shortened(answer) == text
