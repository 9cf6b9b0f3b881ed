"""The load client's process, as the benchmark drives it."""

import json
import subprocess
import sys
from dataclasses import asdict
from typing import IO

from bench.load import Job, Load
from bench.service import ROOT


class ClientFailed(Exception):
    """The load client ended without figures; what happened is on standard error."""


class Client:
    """A load client that is connected, has made its files, and waits to send its job; then it can take another."""

    def __init__(self, job: Job) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.take(job)

    def take(self, job: Job) -> "Client":
        """Connect for a job, and make its files where they are not made yet."""
        self._say(json.dumps(asdict(job)))
        self._hear()
        return self

    def go(self) -> Load:
        """Send, and return what was seen."""
        self._say("go")
        return Load(**json.loads(self._hear()))

    def end(self) -> None:
        """Have the process end."""
        self._process.communicate()

    def _hear(self) -> str:
        line = _open(self._process.stdout).readline()
        if not line:
            raise ClientFailed(f"The load client ended with {self._process.wait()}.")
        return line

    def _say(self, line: str) -> None:
        _open(self._process.stdin).write(line + "\n")
        _open(self._process.stdin).flush()


def send(job: Job) -> Load:
    """Return what a load client of its own saw."""
    client = Client(job)
    try:
        return client.go()
    finally:
        client.end()


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ClientFailed("The load client has no pipe.")
    return pipe
