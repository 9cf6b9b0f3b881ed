"""Readers that follow the change feed, by sequence (version 1) or by windows of time (version 2)."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.soak.hosts import Host

_PAUSE_S = 0.1
_PAGE = 100
_LONGEST_S = 180.0

Entry = Mapping[str, Any]


class Follower:
    """Reads on from where it stopped, at whichever host is up, and keeps what it was given."""

    def __init__(self, hosts: list[Host]) -> None:
        self.entries: list[Entry] = []
        self._hosts = hosts
        self._offset = 0
        self._start = datetime(2000, 1, 1, tzinfo=UTC)

    def follow(self, read: Callable[["Follower"], None], is_over: Callable[[], bool]) -> None:
        """Read until it is over, and once more then."""
        while True:
            was_over = is_over()
            read(self)
            if was_over:
                return
            time.sleep(_PAUSE_S)

    def read_by_sequence(self) -> None:
        """Read on as change-feed.md says: behind the last entry, or by a page where there is none and more follow."""
        while True:
            entries = self._get("v1/changefeed", offset=str(self._offset), limit=str(_PAGE))
            latest = self._get("v1/changefeed/latest")
            self.entries += entries
            if entries:
                self._offset = entries[-1]["sequence"]
            elif latest is not None and latest["sequence"] > self._offset + _PAGE:
                self._offset += _PAGE
            else:
                return

    def read_by_time(self) -> None:
        """Read the window from the last one's end to now, page by page."""
        end, offset = datetime.now(UTC), 0
        while True:
            window = {"startTime": self._start.isoformat(), "endTime": end.isoformat()}
            entries = self._get("v2/changefeed", **window, offset=str(offset), limit=str(_PAGE))
            self.entries += entries
            offset += len(entries)
            if len(entries) < _PAGE:
                break
        self._start = end

    def _get(self, path: str, **params: str) -> Any:
        """Return what the first host answers that can."""
        end = time.monotonic() + _LONGEST_S
        while time.monotonic() < end:
            for host in self._hosts:
                began, url = time.monotonic(), host.url
                try:
                    answer = httpx.get(f"{url}/{path}", params={"includeMetadata": "false"} | params, timeout=60)
                except (httpx.HTTPError, httpx.InvalidURL):
                    if url and host.was_up(began):
                        raise
                    continue
                if answer.status_code != 503:
                    assert answer.status_code in {200, 204}, answer.status_code
                    return answer.json() if answer.content else None
            time.sleep(_PAUSE_S)
        pytest.fail("no host answers")
