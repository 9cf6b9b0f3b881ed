"""What the index is given of a file (`shared/services/new_instance.py`)."""

import zlib

import orjson
import pytest

from shared.dicom.header import read_header
from shared.model import NO_TERMS, InstanceKey
from shared.services.new_instance import new_instance
from tests.factories import dataset, file_of

KEY = InstanceKey(1, "1.2", "1.2.3", "1.2.3.4")


@pytest.mark.parametrize("left_out", ["00420011", "00880200"])
async def test_left_out(left_out: str) -> None:
    """A bulk value that is left out, or lies within what is, is not in the metadata; the others are (store.md)."""
    made = dataset(EncapsulatedDocument=bytes(5000))
    made.add_new("IconImageSequence", "SQ", [dataset(ICCProfile=bytes(3000))])
    file = file_of(made)

    instance = await new_instance(KEY, read_header(file), len(file), frozenset({left_out}), NO_TERMS)

    shown = orjson.loads(zlib.decompress(instance.metadata))
    assert {"00420011", "00880200"} & shown.keys() == {"00420011", "00880200"} - {left_out}
