"""Hold what the rows of studies, series and instances say against the metadata of their instances.

Metadata of a version never change. A row of a study or series is looked at before and after what its instances say is
read: if it is the same and waits for nobody to bring it up to date, what differs then is wrong.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from shared.backend import Backend
from shared.dicom.attributes import tag_of
from shared.dicom.validation import uid_value
from shared.index import audit, outdated
from shared.index.audit import Stated
from shared.index.outdated import Owner
from shared.model import Level
from shared.services.documents import readable_metadata_of
from shared.services.new_instance import attributes_of, values_of
from shared.services.renewal import find_newest

PARENTS: Mapping[str, Level] = {"study_values_differ": Level.STUDY, "series_values_differ": Level.SERIES}
"""Levels of rows by the finding that tells of them."""

_CLASS = tag_of("SOPClassUID")
_ATTEMPTS = 3
_VERSIONS_AT_ONCE = 200
_ROWS_AT_ONCE = 500


async def differing_instances(backend: Backend) -> AsyncIterator[tuple[int, Stated]]:
    """Yield the published versions whose row says something else than their metadata, with what these say."""
    after = 0
    while page := await backend.index.read(audit.stated_after, after, _VERSIONS_AT_ONCE):
        after = max(page)
        documents = await readable_metadata_of(list(page), backend)
        for version, document in sorted(documents.items()):
            if (said := _stated(orjson.loads(document), page[version])) != page[version]:
                yield version, said


async def differing_parents(level: Level, backend: Backend) -> AsyncIterator[int]:
    """Yield the numbers of rows of a level that say something else than their instances.

    What only an older instance has, and its row has not, is passed over: that would take reading all of them.
    """
    after = 0
    while page := await backend.index.read(outdated.rows_after, level, after, _ROWS_AT_ONCE):
        after = page[-1]
        for number in page:
            if await _differs((level, number), backend):
                yield number


async def _differs(owner: Owner, backend: Backend) -> bool:
    for _ in range(_ATTEMPTS):
        seen = (await backend.index.read(outdated.look, [owner]))[owner]
        if seen is None:
            return False
        newest = await find_newest(owner, seen, backend)
        if (await backend.index.read(outdated.look, [owner]))[owner] == seen:
            values = outdated.without_uid(newest.values, owner[0])
            is_same = (values, newest.attributes) == (seen.values, seen.attributes)
            # Of a row whose metadata are lost nothing is known; they are a finding themselves.
            return not is_same and newest.is_of_all and not await backend.index.read(outdated.is_marked, owner)
    return False


def _stated(dataset: Mapping[str, Any], row: Stated) -> Stated:
    number = values_of(dataset, Level.INSTANCE).get("InstanceNumber")
    sop_class = uid_value(dataset, _CLASS) if _CLASS in dataset else row.sop_class
    return Stated(sop_class, None if number is None else float(number), attributes_of(dataset, Level.INSTANCE))
