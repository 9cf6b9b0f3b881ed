"""The Studies Service: Store, Search and Delete (PS3.18 §10)."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import azure.functions as func
import orjson
from starlette.responses import Response

from shared.backend import Backend
from shared.dicom.native_model import to_xml
from shared.dicom.reports import store_report
from shared.errors import UrlTooLong
from shared.index.query_tags import find_searched
from shared.model import Action, Level, Outcome, StoreTerms
from shared.services.acceptance import StoreRequest
from shared.services.delete import delete
from shared.services.search import search
from shared.services.store import store
from shared.web.endpoint import Request, route
from shared.web.media_types import DICOM_JSON, DICOM_XML, MULTIPART_RELATED, report_type
from shared.web.multipart import new_boundary
from shared.web.payloads import read_files
from shared.web.query import NO_TAGS, other_tags, read_query
from shared.web.store_terms import read_expiry, read_external, wants_external

blueprint = func.Blueprint()

_FEW_OUTCOMES = 200
"""Whose report takes a few milliseconds to write; a longer one is written in a thread."""

_FEW_RESULTS = 200
"""Of short results; more, or longer ones, are written in a thread."""

_MAX_URI = 8192
"""Characters of path and query string of a search (search.md)."""


@route(blueprint, "POST", "studies", Action.WRITE, accepts=report_type)
async def store_instances(request: Request, backend: Backend) -> Response:
    """Store instances of any studies (PS3.18 §10.5)."""
    return await _store(request, backend)


@route(blueprint, "POST", "studies/{study}", Action.WRITE, accepts=report_type)
async def store_instances_in_study(request: Request, backend: Backend) -> Response:
    """Store instances that must belong to one study (PS3.18 §10.5)."""
    return await _store(request, backend)


@route(blueprint, "PUT", "studies", Action.WRITE, accepts=report_type)
async def replace_instances(request: Request, backend: Backend) -> Response:
    """Store instances of any studies; one that is there already is replaced (store.md, "Upsert")."""
    return await _store(request, backend, replaces=True)


@route(blueprint, "PUT", "studies/{study}", Action.WRITE, accepts=report_type)
async def replace_instances_in_study(request: Request, backend: Backend) -> Response:
    """Store instances that must belong to one study; one that is there already is replaced."""
    return await _store(request, backend, replaces=True)


@route(blueprint, "GET", "studies", Action.READ, accepts=report_type)
async def search_for_studies(request: Request, backend: Backend) -> Response:
    """Search all studies (PS3.18 §10.6)."""
    return await _search(request, Level.STUDY, backend)


@route(blueprint, "GET", "series", Action.READ, accepts=report_type)
async def search_for_series(request: Request, backend: Backend) -> Response:
    """Search all series (PS3.18 §10.6)."""
    return await _search(request, Level.SERIES, backend)


@route(blueprint, "GET", "instances", Action.READ, accepts=report_type)
async def search_for_instances(request: Request, backend: Backend) -> Response:
    """Search all instances (PS3.18 §10.6)."""
    return await _search(request, Level.INSTANCE, backend)


@route(blueprint, "GET", "studies/{study}/series", Action.READ, accepts=report_type)
async def search_for_series_in_study(request: Request, backend: Backend) -> Response:
    """Search the series of one study (PS3.18 §10.6)."""
    return await _search(request, Level.SERIES, backend)


@route(blueprint, "GET", "studies/{study}/instances", Action.READ, accepts=report_type)
async def search_for_instances_in_study(request: Request, backend: Backend) -> Response:
    """Search the instances of one study (PS3.18 §10.6)."""
    return await _search(request, Level.INSTANCE, backend)


@route(blueprint, "GET", "studies/{study}/series/{series}/instances", Action.READ, accepts=report_type)
async def search_for_instances_in_series(request: Request, backend: Backend) -> Response:
    """Search the instances of one series (PS3.18 §10.6)."""
    return await _search(request, Level.INSTANCE, backend)


@route(blueprint, "DELETE", "studies/{study}", Action.DELETE)
async def delete_study(request: Request, backend: Backend) -> Response:
    """Delete a study (delete.md)."""
    return await _delete(request, backend)


@route(blueprint, "DELETE", "studies/{study}/series/{series}", Action.DELETE)
async def delete_series(request: Request, backend: Backend) -> Response:
    """Delete a series (delete.md)."""
    return await _delete(request, backend)


@route(blueprint, "DELETE", "studies/{study}/series/{series}/instances/{instance}", Action.DELETE)
async def delete_instance(request: Request, backend: Backend) -> Response:
    """Delete an instance (delete.md)."""
    return await _delete(request, backend)


async def _store(request: Request, backend: Backend, *, replaces: bool = False) -> Response:
    terms = _store_terms(request, backend, replaces=replaces)
    files = read_files(
        request.body,
        request.headers("content-type"),
        request.headers("content-encoding"),
        inflated_limit=backend.settings.max_request_bytes,
        composed_limit=backend.settings.max_composed_bytes,
        most_parts=backend.settings.max_parts,
    )
    wanted = StoreRequest(request.partition, request.scope.study, request.rules, terms)
    outcomes = await store(files, wanted, backend)
    if not outcomes:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    study_url = None if wanted.study is None else request.urls.study(wanted.study)
    lists = request.rules.lists_failed_attributes
    media_type = report_type(request.accept())

    def write() -> bytes:
        report = store_report(outcomes, request.urls.instance, study_url, lists_failed_attributes=lists)
        return to_xml(report) if media_type == DICOM_XML else orjson.dumps(report)

    body = write() if len(outcomes) <= _FEW_OUTCOMES else await asyncio.to_thread(write)
    status = _store_status(outcomes, warning_is_accepted=request.rules.warning_is_accepted)
    return Response(body, status, _store_warning(request, outcomes), media_type)


def _store_terms(request: Request, backend: Backend, *, replaces: bool) -> StoreTerms:
    now, fields = backend.now(), request.fields()
    return StoreTerms(
        now + timedelta(seconds=backend.settings.delete_after_s) if replaces else None,
        read_expiry(fields, now),
        read_external(fields),
    )


def _store_warning(request: Request, outcomes: list[Outcome]) -> dict[str, str] | None:
    """Return the header field that names attributes of which only the first value is searched (store.md)."""
    names = sorted({name for outcome in outcomes for name in outcome.multiple})
    if not names:
        return None
    text = f"Only the first of several values is searched of: {', '.join(names)}"
    return _warning(request, text)


def _warning(request: Request, text: str) -> dict[str, str]:
    return {"Warning": f'299 {request.urls.host}: "{text}"'}


def _store_status(outcomes: list[Outcome], *, warning_is_accepted: bool) -> HTTPStatus:
    """Decide the status of a Store with at least one outcome (store.md, "Status")."""
    failed = sum(outcome.failure is not None for outcome in outcomes)
    if failed == len(outcomes):
        return HTTPStatus.CONFLICT
    warned = warning_is_accepted and any(outcome.warning is not None for outcome in outcomes)
    return HTTPStatus.ACCEPTED if failed or warned else HTTPStatus.OK


async def _search(request: Request, level: Level, backend: Backend) -> Response:
    url = request.http.url
    length = len(url.path) + 1 + len(url.query)
    if length > _MAX_URI:
        raise UrlTooLong(f"Path and query have {length} characters; at most {_MAX_URI} are read.")
    external = wants_external(request.fields())
    others = other_tags(url.query, level, request.scope)
    tags = await backend.index.read(find_searched, others) if others else NO_TAGS
    query = read_query(url.query, level, request.scope, external=external, tags=tags)
    found = await search(query, request.rules, request.urls.path, backend)
    if not found.datasets:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    headers = _warning(request, "There are additional results that can be requested") if found.has_more else {}
    if found.erroneous:
        headers["erroneous-dicom-attributes"] = ",".join(found.erroneous)
    if request.scope.study is None:
        request.shows(found.studies)
    write = _xml_results if report_type(request.accept()) == DICOM_XML else _json_results
    is_small = len(found.datasets) <= _FEW_RESULTS
    body, media_type = write(found.datasets) if is_small else await asyncio.to_thread(write, found.datasets)
    return Response(body, headers=headers, media_type=media_type)


def _json_results(datasets: Sequence[Mapping[str, Any]]) -> tuple[bytes, str]:
    return orjson.dumps(datasets), DICOM_JSON


def _xml_results(datasets: Sequence[Mapping[str, Any]]) -> tuple[bytes, str]:
    """Return a part for each result (PS3.18 §8.7.3)."""
    boundary = new_boundary()
    parts = b"".join(
        f"\r\n--{boundary}\r\nContent-Type: {DICOM_XML}\r\n\r\n".encode() + to_xml(one) for one in datasets
    )
    body = parts.removeprefix(b"\r\n") + f"\r\n--{boundary}--\r\n".encode()
    return body, f'{MULTIPART_RELATED}; type="{DICOM_XML}"; boundary={boundary}'


async def _delete(request: Request, backend: Backend) -> Response:
    await delete(request.scope, backend)
    return Response(status_code=HTTPStatus.NO_CONTENT)
