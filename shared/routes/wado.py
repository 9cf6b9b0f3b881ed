"""The URI Service: one object by its query, the older form of Retrieve (PS3.18 §9)."""

from contextlib import suppress
from dataclasses import replace

import azure.functions as func
from starlette.responses import Response

from shared.backend import Backend
from shared.errors import InvalidRequest, NotFound
from shared.model import Action, Scope
from shared.routes.rendered import picture_of
from shared.routes.retrieve import instance_answer
from shared.services.render import renderable
from shared.web.endpoint import Request, route, uid
from shared.web.negotiation import INSTANCE, choose, wishes
from shared.web.wado_query import uri_options

blueprint = func.Blueprint()

_DICOM = "application/dicom"
_UIDS = ("studyuid", "seriesuid", "objectuid")


@route(blueprint, "GET", "wado", Action.READ)
async def retrieve_by_uri(request: Request, backend: Backend) -> Response:
    """Retrieve an instance as a file or a picture (PS3.18 §9.4)."""
    if request.query("requesttype") != "WADO":
        raise InvalidRequest("requestType: expected WADO.")
    if request.query("anonymize") is not None:
        raise InvalidRequest("anonymize: this service does not take identities out of files.")
    study, series, instance = (uid(request.query(name) or "", f"{name} of the query") for name in _UIDS)
    request = replace(request, scope=Scope(request.partition.key, study, series, instance))
    wanted = [text for text in (request.query("contenttype") or "").split(",") if text.strip()]
    one = None
    if not any(text.strip().lower().startswith(_DICOM) for text in wanted):
        with suppress(*(() if wanted else (NotFound,))):  # what cannot be shown is a file by default
            one = await renderable(request.scope, backend)
    if one is not None and (wanted or one.is_single_frame):
        options, frame = uri_options(request.query, one.rows_and_columns)
        return await picture_of(request, one, choose(wanted, one.media_types), options, frame, backend)
    syntax = request.query("transfersyntax")
    accept = f"{_DICOM}; transfer-syntax={syntax}" if syntax else _DICOM
    return await instance_answer(request, wishes([accept], INSTANCE), backend)
