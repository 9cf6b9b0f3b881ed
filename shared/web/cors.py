"""Which pages of other origins may call (Fetch Standard §3.2; health-and-ops.md, "CORS").

In the app, so that it holds on every host; the platform's own CORS stays switched off.
"""

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response

from shared.settings import Settings, words

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
"""Of all routes together."""

EXPOSED = (
    "Accept-Ranges",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "Warning",
    "X-Correlation-Id",
    "api-supported-versions",
    "erroneous-dicom-attributes",
)
"""Fields of answers that pages may read beside the few that they always may."""

_ANY = "*"
_LONGEST_ASKED = 4096


@dataclass(frozen=True, slots=True)
class Cors:
    """What a deployment allows; the settings have been checked (`Settings`)."""

    origins: frozenset[str]
    headers: tuple[str, ...]
    methods: tuple[str, ...]
    max_age_s: int
    has_credentials: bool

    def fields(self, request: Headers) -> dict[str, str]:
        """Return the fields of every answer; those of CORS where the request's origin is allowed."""
        if not self.origins:
            return {"Cross-Origin-Resource-Policy": "same-origin"}
        found = {"Cross-Origin-Resource-Policy": "cross-origin"}
        if _ANY in self.origins:
            return found | {"Access-Control-Allow-Origin": _ANY, "Access-Control-Expose-Headers": ", ".join(EXPOSED)}
        found["Vary"] = "Origin"
        origin = request.get("origin", "")
        if origin.lower() not in self.origins:
            return found
        found |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": ", ".join(EXPOSED)}
        return found | ({"Access-Control-Allow-Credentials": "true"} if self.has_credentials else {})

    def preflight(self, request: Headers) -> Response:
        """Answer what a browser asks before it calls: without a token, and the same for every path."""
        answer = Response(status_code=HTTPStatus.NO_CONTENT)
        asked = request.get("access-control-request-method")
        if asked is None:
            answer.headers["Allow"] = ", ".join(("OPTIONS", *METHODS))
        elif "Access-Control-Allow-Origin" in self.fields(request):
            answer.headers["Access-Control-Allow-Methods"] = ", ".join(self.methods)
            answer.headers["Access-Control-Max-Age"] = str(self.max_age_s)
            if allowed := self._allowed(request.get("access-control-request-headers", "")):
                answer.headers["Access-Control-Allow-Headers"] = ", ".join(allowed)
        return answer

    def _allowed(self, asked: str) -> list[str]:
        """Return the names that may be sent; * stands for those that are asked for, since it never means all."""
        if _ANY not in self.headers:
            return list(self.headers)
        return [name for name in words(asked[:_LONGEST_ASKED]) if name.replace("-", "").replace("_", "").isalnum()]


@lru_cache(maxsize=8)
def cors_of(settings: Settings) -> Cors:
    """Return what *settings* allow."""
    methods = tuple(name.upper() for name in words(settings.cors_methods))
    return Cors(
        frozenset(origin.lower() for origin in words(settings.cors_origins)),
        tuple(words(settings.cors_headers)),
        METHODS if _ANY in methods else methods,
        settings.cors_max_age_s,
        settings.cors_credentials,
    )
