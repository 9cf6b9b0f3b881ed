"""From the header of a file to what the index is given of it."""

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from shared.dicom.attributes import RETURNED, SEARCHABLE, tag_of
from shared.dicom.frames import frame_pages
from shared.dicom.header import Header
from shared.dicom.query_tags import read_tags
from shared.dicom.references import with_references
from shared.dicom.validation import uid_value
from shared.dicom.values import index_value
from shared.model import NO_TAGS, InstanceKey, Level, NewInstance, StoreTerms, TagList

SHORT_HEADER_BYTES = 32 * 1024
"""Of a header: what takes a few milliseconds to read or to write at the most."""

_CLASS = tag_of("SOPClassUID")


async def new_instance(
    key: InstanceKey,
    header: Header,
    length_bytes: int,
    left_out: frozenset[str],
    terms: StoreTerms,
    tags: TagList = NO_TAGS,
) -> NewInstance:
    """Return what is published of a file, its version still 0; a long header is written in a thread.

    Parameters
    ----------
    length_bytes
        Of the stored file.
    left_out
        Top-level tags that neither the index nor the metadata shows.
    tags
        Extended query tags whose values are indexed.
    """
    if is_long(header, length_bytes):
        return await asyncio.to_thread(_new_instance, key, header, length_bytes, left_out, terms, tags)
    return _new_instance(key, header, length_bytes, left_out, terms, tags)


def is_long(header: Header, length_bytes: int) -> bool:
    """Return whether a file's header is better worked on in a thread, while other requests have their turn."""
    end = length_bytes if header.pixel_data is None else header.pixel_data.offset
    return header.is_deflated or end > SHORT_HEADER_BYTES


def values_of(dataset: Mapping[str, Any], level: Level) -> dict[str, str | float]:
    """Return what the index compares of one level, by keyword; the metadata of a version give what its file gave."""
    found = ((one, index_value(dataset.get(one.tag), one.vr)) for one in SEARCHABLE.values() if one.level is level)
    return {one.keyword: value for one, value in found if value is not None}


def attributes_of(dataset: Mapping[str, Any], level: Level) -> dict[str, Any]:
    """Return what a search shows of one level, by tag."""
    return {tag: dataset[tag] for tag in RETURNED[level] if "Value" in dataset.get(tag, ())}


def _new_instance(
    key: InstanceKey,
    header: Header,
    length_bytes: int,
    left_out: frozenset[str],
    terms: StoreTerms,
    tags: TagList,
) -> NewInstance:
    dataset = header.dataset
    if left_out:
        dataset = {tag: element for tag, element in dataset.items() if tag not in left_out}
    return NewInstance(
        version=0,
        key=key,
        sop_class=uid_value(header.dataset, _CLASS),
        transfer_syntax=header.transfer_syntax,
        length_bytes=length_bytes,
        values={level: _exactly(orjson.dumps(values_of(dataset, level))) for level in Level},
        attributes={level: _exactly(orjson.dumps(attributes_of(dataset, level))) for level in Level},
        # Level 1: metadata is written far more often than it is read from here (it is consolidated later).
        metadata=_exactly(zlib.compress(orjson.dumps(_shown(dataset, header, left_out)), 1)),
        frames=frame_pages(header, length_bytes),
        terms=terms,
        tag_revision=tags.revision,
        tag_values=_tag_values(dataset, tags),
    )


def _tag_values(dataset: Mapping[str, Any], tags: TagList) -> bytes:
    found = read_tags(dataset, tags.tags)[0] if tags.tags else ()
    return _exactly(orjson.dumps([(one.tag, one.level, one.vr, one.value) for one in found])) if found else b""


def _shown(dataset: Mapping[str, Any], header: Header, left_out: frozenset[str]) -> dict[str, Any]:
    """Return the data set as metadata show it: bulk values by their paths (`services/documents.py` completes them)."""
    bulk = [value for value in header.bulk if value.path[:8] not in left_out]
    return with_references(dataset, bulk, header.transfer_syntax)


def _exactly(content: bytes) -> bytes:
    """Return a copy that takes no more memory than it is long: what orjson gives keeps the buffer it was written in."""
    return bytes(memoryview(content))
