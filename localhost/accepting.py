"""Taking connections from the listening socket that several workers share."""

import asyncio
import resource
import socket
from collections.abc import Callable, Collection
from typing import Any

from localhost.protocol import Protocol

_LONGEST_WAIT_MS = 4
_FULL_WAIT_S = 0.05
_MOST_CONNECTIONS = 1000


def most_connections() -> int:
    """Return how many connections a worker keeps: half of the files that it may open are for others."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(_MOST_CONNECTIONS, soft // 2))


def accept_from(
    listener: socket.socket,
    protocol: Callable[[], asyncio.Protocol],
    connections: Collection[Any],
    *,
    shares: bool = False,
    most: int,
) -> None:
    """Accept connections one at a time, where *shares* is set the later the more of them this worker has.

    The loop's own servers accept all that wait at once: one worker would get a whole burst of connections while the
    others sleep. With *most* of them open, one that waits for its next request makes room; where each is in the midst
    of one, others wait until the kernel's queue is full.
    """
    loop = asyncio.get_running_loop()
    opening: set[asyncio.Task[object]] = set()

    def accept() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # another worker was first, the client is gone, or we are closing
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(loop.connect_accepted_socket(protocol, connection))
        opening.add(task)
        task.add_done_callback(opening.discard)

    def accept_and_wait() -> None:
        accept()
        listen()

    def listen() -> None:
        if listener.fileno() >= 0:
            loop.add_reader(listener, wait)

    def wait() -> None:
        open_connections = len(connections)
        if open_connections + len(opening) >= most:
            loop.remove_reader(listener)
            _make_room(connections)
            loop.call_later(_FULL_WAIT_S, listen)
        elif not shares or open_connections == 0:
            accept()
        else:
            loop.remove_reader(listener)
            loop.call_later(min(open_connections, _LONGEST_WAIT_MS) / 1000, accept_and_wait)

    listener.setblocking(False)
    loop.add_reader(listener, wait)


def _make_room(connections: Collection[Any]) -> None:
    """Close the connection that has waited for its next request for the longest."""
    idle = [(until, one) for one in connections if isinstance(one, Protocol) and (until := one.idle_until) is not None]
    if idle:
        min(idle, key=lambda found: found[0])[1].transport.close()
