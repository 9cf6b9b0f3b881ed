"""One step of indexing what was stored before some extended query tags, from the newest instance to the oldest.

The checkpoint is a version: those above it have been read. Why none is missed and none counts twice, whatever Stores
and deletes do meanwhile, is said in `index/tag_values.py`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import orjson

from shared.backend import Backend
from shared.dicom.query_tags import read_tags
from shared.index import query_tags
from shared.index.tag_values import Reading, extent, keep_stored, versions_below
from shared.model import Operation, OperationStatus, QueryTag
from shared.services.documents import readable_metadata_of

KIND = "reindex"

_STEP = timedelta(seconds=3)
_TOGETHER = 100
"""Instances whose metadata are in memory at once, and whose values are written in one transaction."""


async def step(operation: Operation, backend: Backend) -> Operation:
    """Index instances for some seconds; with the last of them the tags are ready."""
    end = backend.now() + _STEP
    tags = await backend.index.read(query_tags.find_of, operation.id)
    checkpoint = dict(operation.checkpoint)
    if not checkpoint:
        last, count = await backend.index.read(extent)
        checkpoint = {"below": last + 1, "done": 0, "of": count}
    while tags:
        versions = await backend.index.read(versions_below, checkpoint["below"], _TOGETHER)
        if not versions:
            break
        documents = await readable_metadata_of(versions, backend)
        readings = await asyncio.to_thread(_readings, documents, tags)
        await backend.index.write(keep_stored, operation.id, readings, backend.now())
        checkpoint["below"], checkpoint["done"] = versions[-1], checkpoint["done"] + len(versions)
        if backend.now() >= end:
            percent = min(99, 100 * checkpoint["done"] // max(checkpoint["of"], 1))
            return replace(operation, status=OperationStatus.RUNNING, percent=percent, checkpoint=checkpoint)
    await backend.index.write(query_tags.finish, operation.id, is_done=True)
    return replace(operation, status=OperationStatus.SUCCEEDED, percent=100, checkpoint=checkpoint)


async def give_up(operation: Operation, backend: Backend) -> None:
    """Leave the tags as they are, never ready, and let others be added: a client deletes them and adds them again."""
    await backend.index.write(query_tags.finish, operation.id, is_done=False)


def _readings(documents: Mapping[int, bytes], tags: Sequence[QueryTag]) -> dict[int, Reading]:
    return {version: Reading(*read_tags(orjson.loads(one), tags)) for version, one in documents.items()}
