"""What a request may ask of the service before its handler runs: lengths, counts, and how often."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil

from starlette.requests import Request

from shared.errors import HeaderTooLarge, InvalidRequest, TooManyRequests, UrlTooLong
from shared.settings import Settings

_MOST_CALLERS = 10_000


def check_head(http: Request, settings: Settings) -> None:
    """Raise `UrlTooLong` or `HeaderTooLarge` for a request line or header over the limits."""
    path, query = http.scope.get("raw_path") or http.url.path.encode(), http.scope["query_string"]
    length = len(path) + (1 + len(query) if query else 0)
    if length > settings.max_url_characters:
        raise UrlTooLong(f"The URL has {length} characters; at most {settings.max_url_characters} are taken.")
    fields = http.headers.raw
    if len(fields) > settings.max_header_fields:
        raise HeaderTooLarge(f"{len(fields)} header fields; at most {settings.max_header_fields} are taken.")
    if sum(len(name) + len(value) + 4 for name, value in fields) > settings.max_header_bytes:
        raise HeaderTooLarge(f"The header is longer than {settings.max_header_bytes} bytes.")


def check_query(query: Sequence[tuple[str, str]], settings: Settings) -> None:
    """Raise `InvalidRequest` for too many parameters, names of which are in lower case, or attributes asked for."""
    if len(query) > settings.max_query_parameters:
        raise InvalidRequest(f"{len(query)} parameters in the query; at most {settings.max_query_parameters}.")
    included = sum(value.count(",") + 1 for name, value in query if name == "includefield")
    if included > settings.max_include_fields:
        raise InvalidRequest(f"includefield names {included} attributes; at most {settings.max_include_fields}.")


def check_frames(frames: str, settings: Settings) -> None:
    """Raise `InvalidRequest` for a list of too many frames."""
    count = frames.lower().replace("%2c", ",").count(",") + 1
    if count > settings.max_frames:
        raise InvalidRequest(f"{count} frames; at most {settings.max_frames} in one request.")


class Budgets:
    """A bucket of tokens for each caller: *burst* at most, *per_s* more each second.

    Of more than 10,000 callers those are forgotten who have not called for longest: their buckets are full anyway.
    """

    def __init__(self, per_s: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def spend(self, caller: object) -> None:
        """Take a token out of a caller's bucket; raise `TooManyRequests` where it is empty."""
        if not self._per_s:
            return
        now = self._clock()
        left, then = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._per_s)
        self._buckets[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        if left < 1:
            wait_s = ceil((1 - left) / self._per_s)
            raise TooManyRequests(f"More than {self._per_s} requests per second.", wait_s)


@lru_cache(maxsize=8)
def budgets_of(settings: Settings) -> Budgets:
    """Return the budgets of a process with *settings*."""
    return Budgets(settings.caller_requests_per_s, settings.caller_burst)
