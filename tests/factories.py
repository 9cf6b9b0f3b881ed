"""Makes what tests store: data sets, Part 10 files, and the payloads that carry them."""

import io
from collections.abc import Iterable, Sequence
from struct import pack, unpack_from
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

_NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)

_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""VRs whose length has 32 bits in explicit VR (PS3.5 §7.1.2)."""

DICOM_PART = ("Content-Type: application/dicom",)
"""The header of a part that holds a Part 10 file."""


def new_uid() -> str:
    """Return a UID that nothing else has (PS3.5 §B.2)."""
    return str(generate_uid(prefix=None))


def dataset(**attributes: Any) -> Dataset:
    """Return the data set of a CT instance without pixels, every UID its own.

    *attributes* are set by keyword over the defaults, valid or not; None leaves one out.
    """
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": new_uid(),
        "StudyInstanceUID": new_uid(),
        "SeriesInstanceUID": new_uid(),
        "PatientID": "P1",
        "PatientName": "Doe^John",
        "Modality": "CT",
    }
    made = Dataset()
    with disable_value_validation():
        for keyword, value in (defaults | attributes).items():
            if value is not None:
                setattr(made, keyword, value)
    return made


def part10(*, transfer_syntax: str = ExplicitVRLittleEndian, pixel_bytes: int = 0, **attributes: Any) -> bytes:
    """Return a Part 10 file (PS3.10 §7) of what `dataset` makes, its preamble zeros.

    Parameters
    ----------
    transfer_syntax
        What the file says it is. In a compressed one the pixel data is one fragment, which no decoder reads.
    pixel_bytes
        Length of the pixel data, which repeats the bytes 0 to 255; 0: the file has none.
    """
    made = dataset(**attributes)
    if pixel_bytes:
        _add_pixels(made, transfer_syntax, pixel_bytes)
    return file_of(made, transfer_syntax)


def file_of(made: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the Part 10 file of a data set; values are written as they are, valid or not."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    made.file_meta.MediaStorageSOPClassUID = UID(made.get("SOPClassUID") or CTImageStorage)
    file = io.BytesIO()
    options = {"enforce_file_format": True}
    if transfer_syntax not in AllTransferSyntaxes:
        # Explicit VR little endian, as all compressed ones are (PS3.5 §A.4); the rest pydicom then leaves to us.
        options = {"implicit_vr": False, "little_endian": True, "force_encoding": True}
        made.preamble = bytes(128)
        made.file_meta.FileMetaInformationGroupLength = 0
    with disable_value_validation():
        made.file_meta.MediaStorageSOPInstanceUID = UID(made.get("SOPInstanceUID") or new_uid())
        dcmwrite(file, made, **options)
    return file.getvalue()


def with_value(file: bytes, tag: int | str, vr: str, value: bytes) -> bytes:
    """Return a Part 10 *file* in explicit VR little endian that has one more element, or another in its place.

    *tag* is a number or a keyword; the value's bytes are written as they are, whatever VR and length ask of them.
    """
    number = Tag(tag)
    element = pack("<HH2s", number.group, number.element, vr.encode())
    element += pack("<HL", 0, len(value)) if vr in _LONG else pack("<H", len(value))
    start, meta_length = 144, int.from_bytes(file[140:144], "little")
    position = end = start + meta_length
    while end < len(file):
        group, number_in_group, found, length = unpack_from("<HH2sH", file, end)
        head = 8
        if found.decode() in _LONG:
            head, length = 12, int.from_bytes(file[end + 8 : end + 12], "little")
        if (group, number_in_group) > (number.group, number.element):
            break
        position, end = end, end + head + length
        if (group, number_in_group) != (number.group, number.element):
            position = end
    return file[:position] + element + value + file[end:]


def file_with(tag: int | str, value: str, vr: str = "", **attributes: Any) -> bytes:
    """Return a Part 10 file with a value as it is, padded to an even length; *vr* is that of the dictionary."""
    vr = vr or dictionary_VR(Tag(tag))
    content = value.encode()
    return with_value(part10(**attributes), tag, vr, content + (b"\0" if vr == "UI" else b" ") * (len(content) % 2))


def multipart(
    files: Iterable[bytes], *, boundary: str = "a-boundary", part_headers: Sequence[str] = DICOM_PART
) -> tuple[bytes, str]:
    """Return a multipart/related body with a part for each file, and its Content-Type (PS3.18 §8.6.1).

    *part_headers* are the lines of every part's header.
    """
    header = "".join(f"{line}\r\n" for line in part_headers)
    opening = f"--{boundary}\r\n{header}\r\n".encode()
    parts = [opening + file + b"\r\n" for file in files]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return body, f'multipart/related; type="application/dicom"; boundary="{boundary}"'


def _add_pixels(made: Dataset, transfer_syntax: str, length: int) -> None:
    pixels = (bytes(range(256)) * (length // 256 + 1))[:length]
    if transfer_syntax not in _NATIVE:
        pixels = encapsulate([pixels])
    made.add_new("PixelData", "OW" if transfer_syntax == ImplicitVRLittleEndian else "OB", pixels)
