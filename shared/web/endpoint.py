"""Handlers as Azure Functions: `route` registers one, `respond` is the pipeline that every request goes through."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

import azure.functions as func

# Importing the extension makes the worker stream HTTP in both directions; its types are those of Starlette.
import azurefunctions.extensions.http.fastapi  # noqa: F401
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from shared import activity, metrics
from shared.backend import Backend, backend
from shared.dicom.validation import is_uid
from shared.errors import Busy, DicomwebError, Forbidden, InvalidRequest, PayloadTooLarge
from shared.model import DEFAULT_PARTITION, Action, Partition, Scope
from shared.settings import Settings
from shared.turns import Admission, admit
from shared.versions import SUPPORTED, VersionRules, rules_of
from shared.web import audit
from shared.web.access import Caller, access_of, require
from shared.web.cors import cors_of
from shared.web.limits import budgets_of, check_frames, check_head, check_query
from shared.web.problems import problem
from shared.web.streaming import Streaming
from shared.web.urls import Urls, client_address, service_urls

# uvicorn's access log in the worker would write query strings, and with them names of patients.
# A filter, since uvicorn's own configuration of its loggers keeps nothing else.
logging.getLogger("uvicorn.access").addFilter(lambda _: False)
logging.getLogger("azure").setLevel(logging.WARNING)

log = logging.getLogger(__name__)

_SHOWN = "shown_studies"
_DRAIN_BYTES = 4 * 2**20
_DRAIN_S = 5
_MARKUP = re.compile("<|%3c", re.IGNORECASE)
_PARTITION_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Request:
    """One call as a handler sees it, after the pipeline's checks; `scope` has the UIDs of the path.

    A route without partitions has the default one, and shows of others only what `caller.within` allows.
    `entity_tag` is the backend's.
    """

    http: HttpRequest
    body: AsyncIterator[bytes]
    rules: VersionRules
    partition: Partition
    scope: Scope
    urls: Urls
    caller: Caller
    entity_tag: Callable[..., Awaitable[str]]

    def headers(self, name: str) -> list[str]:
        """Return all values of a header field, in order; of HEAD no range, which only GET has (RFC 9110 §14.2)."""
        return [] if name == "range" and self.http.method == "HEAD" else self.http.headers.getlist(name)

    def accept(self) -> list[str]:
        """Return the media ranges that the client accepts; `accept` of the query counts before the header's."""
        return _accept(self.http)

    def query(self, name: str) -> str | None:
        """Return a parameter of the query, the first where it is repeated; None where it is absent."""
        return next((value for key, value in _query(self.http) if key == name), None)

    def shows(self, studies: Iterable[str]) -> None:
        """Say which studies the answer tells of, for the record of who saw what."""
        setattr(self.http.state, _SHOWN, sorted(set(studies)))

    def fields(self) -> list[tuple[str, str]]:
        """Return all header fields, their names in lower case."""
        return self.http.headers.items()


Handler: TypeAlias = Callable[[Request, Backend], Awaitable[Response]]
Accepts: TypeAlias = Callable[[list[str]], object]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route: what HTTP needs to know about it."""

    name: str
    method: str
    template: str
    action: Action
    handler: Handler
    accepts: Accepts | None
    has_partitions: bool


OpenHandler: TypeAlias = Callable[[HttpRequest], Awaitable[Response]]

ROUTES: list[Endpoint] = []
"""Every route below a version, in the order in which modules register them: the source of the OpenAPI documents."""


def route(
    blueprint: func.Blueprint,
    method: str,
    template: str,
    action: Action,
    *,
    accepts: Accepts | None = None,
    has_partitions: bool = True,
) -> Callable[[Handler], Handler]:
    """Register a handler for *template* below its bases; its name is the function's name (architecture §4).

    Parameters
    ----------
    action
        What the caller must have the right to do.
    accepts
        Raises `NotAcceptable` for values of `Accept` that the resource cannot answer to; runs before the UID checks.
    has_partitions
        Whether paths name a partition where the service has partitions. Where they do not, a caller must have the
        right in all partitions, but for reading: then the handler leaves out what the caller may not see.
    """

    def register(handler: Handler) -> Handler:
        name = handler.__name__
        endpoint = Endpoint(name, method, template, action, handler, accepts, has_partitions)
        ROUTES.append(endpoint)

        async def answer(http: HttpRequest) -> Response:
            return await respond(http, endpoint)

        _register(blueprint, method, f"v{{version}}/{template}", name, answer)
        if has_partitions:
            partitioned = f"v{{version}}/partitions/{{partition}}/{template}"
            _register(blueprint, method, partitioned, f"{name}_in_partition", answer)
        return handler

    return register


def open_route(blueprint: func.Blueprint, method: str, template: str) -> Callable[[OpenHandler], OpenHandler]:
    """Register a handler that everyone may call and that shows nothing of what is stored; it leaves no record."""

    def register(handler: OpenHandler) -> OpenHandler:
        async def answer(http: HttpRequest) -> Response:
            try:
                check_head(http, backend().settings)
                response = await handler(http)
            except Exception as error:  # noqa: BLE001 - as in `respond`
                response = problem(error)
            return await _finished(response, http, _Body(http))

        _register(blueprint, method, template, handler.__name__, answer)
        return handler

    return register


def _register(blueprint: func.Blueprint, method: str, template: str, name: str, answer: OpenHandler) -> None:
    # A plain signature of its own: the worker reads it, through functools.wraps too.
    async def function(request: HttpRequest) -> Response:
        return await answer(request)

    function.__name__ = name
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    trigger = blueprint.route(
        route=template, methods=methods, auth_level=func.AuthLevel.ANONYMOUS, trigger_arg_name="request"
    )
    blueprint.function_name(name)(trigger(function))


async def respond(http: HttpRequest, endpoint: Endpoint) -> Response:
    """Answer a request: version, access, partition, Accept, UIDs, handler, common headers, in this order."""
    began = time.perf_counter()
    admit(Admission())
    body = _Body(http)
    call = audit.Call(endpoint.name, endpoint.action, http.method, client_address(http))
    is_begun, versioned = False, False
    try:
        rules = rules_of(http.path_params["version"])
        versioned = True
        context = backend()
        if context.settings.trusted_proxies:
            call.address = client_address(http, context.settings.trusted_proxies)
        check_head(http, context.settings)
        call.custom = audit.custom_headers(http.headers)
        call.partition, call.uids = _named(http)
        call.caller = await access_of(context.settings).caller_of(http)
        budgets_of(context.settings).spend((call.caller.issuer, call.caller.subject or call.address))
        await audit.begin(call, context)
        is_begun = True
        if endpoint.action is not Action.READ:
            await activity.note(context)
        try:
            response = await _in_time(_handle(http, rules, call.caller, body, endpoint), body, context.settings)
        finally:
            if endpoint.action is not Action.READ:  # it may have taken hours
                await activity.note(context)
    except Exception as error:  # noqa: BLE001 - the one place where anything may arrive
        versioned = versioned or isinstance(error, InvalidRequest)
        response = problem(error)
    response = await _recorded(http, response, call, began, is_begun=is_begun)
    if versioned:
        response.headers["api-supported-versions"] = SUPPORTED
    response.headers["X-Correlation-Id"] = call.correlation_id
    response = await _finished(response, http, body)
    _count(http, response, endpoint, time.perf_counter() - began, body.received)
    return response


async def _recorded(
    http: HttpRequest, response: Response, call: audit.Call, began: float, *, is_begun: bool
) -> Response:
    """Return *response*, or another where there must be a record of it and there is none."""
    try:
        context = backend()
        if not is_begun:
            with suppress(DicomwebError):
                await audit.begin(call, context)
        call.shown = getattr(http.state, _SHOWN, ())
        await audit.end(call, response.status_code, round((time.perf_counter() - began) * 1000), context)
    except Exception as error:  # noqa: BLE001 - as in `respond`
        if response.status_code < 400:  # noqa: PLR2004 - what failed stays what it is
            if isinstance(response, Streaming):
                await response.without_body()
            return problem(error)
    return response


async def _finished(response: Response, http: HttpRequest, body: "_Body") -> Response:
    """Return *response* with the header fields that all have, once the body was read."""
    await body.drain()
    if http.method == "HEAD" and isinstance(response, Streaming):
        await response.without_body()
    for name, value in _SAFE.items():
        response.headers.setdefault(name, value)
    if response.media_type != _PDF:
        response.headers.setdefault("Content-Security-Policy", _POLICY)
    with suppress(Exception):
        # Without settings there are none of CORS either.
        fields = cors_of(backend().settings).fields(http.headers)
        if "vary" in response.headers and "Vary" in fields:
            response.headers.add_vary_header(fields.pop("Vary"))
        response.headers.update(fields)
    return response


_PDF = "application/pdf"
_SAFE = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Cache-Control": "no-store"}
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-src 'self'; frame-ancestors 'self';"
    " form-action 'none'; base-uri 'none'"
)
"""For whatever a stored document turns out to be; readers of PDF need scripts of their own."""


def _count(http: HttpRequest, response: Response, endpoint: Endpoint, seconds: float, received: int) -> None:
    metrics.request(endpoint.name, http.method, response.status_code, seconds, received)
    if isinstance(response, Streaming):
        response.on_chunk = lambda length: metrics.sent(endpoint.name, length)
    elif http.method != "HEAD":
        metrics.sent(endpoint.name, len(response.body))


async def _in_time(answering: Awaitable[Response], body: "_Body", settings: Settings) -> Response:
    """Return the answer, or raise `Busy` when it has not begun within the time that there is after the last byte."""
    try:
        async with asyncio.timeout(settings.answer_within_s) as deadline:
            body.postpones(deadline, settings.answer_within_s)
            return await answering
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise Busy(f"The answer did not begin within {settings.answer_within_s} seconds.") from error


async def _handle(
    http: HttpRequest, rules: VersionRules, caller: Caller, body: "_Body", endpoint: Endpoint
) -> Response:
    context = backend()
    require(caller, endpoint.action, everywhere=not endpoint.has_partitions and endpoint.action is not Action.READ)
    if _MARKUP.search(_query_string(http)):
        raise InvalidRequest("The query string holds '<', which is not allowed.")
    check_query(_query(http), context.settings)
    check_frames(str(http.path_params.get("frames", "")), context.settings)
    body.limit(context.settings.max_request_bytes)
    name = http.path_params.get("partition")
    partition = await _partition(name, caller, endpoint, context)
    if partition is None and endpoint.action is not Action.WRITE:
        raise InvalidRequest(_NO_PARTITION)
    if endpoint.accepts is not None:
        endpoint.accepts(_accept(http))
    uids = [_uid(http, level) for level in _LEVELS]
    if partition is None:  # only now, when nothing of the path or Accept can refuse the request any more
        partition = await context.add_partition(str(name))
    scope = Scope(partition.key, *uids)
    path = f"/v{http.path_params['version']}" + ("" if name is None else f"/partitions/{partition.name}")
    urls = service_urls(http, context.settings, path)
    return await endpoint.handler(
        Request(http, body, rules, partition, scope, urls, caller, context.entity_tag), context
    )


_LEVELS = ("study", "series", "instance")
_NO_PARTITION = "There is no partition of this name."


async def _partition(name: str | None, caller: Caller, endpoint: Endpoint, context: Backend) -> Partition | None:
    """Return the partition that a path names, None when it does not exist yet (data-partitions.md).

    For who may not read a partition it is as if it did not exist; who may not write is told so whether it does or not.
    """
    if not endpoint.has_partitions:
        return DEFAULT_PARTITION
    if (name is not None) != context.settings.data_partitions:
        raise InvalidRequest(
            "This service has data partitions: paths begin with /partitions/{name}."
            if name is None
            else "This service has no data partitions: paths have no /partitions/{name}."
        )
    known = DEFAULT_PARTITION.name if name is None else name
    if not _PARTITION_NAME.fullmatch(known):
        raise InvalidRequest("A partition's name is 1 to 64 of the characters A-Z a-z 0-9 . - _")
    if not caller.may(endpoint.action, known):
        if name is None or endpoint.action is Action.WRITE or caller.may(Action.READ, known):
            raise Forbidden("Your roles do not allow you to do this here.")
        raise InvalidRequest(_NO_PARTITION)
    return await (context.default_partition() if name is None else context.find_partition(name))


def _named(http: HttpRequest) -> tuple[str, dict[str, str]]:
    """Return the partition and the UIDs that a request names, where they are such, for its audit records."""
    partition = str(http.path_params.get("partition", ""))
    named = {level: str(http.path_params.get(level, "")) for level in _LEVELS}
    if any(not uid for uid in named.values()) and http.scope["query_string"]:
        query = dict(reversed(_query(http)))
        named |= {
            level: next((query[name] for name in _UIDS_OF_QUERY[level] if name in query), "")
            for level, uid in named.items()
            if not uid
        }
    uids = {level: text.rstrip(" ") for level, text in named.items()}
    found = {level: text for level, text in uids.items() if text and is_uid(text)}
    return partition if _PARTITION_NAME.fullmatch(partition) else "", found


_UIDS_OF_QUERY = {
    "study": ("studyuid", "studyinstanceuid", "0020000d"),
    "series": ("seriesuid", "seriesinstanceuid", "0020000e"),
    "instance": ("objectuid", "sopinstanceuid", "00080018"),
}
"""Parameters that name one, of WADO-URI and of a search, in lower case."""


def _query_string(http: HttpRequest) -> str:
    """Return the query as it was sent; `http.url` would be taken apart for it each time."""
    return str(http.scope["query_string"], "utf-8", "replace")


def _query(http: HttpRequest) -> list[tuple[str, str]]:
    """Return the parameters of the query, names in lower case; a plus stays one: it is part of media types."""
    pairs = (pair.partition("=") for pair in _query_string(http).split("&") if pair)
    return [(unquote(name).lower(), unquote(value)) for name, _, value in pairs]


def _accept(http: HttpRequest) -> list[str]:
    """Return the values of `accept` in the query, else of the header (PS3.18 §8.3.3.1)."""
    return [value for name, value in _query(http) if name == "accept"] or http.headers.getlist("accept")


def _uid(http: HttpRequest, name: str) -> str | None:
    """Return the UID at *name* of the path without padding (common.md, "UIDs")."""
    text = http.path_params.get(name)
    return None if text is None else uid(str(text), f"{name} of the path")


def uid(text: str, name: str) -> str:
    """Return a UID without its padding; raise `InvalidRequest`, with what it is called, where *text* is none."""
    found = text.rstrip(" ")
    if not is_uid(found):
        raise InvalidRequest(f"The {name} is not a UID: 1 to 64 digits and dots, a digit at the end.")
    return found


class _Body:
    """The body of a request: bounded, and drained before an early answer."""

    def __init__(self, http: HttpRequest) -> None:
        self._chunks = http.stream()
        self._declared = http.headers.get("content-length", "")
        self._is_chunked = "transfer-encoding" in http.headers
        self._limit = 0
        self._received = 0
        self._deadline: asyncio.Timeout | None = None
        self._within_s = 0
        self._postponed_at = 0.0

    def limit(self, limit: int) -> None:
        """Bound the body to *limit* bytes and refuse one that says it is longer."""
        self._limit = limit
        if self._declared.isdigit() and int(self._declared) > limit:
            raise self._too_large()

    @property
    def received(self) -> int:
        """How many bytes have been read."""
        return self._received

    def postpones(self, deadline: asyncio.Timeout, within_s: int) -> None:
        """Let what arrives put *deadline* off: *within_s* counts from the last byte."""
        self._deadline, self._within_s = deadline, within_s
        self._postponed_at = asyncio.get_running_loop().time()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._received += len(chunk)
        if self._received > self._limit:
            raise self._too_large()
        now = asyncio.get_running_loop().time()
        # Not for each of thousands of chunks.
        is_due = now - self._postponed_at > self._within_s / 8
        if is_due and self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(now + self._within_s)
            self._postponed_at = now
        return chunk

    async def drain(self) -> None:
        """Read on, up to a bound: an answer before the body was read fails in the Functions host."""
        if not (self._declared.strip("0") or self._is_chunked):
            return
        drained = 0
        with suppress(StopAsyncIteration, ClientDisconnect, TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while drained < _DRAIN_BYTES:
                    drained += len(await anext(self._chunks))

    def _too_large(self) -> DicomwebError:
        return PayloadTooLarge(f"The request is larger than {self._limit} bytes, the limit of this service.")
