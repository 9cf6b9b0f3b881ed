"""Grants: what a claim of a token gives the right to (health-and-ops.md, "Authorization").

A policy is a list of grants. What no grant gives nobody has, so an unknown role is a role without rights.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.model import Action

_EVERYTHING = "*"
_SPLIT_CLAIMS = frozenset({"scp", "scope"})
"""Whose values are words with blanks between (RFC 8693 §4.2); a role's name may hold a blank."""

_FIELDS = frozenset({"claim", "value", "actions", "partitions"})


class InvalidPolicy(Exception):
    """A policy cannot be read; says where."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Whoever's *claim* has *value* may do *actions* in *partitions*; None: in all, and in what has no partition.

    Names of partitions are in lower case, since they compare without it.
    """

    claim: str
    value: str
    actions: frozenset[Action]
    partitions: frozenset[str] | None = None


_ALL = frozenset(Action)
_READ = frozenset({Action.READ})

REFERENCE_ROLES: tuple[Grant, ...] = (
    Grant("roles", "DICOM Data Owner", _ALL),
    Grant("roles", "DICOM Data Reader", _READ),
    # An app role of Entra ID has a value without blanks.
    Grant("roles", "DicomDataOwner", _ALL),
    Grant("roles", "DicomDataReader", _READ),
    Grant("roles", "globalAdmin", _ALL),
    Grant("roles", "globalReader", _READ),
)
"""What counts without a policy: the roles of the reference, hosted and open source."""

EVERYTHING = Grant("", "", _ALL)
"""What everyone has where no tokens are asked for."""


def read_policy(text: str) -> tuple[Grant, ...]:
    """Return the grants of a JSON array of objects with `value`, `actions` and maybe `claim` and `partitions`.

    Raises
    ------
    InvalidPolicy
        It is something else.
    """
    if not text:
        return REFERENCE_ROLES
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise InvalidPolicy("is not JSON") from error
    if not isinstance(rows, list):
        raise InvalidPolicy("is not a JSON array")
    return tuple(_grant(number, row) for number, row in enumerate(rows, 1))


def granted(policy: tuple[Grant, ...], claims: Mapping[str, Any]) -> tuple[Grant, ...]:
    """Return those grants of a policy that *claims* have."""
    values = {claim: _values(claims, claim) for claim in {grant.claim for grant in policy}}
    return tuple(grant for grant in policy if grant.value in values[grant.claim])


def _grant(number: int, row: Any) -> Grant:
    if not isinstance(row, dict) or not set(row) <= _FIELDS:
        raise InvalidPolicy(f"has a grant {number} that is no object of {', '.join(sorted(_FIELDS))}")
    claim, value = row.get("claim", "roles"), row.get("value")
    if not (isinstance(claim, str) and claim and isinstance(value, str) and value):
        raise InvalidPolicy(f"has a grant {number} whose claim or value is no text")
    partitions = _texts(number, row, "partitions") if "partitions" in row else None
    return Grant(
        claim,
        value,
        _actions(number, _texts(number, row, "actions")),
        None if partitions is None else frozenset(name.lower() for name in partitions),
    )


def _texts(number: int, row: Mapping[str, Any], name: str) -> list[str]:
    texts = row.get(name)
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) and one for one in texts):
        raise InvalidPolicy(f"has a grant {number} whose {name} are no array of texts")
    return texts


def _actions(number: int, names: list[str]) -> frozenset[Action]:
    if names == [_EVERYTHING]:
        return _ALL
    known = {action.value: action for action in Action}
    if not set(names) <= set(known):
        raise InvalidPolicy(f"has a grant {number} with other actions than {', '.join(known)}, or * alone")
    return frozenset(known[name] for name in names)


def _values(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """Return the texts of a claim; where none has its name, a dot leads into an object (`realm_access.roles`)."""
    found: Any = claims.get(claim)
    if found is None and "." in claim:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        found = found.split() if claim in _SPLIT_CLAIMS else [found]
    return frozenset(one for one in found if isinstance(one, str)) if isinstance(found, list) else frozenset()
