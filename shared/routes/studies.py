"""The Studies Service: Store, Retrieve, Search and Delete (PS3.18 §10)."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

import azure.functions as func
import orjson
from starlette.responses import Response

from shared.backend import Backend
from shared.dicom.reports import store_report
from shared.model import Action, ByteStream, Level, Outcome
from shared.services.delete import delete
from shared.services.metadata import metadata_etag, retrieve_metadata
from shared.services.retrieve import Files, retrieve
from shared.services.search import search
from shared.services.store import StoreRequest, store
from shared.web.endpoint import Request, route
from shared.web.media_types import DICOM, DICOM_JSON, MULTIPART_RELATED, require_json, wishes
from shared.web.multipart import new_boundary, write_parts
from shared.web.payloads import read_files
from shared.web.query import read_query
from shared.web.streaming import Streaming

blueprint = func.Blueprint()


@route(blueprint, "POST", "studies", Action.WRITE, accepts=require_json)
async def store_instances(request: Request, backend: Backend) -> Response:
    """Store instances of any studies (PS3.18 §10.5)."""
    return await _store(request, backend)


@route(blueprint, "POST", "studies/{study}", Action.WRITE, accepts=require_json)
async def store_instances_in_study(request: Request, backend: Backend) -> Response:
    """Store instances that must belong to one study (PS3.18 §10.5)."""
    return await _store(request, backend)


@route(blueprint, "GET", "studies/{study}", Action.READ)
async def retrieve_study(request: Request, backend: Backend) -> Response:
    """Retrieve all instances of a study (PS3.18 §10.4)."""
    return await _retrieve(request, backend)


@route(blueprint, "GET", "studies/{study}/series/{series}", Action.READ)
async def retrieve_series(request: Request, backend: Backend) -> Response:
    """Retrieve all instances of a series (PS3.18 §10.4)."""
    return await _retrieve(request, backend)


@route(blueprint, "GET", "studies/{study}/series/{series}/instances/{instance}", Action.READ)
async def retrieve_instance(request: Request, backend: Backend) -> Response:
    """Retrieve one instance (PS3.18 §10.4)."""
    return await _retrieve(request, backend)


@route(blueprint, "GET", "studies/{study}/metadata", Action.READ, accepts=require_json)
async def retrieve_study_metadata(request: Request, backend: Backend) -> Response:
    """Retrieve the metadata of a study (PS3.18 §10.4.1.1.2)."""
    return await _metadata(request, backend)


@route(blueprint, "GET", "studies/{study}/series/{series}/metadata", Action.READ, accepts=require_json)
async def retrieve_series_metadata(request: Request, backend: Backend) -> Response:
    """Retrieve the metadata of a series (PS3.18 §10.4.1.1.2)."""
    return await _metadata(request, backend)


@route(
    blueprint, "GET", "studies/{study}/series/{series}/instances/{instance}/metadata", Action.READ, accepts=require_json
)
async def retrieve_instance_metadata(request: Request, backend: Backend) -> Response:
    """Retrieve the metadata of an instance (PS3.18 §10.4.1.1.2)."""
    return await _metadata(request, backend)


@route(blueprint, "GET", "studies", Action.READ, accepts=require_json)
async def search_for_studies(request: Request, backend: Backend) -> Response:
    """Search all studies (PS3.18 §10.6)."""
    return await _search(request, Level.STUDY, backend)


@route(blueprint, "GET", "series", Action.READ, accepts=require_json)
async def search_for_series(request: Request, backend: Backend) -> Response:
    """Search all series (PS3.18 §10.6)."""
    return await _search(request, Level.SERIES, backend)


@route(blueprint, "GET", "instances", Action.READ, accepts=require_json)
async def search_for_instances(request: Request, backend: Backend) -> Response:
    """Search all instances (PS3.18 §10.6)."""
    return await _search(request, Level.INSTANCE, backend)


@route(blueprint, "GET", "studies/{study}/series", Action.READ, accepts=require_json)
async def search_for_series_in_study(request: Request, backend: Backend) -> Response:
    """Search the series of one study (PS3.18 §10.6)."""
    return await _search(request, Level.SERIES, backend)


@route(blueprint, "GET", "studies/{study}/instances", Action.READ, accepts=require_json)
async def search_for_instances_in_study(request: Request, backend: Backend) -> Response:
    """Search the instances of one study (PS3.18 §10.6)."""
    return await _search(request, Level.INSTANCE, backend)


@route(blueprint, "GET", "studies/{study}/series/{series}/instances", Action.READ, accepts=require_json)
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


async def _store(request: Request, backend: Backend) -> Response:
    files = read_files(request.body, request.headers("content-type"), request.headers("content-encoding"))
    wanted = StoreRequest(request.partition, request.scope.study, request.rules)
    outcomes = await store(files, wanted, backend)
    if not outcomes:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    study_url = None if wanted.study is None else request.urls.study(wanted.study)
    lists = request.rules.lists_failed_attributes
    report = store_report(outcomes, request.urls.instance, study_url, lists_failed_attributes=lists)
    status = _store_status(outcomes, warning_is_accepted=request.rules.warning_is_accepted)
    return Response(orjson.dumps(report), status, media_type=DICOM_JSON)


def _store_status(outcomes: list[Outcome], *, warning_is_accepted: bool) -> HTTPStatus:
    """Decide the status of a Store with at least one outcome (store.md, "Status")."""
    failed = sum(outcome.failure is not None for outcome in outcomes)
    if failed == len(outcomes):
        return HTTPStatus.CONFLICT
    warned = warning_is_accepted and any(outcome.warning is not None for outcome in outcomes)
    return HTTPStatus.ACCEPTED if failed or warned else HTTPStatus.OK


async def _retrieve(request: Request, backend: Backend) -> Response:
    wanted = wishes(request.headers("accept"), request.scope.level)
    wish, files = await retrieve(request.scope, wanted, backend)
    if wish.is_multipart:
        boundary = new_boundary()
        media_type = f'{MULTIPART_RELATED}; type="{DICOM}"; boundary={boundary}'
        return Streaming(write_parts(_parts(files, request), boundary), media_type)
    instance, chunks = await anext(files)
    media_type = f"{DICOM}; transfer-syntax={instance.transfer_syntax}"
    return Streaming(chunks, media_type, headers={"Content-Length": str(instance.length_bytes)})


async def _parts(files: Files, request: Request) -> AsyncGenerator[tuple[str, ByteStream], None]:
    async with aclosing(files):
        async for instance, chunks in files:
            fields = f"Content-Type: {DICOM}; transfer-syntax={instance.transfer_syntax}"
            yield f"{fields}\r\nContent-Location: {request.urls.instance(instance.key)}", chunks


async def _metadata(request: Request, backend: Backend) -> Response:
    tag = f'"{await metadata_etag(request.scope, backend)}"'
    if _matches(tag, request.headers("if-none-match")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    array = await retrieve_metadata(request.scope, backend)
    return Streaming(array, DICOM_JSON, headers={"ETag": tag})


def _matches(tag: str, conditions: list[str]) -> bool:
    """Return whether *tag* is one that the client has (RFC 9110 §13.1.2); without quotes too, as the reference."""
    known = {part.strip().removeprefix("W/").strip('"') for value in conditions for part in value.split(",")}
    return "*" in known or tag.strip('"') in known


async def _search(request: Request, level: Level, backend: Backend) -> Response:
    query = read_query(request.http.url.query, level, request.scope)
    found, more = await search(query, request.rules, backend)
    if not found:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    headers = {"Warning": f'299 {request.urls.host}: "There are additional results that can be requested"'}
    return Response(orjson.dumps(found), headers=headers if more else None, media_type=DICOM_JSON)


async def _delete(request: Request, backend: Backend) -> Response:
    await delete(request.scope, backend)
    return Response(status_code=HTTPStatus.NO_CONTENT)
