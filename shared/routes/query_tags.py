"""Extended query tags (extended-query-tags.md)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import azure.functions as func
import orjson
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, Response

from shared.backend import Backend
from shared.errors import OperationRunning
from shared.index import query_tags
from shared.model import Action, QueryTag
from shared.services.operations import advance
from shared.services.query_tags import add, delete
from shared.web.change_feed_query import whole_number
from shared.web.endpoint import Request, route
from shared.web.plain_json import JSON, read_json, written_time
from shared.web.query_tags import path_of, read_is_enabled, read_tags
from shared.web.urls import Urls

blueprint = func.Blueprint()

_MOST = 200


@route(blueprint, "POST", "extendedquerytags", Action.MANAGE_QUERY_TAGS, has_partitions=False)
async def add_query_tags(request: Request, backend: Backend) -> Response:
    """Add extended query tags; an operation indexes what is stored for them."""
    tags = read_tags(await read_json(request.body, request.headers("content-type")))
    try:
        operation = await add(tags, backend)
    except OperationRunning as error:
        headers = {"Location": request.urls.operation(error.operation)}
        return PlainTextResponse(str(error), HTTPStatus.CONFLICT, headers)
    href = request.urls.operation(operation)
    first_step = BackgroundTask(advance, operation, backend)
    return _json({"id": operation, "href": href}, HTTPStatus.ACCEPTED, {"Location": href}, first_step)


@route(blueprint, "GET", "extendedquerytags", Action.READ, has_partitions=False)
async def list_query_tags(request: Request, backend: Backend) -> Response:
    """List extended query tags, the first added first."""
    limit, offset = _page(request)
    return _json(
        await _shown(await backend.index.read(query_tags.find_page, limit=limit, offset=offset), request, backend)
    )


@route(blueprint, "GET", "extendedquerytags/{tag}", Action.READ, has_partitions=False)
async def get_query_tag(request: Request, backend: Backend) -> Response:
    """Return an extended query tag."""
    found = await backend.index.read(query_tags.find, _path(request))
    return _json((await _shown([found], request, backend))[0])


@route(blueprint, "PATCH", "extendedquerytags/{tag}", Action.MANAGE_QUERY_TAGS, has_partitions=False)
async def change_query_tag(request: Request, backend: Backend) -> Response:
    """Let an extended query tag be searched or not."""
    path = _path(request)
    is_enabled = read_is_enabled(await read_json(request.body, request.headers("content-type")))
    found = await backend.index.write(query_tags.set_enabled, path, is_enabled=is_enabled)
    return _json((await _shown([found], request, backend))[0])


@route(blueprint, "DELETE", "extendedquerytags/{tag}", Action.MANAGE_QUERY_TAGS, has_partitions=False)
async def delete_query_tag(request: Request, backend: Backend) -> Response:
    """Delete an extended query tag with its values and errors."""
    await delete(_path(request), backend)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@route(blueprint, "GET", "extendedquerytags/{tag}/errors", Action.READ, has_partitions=False)
async def list_query_tag_errors(request: Request, backend: Backend) -> Response:
    """List the instances that an extended query tag does not find, the first found first."""
    limit, offset = _page(request)
    tag = await backend.index.read(query_tags.find, _path(request))
    within = request.caller.within(Action.READ)
    found = await backend.index.read(query_tags.find_errors, tag.number, within, limit=limit, offset=offset)
    return _json(
        [
            {
                "studyInstanceUid": one.study,
                "seriesInstanceUid": one.series,
                "sopInstanceUid": one.instance,
                "createdTime": written_time(one.created_at),
                "partitionName": one.partition,
                "errorMessage": one.message,
            }
            for one in found
        ]
    )


def _path(request: Request) -> str:
    return path_of(str(request.http.path_params["tag"]))


def _page(request: Request) -> tuple[int, int]:
    limit = whole_number(request.query, "limit", 100, lowest=1, highest=_MOST)
    return limit, whole_number(request.query, "offset", 0, lowest=0, highest=2**31 - 1)


def _json(
    body: object,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    then: BackgroundTask | None = None,
) -> Response:
    return Response(orjson.dumps(body), status, headers, JSON, then)


async def _shown(tags: Sequence[QueryTag], request: Request, backend: Backend) -> list[dict[str, object]]:
    """Return tags as JSON; errors of partitions that the caller may not read do not count."""
    numbers, within = [tag.number for tag in tags], request.caller.within(Action.READ)
    counts = await backend.index.read(query_tags.count_errors, numbers, within)
    return [_one(tag, counts.get(tag.number, 0), request.urls) for tag in tags]


def _one(tag: QueryTag, errors: int, urls: Urls) -> dict[str, object]:
    found: dict[str, object] = {"path": tag.path, "vr": tag.vr}
    if tag.creator:
        found["privateCreator"] = tag.creator
    found |= {
        "level": tag.level.value,
        "status": tag.status.value,
        "queryStatus": "enabled" if tag.is_enabled else "disabled",
    }
    if errors:
        found["errors"] = {"count": errors, "href": f"{urls.query_tag(tag.path)}/errors"}
    if tag.operation is not None:
        found["operation"] = {"id": tag.operation, "href": urls.operation(tag.operation)}
    return found
