"""Run functions of the app that a timer starts, now: ``python -m tests.background NAME …`` with the app's settings."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from function_app import app
from shared.backend import backend

_ROOT = Path(__file__).parents[1]


def run(settings: Mapping[str, str], *names: str) -> None:
    """Run functions one after the other, in a process of their own beside the service."""
    assert started(settings, *names).wait() == 0


def started(settings: Mapping[str, str], *names: str) -> "subprocess.Popen[bytes]":
    """Begin to run functions as `run`, and return the process."""
    return subprocess.Popen([sys.executable, "-m", "tests.background", *names], cwd=_ROOT, env=dict(settings))


async def _run(names: list[str]) -> None:
    handlers = {str(one.get_function_name()): one.get_user_function() for one in app.get_functions()}
    for name in names:
        await handlers[name](None)
    await backend().close()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1:]))
