"""One step of indexing what was stored before some extended query tags, from the newest instance to the oldest.

The checkpoint is a version: those above it have been read. Why none is missed and none counts twice, whatever Stores
and deletes do meanwhile, is said in `index/tag_values.py`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import orjson

from shared.backend import Backend
from shared.dicom.query_tags import read_tags
from shared.errors import NotFound
from shared.index import query_tags
from shared.index.tag_values import Reading, extent, keep_stored, versions_below
from shared.model import Operation, OperationStatus, QueryTag
from shared.services.documents import metadata_of

log = logging.getLogger(__name__)

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
        readings = await _read(versions, tags, backend)
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


async def _read(versions: Sequence[int], tags: Sequence[QueryTag], backend: Backend) -> dict[int, Reading]:
    try:
        documents: Mapping[int, bytes] = await metadata_of(versions, "", backend)
    except NotFound:  # a document was replaced meanwhile, or is lost: then what else there is
        documents = {version: one for version in versions for one in await _alone(version, backend)}
    return await asyncio.to_thread(_readings, documents, tags)


async def _alone(version: int, backend: Backend) -> list[bytes]:
    try:
        return list((await metadata_of([version], "", backend)).values())
    except NotFound:
        log.warning("reindex: version %d has no metadata", version)
        return []


def _readings(documents: Mapping[int, bytes], tags: Sequence[QueryTag]) -> dict[int, Reading]:
    return {version: Reading(*read_tags(orjson.loads(one), tags)) for version, one in documents.items()}
