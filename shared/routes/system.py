"""What is asked of the service itself: its health (health-and-ops.md)."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import azure.functions as func
import orjson
from starlette.requests import Request
from starlette.responses import Response

from shared.backend import backend
from shared.errors import DicomwebError

blueprint = func.Blueprint()


@blueprint.function_name("check_health")
@blueprint.route(route="health/check", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS, trigger_arg_name="request")
async def check_health(request: Request) -> Response:  # noqa: ARG001 - the worker passes it by name
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
