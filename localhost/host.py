"""The Functions host: an ASGI app that answers with the functions of a folder, and runs their other triggers."""

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi.encoders import jsonable_encoder
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from localhost.background import make_triggers
from localhost.forwarding import DEFAULT_BODY_LIMIT, CountedBody, Message, Receive, Scope, Send, forward, is_over
from localhost.functions import Function, read_functions
from localhost.invocation import FunctionFailed, Invoker, log_failure
from localhost.options import read_json
from localhost.problems import SetupError
from localhost.queues import Queues
from localhost.refusals import check_functions
from localhost.routing import Route, Router, decode_path
from localhost.templates import parse_template
from localhost.triggers import TimerTrigger, read_queue_options

log = logging.getLogger(__name__)

GRACE_S = 30.0
_CLOSE = {"connection": "close"}


class Host:
    """The app in *folder*, ready to answer.

    Parameters
    ----------
    environment
        The app settings.
    queue_database
        Where embedded queues are kept; without it every queue needs a connection string.
    has_timers
        Whether this process is the one that runs timers.

    Raises
    ------
    SetupError
        The app does not load, or the real worker or host would refuse it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] = os.environ,
        queue_database: Path | None = None,
        has_timers: bool = True,
    ) -> None:
        host_json = read_json(folder / "host.json")
        http = host_json.get("extensions", {}).get("http", {})
        prefix = str(http.get("routePrefix", "api")).strip("/")
        functions = read_functions(folder)
        check_functions(functions, route_prefix=prefix, environment=environment)
        self._functions = {function.name: function for function in functions}
        self._router = Router(_routes(functions, prefix))
        self._most_outstanding = int(http.get("maxOutstandingRequests", -1))
        self._outstanding = 0
        self._body_limit = _body_limit(environment)
        queue_options = read_queue_options(host_json)
        queues = Queues(environment, queue_database)
        self._invoker = Invoker(environment, queues, is_base64=queue_options.is_base64)
        triggers = make_triggers(functions, self._invoker, queue_options)
        self._triggers = [one for one in triggers if has_timers or not isinstance(one, TimerTrigger)]
        self._stopping = asyncio.Event()
        self._stop_requested = 0.0
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start queue and timer triggers."""
        self._running = [asyncio.create_task(trigger.run(self._stopping)) for trigger in self._triggers]

    def stop_triggers(self) -> None:
        """Take no more messages and no more turns of timers; what is under way goes on. Safe in a signal handler."""
        self._stop_requested = self._stop_requested or time.monotonic()
        self._stopping.set()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Wait *grace_s* seconds, counted from `stop_triggers`, for what is under way; give back the rest; close."""
        self.stop_triggers()
        if self._running:
            left = max(0.0, self._stop_requested + grace_s - time.monotonic())
            _, late = await asyncio.wait(self._running, timeout=left)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        await self._invoker.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Host"]:
        """Run the triggers for the length of a block."""
        self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI), or take part in the server's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = decode_path(scope["raw_path"])
        found = self._router.match(scope["method"], path)
        if found is None:
            await Response(status_code=404)(scope, receive, send)
        elif 0 < self._most_outstanding <= self._outstanding:
            await Response(status_code=429)(scope, receive, send)
        elif is_over(scope, self._body_limit):
            # The server of the real host fails on the first read, before the app sees anything.
            await Response(status_code=500, headers=_CLOSE)(scope, receive, send)
        else:
            self._outstanding += 1
            try:
                await self._invoke_http(found, scope, receive, send)
            finally:
                self._outstanding -= 1

    async def _invoke_http(self, found: tuple[str, dict[str, str]], scope: Scope, receive: Receive, send: Send) -> None:
        function, invocation = self._functions[found[0]], str(uuid.uuid4())
        body = CountedBody(receive, self._body_limit)
        inner = forward(scope, found[1], invocation)
        answer = _Answer(send)
        try:
            request = Request(inner, body.receive)
            response = _as_response(await self._invoker.call(function, request, invocation), function)
            if not body.is_over:
                await response(inner, body.receive, answer.send)
                return
        except ClientDisconnect:
            if not body.is_over:
                return
        except FunctionFailed:
            pass
        except Exception as error:  # noqa: BLE001 - a body that breaks off may have raised anything
            log_failure(function, error)
        if not answer.is_begun:
            await Response(status_code=500, headers=_CLOSE if body.is_over else None)(scope, receive, send)
        # Else the server closes the connection, since the answer that was begun is not complete.


class _Answer:
    """Notes whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_begun = False

    async def send(self, message: Message) -> None:
        self.is_begun = True
        await self._send(message)


def _routes(functions: Iterable[Function], prefix: str) -> list[Route]:
    routes = []
    for function in functions:
        if function.trigger.kind != "httpTrigger":
            continue
        route = str(function.trigger.details.get("route") or function.name).strip("/")
        methods = frozenset(str(method).upper() for method in function.trigger.details.get("methods") or ())
        try:
            template = parse_template(f"{prefix}/{route}" if prefix else route)
        except SetupError as error:
            raise SetupError(f"function {function.name}: {error}") from error
        routes.append(Route(function.name, template, methods))
    return routes


def _body_limit(environment: Mapping[str, str]) -> int:
    text = environment.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "")
    return int(text) if text.isdigit() else DEFAULT_BODY_LIMIT


def _as_response(returned: Any, function: Function) -> Response:
    """Return the answer that FastAPI makes of what a handler returned; None is a failure of the worker."""
    if isinstance(returned, Response):
        return returned
    if returned is None:
        log.error("%s returned None instead of a response", function.name)
        raise FunctionFailed(function.name)
    return JSONResponse(jsonable_encoder(returned))
