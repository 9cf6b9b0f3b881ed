"""The state of long-running operations (operations.md)."""

import re
from http import HTTPStatus

import azure.functions as func
import orjson
from starlette.responses import Response

from shared.backend import Backend
from shared.errors import NotFound
from shared.model import Action, Operation, OperationStatus
from shared.services.operations import find
from shared.web.endpoint import Request, route
from shared.web.plain_json import JSON, written_time

blueprint = func.Blueprint()

_DIGITS = "[0-9a-f]"
_GUID = re.compile(
    rf"{_DIGITS}{{32}}|(\{{|\()?{_DIGITS}{{8}}(-{_DIGITS}{{4}}){{3}}-{_DIGITS}{{12}}(?(1)[}})])", re.IGNORECASE
)
_NONE = "There is no such operation."


@route(blueprint, "GET", "operations/{operation}", Action.READ, has_partitions=False)
async def get_operation(request: Request, backend: Backend) -> Response:
    """Return how far an operation is: 202 while there is more to do, then 200."""
    text = str(request.http.path_params["operation"])
    if not _GUID.fullmatch(text):
        raise NotFound(_NONE)
    found = await find(re.sub("[^0-9a-f]", "", text.lower()), backend)
    if found.partition is not None and not request.caller.may(Action.READ, found.partition):
        raise NotFound(_NONE)
    body = orjson.dumps(_shown(found, request))
    if found.is_over:
        return Response(body, media_type=JSON)
    return Response(body, HTTPStatus.ACCEPTED, {"Location": request.urls.operation(found.id)}, JSON)


def _shown(operation: Operation, request: Request) -> dict[str, object]:
    status = operation.status
    shown: dict[str, object] = {
        "operationId": operation.id,
        "type": operation.kind,
        "createdTime": written_time(operation.created_at),
        "lastUpdatedTime": written_time(operation.updated_at),
        "status": request.rules.success_word if status is OperationStatus.SUCCEEDED else status.value,
        "percentComplete": operation.percent,
    }
    if "tags" in operation.input:
        shown["resources"] = [request.urls.query_tag(path) for path in operation.input["tags"]]
    return shown
