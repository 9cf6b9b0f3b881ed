"""Of studies and series the newest non-empty value wins, also when the instance that it was of is gone (search.md).

What is left is read from the newest instance on, until everything that the row says has a value again: mostly of one
instance, as those of a series say the same of it. Doing it twice does no harm, and what a crash leaves a timer does.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.backend import Backend
from shared.dicom.query_tags import read_tags
from shared.errors import DicomwebError
from shared.index import outdated
from shared.index.outdated import Newest, Owner, Seen
from shared.model import Level, TagValue
from shared.services.documents import readable_metadata_of
from shared.services.new_instance import attributes_of, values_of

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_TOGETHER = 100
"""Instances whose metadata are in memory at once."""

_AT_ONCE = 500
"""Rows that the timer looks for."""

_ROWS_TOGETHER = 8
"""Rows in one transaction: a delete marks a study and a series."""


async def renew_studies(partition: int, studies: Iterable[str], backend: Backend) -> None:
    """Bring the rows of some studies up to date; what cannot be now, the timer does.

    What the caller asked for is done already, so no error leaves here.
    """
    try:
        await renew(await backend.index.read(outdated.find_in, partition, studies), backend)
    except DicomwebError as error:
        log.warning("renewal: left to the timer: %s", type(error).__name__)


async def renew_all(backend: Backend) -> None:
    """Bring every row up to date that is marked, or was when this began."""
    await renew(await backend.index.read(outdated.find, limit=_AT_ONCE), backend)


async def renew(owners: Iterable[Owner], backend: Backend) -> None:
    """Bring some rows up to date, marked or not."""
    every = list(owners)
    for start in range(0, len(every), _ROWS_TOGETHER):
        left = every[start : start + _ROWS_TOGETHER]
        for _ in range(_ATTEMPTS):
            left = await _renewed(left, backend) if left else []


async def _renewed(owners: Sequence[Owner], backend: Backend) -> list[Owner]:
    """Bring rows up to date; return those to which something happened meanwhile."""
    rows = await backend.index.read(outdated.look, owners)
    seen = {owner: one for owner, one in rows.items() if one is not None}
    for gone in rows.keys() - seen.keys():
        await backend.index.write(outdated.forget, gone)
    if not seen:
        return []
    # A study and its series mostly have the same newest instance.
    documents = await readable_metadata_of(sorted({one.state[0] for one in seen.values()}), backend)
    found = [(owner, one, await find_newest(owner, one, backend, documents)) for owner, one in seen.items()]
    return await backend.index.write(outdated.renew, found, backend.now())


async def find_newest(
    owner: Owner, seen: Seen, backend: Backend, documents: Mapping[int, bytes] | None = None
) -> Newest:
    """Return the newest values that the instances of a row have, of all that the row has and maybe more.

    Parameters
    ----------
    documents
        Metadata by version, where those of the newest instance have been read.
    """
    newest, versions = Newest({}, {}, {}), [seen.state[0]]
    while versions:
        known = documents or await readable_metadata_of(versions, backend)
        some = {version: known[version] for version in versions if version in known}
        newest = await asyncio.to_thread(_with_older, newest, some, owner[0], seen)
        newest = newest if len(some) == len(versions) else replace(newest, is_of_all=False)
        if _is_whole(newest, seen):
            break
        versions = await backend.index.read(outdated.versions_below, owner, versions[-1], _TOGETHER)
        documents = None
    return newest


def _is_whole(newest: Newest, seen: Seen) -> bool:
    """Return whether all that the row says is found: it says all that any of its instances does."""
    found = (seen.values, newest.values), (seen.attributes, newest.attributes), (seen.valued, newest.tags)
    # The UID that names the row is a value of every instance, and none of the row's.
    return bool(newest.values) and all(there.keys() >= set(wanted) for wanted, there in found)


def _with_older(newest: Newest, documents: Mapping[int, bytes], level: Level, seen: Seen) -> Newest:
    """Return the newest values, and of what has none yet those of older instances."""
    values: Mapping[str, str | float] = newest.values
    attributes: Mapping[str, Any] = newest.attributes
    tags: Mapping[int, tuple[int, TagValue]] = newest.tags
    for version in sorted(documents, reverse=True):
        dataset = orjson.loads(documents[version])
        values = values_of(dataset, level) | dict(values)
        attributes = attributes_of(dataset, level) | dict(attributes)
        found, _ = read_tags(dataset, seen.tags)
        tags = {one.tag: (version, one) for one in found} | dict(tags)
    return replace(newest, values=values, attributes=attributes, tags=tags)
