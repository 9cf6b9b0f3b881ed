"""The files of the benchmark, made here and nowhere else.

CT images: 512 x 512 x 16 bit behind a header of some 170 elements; MR: 256 x 256. Reports: what `bench.report` makes.
All of a kind have the same length: what differs is written over placeholders of fixed width, so that a client can make
thousands of them without effort and send one pixel buffer for all.
"""

import io
import re
import sys
from array import array
from hashlib import shake_128
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, MRImageStorage

from bench.names import FRAMES_OF, PLACEHOLDERS, Kind, Names
from bench.report import report

_EDGE = 512
_MR_EDGE = 256
_PIXEL_ELEMENT_BYTES, _DELIMITER_BYTES = 12, 8
_TILE_BYTES = 16 * 1024
WINDOW = (-600, 1200)
"""Center and width of the second window of an image: that in which most of its grey levels differ."""

_STUDY_LEVEL: dict[str, str] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "StudyDate": PLACEHOLDERS.study_date,
    "StudyTime": "101500.000000",
    "AccessionNumber": PLACEHOLDERS.accession_number,
    "ReferringPhysicianName": "Refers^Rita",
    "PatientName": PLACEHOLDERS.patient_name,
    "PatientID": PLACEHOLDERS.patient_id,
    "PatientBirthDate": "19600229",
    "PatientSex": "O",
    "PatientAge": "063Y",
    "PatientSize": "1.75",
    "PatientWeight": "80",
    "StudyID": "1",
    "StudyDescription": "CT of the phantom",
    "InstitutionName": "Department of Benchmarks",
    "InstitutionAddress": "Nowhere 1",
    "InstitutionalDepartmentName": "Radiology",
    "PhysiciansOfRecord": "Records^Ron",
    "PerformingPhysicianName": "Performs^Pia",
    "OperatorsName": "Operates^Olaf",
    "AdmittingDiagnosesDescription": "None",
    "AdditionalPatientHistory": "None that is known",
    "EthnicGroup": "none",
    "Occupation": "phantom",
    "PatientComments": "made for a measurement",
    "RequestingPhysician": "Asks^Ada",
    "RequestedProcedureDescription": "CT thorax",
    "PatientIdentityRemoved": "YES",
    "DeidentificationMethod": "Never was a person",
    "TimezoneOffsetFromUTC": "+0000",
}

_SERIES_LEVEL: dict[str, str] = {
    "Modality": PLACEHOLDERS.modality,
    "Manufacturer": "Phantom Works",
    "ManufacturerModelName": "Gradient 512",
    "StationName": "CT01",
    "DeviceSerialNumber": "42",
    "SoftwareVersions": "1.0",
    "ProtocolName": "Thorax routine",
    "SeriesDescription": "Thorax 1.0 soft",
    "SeriesDate": "20240131",
    "SeriesTime": "101600.000000",
    "SeriesNumber": "2",
    "BodyPartExamined": "CHEST",
    "PatientPosition": "HFS",
    "ContrastBolusAgent": "none",
    "ScanOptions": "HELIX",
    "SliceThickness": "1.0",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "350",
    "DistanceSourceToDetector": "1085.6",
    "DistanceSourceToPatient": "595",
    "GantryDetectorTilt": "0",
    "TableHeight": "150",
    "RotationDirection": "CW",
    "ExposureTime": "500",
    "XRayTubeCurrent": "200",
    "Exposure": "100",
    "FilterType": "FLAT",
    "GeneratorPower": "24",
    "FocalSpots": "1.2",
    "ConvolutionKernel": "B30f",
    "SpacingBetweenSlices": "1.0",
    "DateOfLastCalibration": "20240130",
    "TimeOfLastCalibration": "060000",
    "PositionReferenceIndicator": "SN",
    "PerformedProcedureStepStartDate": "20240131",
    "PerformedProcedureStepStartTime": "101500",
    "PerformedProcedureStepID": "P1",
    "PerformedProcedureStepDescription": "CT thorax",
    "CommentsOnThePerformedProcedureStep": "none",
    "RequestedProcedureID": "R1",
    "ScheduledProcedureStepID": "S1",
}

_INSTANCE_LEVEL: dict[str, str | int | float | list[str] | list[float]] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "HELIX"],
    "InstanceCreationDate": "20240131",
    "InstanceCreationTime": "101700.000000",
    "ContentDate": "20240131",
    "ContentTime": "101700.000000",
    "AcquisitionDate": "20240131",
    "AcquisitionTime": "101630.000000",
    "AcquisitionDateTime": "20240131101630.000000",
    "AcquisitionNumber": "1",
    "InstanceNumber": PLACEHOLDERS.number,
    "ImageComments": "gradient with noise",
    "ImagePositionPatient": ["-175", "-175", "-100.5"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "SliceLocation": "-100.5",
    "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 38.4,
    "TableSpeed": 46.0,
    "TableFeedPerRotation": 23.0,
    "SpiralPitchFactor": 0.6,
    "ExposureModulationType": "NONE",
    "EstimatedDoseSaving": 0.0,
    "CTDIvol": 6.7,
    "DataCollectionCenterPatient": [0.0, -175.0, -100.5],
    "ReconstructionTargetCenterPatient": [0.0, -175.0, -100.5],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": _EDGE,
    "Columns": _EDGE,
    "PixelSpacing": ["0.68359375", "0.68359375"],
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "SmallestImagePixelValue": 0,
    "LargestImagePixelValue": 1277,
    "BurnedInAnnotation": "NO",
    "LossyImageCompression": "00",
    "WindowCenter": ["40", "-600"],
    "WindowWidth": ["400", "1200"],
    "WindowCenterWidthExplanation": ["MEDIASTINUM", "LUNG"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
    "PresentationLUTShape": "IDENTITY",
}

_CODES = {
    "ProcedureCodeSequence": ("P1-0001", "Computed tomography of thorax"),
    "RequestedProcedureCodeSequence": ("P1-0001", "Computed tomography of thorax"),
    "PerformedProtocolCodeSequence": ("P1-0002", "Thorax routine"),
    "AnatomicRegionSequence": ("51185008", "Thoracic structure"),
    "ContrastBolusAgentSequence": ("C-0000", "No contrast"),
}
_PRIVATE_BLOCKS = 2
_PRIVATE_ELEMENTS = 9
_PRIVATE_VALUES: tuple[tuple[str, str | float | bytes], ...] = (
    ("LO", "private text"),
    ("DS", "1.25"),
    ("FD", 2.5),
    ("UN", bytes(16)),
)


class Template:
    """The bytes that all files of a kind share, and where they differ."""

    def __init__(self, kind: Kind) -> None:
        pixels = b"" if kind is Kind.REPORT else _pixels(kind)
        buffer = io.BytesIO()
        pydicom.dcmwrite(
            buffer, report(_STUDY_LEVEL) if kind is Kind.REPORT else image(pixels, kind), enforce_file_format=True
        )
        # An image's pixel data are sent from one buffer; a file without them has no such element at all.
        behind = len(pixels) + {Kind.HEADER: _PIXEL_ELEMENT_BYTES, Kind.SLIDE: _DELIMITER_BYTES}.get(kind, 0)
        file = buffer.getvalue()
        self._header = file[: len(file) - behind]
        self._pixels = memoryview(b"" if kind is Kind.HEADER else file)[len(self._header) :]
        self._places = [
            (found.start(), found.end(), name)
            for name in Names.__slots__
            for found in re.finditer(re.escape(getattr(PLACEHOLDERS, name)).encode(), self._header)
        ]

    def file(self, differing: Names) -> tuple[bytes, memoryview]:
        """Return a Part 10 file as its header and its pixel data, which all files share and which may be none."""
        header = bytearray(self._header)
        for start, end, name in self._places:
            header[start:end] = getattr(differing, name).encode()
        return bytes(header), self._pixels

    @property
    def pixels(self) -> memoryview:
        """What all files end with."""
        return self._pixels

    @property
    def length(self) -> int:
        """The length in bytes of every file."""
        return len(self._header) + len(self._pixels)


def frame(kind: Kind, number: int) -> bytes:
    """Return the bytes of a frame, counted from one as PS3.18 does, of a file of a kind."""
    return _tile(number - 1) if kind is Kind.SLIDE else _plane(_MR_EDGE if kind is Kind.MR else _EDGE)


def windowed(kind: Kind) -> Any:
    """Return the grey levels of a frame in `WINDOW` (PS3.3 §C.11.2.1.2): (rows, columns), floats to 255."""
    import numpy as np

    edge = _MR_EDGE if kind is Kind.MR else _EDGE
    center, width = WINDOW
    values = np.frombuffer(_plane(edge), "<u2").reshape(edge, edge) - 1024.0
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255


def image(pixels: bytes, kind: Kind = Kind.IMAGE) -> Dataset:
    """Return the data set that images are written from, with placeholders where they differ."""
    found = Dataset()
    for keyword, value in (_STUDY_LEVEL | _SERIES_LEVEL | _INSTANCE_LEVEL).items():
        setattr(found, keyword, value)
    found.SOPClassUID = CTImageStorage
    if kind is Kind.MR:
        found.SOPClassUID, found.Modality = MRImageStorage, "MR"
        found.Rows = found.Columns = _MR_EDGE
    found.SOPInstanceUID = PLACEHOLDERS.instance
    found.StudyInstanceUID = PLACEHOLDERS.study
    found.SeriesInstanceUID = PLACEHOLDERS.series
    found.FrameOfReferenceUID = "2.25.44444444444444444444"
    for keyword, (value, meaning) in _CODES.items():
        setattr(found, keyword, Sequence([_code(value, meaning)]))
    found.ReferencedStudySequence = Sequence([_reference("1.2.840.10008.3.1.2.3.1")])
    found.ReferencedImageSequence = Sequence([_reference(CTImageStorage), _reference(CTImageStorage)])
    request = Dataset()
    request.RequestedProcedureID = "R1"
    request.ScheduledProcedureStepID = "S1"
    request.ScheduledProcedureStepDescription = "CT thorax"
    found.RequestAttributesSequence = Sequence([request])
    for number in range(_PRIVATE_BLOCKS):
        block = found.private_block(0x0019 + 2 * number, f"BENCH BLOCK {number}", create=True)
        for offset in range(_PRIVATE_ELEMENTS):
            block.add_new(offset + 1, *_PRIVATE_VALUES[offset % len(_PRIVATE_VALUES)])
    found.add_new("PixelData", "OB" if kind is Kind.SLIDE else "OW", pixels)
    found["PixelData"].is_undefined_length = kind is Kind.SLIDE
    if kind in FRAMES_OF:
        found.NumberOfFrames = FRAMES_OF[kind]
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if kind is Kind.SLIDE else ExplicitVRLittleEndian
    return found


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "99BENCH"
    item.CodeMeaning = meaning
    return item


def _reference(sop_class: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = "2.25.55555555555555555555"
    return item


def _pixels(kind: Kind) -> bytes:
    """Return a gradient along both edges with noise in its low bits, 12 bits in 16, little endian; of slides, tiles.

    What a tile holds is no codestream: it is only passed on.
    """
    if kind is Kind.SLIDE:
        return encapsulate([_tile(number) for number in range(FRAMES_OF[kind])])
    return _plane(_MR_EDGE if kind is Kind.MR else _EDGE) * FRAMES_OF.get(kind, 1)


def _tile(number: int) -> bytes:
    return shake_128(number.to_bytes(4)).digest(_TILE_BYTES)


def _plane(edge: int) -> bytes:
    noise = shake_128(b"bench").digest(edge * edge)
    values = array("H", (x + y + (noise[y * edge + x]) for y in range(edge) for x in range(edge)))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
