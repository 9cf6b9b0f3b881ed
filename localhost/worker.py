"""One worker process: the host on uvicorn, behind the listening socket that the parent shares out.

Started by `localhost.supervisor`; it ends on SIGTERM, or when the parent's end of a pipe closes.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from localhost.problems import SetupError

GRACE_S = 30.0  # for requests, messages and timers under way
CLOSING_S = 5.0  # for what is closed after them
READY = b"ready\n"
SETUP_FAULT = 3

_LOG_LEVEL = "AzureFunctionsJobHost__logging__logLevel__default"
"""Goes before what host.json says, as in the real host."""
_KEEP_ALIVE_S = 120
_LEVELS = {
    "trace": "DEBUG",
    "debug": "DEBUG",
    "information": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "critical": "CRITICAL",
    "none": "CRITICAL",
}


def main() -> int:
    """Serve until told to stop; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--app", type=Path)
    parser.add_argument("--queues", type=Path)
    parser.add_argument("--number", type=int)
    parser.add_argument("--shares", action="store_true", help="there are other workers")
    for name in ("socket", "parent", "status"):
        parser.add_argument(f"--{name}", type=int)
    given = parser.parse_args()
    for descriptor in (given.socket, given.parent, given.status):
        os.set_inheritable(descriptor, False)  # what the app starts has no part in them
    threading.Thread(target=_follow, args=(given.parent,), daemon=True).start()
    try:
        _run(given)
    except SetupError as error:
        os.write(given.status, f"{error}\n".encode())
        return SETUP_FAULT
    return 0


def _follow(parent: int) -> None:
    """Stop this process when the parent is gone: nothing is ever written to the pipe, it only closes."""
    while os.read(parent, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S + CLOSING_S)
    os._exit(1)


def _run(given: argparse.Namespace) -> None:
    # Imported here, when the parent is being followed: loading the app is what takes long.
    import uvicorn
    import uvloop

    from localhost.accepting import accept_from, most_connections
    from localhost.host import Host
    from localhost.options import read_json
    from localhost.protocol import Protocol

    _log(read_json(given.app / "host.json"))
    host = Host(given.app, queue_database=given.queues, has_timers=given.number == 0)
    config = uvicorn.Config(
        host,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(GRACE_S),
        backlog=2048,
    )

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            """Leave signals to us: uvicorn would end the process by the one that stopped it."""
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - ours is better
            await super().startup([])
            if self.started:
                make = partial(Protocol, config, self.server_state, self.lifespan.state)
                connections = self.server_state.connections
                accept_from(listener, make, connections, shares=given.shares, most=most_connections())
                os.write(given.status, READY)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
            await super().shutdown([])

    listener = socket.socket(fileno=given.socket)
    server = Server(config)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        host.stop_triggers()
        server.should_exit = True

    signal.signal(signal.SIGTERM, stop)
    uvloop.run(server.serve())


def _log(host_json: dict[str, Any]) -> None:
    """Log to standard error at the level of host.json; libraries only what is wrong."""
    import logging

    levels = host_json.get("logging", {}).get("logLevel", {})
    levels |= {"default": os.environ[_LOG_LEVEL]} if _LOG_LEVEL in os.environ else {}
    level = str(levels.get("Function", levels.get("default", "Information"))).lower()
    logging.basicConfig(level=_LEVELS.get(level, "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("azure", "uvicorn", "uvicorn.error", "httpx", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(__name__).debug("the level of the log is %s", level)


if __name__ == "__main__":
    sys.exit(main())
