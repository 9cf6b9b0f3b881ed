"""Files with long values in another transfer syntax: they pass by, and are never in memory as a whole."""

from collections.abc import Iterator
from io import BytesIO
from threading import Event, Thread

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.e2e.client import Client
from tests.e2e.test_downloads import _worker, alone
from tests.factories import dataset, file_of, new_uid

__all__ = ["alone"]

_LONG_BYTES = 1_200_001
_DOCUMENT_BYTES = 90_000_000
_GROWTH_BYTES = 30_000_000
"""Of memory while one such document is sent."""


def _document(length: int, **attributes: object) -> Dataset:
    made = dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", Modality="DOC", **attributes)
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = np.random.default_rng(1).bytes(length + length % 2)
    made["EncapsulatedDocument"].VR = "OB"
    return made


def _explicit(client: Client, made: Dataset) -> bytes:
    path = f"/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}/instances/{made.SOPInstanceUID}"
    answer = client.get(path, f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}")
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_long_values(client: Client, syntax: str) -> None:
    """Long values arrive whole and in order with what is around them, numbers in little endian."""
    made = _document(_LONG_BYTES, PatientComments="Tea")
    for tag, vr in ((0x00091010, "OW"), (0x00091011, "OB"), (0x00091012, "UN")):
        made.add_new(tag, vr, np.random.default_rng(tag).bytes(2**20 + 10))
    made.add_new(0x00090010, "LO", "ACME")
    made.DataSetTrailingPadding = bytes(10)
    assert client.store(file_of(made, syntax)).is_success

    found = pydicom.dcmread(BytesIO(_explicit(client, made)))

    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.EncapsulatedDocument == made.EncapsulatedDocument
    assert [found[tag].value for tag in (0x00091011, 0x00091012)] == [
        made[tag].value for tag in (0x00091011, 0x00091012)
    ]
    words = made[0x00091010].value
    swapped = np.frombuffer(words, "<u2").byteswap().tobytes()
    assert found[0x00091010].value == (swapped if syntax == ExplicitVRBigEndian else words)
    assert (found.PatientComments, found.PatientName) == ("Tea", made.PatientName)


@pytest.fixture
def peak(alone: Client) -> Iterator[list[int]]:
    """Give the memory of the worker, looked at all the time."""
    worker, over, seen = _worker(alone), Event(), [0]

    def watch() -> None:
        while not over.wait(0.01):
            seen[0] = max(seen[0], worker.memory_info().rss)

    thread = Thread(target=watch)
    thread.start()
    yield seen
    over.set()
    thread.join()


def test_memory(alone: Client, peak: list[int]) -> None:
    """A document of 90 MB is made explicit in a part of its size."""
    small = _document(_LONG_BYTES)
    large = _document(_DOCUMENT_BYTES, StudyInstanceUID=new_uid())
    for one in (small, large):
        assert alone.store(file_of(one, ImplicitVRLittleEndian)).is_success
    _explicit(alone, small)
    before, peak[0] = _worker(alone).memory_info().rss, 0

    found = _explicit(alone, large)

    assert large.EncapsulatedDocument in found
    assert peak[0] - before < _GROWTH_BYTES
