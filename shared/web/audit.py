"""The start and end record of a call, with the UIDs that the request names (health-and-ops.md, "Audit log")."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson
from starlette.datastructures import Headers

from shared.audit_records import FAILED, STARTED, SUCCEEDED, keep
from shared.backend import Backend
from shared.errors import InvalidRequest
from shared.model import Action
from shared.web.access import Caller

CUSTOM = "x-ms-azuredicom-audit-"
MOST_CUSTOM = 10
LONGEST_CUSTOM = 2048


@dataclass(slots=True)
class Call:
    """What is known of a call so far.

    Parameters
    ----------
    operation
        The name of its route.
    uids
        What the request names: `study`, `series`, `instance`.
    custom
        What the client wants to be kept with it.
    shown
        UIDs of studies that the answer tells of, where the request does not name one.
    """

    operation: str
    action: Action
    method: str
    address: str
    partition: str = ""
    uids: Mapping[str, str] = field(default_factory=dict)
    custom: Mapping[str, str] = field(default_factory=dict)
    shown: Sequence[str] = ()
    caller: Caller | None = None
    correlation_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def fields(self) -> dict[str, str | int]:
        """Return the columns of a record, but for UIDs."""
        found: dict[str, str | int] = {
            "CorrelationId": self.correlation_id,
            "OperationName": self.operation,
            "Action": self.action.value,
            "Method": self.method,
            "PartitionName": self.partition,
            "CallerIpAddress": self.address,
        }
        if self.caller is not None:
            one = self.caller
            found |= {"Issuer": one.issuer, "Identity": one.subject, "Application": one.application}
        return found | {"CustomHeaders": orjson.dumps(self.custom).decode()} if self.custom else found


def custom_headers(headers: Headers) -> dict[str, str]:
    """Return the fields that a client wants in the records of its call, names in lower case.

    Raises
    ------
    InvalidRequest
        There are more, or longer ones, than the reference takes.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith(CUSTOM):
            found[name] = f"{found[name]}, {value}" if name in found else value
    if len(found) > MOST_CUSTOM:
        raise InvalidRequest(f"{len(found)} header fields {CUSTOM.upper()}…; at most {MOST_CUSTOM}.")
    if any(len(value) > LONGEST_CUSTOM for value in found.values()):
        raise InvalidRequest(f"A header field {CUSTOM.upper()}… is longer than {LONGEST_CUSTOM} characters.")
    return found


async def begin(call: Call, backend: Backend) -> None:
    """Record that a call starts; raise `Unavailable` where a read may not go on without its record."""
    fields = call.fields() | {"ResultType": STARTED}
    await keep(fields, call.uids, backend, must_be_kept=_is_strict(call, backend))


async def end(call: Call, status: int, duration_ms: int, backend: Backend) -> None:
    """Record how a call was answered, before the answer is sent; raises as `begin`."""
    is_done = status < HTTPStatus.BAD_REQUEST
    result: dict[str, str | int] = {
        "ResultType": SUCCEEDED if is_done else FAILED,
        "StatusCode": status,
        "DurationMs": duration_ms,
    }
    uids = {**call.uids, "shown": " ".join(call.shown)} if call.shown else call.uids
    await keep(call.fields() | result, uids, backend, must_be_kept=is_done and _is_strict(call, backend))


def _is_strict(call: Call, backend: Backend) -> bool:
    return backend.settings.audit_strict and call.action is Action.READ
