"""The study that `make demo` stores, made here: a CT volume of a phantom, a colour ultrasound clip, and a report.

UIDs follow from names (PS3.5 §B.2), so every run makes the same instances.
"""

import io
import sys
import uuid
from array import array
from dataclasses import dataclass
from datetime import datetime
from math import cos, sin, sqrt, tau

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedSRStorage, ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage

PATIENT_ID = "DEMO-1"
SLICES = 40
SHOWN_SLICE = 22
"""The slice, counted from 0, that goes through the nodule."""
CLIP_FRAMES = 12

_NAMESPACE = uuid.UUID("6f0c1a52-7a43-4f0e-9c57-3f6c0b1d2e84")
_CT_EDGE = 256
_CT_SPACING_MM = 1
_SLICE_SPACING_MM = 5
_CLIP_SIZE = (120, 160)
_HU_OF_ZERO = -1024


@dataclass(frozen=True, slots=True)
class Ball:
    """A ball of the phantom: its centre (x, y, z) and radius in mm, and its density in Hounsfield units."""

    centre: tuple[float, float, float]
    radius: float
    density: int


_PHANTOM = (
    Ball((0, 0, 0), 95, 40),
    Ball((-38, -10, 10), 30, -700),
    Ball((38, -10, 10), 30, -700),
    Ball((0, 55, 0), 16, 900),
    Ball((30, -5, 15), 7, 120),
)
"""Water with two lungs, a bone and a nodule; a later ball lies over the earlier ones."""


def demo_uid(name: str) -> str:
    """Return the UID of what the demo calls *name* (PS3.5 §B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


STUDY = demo_uid("study")


def demo_study(now: datetime) -> dict[str, list[Dataset]]:
    """Return the instances of the study by modality, dated *now*."""
    slices = [ct_slice(number, now) for number in range(SLICES)]
    return {"CT": slices, "US": [ultrasound_clip(now)], "SR": [report(slices[SHOWN_SLICE], now)]}


def file_of(dataset: Dataset) -> bytes:
    """Return *dataset* as a Part 10 file (PS3.10 §7)."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def throw_away(now: datetime) -> Dataset:
    """Return an instance of a patient and a study of its own, made to be deleted."""
    dataset = ct_slice(0, now)
    dataset.PatientID, dataset.StudyID = "DEMO-2", "2"
    dataset.StudyInstanceUID = demo_uid("throw-away study")
    dataset.SeriesInstanceUID = demo_uid("throw-away series")
    dataset.SOPInstanceUID = demo_uid("throw-away")
    return dataset


def ct_slice(number: int, now: datetime) -> Dataset:
    """Return slice *number* of the phantom, from feet to head (PS3.3 §A.3)."""
    z = (number - (SLICES - 1) / 2) * _SLICE_SPACING_MM
    corner = -(_CT_EDGE - 1) / 2 * _CT_SPACING_MM
    dataset = _instance(CTImageStorage, f"ct {number}", now)
    _series(dataset, "CT", 1, "Phantom, axial", "ct")
    dataset.FrameOfReferenceUID = demo_uid("frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber = number + 1
    dataset.AcquisitionNumber = 1
    dataset.KVP = "120"
    dataset.ImagePositionPatient = [corner, corner, z]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [_CT_SPACING_MM, _CT_SPACING_MM]
    dataset.SliceThickness = _SLICE_SPACING_MM
    dataset.SliceLocation = z
    dataset.RescaleIntercept = _HU_OF_ZERO
    dataset.RescaleSlope = 1
    dataset.RescaleType = "HU"
    dataset.WindowCenter = 0
    dataset.WindowWidth = 2000
    _pixels(dataset, (_CT_EDGE, _CT_EDGE), 1, 16, _ct_pixels(z))
    return dataset


def _ct_pixels(z: float) -> bytes:
    """Return one slice of the phantom in a gradient of thin air, row by row."""
    values = array("H")
    for row in range(_CT_EDGE):
        y = (row - (_CT_EDGE - 1) / 2) * _CT_SPACING_MM
        line = array("H", range(row // 2, row // 2 + _CT_EDGE))
        for ball in _PHANTOM:
            x, rest = ball.centre[0], ball.radius**2 - (y - ball.centre[1]) ** 2 - (z - ball.centre[2]) ** 2
            if rest > 0:
                ends = ((x + side * sqrt(rest)) / _CT_SPACING_MM + _CT_EDGE / 2 for side in (-1, 1))
                left, right = map(round, ends)
                line[left:right] = array("H", [ball.density - _HU_OF_ZERO]) * (right - left)
        values.extend(line)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def ultrasound_clip(now: datetime) -> Dataset:
    """Return a colour clip in which a disc goes round (PS3.3 §A.7)."""
    dataset = _instance(UltrasoundMultiFrameImageStorage, "us", now)
    _series(dataset, "US", 2, "Disc in colour, clip", "us")
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.InstanceNumber = 1
    dataset.PatientOrientation = ""
    dataset.LossyImageCompression = "00"
    dataset.NumberOfFrames = CLIP_FRAMES
    dataset.FrameTime = "80"
    dataset.FrameIncrementPointer = pydicom.tag.Tag("FrameTime")
    dataset.PlanarConfiguration = 0
    frames = b"".join(map(_clip_frame, range(CLIP_FRAMES)))
    _pixels(dataset, _CLIP_SIZE, 3, 8, frames)
    return dataset


def _clip_frame(number: int) -> bytes:
    """Return one frame: an orange disc over a blue gradient, RGB by pixel."""
    rows, columns = _CLIP_SIZE
    angle = tau * number / CLIP_FRAMES
    x, y, radius = columns / 2 + 45 * cos(angle), rows / 2 + 35 * sin(angle), 18
    frame = bytearray()
    for row in range(rows):
        line = bytearray(bytes((0, row // 2, 60 + row)) * columns)
        if (rest := radius**2 - (row - y) ** 2) > 0:
            left, right = round(x - sqrt(rest)), round(x + sqrt(rest))
            line[3 * left : 3 * right] = bytes((255, 150, 40)) * (right - left)
        frame += line
    return bytes(frame)


def report(image: Dataset, now: datetime) -> Dataset:
    """Return a structured report on *image*: a finding, its size, the image and a conclusion (PS3.3 §A.35.2)."""
    dataset = _instance(EnhancedSRStorage, "sr", now)
    _series(dataset, "SR", 3, "Report on the phantom", "sr")
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    dataset.InstanceNumber = 1
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "UNVERIFIED"
    series = _of(SeriesInstanceUID=image.SeriesInstanceUID, ReferencedSOPSequence=[_reference(image)])
    evidence = _of(StudyInstanceUID=image.StudyInstanceUID, ReferencedSeriesSequence=[series])
    dataset.CurrentRequestedProcedureEvidenceSequence = [evidence]
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging report")]
    dataset.ContinuityOfContent = "SEPARATE"
    size = _of(NumericValue="14", MeasurementUnitsCodeSequence=[_code("mm", "UCUM", "mm")])
    seen = _item("IMAGE", _code("121080", "DCM", "Best illustration of finding"))
    seen.ReferencedSOPSequence = [_reference(image)]
    dataset.ContentSequence = [
        _item("TEXT", _code("121071", "DCM", "Finding"), TextValue="A round nodule in the left lung of the phantom."),
        _item("NUM", _code("81827009", "SCT", "Diameter"), MeasuredValueSequence=[size]),
        seen,
        _item("TEXT", _code("121077", "DCM", "Conclusion"), TextValue="It was drawn there."),
    ]
    return dataset


def _item(value_type: str, name: Dataset, **values: object) -> Dataset:
    """Return an item of the content tree below its root (PS3.3 §C.17.3)."""
    return _of(RelationshipType="CONTAINS", ValueType=value_type, ConceptNameCodeSequence=[name], **values)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _of(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _reference(dataset: Dataset) -> Dataset:
    return _of(ReferencedSOPClassUID=dataset.SOPClassUID, ReferencedSOPInstanceUID=dataset.SOPInstanceUID)


def _of(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def _instance(sop_class: str, name: str, now: datetime) -> Dataset:
    """Return what all instances have: SOP Common, Patient, General Study and General Equipment (PS3.3 §C.7, §C.12)."""
    date, time = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    dataset = _of(
        SpecificCharacterSet="ISO_IR 192",
        SOPClassUID=sop_class,
        SOPInstanceUID=demo_uid(name),
        PatientName="Phantom^Demo",
        PatientID=PATIENT_ID,
        PatientBirthDate="19700101",
        PatientSex="O",
        StudyInstanceUID=STUDY,
        StudyDate=date,
        StudyTime=time,
        StudyID="1",
        StudyDescription="Demo of three modalities",
        AccessionNumber="DEMO",
        ReferringPhysicianName="",
        Manufacturer="",
        ContentDate=date,
        ContentTime=time,
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _series(dataset: Dataset, modality: str, number: int, description: str, name: str) -> None:
    dataset.Modality = modality
    dataset.SeriesInstanceUID = demo_uid(f"series {name}")
    dataset.SeriesNumber = number
    dataset.SeriesDescription = description
    dataset.BodyPartExamined = "CHEST"
    dataset.SeriesDate, dataset.SeriesTime = dataset.StudyDate, dataset.StudyTime


def _pixels(dataset: Dataset, size: tuple[int, int], samples: int, bits: int, pixels: bytes) -> None:
    """Add the Image Pixel module (PS3.3 §C.7.6.3)."""
    dataset.Rows, dataset.Columns = size
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples > 1 else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.add_new("PixelData", "OW" if bits > 8 else "OB", pixels)  # noqa: PLR2004 - PS3.5 §8.1.1
