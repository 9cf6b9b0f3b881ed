"""A real receiver of events: an HTTP server on this machine that keeps what it is sent."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Keeps every delivery that it acknowledged; `answer` decides on the status of the next ones."""

    def __init__(self) -> None:
        self.deliveries: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[list[dict[str, Any]]], int] = lambda _: 200
        self.url = ""
        self._arrived = threading.Condition()

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events that were acknowledged, in order."""
        return [event for delivery in self.deliveries for event in delivery]

    def take(self, delivery: list[dict[str, Any]], headers: dict[str, str]) -> int:
        """Return the status for a delivery, and keep what is acknowledged."""
        status = self.answer(delivery)
        if status < 300:
            with self._arrived:
                self.deliveries.append(delivery)
                self.headers.append(headers)
                self._arrived.notify_all()
        return status

    def wait_for(self, is_enough: Callable[[list[dict[str, Any]]], bool], seconds: float = 60) -> None:
        """Wait until the acknowledged events are enough."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: is_enough(self.events), timeout=seconds), "the events did not arrive"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Give a receiver that listens on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(json.loads(body), dict(self.headers))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            """Say yes to whoever follows a redirect."""
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
