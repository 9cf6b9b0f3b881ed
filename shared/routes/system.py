"""What is asked of the service itself: its health, what it offers, and whether a page may call (health-and-ops.md)."""

from functools import cache
from http import HTTPStatus

import azure.functions as func
import orjson
from starlette.requests import Request
from starlette.responses import Response

from shared.backend import Backend, backend
from shared.errors import InvalidRequest
from shared.index import partitions
from shared.model import Action
from shared.services.health import Status, Watch, overall
from shared.versions import VersionRules, rules_of
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
    return _written(version, rules_of(version), backend().settings.data_partitions)


@cache
def _written(version: str, rules: VersionRules, has_partitions: bool) -> bytes:
    """Write a document once: it takes 10 ms, and anyone may ask."""
    return orjson.dumps(openapi.document(version, rules, ROUTES, has_partitions=has_partitions))


@route(blueprint, "GET", "partitions", Action.READ, has_partitions=False)
async def list_partitions(request: Call, backend: Backend) -> Response:
    """List the data partitions that the caller may read, oldest first (data-partitions.md)."""
    if not backend.settings.data_partitions:
        raise InvalidRequest("This service has no data partitions.")
    within = request.caller.within(Action.READ)
    found = await backend.index.read(partitions.find_all)
    seen = [(one, created) for one, created in found if within is None or one.name.lower() in within]
    # Gaps in the keys would tell of others.
    keys = [one.key for one, _ in seen] if within is None else range(1, len(seen) + 1)
    listed = [
        {"partitionKey": key, "partitionName": one.name, "createdDate": created.isoformat()}
        for key, (one, created) in zip(keys, seen, strict=True)
    ]
    return Response(orjson.dumps(listed), media_type="application/json")


@open_route(blueprint, "GET", "health/check")
async def check_health(http: Request) -> Response:  # noqa: ARG001 - health is the same for all
    """Answer whether requests can be served: 200 when index and storage answer, else 503."""
    findings = await _watch().findings(backend())
    worst = overall(findings)
    details = [
        {
            "name": one.name,
            "status": one.status.value,
            "description": one.description,
            "durationMs": one.duration_ms,
        }
        for one in findings
    ]
    status = HTTPStatus.SERVICE_UNAVAILABLE if worst is Status.UNHEALTHY else HTTPStatus.OK
    return _fresh({"overallStatus": worst.value, "details": details}, status)


@open_route(blueprint, "GET", "health/live")
async def check_liveness(http: Request) -> Response:  # noqa: ARG001 - as above
    """Answer that the process is alive, whatever it leans on does: restarting it would not help that."""
    return _fresh({"overallStatus": Status.HEALTHY.value, "details": []}, HTTPStatus.OK)


@cache
def _watch() -> Watch:
    return Watch()


def _fresh(body: dict[str, object], status: HTTPStatus) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(body), status, headers, "application/json")
