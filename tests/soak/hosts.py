"""Several hosts of the service over one storage, to be killed and started again while others go on."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from localhost.azurite import Azurite
from tests.soak.service import ROOT

_STARTED_S = 120.0


@dataclass(slots=True)
class Host:
    """A host with data of its own for what is not shared: its lock and its queues.

    `ended` are the moments (`time.monotonic`) at which it was killed; while it is down `url` is "".
    """

    data: Path
    settings: Mapping[str, str]
    url: str = ""
    ended: list[float] = field(default_factory=list)
    _process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        given = {"PORT": "0", "STORAGE": "embedded", "DATA": str(self.data), "WORKERS": "1"}
        with (self.data.with_suffix(".log")).open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "localhost"],
                cwd=ROOT,
                env={**self.settings, **given},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "http://" in line, f"the service did not start: {line!r}"
        self.url = "http://" + line.split("http://")[1].split("/")[0]

    def kill(self) -> None:
        """End every process of it at once, as a crash would."""
        self._end(is_kill=True)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._end(is_kill=False)

    def was_up(self, since: float) -> bool:
        """Whether it was not killed from a moment on."""
        return bool(self.url) and not any(moment >= since for moment in self.ended)

    def _end(self, *, is_kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self.ended.append(time.monotonic())
        self.url = ""
        if is_kill:
            parent = psutil.Process(process.pid)
            for one in [*parent.children(recursive=True), parent]:
                one.kill()
        else:
            process.terminate()
        assert process.wait(_STARTED_S) == 0 or is_kill
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def hosts(storage: str, data: Path, count: int, **settings: str) -> Iterator[list[Host]]:
    """Start hosts that share a database, and the blobs and records of *storage*: a folder or Azurite."""
    azurite = Azurite(data / "azurite", install=ROOT / ".build" / "azurite") if storage == "azurite" else nullcontext()
    with azurite as emulator:
        shared = {"DICOM_SQL_URL": f"sqlite:///{data / 'index.db'}"}
        if emulator is None:
            shared |= {"DICOM_STORAGE_FOLDER": str(data / "storage")}
        else:
            shared |= {"DICOM_STORAGE_CONNECTION_STRING": emulator.start()}
        found = [Host(data / f"host-{number}", os.environ | shared | settings) for number in range(count)]
        try:
            for host in found:
                host.start()
            yield found
        finally:
            for host in found:
                host.kill()


def check(host: Host, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m shared.check` with the settings of a host."""
    return subprocess.run(
        [sys.executable, "-m", "shared.check", *arguments],
        cwd=ROOT,
        env=dict(host.settings),
        capture_output=True,
        text=True,
        check=False,
    )
