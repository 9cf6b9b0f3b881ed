"""Which HTTP status each error becomes, and how its message is written (common.md, "Error bodies")."""

import html
import logging
from collections.abc import Mapping
from http import HTTPStatus
from traceback import format_tb

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response

from shared.errors import (
    Busy,
    Conflict,
    DependencyFailed,
    DicomwebError,
    Forbidden,
    HeaderTooLarge,
    InvalidRequest,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    UnsupportedVersion,
    UrlTooLong,
)
from shared.settings import InvalidSetting

log = logging.getLogger(__name__)

STATUS_OF: Mapping[type[Exception], HTTPStatus] = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    ClientDisconnect: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    Conflict: HTTPStatus.CONFLICT,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UrlTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    HeaderTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    DependencyFailed: HTTPStatus.FAILED_DEPENDENCY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: Exception) -> HTTPStatus:
    """Return the status of the nearest listed ancestor of *error*, else 500."""
    listed = (STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF)
    return next(listed, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(error: Exception) -> Response:
    """Return the response that tells a client of *error*; only the words of our own, listed errors reach it."""
    status = status_of(error)
    if isinstance(error, UnsupportedVersion):
        body = {"error": {"code": "UnsupportedApiVersion", "message": str(error)}}
        return Response(orjson.dumps(body), status, media_type="application/json")
    if isinstance(error, InvalidSetting):
        log.error("a setting is wrong: %s", error)
        return PlainTextResponse("The service is not set up.", status)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        # The traceback without the exception's text: parsers quote values in it.
        log.error("unexpected %s\n%s", type(error).__name__, "".join(format_tb(error.__traceback__)))
        return PlainTextResponse("The service met an unexpected condition.", status)
    text = html.escape(str(error), quote=False) if isinstance(error, DicomwebError) else ""
    fields = _fields(error)
    return PlainTextResponse(text, status, fields) if text else Response(status_code=status, headers=fields)


def _fields(error: Exception) -> dict[str, str]:
    """Return what the header says of an error: how to get in (RFC 6750 §3), or when to come again."""
    if isinstance(error, (Busy, TooManyRequests)):
        return {"Retry-After": str(error.retry_after_s)}
    if not isinstance(error, Unauthorized):
        return {}
    parts = [f'authorization_uri="{error.authority}"'] if error.authority else []
    parts += ['error="invalid_token"', f'error_description="{error}"'] if error.is_refused else []
    return {"WWW-Authenticate": f"Bearer {', '.join(parts)}".strip()}
