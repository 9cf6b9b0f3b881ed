"""Grants and what callers may do by them (`shared/grants.py`, `shared/web/access.py`)."""

import json
from typing import Any

import pytest

from shared.errors import Forbidden
from shared.grants import REFERENCE_ROLES, InvalidPolicy, granted, read_policy
from shared.model import Action
from shared.web.access import Caller, require

_READ_A = {"value": "reader", "actions": ["read"], "partitions": ["Clinic-A"]}
_ALL_B = {"claim": "groups", "value": "g-1", "actions": ["*"], "partitions": ["clinic-b", "shared"]}
_POLICY = read_policy(json.dumps([_READ_A, _ALL_B, {"claim": "scp", "value": "dicom.read", "actions": ["read"]}]))


def caller(claims: dict[str, Any]) -> Caller:
    return Caller(granted(_POLICY, claims))


@pytest.mark.parametrize(
    ("claims", "action", "within"),
    [
        ({}, Action.READ, []),
        ({"roles": ["owner"]}, Action.READ, []),
        ({"roles": ["Reader"]}, Action.READ, []),
        ({"roles": ["reader"]}, Action.READ, ["clinic-a"]),
        ({"roles": "reader"}, Action.READ, ["clinic-a"]),
        ({"roles": ["reader"]}, Action.WRITE, []),
        ({"groups": ["g-1", "g-2"]}, Action.DELETE, ["clinic-b", "shared"]),
        ({"roles": ["reader"], "groups": ["g-1"]}, Action.READ, ["clinic-a", "clinic-b", "shared"]),
        ({"roles": ["reader"], "groups": ["g-1"]}, Action.WRITE, ["clinic-b", "shared"]),
        ({"scp": "openid dicom.read"}, Action.READ, None),
        ({"scp": "openid dicom.read", "roles": ["reader"]}, Action.READ, None),
        ({"scp": "dicom.readers"}, Action.READ, []),
        ({"roles": {"reader": True}}, Action.READ, []),
        ({"roles": [["reader"], 1, None]}, Action.READ, []),
        ({"roles": None}, Action.READ, []),
    ],
    ids=str,
)
def test_within(claims: dict[str, Any], action: Action, within: list[str] | None) -> None:
    """A caller has the grants whose claim has their value, together, and nothing else; None stands for everywhere."""
    assert caller(claims).within(action) == (None if within is None else set(within))


def test_partition_names() -> None:
    """Names of partitions compare without case, as partitions themselves do."""
    one = caller({"roles": ["reader"]})

    assert one.may(Action.READ, "CLINIC-a")
    assert not one.may(Action.READ, "clinic-b")
    assert not one.may(Action.READ, "clinic-a2")


def test_require() -> None:
    """A right somewhere is not a right everywhere."""
    one = caller({"roles": ["reader"]})

    require(one, Action.READ)
    with pytest.raises(Forbidden):
        require(one, Action.READ, everywhere=True)
    with pytest.raises(Forbidden):
        require(one, Action.DELETE)
    require(caller({"scp": "dicom.read"}), Action.READ, everywhere=True)


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        ("DICOM Data Owner", set(Action)),
        ("globalAdmin", set(Action)),
        ("DICOM Data Reader", {Action.READ}),
        ("globalReader", {Action.READ}),
        ("dicom data owner", set()),
    ],
)
def test_reference_roles(role: str, actions: set[Action]) -> None:
    """Without a policy the roles of the reference count, in all partitions."""
    one = Caller(granted(read_policy(""), {"roles": [role]}))

    assert {action for action in Action if one.within(action) is None} == actions


def test_policy_takes_their_place() -> None:
    """With a policy the roles of the reference give nothing: it could not take a right away otherwise."""
    assert {grant.value for grant in REFERENCE_ROLES}.isdisjoint({grant.value for grant in _POLICY})
    assert not caller({"roles": ["DICOM Data Owner"]}).may_anywhere(Action.READ)


def test_path_of_claims() -> None:
    """A claim within an object is named by a path, unless one has the whole name."""
    policy = read_policy('[{"claim": "realm_access.roles", "value": "r", "actions": ["read"]}]')

    assert granted(policy, {"realm_access": {"roles": ["r"]}})
    assert granted(policy, {"realm_access.roles": ["r"]})
    assert not granted(policy, {"realm_access": "roles", "roles": ["r"]})


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "x",
        "[1]",
        '[{"value": "r"}]',
        '[{"value": "r", "actions": []}]',
        '[{"value": "r", "actions": "read"}]',
        '[{"value": "r", "actions": ["reed"]}]',
        '[{"value": "r", "actions": ["*", "read"]}]',
        '[{"value": "", "actions": ["read"]}]',
        '[{"value": 1, "actions": ["read"]}]',
        '[{"claim": "", "value": "r", "actions": ["read"]}]',
        '[{"value": "r", "actions": ["read"], "partitions": []}]',
        '[{"value": "r", "actions": ["read"], "partitions": "a"}]',
        '[{"value": "r", "actions": ["read"], "partition": ["a"]}]',
    ],
)
def test_bad_policy(text: str) -> None:
    """A policy that is not understood to the last field is none: a misspelt limit would be no limit."""
    with pytest.raises(InvalidPolicy):
        read_policy(text)
