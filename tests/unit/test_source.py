"""Reading a stored file's header: only what has to be read (`shared/services/source.py`)."""

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from shared.model import ByteStream, InstanceKey, StoredInstance
from shared.services.source import Source, header_of
from shared.services.streams import one_piece
from tests.factories import dataset, file_of

_LONG = bytes(5_000_000)


class Stored:
    """A file that notes which of its bytes are read."""

    def __init__(self, file: bytes) -> None:
        self.file, self.read_bytes = file, 0
        key = InstanceKey(1, "1.1", "1.2", "1.3")
        instance = StoredInstance(1, key, ExplicitVRLittleEndian, len(file))
        self.source = Source(instance, ExplicitVRLittleEndian, len(file), self._read)

    async def _read(self, start: int, length: int) -> ByteStream:
        piece = self.file[start : start + length]
        self.read_bytes += len(piece)
        return one_piece(piece)


async def test_document() -> None:
    """What lies behind a document is found without reading the document."""
    made = dataset(EncapsulatedDocument=_LONG, MIMETypeOfEncapsulatedDocument="application/pdf")
    stored = Stored(file_of(made))

    header = await header_of(stored.source)

    assert header.dataset["00420012"]["Value"] == ["application/pdf"]
    assert [(one.path, one.length) for one in header.bulk] == [("00420011", len(_LONG))]
    assert stored.read_bytes < len(_LONG) / 2


@pytest.mark.parametrize(("is_whole", "paths"), [(False, ["7FE00010"]), (True, ["7FE00010", "FFFCFFFC"])])
async def test_behind_pixels(is_whole: bool, paths: list[str]) -> None:
    """What lies behind pixel data is read where it is asked for, the pixels never."""
    made = dataset(Rows=1, PixelData=_LONG, DataSetTrailingPadding=bytes(3000))
    made["PixelData"].VR = "OW"
    stored = Stored(file_of(made))

    header = await header_of(stored.source, is_whole=is_whole)

    assert [one.path for one in header.bulk] == paths
    assert stored.read_bytes < len(_LONG) / 2
