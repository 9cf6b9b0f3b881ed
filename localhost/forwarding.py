"""What the host does to a request on its way to the worker: forwarded headers, and the limit on bodies."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

DEFAULT_BODY_LIMIT = 104_857_600

# The worker listens on a port of its own: an app that builds URLs from Host builds wrong ones, here as there.
WORKER_ADDRESS = ("127.0.0.1", 65535)
_WORKER_HOST = b"%s:%d" % (WORKER_ADDRESS[0].encode(), WORKER_ADDRESS[1])
_APPENDED = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
_REPLACED = frozenset({b"host", b"x-ms-invocation-id", *_APPENDED})


def forward(scope: Scope, route_values: dict[str, str], invocation: str) -> Scope:
    """Return the scope as the worker sees it: our address, forwarded headers and the route values."""
    received: Headers = scope["headers"]
    client = scope.get("client") or ("", 0)
    asked = next((value for name, value in received if name == b"host"), b"")
    added = (client[0].encode(), asked, scope["scheme"].encode())
    headers = [header for header in received if header[0] not in _REPLACED]
    headers.append((b"host", _WORKER_HOST))
    for name, value in zip(_APPENDED, added, strict=True):
        earlier = [old for header, old in received if header == name]
        headers.append((name, b", ".join([*earlier, value])))
    headers.append((b"x-ms-invocation-id", invocation.encode()))
    if not any(name == b"traceparent" for name, _ in received):
        headers.append((b"traceparent", f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00".encode()))
    return {**scope, "headers": headers, "server": WORKER_ADDRESS, "path_params": route_values}


def is_over(scope: Scope, limit: int) -> bool:
    """Say whether the length that the client announced is above *limit* bytes."""
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return announced.isdigit() and int(announced) > limit


class CountedBody:
    """A request's body; above *limit* bytes the app sees the client leave, and `is_over` says why."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit
        self.is_over = False

    async def receive(self) -> Message:
        """Return the next message from the client."""
        if self.is_over:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.is_over = True
            return {"type": "http.disconnect"}
        return message
