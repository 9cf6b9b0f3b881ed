"""What is asked of the service itself: its health, what it offers, and whether a page may call (health-and-ops.md)."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import azure.functions as func
import orjson
from starlette.requests import Request
from starlette.responses import Response

from shared.backend import Backend, backend
from shared.errors import DicomwebError, InvalidRequest
from shared.index import partitions
from shared.model import Action
from shared.versions import rules_of
from shared.web import openapi
from shared.web.cors import cors_of
from shared.web.endpoint import ROUTES, open_route, route
from shared.web.endpoint import Request as Call

blueprint = func.Blueprint()


@open_route(blueprint, "OPTIONS", "health/{*path}")
async def answer_preflight_of_health(http: Request) -> Response:
    """Answer a browser that asks whether it may call."""
    return cors_of(backend().settings).preflight(http.headers)


@open_route(blueprint, "OPTIONS", "swagger")
async def answer_preflight_of_page(http: Request) -> Response:
    """Answer a browser that asks whether it may call."""
    return cors_of(backend().settings).preflight(http.headers)


@open_route(blueprint, "OPTIONS", "v{version}/{*path}")
async def answer_preflight(http: Request) -> Response:
    """Answer a browser that asks whether it may call, for all paths below a version."""
    return cors_of(backend().settings).preflight(http.headers)


@open_route(blueprint, "GET", "v{version}/api.json")
async def describe_as_json(http: Request) -> Response:
    """Return the OpenAPI document of a version."""
    return Response(_document(http), media_type="application/json")


@open_route(blueprint, "GET", "v{version}/api.yaml")
async def describe_as_yaml(http: Request) -> Response:
    """Return the OpenAPI document of a version as YAML, of which JSON is a part (YAML 1.2 §1.3)."""
    return Response(_document(http), media_type="application/yaml")


@open_route(blueprint, "GET", "swagger")
async def show_documents(http: Request) -> Response:  # noqa: ARG001 - the page is the same for all
    """Return a page that shows the documents and sends requests; nothing of it comes from elsewhere."""
    content, policy = openapi.page()
    return Response(content, media_type="text/html", headers={"Content-Security-Policy": policy})


def _document(http: Request) -> bytes:
    version = str(http.path_params["version"]).lower()
    rules, has_partitions = rules_of(version), backend().settings.data_partitions
    return orjson.dumps(openapi.document(version, rules, ROUTES, has_partitions=has_partitions))


@route(blueprint, "GET", "partitions", Action.READ, has_partitions=False)
async def list_partitions(request: Call, backend: Backend) -> Response:
    """List the data partitions that the caller may read, oldest first (data-partitions.md)."""
    if not backend.settings.data_partitions:
        raise InvalidRequest("This service has no data partitions.")
    within = request.caller.within(Action.READ)
    found = [
        {"partitionKey": one.key, "partitionName": one.name, "createdDate": created.isoformat()}
        for one, created in await backend.index.read(partitions.find_all)
        if within is None or one.name.lower() in within
    ]
    return Response(orjson.dumps(found), media_type="application/json")


@open_route(blueprint, "GET", "health/check")
async def check_health(http: Request) -> Response:  # noqa: ARG001 - health is the same for all
    """Answer 200 when index and storage answer, else 503."""
    context = backend()
    details = [await _check("Index", context.index.check), await _check("Storage", context.blobs.check)]
    healthy = all(detail["status"] == "Healthy" for detail in details)
    status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
    body = {"overallStatus": "Healthy" if healthy else "Unhealthy", "details": details}
    return Response(orjson.dumps(body), status, media_type="application/json")


async def _check(name: str, check: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        await check()
    except DicomwebError as error:
        status, description = "Unhealthy", str(error)
    else:
        status, description = "Healthy", "answers"
    took_ms = round((time.perf_counter() - began) * 1000, 1)
    return {"name": name, "status": status, "description": description, "durationMs": took_ms}
