"""Thousands of wrong Store requests, from a seed: all are answered, soon and in little memory, and none by halves.

MUTATIONS is how many, MUTATION_SEED the seed, MUTATION_FIRST the number of the first (to see one again).
"""

import json
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from tests.mutations import Mutation, mutation
from tests.soak.service import ROOT, Service, Watch, running

_COUNT = int(os.environ.get("MUTATIONS", "1500"))
_SEED = int(os.environ.get("MUTATION_SEED", "1"))
_FIRST = int(os.environ.get("MUTATION_FIRST", "0"))
_CORPUS = ROOT.parent / "shared" / "data" / "corpus"
_CLIENTS = 4
_LONGEST_S = 5.0
_GIVE_UP_S = 30.0
_WAIT_S = 0.3
"""For an answer, before a request that may be incomplete is ended: it may also be answered as it is."""
_MOST_GROWTH_MIB = 200


@dataclass(slots=True)
class Answers:
    """What became of the requests: what must not be, and how many instances were said to be stored."""

    wrong: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    stored: int = 0
    unread: int = 0
    """Requests whose connection was closed, or that asked for XML: they may have stored an instance or not."""


class Connection:
    """Raw HTTP to the service, over one connection as long as both sides keep it."""

    def __init__(self, url: str) -> None:
        found = urlsplit(url)
        self._address = (found.hostname or "", found.port or 0)
        self._socket: socket.socket | None = None

    def send(self, request: Mutation) -> tuple[int, bytes]:
        """Send a request and return status and body, status 0 where the connection was closed instead of an answer."""
        if self._socket is None or not request.is_framed:
            self.close()
            self._socket = socket.create_connection(self._address, timeout=_GIVE_UP_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with suppress(ConnectionError):  # the answer may have come before the end of the request
                self._socket.sendall(request.raw)
            if not request.is_framed and not select.select([self._socket], [], [], _WAIT_S)[0]:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
            with HTTPResponse(self._socket, method="POST") as response:
                response.begin()
                body = response.read()
        except TimeoutError:
            self.close()
            return -1, b""
        except (HTTPException, ConnectionError):
            self.close()
            return 0, b""
        if response.will_close or not request.is_framed:
            self.close()
        return response.status, body

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _send(service: Service, numbers: Iterator[int], corpus: Path | None) -> Answers:
    answers, connection = Answers(), Connection(service.url)
    for number in numbers:
        request = mutation(_SEED, number, corpus)
        begun = time.monotonic()
        status, body = connection.send(request)
        took = time.monotonic() - begun
        answers.statuses[request.kind, status] += 1
        if took > _LONGEST_S or status >= 500 or status < 0 or (status == 0 and request.is_framed):
            answers.wrong.append(f"{request.kind} {number}: {status} after {took:.1f} s")
        is_read = status > 0 and (status not in {200, 202} or body.startswith(b"{"))
        answers.unread += not is_read
        if is_read and status in {200, 202}:
            answers.stored += len(json.loads(body).get("00081199", {}).get("Value", []))
    connection.close()
    return answers


def test_mutated_requests(tmp_path: Path) -> None:
    """No wrong request gets a 5xx, waits for 5 s, takes 200 MB of memory or leaves half an instance."""
    corpus = _CORPUS if _CORPUS.is_dir() else None
    numbers = iter(range(_FIRST, _FIRST + _COUNT))
    with running("embedded", tmp_path, workers=2) as service, Watch(service) as watch:
        with ThreadPoolExecutor(_CLIENTS) as clients:
            sending = [clients.submit(_send, service, numbers, corpus) for _ in range(_CLIENTS)]
        alive = {process.pid for process in service.processes()}
        checked = service.check("--deep", "--json")

    answers = [one.result() for one in sending]
    statuses = sum((one.statuses for one in answers), Counter[tuple[str, int]]())
    stored, unread = sum(one.stored for one in answers), sum(one.unread for one in answers)
    growth = watch.growth_mib()
    figures = {f"{kind}: {status}": count for (kind, status), count in sorted(statuses.items())}
    (tmp_path / "figures.json").write_text(json.dumps({"answers": figures, "growth_mib": growth}, indent=1))
    problems = [wrong for one in answers for wrong in one.wrong]
    if alive != set(watch.idle):
        problems.append("a worker died")
    if max(growth.values()) >= _MOST_GROWTH_MIB:
        problems.append(f"workers grew by {growth} MiB")
    if checked.returncode != 0:
        problems.append(checked.stdout + checked.stderr)
    elif not stored <= json.loads(checked.stdout)["looked_at"]["instances"] <= stored + unread:
        problems.append(f"{stored} to {stored + unread} instances were said to be stored: {checked.stdout}")
    assert not problems, "\n".join([f"MUTATION_SEED={_SEED}", *problems])
    assert {status for kind, status in statuses if kind == "good"} <= {200, 202}
