"""The service as soaks and other long tests see it: its processes, what memory they take, and its checker."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

ROOT = Path(__file__).parents[2]

_SETTINGS = ("DICOM_", "DATA_PARTITIONS")
_STOP_S = 60
_SAMPLE_S = 0.2
_RESET_PEAK = "5"
"""What `/proc/PID/clear_refs` takes to begin the peak of the resident set anew (proc(5))."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    url: str
    pid: int

    def processes(self) -> list[psutil.Process]:
        """Return the process of the local host and its workers, which are not Azurite's."""
        own = psutil.Process(self.pid)
        workers = [one for one in own.children(recursive=True) if "localhost.worker" in _command(one)]
        assert workers, "the service has no workers"
        return [own, *workers]

    def settings(self) -> Mapping[str, str]:
        """Return the settings that the local host gave the app."""
        environment = self.processes()[-1].environ()
        return {name: value for name, value in environment.items() if name.startswith(_SETTINGS)}

    def check(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `python -m shared.check` with the service's settings."""
        return subprocess.run(
            [sys.executable, "-m", "shared.check", *arguments],
            cwd=ROOT,
            env=os.environ | self.settings(),
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def running(storage: str, data: Path, *, workers: int, **settings: str) -> Iterator[Service]:
    """Run the local host on a free port, keeping everything below *data*; it must end by itself when asked to."""
    given = {"PORT": "0", "STORAGE": storage, "DATA": str(data), "WORKERS": str(workers)} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "localhost"], cwd=ROOT, env=os.environ | given, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "http://" in line, f"the service did not start: {line!r}"
        yield Service("http://" + line.split("http://")[1].split("/")[0], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=_STOP_S) == 0


@dataclass(slots=True)
class Watch:
    """Looks at the service's memory, and at folders that should stay as they are, until the block is left.

    Memory is the resident set in bytes; its peak is the system's own, where /proc tells it, else that of samples.
    """

    service: Service
    folder: Path | None = None
    idle: dict[int, int] = field(default_factory=dict)
    peak: dict[int, int] = field(default_factory=dict)
    folder_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        for process in self.service.processes():
            self.idle[process.pid] = process.memory_info().rss
            with suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._sample()

    def growth_mib(self) -> dict[int, float]:
        """Return by how much each process was above its idle at most, in MiB."""
        return {pid: round((peak - self.idle.get(pid, peak)) / 2**20, 1) for pid, peak in self.peak.items()}

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        for process in self.service.processes():
            with suppress(psutil.Error, OSError):
                self.peak[process.pid] = max(self.peak.get(process.pid, 0), _peak_bytes(process))
        if self.folder is not None:
            found = sum(size for size in map(_size, self.folder.rglob("*")))
            self.folder_bytes = max(self.folder_bytes, found)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size if path.is_file() else 0
    return 0


def _peak_bytes(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return process.memory_info().rss
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    peak = next((line for line in lines if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(peak.split()[1]) * 1024


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []
