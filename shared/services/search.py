"""The Search transaction: which attributes each match is answered with (PS3.18 §10.6; search.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.backend import Backend
from shared.dicom.attributes import ALL, COMPUTED, DEFAULTS, RETURNED, tag_of
from shared.index import search as index_search
from shared.model import Level, Match, Query
from shared.services.documents import metadata_of
from shared.versions import VersionRules

_LEVELS = tuple(Level)
_CONTENTS = frozenset({"Value", "InlineBinary", "BulkDataURI"})
_UIDS = {Level.STUDY: tag_of("StudyInstanceUID"), Level.SERIES: tag_of("SeriesInstanceUID")}


async def search(query: Query, rules: VersionRules, base: str, backend: Backend) -> tuple[list[dict[str, Any]], bool]:
    """Return a DICOM JSON object for each match, newest first, and whether more matches remain.

    Parameters
    ----------
    base
        What the URLs of bulk values begin with, before `/studies`.

    Raises
    ------
    InvalidRequest
        A value is not one that its attribute can be matched with.
    """
    matches, more = await backend.index.read(index_search.search, query)
    wanted = _wanted(query, rules)
    full = await _metadata(matches, base, backend) if _needs_metadata(wanted, matches) else {}
    return [_dataset(match, wanted, full.get(match.version, {})) for match in matches], more


def _wanted(query: Query, rules: VersionRules) -> list[str]:
    """Return the tags of the answer: defaults of the levels, matching keys, UIDs of the path, included fields."""
    table = ALL if query.include_all else DEFAULTS[rules.search_defaults]
    wanted = {tag for level in _contributing(query) for tag in table[level]}
    wanted |= {tag_of(one.keyword) for one in query.conditions}
    wanted |= {tag for level, tag in _UIDS.items() if level in _scoped(query)}
    wanted |= set(query.include)
    return sorted(wanted)


def _scoped(query: Query) -> list[Level]:
    named = {Level.STUDY: query.scope.study, Level.SERIES: query.scope.series}
    return [level for level, uid in named.items() if uid is not None]


def _contributing(query: Query) -> list[Level]:
    """Return the levels whose defaults an answer has: the level asked for and those above it outside the path."""
    above = _LEVELS[: _LEVELS.index(query.level) + 1]
    return [level for level in above if level not in _scoped(query)]


def _needs_metadata(wanted: Sequence[str], matches: Sequence[Match]) -> bool:
    """Return whether an attribute is wanted that the index does not keep for these rows."""
    return any(
        tag not in COMPUTED and not any(tag in RETURNED[level] for level in match.attributes)
        for match in matches[:1]
        for tag in wanted
    )


async def _metadata(matches: Sequence[Match], base: str, backend: Backend) -> Mapping[int, Mapping[str, Any]]:
    """Return the data set of each match's newest instance by version."""
    found = await metadata_of([match.version for match in matches], base, backend)
    return {version: orjson.loads(document) for version, document in found.items()}


def _dataset(match: Match, wanted: Sequence[str], full: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wanted attributes that have a value, by ascending tag (PS3.18 §F.2.2)."""
    known = {**full, **{tag: element for level in match.attributes.values() for tag, element in level.items()}}
    known |= match.computed
    return {tag: known[tag] for tag in wanted if not _CONTENTS.isdisjoint(known.get(tag, ()))}
