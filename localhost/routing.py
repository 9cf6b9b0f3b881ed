"""Which function answers a request, as the Functions host decides it.

Functions are tried in the order of their names, ignoring case; the first whose template and method match wins, however
unspecific its template. A path that only matches with another method is not found.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from localhost.templates import Template

_ENCODED_SLASH = re.compile("%(2[Ff])")


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP function's template and methods in capitals; no methods means all of them."""

    function: str
    template: Template
    methods: frozenset[str]


class Router:
    """The routes of an app; candidates for a method and a number of segments are worked out once."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = sorted(routes, key=lambda route: route.function.upper())
        self._candidates: dict[tuple[str, int], list[Route]] = {}

    def match(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        """Return the function's name and its route values for a *path* as `decode_path` returns it."""
        for route in self._routes_for(method, path.count("/")):
            values = route.template.match(path)
            if values is not None:
                return route.function, values
        return None

    def _routes_for(self, method: str, segments: int) -> list[Route]:
        key = (method, segments)
        if key not in self._candidates:
            fitting = [
                route
                for route in self.routes
                if (not route.methods or method in route.methods)
                and route.template.fewest <= segments <= route.template.most
            ]
            if len(self._candidates) > _MOST_REMEMBERED:
                return fitting
            self._candidates[key] = fitting
        return self._candidates[key]


_MOST_REMEMBERED = 1000  # strange methods and endless paths must not fill the memory


def decode_path(raw: bytes) -> str:
    """Return the path as templates see it: decoded but for `%2F`, dot segments resolved, one trailing slash dropped.

    A path with escapes that are not UTF-8 stays as it was sent.
    """
    path = raw.decode("latin-1")
    if "%" in path:
        with suppress(UnicodeDecodeError):
            path = unquote(_ENCODED_SLASH.sub(r"%25\1", path), errors="strict")
    if "/." in path:
        path = _without_dots(path)
    return path.removesuffix("/")


def _without_dots(path: str) -> str:
    """Resolve `.` and `..` segments (RFC 3986 §5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
