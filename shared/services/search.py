"""The Search transaction: which attributes each match is answered with (PS3.18 §10.6; search.md)."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.backend import Backend
from shared.dicom.attributes import ALL, COMPUTED, DEFAULTS, OF_EVERY_LEVEL, RETURNED, TRANSFER_SYNTAXES, tag_of
from shared.dicom.external import with_external
from shared.dicom.private_blocks import creators_of
from shared.dicom.query_tags import place_of
from shared.index import search as index_search
from shared.index.terms import external_values_of
from shared.model import ExternalValue, Level, Match, Query, Scope
from shared.services.documents import metadata_of
from shared.versions import VersionRules

_LEVELS = tuple(Level)
_CONTENTS = frozenset({"Value", "InlineBinary", "BulkDataURI"})
_UIDS = {Level.STUDY: tag_of("StudyInstanceUID"), Level.SERIES: tag_of("SeriesInstanceUID")}
_RETRIEVE_URL = tag_of("RetrieveURL")
_AVAILABILITY = tag_of("InstanceAvailability")
_SAID = frozenset({*COMPUTED, *OF_EVERY_LEVEL, *TRANSFER_SYNTAXES})
"""What no data set is read for."""


@dataclass(frozen=True, slots=True)
class Results:
    """A page of matches, newest first, each as a DICOM JSON object.

    Parameters
    ----------
    has_more
        Whether more matches remain behind the page.
    erroneous
        Attributes of the query, as the client named them, of which not all values could be indexed: extended query
        tags with errors.
    """

    datasets: list[dict[str, Any]]
    has_more: bool
    erroneous: tuple[str, ...] = ()

    @property
    def studies(self) -> set[str]:
        """Return the UIDs of the studies that the results are of, or in."""
        tag = _UIDS[Level.STUDY]
        return {uid for dataset in self.datasets for uid in dataset.get(tag, {}).get("Value", ())}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Tags of the answer in their order, and for sequences of which only some attributes are wanted the paths."""

    tags: tuple[str, ...]
    nested: Mapping[str, "_Wanted"]


async def search(query: Query, rules: VersionRules, url_of: Callable[[Scope], str], backend: Backend) -> Results:
    """Return what matches a query.

    Parameters
    ----------
    url_of
        Returns the URL of a study, series or instance, and what those of bulk values begin with for no study.

    Raises
    ------
    InvalidRequest
        A value is not one that its attribute can be matched with.
    """
    matches, more = await backend.index.read(index_search.search, query)
    wanted = _wanted(_paths(query, rules))
    external = await _external(matches, query, backend) if query.external and matches else {}
    if not matches or not _needs_metadata(query, wanted, matches):
        return Results([_dataset(one, query, wanted, {}, url_of, external) for one in matches], more, query.erroneous)
    versions = [match.version for match in matches]
    full = await metadata_of(versions, url_of(Scope(query.scope.partition)), backend)

    def compose() -> list[dict[str, Any]]:
        documents = (orjson.loads(full.get(match.version, b"{}")) for match in matches)
        return [
            _dataset(match, query, wanted, document, url_of, external)
            for match, document in zip(matches, documents, strict=True)
        ]

    return Results(await asyncio.to_thread(compose), more, query.erroneous)


def _paths(query: Query, rules: VersionRules) -> set[str]:
    """Return the paths of the answer: defaults of the levels, matching keys, UIDs of the path, included fields."""
    table = ALL if query.include_all else DEFAULTS[rules.search_defaults]
    paths = {tag for level in _contributing(query) for tag in table[level]}
    paths |= {one.attribute.tag for one in query.conditions}
    paths |= {tag for level, tag in _UIDS.items() if level in _scoped(query)}
    if query.include_all:
        paths |= _SAID
    return paths | set(query.include)


def _wanted(paths: Iterable[str]) -> _Wanted:
    by_tag: dict[str, set[str]] = {}
    for path in paths:
        tag, _, rest = path.partition(".")
        by_tag.setdefault(tag, set()).add(rest)
    nested = {tag: _wanted(rests) for tag, rests in by_tag.items() if "" not in rests}
    return _Wanted(tuple(sorted(by_tag)), nested)


def _scoped(query: Query) -> list[Level]:
    named = {Level.STUDY: query.scope.study, Level.SERIES: query.scope.series}
    return [level for level, uid in named.items() if uid is not None]


def _contributing(query: Query) -> list[Level]:
    """Return the levels whose defaults an answer has: the level asked for and those above it outside the path."""
    above = _LEVELS[: _LEVELS.index(query.level) + 1]
    return [level for level in above if level not in _scoped(query)]


def _wants_everything(query: Query) -> bool:
    """Whether all attributes are asked for of results that have all: instances (PS3.18 §8.3.4.3)."""
    return query.include_all and query.level is Level.INSTANCE


def _needs_metadata(query: Query, wanted: _Wanted, matches: Sequence[Match]) -> bool:
    """Return whether an attribute is wanted that the index does not keep for these rows."""
    if _wants_everything(query):
        return True
    kept = _SAID.union(*(RETURNED[level] for level in matches[0].attributes))
    return not kept.issuperset(wanted.tags)


async def _external(
    matches: Sequence[Match], query: Query, backend: Backend
) -> Mapping[str | None, Sequence[ExternalValue]]:
    """Return the external values of the matches' studies."""
    studies = sorted({str(match.scope.study) for match in matches})
    found = await backend.index.read(external_values_of, query.scope.partition, studies)
    return dict(found.items())


def _dataset(
    match: Match,
    query: Query,
    wanted: _Wanted,
    full: Mapping[str, Any],
    url_of: Callable[[Scope], str],
    external: Mapping[str | None, Sequence[ExternalValue]],
) -> dict[str, Any]:
    """Return the wanted attributes that have a value, by ascending tag (PS3.18 §F.2.2)."""
    known = dict(full)
    for elements in match.attributes.values():
        known |= elements
    known |= match.computed
    if _RETRIEVE_URL in wanted.tags:
        known[_RETRIEVE_URL] = {"vr": "UR", "Value": [url_of(match.scope)]}
    known[_AVAILABILITY] = {"vr": "CS", "Value": ["ONLINE"]}
    wanted = _placed(wanted, known, query.private)
    values = external.get(match.scope.study, ())
    if _wants_everything(query):
        return {tag: one for tag, one in with_external(known, values).items() if not _CONTENTS.isdisjoint(one)}
    shown = [value for value in values if value.tag in wanted.tags]
    if not shown:
        return _pick(known, wanted)
    added = with_external({}, shown)
    return dict(sorted((_pick(known, wanted) | {tag: one for tag, one in added.items() if "Value" in one}).items()))


def _placed(wanted: _Wanted, known: Mapping[str, Any], private: Sequence[tuple[str, str]]) -> _Wanted:
    """Return what is wanted of one data set: private tags in the block that they have there, with their creators."""
    if not private:
        return wanted
    tags, creators = set(wanted.tags), creators_of(known)
    for path, creator in private:
        place = place_of(creators, path, creator)
        tags.discard(path)
        if place is not None:
            tags |= {place, f"{place[:4]}00{place[4:6]}"}
    return replace(wanted, tags=tuple(sorted(tags)))


def _pick(known: Mapping[str, Any], wanted: _Wanted) -> dict[str, Any]:
    picked = {}
    for tag in wanted.tags:
        element = known.get(tag)
        if element is None or _CONTENTS.isdisjoint(element):
            continue
        if tag in wanted.nested:
            items = [_pick(item, wanted.nested[tag]) for item in element.get("Value", ()) if isinstance(item, Mapping)]
            if any(items):
                picked[tag] = {"vr": element.get("vr", "SQ"), "Value": items}
        else:
            picked[tag] = element
    return picked
