"""The URI Service: one object by its query, the older form of Retrieve (PS3.18 §9)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

import azure.functions as func
from starlette.responses import Response

from shared.backend import Backend
from shared.errors import InvalidRequest, NotAcceptable, NotFound
from shared.model import Action, Scope
from shared.routes.rendered import picture_of
from shared.routes.retrieve import instance_answer
from shared.services.render import renderable
from shared.web.endpoint import Request, route, uid
from shared.web.negotiation import INSTANCE, choose, wishes
from shared.web.wado_query import uri_options

blueprint = func.Blueprint()

_DICOM = "application/dicom"
_STATE_UIDS = ("presentationseriesuid", "presentationuid")
_RANKS = 100
"""Types of `contentType` that are looked at."""
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
    # A blank may have been written as a plus, which no type begins with.
    named = [text.strip(" +") for text in (request.query("contenttype") or "").split(",")]
    wanted = [text for text in named if text]
    shown = list(takewhile(lambda text: not text.lower().startswith(_DICOM), wanted))
    if shown or not wanted:
        # What cannot be shown as it is wanted is a file, by default and where that is wanted next.
        with suppress(*(() if shown == wanted != [] else (NotFound, NotAcceptable))):
            if (answer := await _picture(request, shown, backend)) is not None:
                return answer
    syntax = request.query("transfersyntax")
    accept = f"{_DICOM}; transfer-syntax={syntax}" if syntax else _DICOM
    return await instance_answer(request, wishes([accept], INSTANCE), backend)


async def _picture(request: Request, wanted: Sequence[str], backend: Backend) -> Response | None:
    """Return a picture of the first type that is *wanted* and possible; None where none is and it has many frames."""
    one = await renderable(request.scope, backend, _state(request))
    if not wanted and not one.is_single_frame:
        return None
    ranked = [f"{text};q={1 - number / _RANKS:.3f}" for number, text in enumerate(wanted[:_RANKS])]
    options, frame = uri_options(request.query, one.rows_and_columns)
    return await picture_of(request, one, choose(ranked, one.media_types), options, frame, backend)


def _state(request: Request) -> Scope | None:
    """Return the presentation state that a query names (PS3.18 §9.1.2.2.7, §9.1.2.2.8)."""
    named = [request.query(name) for name in _STATE_UIDS]
    if not any(named):
        return None
    series, instance = (uid(text or "", f"{name} of the query") for name, text in zip(_STATE_UIDS, named, strict=True))
    return replace(request.scope, series=series, instance=instance)
