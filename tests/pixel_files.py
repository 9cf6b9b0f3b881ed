"""What tests of pixels start from: files of the corpus taken apart into frames, and the judges that decode them too."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import iter_pixels, pixel_array

from shared.dicom.frames import frame_pages, frame_ranges
from shared.dicom.header import Header, read_header
from shared.dicom.image import Image, image_of
from shared.dicom.syntaxes import DECODABLE, NATIVE
from shared.dicom.transcoding import header_bytes, inflate
from shared.errors import NotDecodable, UnreadableFile

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "corpus"

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as the service has it when it needs pixels."""

    file: bytes
    header: Header
    image: Image
    frames: tuple[bytes, ...]

    @property
    def syntax(self) -> str:
        return self.header.transfer_syntax

    @property
    def before(self) -> bytes:
        """Return the file up to the tag of its pixel data."""
        assert self.header.pixel_data is not None
        return self.file[: header_bytes(self.header.pixel_data, self.syntax)]

    @property
    def behind(self) -> bytes:
        pixels, fragments = self.header.pixel_data, self.header.fragments
        assert pixels is not None
        if fragments is None:
            return self.file[pixels.offset + (pixels.length or 0) :]
        return self.file[fragments.starts[-1] + fragments.lengths[-1] + 8 :]

    def bit_offset(self, number: int) -> int:
        """Return where a frame, counted from 0, begins within its bytes."""
        return number * self.image.cells % 8 if self.image.bits_allocated == 1 and self.syntax in NATIVE else 0


def stored(file: bytes) -> Stored:
    header = read_header(file)
    if header.is_deflated:
        file = inflate(file, max_bytes=2**26)
        header = read_header(file)
    assert header.pixel_data is not None
    return Stored(file, header, image_of(header.dataset, header.pixel_data), tuple(_frames(file, header)))


def _frames(file: bytes, header: Header) -> Iterator[bytes]:
    for page in frame_pages(header, len(file)):
        for frame in range(page.first_frame, page.first_frame + page.frame_count):
            yield b"".join(file[one.offset : one.offset + one.length] for one in frame_ranges(page, frame))


def pixel_files() -> list[Path]:
    """Return the files of the corpus with all of the frames that they claim, in a syntax that is decoded."""
    if not DATA.exists():
        return []
    with (DATA / "manifest.csv").open(encoding="utf-8") as rows:
        paths = [DATA / row["file"] for row in csv.DictReader(rows) if row["rows"]]
    return [path for path in paths if _has_frames(path)]


def _has_frames(path: Path) -> bool:
    try:
        found = stored(path.read_bytes())
    except (AssertionError, NotDecodable, UnreadableFile):
        return False
    return found.syntax in DECODABLE and len(found.frames) == found.image.frames


def name_of(path: Path) -> str:
    return str(path.relative_to(DATA))


def judged(file: pydicom.Dataset, *, raw: bool = True) -> list[Pixels]:
    """Return all frames as pydicom decodes them, with what its other plugins cannot by gdcm itself."""
    syntax = file.file_meta.TransferSyntaxUID
    usual = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0}
    for keyword, value in usual.items():
        if keyword not in file and "PixelData" in file:
            setattr(file, keyword, value)
    # A sign that the codestream tells otherwise is what pydicom's first choice fails at.
    plugin = "gdcm" if syntax.startswith("1.2.840.10008.1.2.4.9") and file.SamplesPerPixel == 1 else ""
    if int(file.get("NumberOfFrames") or 1) == 1:
        return [pixel_array(file, raw=raw, decoding_plugin=plugin)]
    return [np.array(frame) for frame in iter_pixels(file, raw=raw, decoding_plugin=plugin)]


def judged_by_gdcm(path: Path) -> Pixels:
    """Return all samples of a file as gdcm alone decodes them, in one row of unsigned words."""
    gdcm: Any = import_module("gdcm")  # without types
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    text = reader.GetImage().GetBuffer()
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint16)
