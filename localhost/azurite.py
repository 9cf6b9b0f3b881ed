"""Azurite, the emulator of Azure Storage: installed once, run as a child process on free ports."""

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from localhost.node import Node, find_node, run
from localhost.problems import SetupError

VERSION = "3.37.0"

_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Account and key of every Azurite; they are public and protect nothing."""

_SERVICES = ("Blob", "Queue", "Table")
_LISTENS = re.compile(r"Azurite (\w+) service is successfully listening at (http://[\d.]+:\d+)")
_LOG = "azurite.log"

# Azurite lives as long as its standard input, whose other end this process holds until it stops or dies, however it
# dies. Unlike a signal at the parent's death this needs no code between fork and exec, and macOS has it too.
_END_WITH_INPUT = (
    "data:text/javascript,"
    "process.stdin.on('end',()=>process.kill(process.pid,'SIGTERM')).on('error',()=>{}).resume().unref()"
)

_INSTALL_S = 600.0
_START_S = 60.0
_STOP_S = 20.0
_POLL_S = 0.05


class Azurite:
    """One Azurite over *folder*; as a context manager it stops on leaving.

    Parameters
    ----------
    folder
        Where it keeps its data, made if need be; the next one over the same folder finds them again.
    install
        Where the npm package lies, or is installed on first use; several processes may share it.
    """

    def __init__(self, folder: Path, *, install: Path) -> None:
        self._folder = folder.absolute()
        self._install = install.absolute()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start blob, queue and table service and return their connection string when all of them answer.

        Raises
        ------
        SetupError
            Node.js or Azurite cannot be installed, or Azurite does not start.
        """
        if self._process is not None:
            raise SetupError("Azurite is running already")
        node = _prepare(self._install)
        log = self._folder / _LOG
        self._process = _spawn(node, self._install, self._folder, log)
        try:
            return _connection_string(_wait_for_addresses(self._process, log))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and wait until its data are on disk; do nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            if process.stdin:
                process.stdin.close()


def _prepare(install: Path) -> Node:
    """Return Node.js, and install it and the npm package where missing; a second process waits for the first."""
    stamp = install / "installed-version"
    try:
        install.mkdir(parents=True, exist_ok=True)
        with (install / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            node = find_node()
            if not (stamp.exists() and stamp.read_text(encoding="ascii") == VERSION):
                print(f"Installing Azurite {VERSION} ...", file=sys.stderr, flush=True)
                _install_package(install, node)
                stamp.write_text(VERSION, encoding="ascii")
            return node
    except OSError as error:
        raise SetupError(f"Azurite cannot be installed in {str(install)!r}: {error.strerror or error}") from error


def _install_package(folder: Path, node: Node) -> None:
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
    command = [*node.npm, "install", "--prefix", str(folder), *quiet, "--ignore-scripts", f"azurite@{VERSION}"]
    try:
        run(command, _INSTALL_S)
    except SetupError as error:
        raise SetupError(f"Azurite {VERSION} cannot be installed: {error}") from error


def _spawn(node: Node, install: Path, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [
        *(node.program, "--import", _END_WITH_INPUT),
        str(install / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"),
        *("--blobPort", "0", "--queuePort", "0", "--tablePort", "0"),
        *("--location", str(folder), "--skipApiVersionCheck", "--silent", "--disableTelemetry"),
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 -- our own command line
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"},
                start_new_session=True,  # Ctrl-C is for the service, which stops before its storage
            )
    except OSError as error:
        raise SetupError(f"Azurite cannot be started in {str(folder)!r}: {error.strerror or error}") from error


def _wait_for_addresses(process: subprocess.Popen[bytes], log: Path) -> Mapping[str, str]:
    """Return the URL of each service as Azurite tells it, once it listens on all of them."""
    deadline = time.monotonic() + _START_S
    while True:
        ended = process.poll()
        said = log.read_text(encoding="utf-8", errors="replace")
        addresses = dict(_LISTENS.findall(said))
        if ended is not None:
            lines = said.strip().splitlines()
            raise SetupError(f"Azurite ended with exit code {ended}: {lines[-1] if lines else 'it said nothing'}")
        if addresses.keys() >= set(_SERVICES):
            return addresses
        if time.monotonic() > deadline:
            raise SetupError(f"Azurite did not listen within {_START_S:.0f} s")
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)


def _connection_string(addresses: Mapping[str, str]) -> str:
    endpoints = "".join(f"{name}Endpoint={addresses[name]}/{_ACCOUNT};" for name in _SERVICES)
    return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};{endpoints}"
