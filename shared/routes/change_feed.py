"""The change feed of all partitions, and its latest entry (change-feed.md)."""

from dataclasses import replace
from http import HTTPStatus

import azure.functions as func
from starlette.responses import Response

from shared.backend import Backend
from shared.model import Action
from shared.services.change_feed import Base, read_entries, read_latest, written, written_one
from shared.web.change_feed_query import read_include_metadata, read_window
from shared.web.endpoint import Request, route
from shared.web.streaming import Streaming

blueprint = func.Blueprint()

_JSON = "application/json"


@route(blueprint, "GET", "changefeed", Action.READ, has_partitions=False)
async def read_change_feed(request: Request, backend: Backend) -> Response:
    """Read a part of the change feed (change-feed.md)."""
    window, base = read_window(request.query, request.rules), _base(request, backend)
    window = replace(window, partitions=request.caller.within(Action.READ))
    entries = await read_entries(window, backend)
    if base is not None:
        request.shows(entry.key.study for entry in entries)
    return Streaming(await written(entries, base, backend), _JSON)


@route(blueprint, "GET", "changefeed/latest", Action.READ, has_partitions=False)
async def read_latest_change(request: Request, backend: Backend) -> Response:
    """Read the newest entry of the change feed; 204 where there is none."""
    base = _base(request, backend)
    entry = await read_latest(request.caller.within(Action.READ), backend)
    if entry is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if base is not None:
        request.shows([entry.key.study])
    return Response(await written_one(entry, base, backend), media_type=_JSON)


def _base(request: Request, backend: Backend) -> Base | None:
    """Return what gives the base of an entry's URLs; None where no metadata are wanted."""
    if not read_include_metadata(request.query):
        return None
    root = request.urls.base
    has_partitions = backend.settings.data_partitions
    return lambda name: f"{root}/partitions/{name}" if has_partitions else root
