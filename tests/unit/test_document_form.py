"""The form of series documents: gzip that can be read in parts and put together (`services/document_form.py`)."""

import gzip
import zlib
from collections.abc import Sequence
from random import Random

import orjson
import pytest

from shared.index.documents import Lines
from shared.services.document_form import DocumentWriter, frame, inflated_lines

LONG = 300_000


def objects(count: int, length: int = 100, seed: int = 1) -> list[bytes]:
    """Return JSON objects of about a length, none like another."""
    chance = Random(seed)  # noqa: S311 - the same objects each time
    return [orjson.dumps({"00104000": chance.randbytes(length // 2).hex(), "n": [n]}) for n in range(count)]


def written(documents: Sequence[bytes], together: int = 7) -> tuple[bytes, DocumentWriter]:
    writer = DocumentWriter()
    pairs = list(enumerate(documents))
    blob = b"".join(writer.add(pairs[start : start + together]) for start in range(0, len(pairs), together))
    return blob + writer.finish(), writer


SHAPES = [objects(1), objects(3), objects(2000), objects(4, LONG), [*objects(2), *objects(1, LONG), *objects(2)], []]


@pytest.mark.parametrize("documents", SHAPES, ids=["one", "few", "many", "long", "mixed", "none"])
def test_whole(documents: list[bytes]) -> None:
    """A document is one gzip member that holds a JSON array of all, in order: browsers stop behind the first member."""
    blob, _ = written(documents)

    inflater = zlib.decompressobj(31)
    text = inflater.decompress(blob)
    assert inflater.eof
    assert inflater.unused_data == b""
    assert orjson.loads(text) == [orjson.loads(one) for one in documents]


@pytest.mark.parametrize("documents", SHAPES, ids=["one", "few", "many", "long", "mixed", "none"])
def test_entries(documents: list[bytes]) -> None:
    """Each version's entry leads to its object through its segment alone."""
    blob, writer = written(documents)

    assert [entry.version for entry in writer.entries] == list(range(len(documents)))
    segments = {(one.start, one.length): inflated_lines(blob[one.start :][: one.length]) for one in writer.entries}
    assert [segments[one.start, one.length][one.line] for one in writer.entries] == documents


def test_segments_are_bounded() -> None:
    """To read one instance little is inflated: a segment ends behind 128 KiB."""
    blob, writer = written(objects(5000))

    segments = {(entry.start, entry.length) for entry in writer.entries}
    assert len(segments) > 4
    assert all(sum(map(len, inflated_lines(blob[at : at + n]))) < 129 * 1024 for at, n in segments)


@pytest.mark.parametrize("counts", [(3,), (1, 1), (5000, 1, 300), (2, 900, 2, 4000)])
def test_joined(counts: tuple[int, ...]) -> None:
    """The lines of several documents within a frame are one gzip file of them all, with the right checksum."""
    groups = [objects(count, seed=number) for number, count in enumerate(counts)]
    made = [written(group) for group in groups]

    before, between, behind = frame([writer.lines for _, writer in made])
    lines = [blob[writer.lines.start : writer.lines.end] for blob, writer in made]
    text = gzip.decompress(before + between.join(lines) + behind)

    assert orjson.loads(text) == [orjson.loads(one) for group in groups for one in group]


def test_checksum() -> None:
    """A wrong checksum of one document makes that of the answer wrong: a reader notices."""
    blob, writer = written(objects(3))
    lines = writer.lines
    before, _, behind = frame([Lines(lines.start, lines.end, lines.crc ^ 1, lines.inflated)])

    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(before + blob[lines.start : lines.end] + behind)
