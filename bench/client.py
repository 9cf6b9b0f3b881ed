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
    """A load client that is connected, has made its files, and waits to send its job."""

    def __init__(self, job: Job) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(json.dumps(asdict(job)))
        _open(self._process.stdout).readline()

    def go(self) -> Load:
        """Send, and return what was seen."""
        self._say("go")
        answer, _ = self._process.communicate()
        if self._process.returncode:
            raise ClientFailed(f"The load client ended with {self._process.returncode}.")
        return Load(**json.loads(answer))

    def _say(self, line: str) -> None:
        _open(self._process.stdin).write(line + "\n")
        _open(self._process.stdin).flush()


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ClientFailed("The load client has no pipe.")
    return pipe
