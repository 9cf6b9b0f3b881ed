"""The worker processes: started, watched, started again when one dies, and stopped together."""

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from localhost.options import Options
from localhost.problems import SetupError
from localhost.worker import CLOSING_S, GRACE_S, READY, SETUP_FAULT

_START_S = 60.0
_HEALTH_S = 60.0
_ANSWER_S = 2.0  # a worker may die with the question in its hands, and then nobody answers it
_QUICK_DEATH_S = 10.0
_MOST_QUICK_DEATHS = 5


@dataclass(slots=True)
class Worker:
    """One worker process; *status* is a pipe on which it says that it is ready or why it cannot be."""

    number: int
    process: subprocess.Popen[bytes]
    status: int
    started: float
    said: bytes = b""
    quick_deaths: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether it answers requests."""
        return self.said.startswith(READY)


@dataclass(slots=True)
class Supervisor:
    """Runs *options.workers* processes behind one listening socket."""

    options: Options
    listener: socket.socket
    settings: Mapping[str, str]
    queues: Path | None
    _workers: dict[int, Worker] = field(default_factory=dict)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _alive: tuple[int, int] = field(default_factory=os.pipe)

    def start(self) -> None:
        """Start the workers and return when all of them answer.

        Raises
        ------
        SetupError
            A worker cannot load the app, dies, or takes too long.
        """
        for number in range(self.options.workers):
            self._start_worker(number, quick_deaths=0)
        deadline = time.monotonic() + _START_S
        while not all(worker.is_ready for worker in self._workers.values()):
            if time.monotonic() > deadline:
                raise SetupError(f"the app did not load within {_START_S:.0f} s")
            for worker in self._read_statuses(timeout=0.5):
                raise SetupError(_fault_of(worker))
        self._wait_for_health()

    def watch(self) -> None:
        """Start again whichever worker dies; only a signal's exception or an error ends it.

        Raises
        ------
        SetupError
            A worker died several times soon after its start.
        """
        while True:
            for dead in self._read_statuses(timeout=None):
                is_quick = time.monotonic() - dead.started < _QUICK_DEATH_S
                quick_deaths = dead.quick_deaths + 1 if is_quick else 0
                if quick_deaths >= _MOST_QUICK_DEATHS:
                    raise SetupError(f"{_fault_of(dead)}, {quick_deaths} times soon after its start: giving up")
                print(f"{_fault_of(dead)}; starting another", file=sys.stderr, flush=True)
                self._start_worker(dead.number, quick_deaths)

    def stop(self) -> None:
        """Stop accepting, let requests in flight end within the grace, and leave no process."""
        self.listener.close()
        for worker in self._workers.values():
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_S + CLOSING_S
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def _start_worker(self, number: int, quick_deaths: int) -> None:
        status, said = os.pipe()
        passed = {"socket": self.listener.fileno(), "parent": self._alive[0], "status": said}
        command = [sys.executable, "-m", "localhost.worker", "--app", str(self.options.app), "--number", str(number)]
        command += [part for name, descriptor in passed.items() for part in (f"--{name}", str(descriptor))]
        command += ["--queues", str(self.queues)] if self.queues else []
        command += ["--shares"] if self.options.workers > 1 else []
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            env={**self.settings, "PYTHONPATH": _python_path(self.settings)},
            cwd=self.options.app,
            pass_fds=tuple(passed.values()),
            start_new_session=True,  # Ctrl-C reaches the whole process group, and is not for the workers
        )
        os.close(said)
        os.set_blocking(status, False)
        self._workers[number] = Worker(number, process, status, time.monotonic(), quick_deaths=quick_deaths)
        self._selector.register(status, selectors.EVENT_READ, number)

    def _read_statuses(self, timeout: float | None) -> list[Worker]:
        """Read what workers say and return those that are dead: their end of the pipe is closed."""
        dead = []
        for key, _ in self._selector.select(timeout):
            worker = self._workers[key.data]
            said = os.read(worker.status, 4096)
            worker.said += said
            if not said:
                self._selector.unregister(worker.status)
                os.close(worker.status)
                worker.process.wait()
                dead.append(worker)
        return dead

    def _wait_for_health(self) -> None:
        """Ask `/health/check` until it answers 200, or 404 where an app has no such route."""
        deadline = time.monotonic() + _HEALTH_S
        status, wait_s = 0, 0.05
        while time.monotonic() < deadline:
            status = _ask_health(self.listener)
            if status in {200, 404}:
                return
            if status == 500:  # noqa: PLR2004 - the handler raised: asking again helps nobody
                raise SetupError("/health/check fails with 500; its error is in the log above")
            for worker in self._read_statuses(timeout=wait_s):
                raise SetupError(_fault_of(worker))
            wait_s = min(wait_s * 2, 1.0)
        raise SetupError(f"/health/check did not answer 200 within {_HEALTH_S:.0f} s, at last {status or 'nothing'}")


def run_until(stopped: type[BaseException], supervisor: Supervisor, ready: Callable[[], None]) -> None:
    """Run the workers until *stopped* is raised, and call *ready* when they answer."""
    try:
        supervisor.start()
        ready()
        supervisor.watch()
    except stopped:
        pass
    finally:
        supervisor.stop()


def _fault_of(worker: Worker) -> str:
    """Say why a worker ended: in its own words if it had any."""
    code = worker.process.returncode
    if code == SETUP_FAULT and worker.said:
        return worker.said.decode(errors="replace").removeprefix(READY.decode()).strip()
    return (
        f"worker {worker.number} ended by signal {-code}" if code < 0 else f"worker {worker.number} ended with {code}"
    )


def _ask_health(listener: socket.socket) -> int:
    """Return the status of the health check, 0 when nothing answers."""
    connection = HTTPConnection(*reachable(listener), timeout=_ANSWER_S)
    try:
        connection.request("GET", "/health/check")
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def reachable(listener: socket.socket) -> tuple[str, int]:
    """Return host and port under which this machine reaches a listening socket."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - compared, not bound


def _python_path(settings: Mapping[str, str]) -> str:
    """Return a path on which workers find this package, whatever folder the app is in."""
    here = str(Path(__file__).resolve().parents[1])
    earlier = settings.get("PYTHONPATH")
    return f"{here}{os.pathsep}{earlier}" if earlier else here
