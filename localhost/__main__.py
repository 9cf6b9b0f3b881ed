"""`python -m localhost`: checks, storage, migration, workers, and one line that says where the service is."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from localhost.options import Options, app_settings, read_local_values, read_options
from localhost.problems import SetupError
from localhost.supervisor import Supervisor, reachable, run_until


class _Stopped(BaseException):
    """A signal asks us to stop."""


def main() -> int:
    """Run until Ctrl-C or SIGTERM; return the exit code."""
    _raise_on_signals()
    try:
        _run(read_options(sys.argv[1:], os.environ))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except _Stopped:
        pass
    return 0


def _run(options: Options) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(_bind(options))
        stack.enter_context(_locked(options.data))
        connection = stack.enter_context(_azurite(options)) if options.storage == "azurite" else None
        settings = app_settings(options, os.environ, read_local_values(options.app), connection)
        _run_module(options.app, "shared.settings", settings, "a setting is wrong")
        _run_module(options.app, "shared.index.migrate", settings, "the database cannot be migrated")
        queues = _release(options.data / "queues.db")
        listener.listen(2048)
        supervisor = Supervisor(options, listener, settings, queues)
        run_until(_Stopped, supervisor, lambda: print(_greeting(options, listener), flush=True))


def _greeting(options: Options, listener: socket.socket) -> str:
    host, port = reachable(listener)
    storage = {"embedded": "embedded storage", "azurite": "Azurite"}[options.storage]
    data = os.path.relpath(options.data) if options.data.is_relative_to(Path.cwd()) else options.data
    workers = f"{options.workers} worker{'s' if options.workers > 1 else ''}"
    url = f"http://[{host}]:{port}/v2" if ":" in host else f"http://{host}:{port}/v2"
    return f"The DICOM service is at {url} ({storage} in {data}, {workers}). Ctrl-C stops it."


def _raise_on_signals() -> None:
    """Raise `_Stopped` on the first SIGINT, SIGTERM or SIGHUP; further ones do not disturb the stopping."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        raise _Stopped

    for one in signals:
        signal.signal(one, stop)


def _bind(options: Options) -> socket.socket:
    """Return a bound socket that does not listen yet."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        raise SetupError(
            f"cannot listen on {options.host} port {options.port}: {error.strerror or error};"
            " choose others with HOST and PORT (0 is any free port)"
        ) from error
    return listener


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Hold the data folder, which is made if need be, for this host alone."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("w")
    except OSError as error:
        raise SetupError(f"DATA is {str(data)!r}, which cannot be written: {error.strerror or error}") from error
    with lock:
        _lock(lock, data)
        yield


def _lock(lock: TextIO, data: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SetupError(f"DATA is {str(data)!r}, which another local host is using") from error


@contextmanager
def _azurite(options: Options) -> Iterator[str]:
    from localhost.azurite import Azurite

    install = Path(__file__).resolve().parents[1] / ".build" / "azurite"
    with Azurite(options.data / "azurite", install=install) as azurite:
        yield azurite.start()


def _release(queues: Path) -> Path:
    """Make the messages visible that a killed host had taken."""
    if queues.exists():
        from localhost.embedded_queue import release_all
        from localhost.queues import QueueUnavailable

        try:
            release_all(queues)
        except QueueUnavailable as error:
            raise SetupError(str(error)) from error
    return queues


def _run_module(app: Path, module: str, settings: Mapping[str, str], failure: str) -> None:
    """Run a module of the app, if it has it, in a process of its own, so that this one stays small."""
    if not app.joinpath(*module.split(".")).with_suffix(".py").exists():
        return
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", module],
        cwd=app,
        env=dict(settings),
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is for this process, which then ends the other
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SetupError(f"{failure}: {lines[-1] if lines else f'exit code {done.returncode}'}")


if __name__ == "__main__":
    sys.exit(main())
