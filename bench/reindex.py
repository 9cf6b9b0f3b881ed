"""An extended query tag is added to a large index, as a client does it: asked for, and looked at until it is ready."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.request import Request, urlopen

TAG: Mapping[str, str] = {"path": "StationName", "level": "Study"}
"""Of each study of the index another value."""

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Reindex:
    """Seconds until the request was answered, and until everything was indexed."""

    answered_s: float
    wall_s: float


def reindex(base: str) -> Reindex:
    """Add the tag and wait for its operation."""
    body = json.dumps([TAG]).encode()
    began = time.perf_counter()
    with urlopen(Request(f"{base}/extendedquerytags", body, {"Content-Type": "application/json"})) as answer:  # noqa: S310 - a URL of ours
        operation = answer.headers["Location"]
    answered = time.perf_counter()
    while True:
        with urlopen(operation) as answer:  # noqa: S310 - a URL of ours
            if answer.status != 202:
                return Reindex(answered - began, time.perf_counter() - began)
        time.sleep(_POLL_S)
