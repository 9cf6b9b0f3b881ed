"""The measured service: started for one storage, stopped again, and asked in between what its processes used."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]

_STOP_S = 60
_RESET_PEAK = "5"
"""What `/proc/PID/clear_refs` takes to begin the peak of the resident set anew (proc(5))."""


class NotStarted(Exception):
    """The service did not come up."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service; its processes are those of the app and its local host, without Azurite's."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return the user and system time that its processes have used, in seconds."""
        return sum(map(_cpu_s, self._processes()))

    def worker_cpu_s(self) -> float:
        """Return what the processes have used that answer requests: without the one that watches over them."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self._processes()[1:]))

    def reset_peak(self) -> None:
        """Begin the peak of `peak_mib` anew, where the system can."""
        for process in self._processes():
            with suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")

    def peak_mib(self) -> float:
        """Return the largest resident set that one process has had since `reset_peak`, in MiB.

        Without /proc it is the resident set of this moment.
        """
        return max(map(_peak_bytes, self._processes())) / 2**20

    def peak_tree_mib(self) -> float:
        """Return the largest resident sets of all processes since `reset_peak`, added up, in MiB."""
        return sum(map(_peak_bytes, self._processes())) / 2**20

    def connection_string(self) -> str:
        """Return the connection string of the blob service that the app uses, or "" when it uses a folder."""
        found = (one.environ().get("DICOM_STORAGE_CONNECTION_STRING", "") for one in self._processes())
        return next(filter(None, found), "")

    def _processes(self) -> list[psutil.Process]:
        """Return the processes of the service, its own first."""
        own = psutil.Process(self.pid)
        return [own, *(one for one in own.children(recursive=True) if not _is_azurite(one))]


@contextmanager
def running(storage: str, data: Path, workers: int, *, log: Path | None = None, **settings: str) -> Iterator[Service]:
    """Run the local host on a free port, keeping everything below *data*; *settings* go into its environment.

    What it logs goes to standard error, or to the end of a *log*.

    Raises
    ------
    NotStarted
        It ended, or said something else than where it listens.
    """
    settings |= {"HOST": "127.0.0.1", "PORT": "0", "STORAGE": storage, "DATA": str(data), "WORKERS": str(workers)}
    with log.open("a") if log else nullcontext() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "localhost"],
            cwd=ROOT,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    try:
        line = next(iter(process.stdout or ()), "")
        if "http://" not in line:
            raise NotStarted(f"The service did not start with {storage} storage; it said {line.strip()!r}.")
        yield Service("http://" + line.split("http://")[1].split()[0].split("/")[0], process.pid)
    finally:
        stop(process)


def stop(process: "subprocess.Popen[Any]") -> None:
    """Stop a process, kindly at first."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    process.kill()
    process.wait()


def _is_azurite(process: psutil.Process) -> bool:
    """Return whether a process is Azurite, or the Node runtime that it runs in."""
    with suppress(psutil.Error):
        return "azurite" in " ".join(process.cmdline()).lower() or process.name().startswith("node")
    return True


def _cpu_s(process: psutil.Process) -> float:
    with suppress(OSError):
        return time.clock_gettime(
            ~process.pid << 3 | 2
        )  # Linux: the clock of another process, finer than /proc's ticks
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_bytes(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return int(process.memory_info().rss)
    fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii", errors="replace").splitlines())
    return int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
