"""Handlers as Azure Functions: `route` registers one, `respond` is the pipeline that every request goes through."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

import azure.functions as func

# Importing the extension makes the worker stream HTTP in both directions; its types are those of Starlette.
import azurefunctions.extensions.http.fastapi  # noqa: F401
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from shared.backend import Backend, backend
from shared.dicom.validation import is_uid
from shared.errors import DicomwebError, InvalidRequest, PayloadTooLarge
from shared.model import DEFAULT_PARTITION, Action, Partition, Scope
from shared.versions import SUPPORTED, VersionRules, rules_of
from shared.web.problems import problem
from shared.web.streaming import Streaming
from shared.web.urls import Urls, service_urls

# uvicorn's access log in the worker would write query strings, and with them names of patients.
# A filter, since uvicorn's own configuration of its loggers keeps nothing else.
logging.getLogger("uvicorn.access").addFilter(lambda _: False)
logging.getLogger("azure").setLevel(logging.WARNING)

_DRAIN_BYTES = 4 * 2**20
_MARKUP = re.compile("<|%3c", re.IGNORECASE)
_PARTITION_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Request:
    """One call as a handler sees it, after the pipeline's checks; `scope` has the UIDs of the path."""

    http: HttpRequest
    body: AsyncIterator[bytes]
    rules: VersionRules
    partition: Partition
    scope: Scope
    urls: Urls

    def headers(self, name: str) -> list[str]:
        """Return all values of a header field, in order."""
        return self.http.headers.getlist(name)

    def accept(self) -> list[str]:
        """Return the media ranges that the client accepts; `accept` of the query counts before the header's."""
        return _accept(self.http)

    def query(self, name: str) -> str | None:
        """Return a parameter of the query, the first where it is repeated; None where it is absent."""
        return next((value for key, value in _query(self.http) if key == name), None)

    def fields(self) -> list[tuple[str, str]]:
        """Return all header fields, their names in lower case."""
        return self.http.headers.items()


Handler: TypeAlias = Callable[[Request, Backend], Awaitable[Response]]
Accepts: TypeAlias = Callable[[list[str]], object]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    handler: Handler
    action: Action
    accepts: Accepts | None


def route(
    blueprint: func.Blueprint, method: str, template: str, action: Action, *, accepts: Accepts | None = None
) -> Callable[[Handler], Handler]:
    """Register a handler for *template* below both bases; its name is the function's name (architecture §4).

    Parameters
    ----------
    action
        What the caller must have the right to do.
    accepts
        Raises `NotAcceptable` for values of `Accept` that the resource cannot answer to; runs before the UID checks.
    """

    def register(handler: Handler) -> Handler:
        endpoint, name = _Endpoint(handler, action, accepts), handler.__name__
        _register(blueprint, method, f"v{{version}}/{template}", name, endpoint)
        _register(
            blueprint, method, f"v{{version}}/partitions/{{partition}}/{template}", f"{name}_in_partition", endpoint
        )
        return handler

    return register


def _register(blueprint: func.Blueprint, method: str, template: str, name: str, endpoint: _Endpoint) -> None:
    # A plain signature of its own: the worker reads it, through functools.wraps too.
    async def function(request: HttpRequest) -> Response:
        return await respond(request, endpoint)

    function.__name__ = name
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    trigger = blueprint.route(
        route=template, methods=methods, auth_level=func.AuthLevel.ANONYMOUS, trigger_arg_name="request"
    )
    blueprint.function_name(name)(trigger(function))


async def respond(http: HttpRequest, endpoint: _Endpoint) -> Response:
    """Answer a request: version, partition, Accept, UIDs, handler, common headers, in this order."""
    body = _Body(http)
    versioned = False
    try:
        rules = rules_of(http.path_params["version"])
        versioned = True
        response = await _handle(http, rules, body, endpoint)
    except Exception as error:  # noqa: BLE001 - the one place where anything may arrive
        versioned = versioned or isinstance(error, InvalidRequest)
        response = problem(error)
    await body.drain()
    if http.method == "HEAD" and isinstance(response, Streaming):
        await response.without_body()
    response.headers["X-Content-Type-Options"] = "nosniff"
    if versioned:
        response.headers["api-supported-versions"] = SUPPORTED
    return response


async def _handle(http: HttpRequest, rules: VersionRules, body: "_Body", endpoint: _Endpoint) -> Response:
    if _MARKUP.search(http.url.query):
        raise InvalidRequest("The query string holds '<', which is not allowed.")
    context = backend()
    body.limit(context.settings.max_request_bytes)
    name = http.path_params.get("partition")
    partition = await _partition(name, context)
    if partition is None and endpoint.action is not Action.WRITE:
        raise InvalidRequest("There is no partition of this name.")
    if endpoint.accepts is not None:
        endpoint.accepts(_accept(http))
    uids = [_uid(http, level) for level in ("study", "series", "instance")]
    if partition is None:  # only now, when nothing of the path or Accept can refuse the request any more
        partition = await context.add_partition(str(name))
    scope = Scope(partition.key, *uids)
    path = f"/v{http.path_params['version']}" + ("" if name is None else f"/partitions/{partition.name}")
    urls = service_urls(http, context.settings.public_url, path)
    return await endpoint.handler(Request(http, body, rules, partition, scope, urls), context)


async def _partition(name: str | None, context: Backend) -> Partition | None:
    """Return the partition that a path names, None when it does not exist yet (data-partitions.md)."""
    if (name is not None) != context.settings.data_partitions:
        raise InvalidRequest(
            "This service has data partitions: paths begin with /partitions/{name}."
            if name is None
            else "This service has no data partitions: paths have no /partitions/{name}."
        )
    if name is None:
        return DEFAULT_PARTITION
    if not _PARTITION_NAME.fullmatch(name):
        raise InvalidRequest("A partition's name is 1 to 64 of the characters A-Z a-z 0-9 . - _")
    return await context.find_partition(name)


def _query(http: HttpRequest) -> list[tuple[str, str]]:
    """Return the parameters of the query, names in lower case; a plus stays one: it is part of media types."""
    pairs = (pair.partition("=") for pair in http.url.query.split("&") if pair)
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
        self._limit = 0
        self._received = 0

    def limit(self, limit: int) -> None:
        """Bound the body to *limit* bytes and refuse one that says it is longer."""
        self._limit = limit
        if self._declared.isdigit() and int(self._declared) > limit:
            raise self._too_large()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._received += len(chunk)
        if self._received > self._limit:
            raise self._too_large()
        return chunk

    async def drain(self) -> None:
        """Read on, up to a bound: an answer before the body was read fails in the Functions host."""
        drained = 0
        try:
            while drained < _DRAIN_BYTES:
                drained += len(await anext(self._chunks))
        except (StopAsyncIteration, ClientDisconnect):
            pass

    def _too_large(self) -> DicomwebError:
        return PayloadTooLarge(f"The request is larger than {self._limit} bytes, the limit of this service.")
