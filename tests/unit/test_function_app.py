"""The functions of the app as the Functions host sees them (architecture.md §4, functions-host.md)."""

import inspect
import json
import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from azure.functions import Function
from starlette.requests import Request
from starlette.responses import Response

from function_app import app

_BASE, _PARTITION_BASE = "v{version}/", "v{version}/partitions/{partition}/"
_IN_PARTITION = "_in_partition"

_SERIES = "studies/{study}/series/{series}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"

ROUTES = [
    # store.md
    ("POST", "studies"),
    ("POST", "studies/{study}"),
    ("PUT", "studies"),
    ("PUT", "studies/{study}"),
    # retrieve.md
    ("GET", "studies/{study}"),
    ("GET", _SERIES),
    ("GET", _INSTANCE),
    ("GET", "studies/{study}/metadata"),
    ("GET", f"{_SERIES}/metadata"),
    ("GET", f"{_INSTANCE}/metadata"),
    ("GET", f"{_INSTANCE}/frames/{{frames}}"),
    ("GET", f"{_INSTANCE}/bulkdata/{{*path}}"),
    ("GET", "studies/{study}/rendered"),
    ("GET", f"{_SERIES}/rendered"),
    ("GET", f"{_INSTANCE}/rendered"),
    ("GET", f"{_INSTANCE}/frames/{{frames}}/rendered"),
    ("GET", "studies/{study}/thumbnail"),
    ("GET", f"{_SERIES}/thumbnail"),
    ("GET", f"{_INSTANCE}/thumbnail"),
    ("GET", f"{_INSTANCE}/frames/{{frames}}/thumbnail"),
    ("GET", "wado"),
    # search.md
    ("GET", "studies"),
    ("GET", "series"),
    ("GET", "instances"),
    ("GET", "studies/{study}/series"),
    ("GET", "studies/{study}/instances"),
    ("GET", f"{_SERIES}/instances"),
    # delete.md
    ("DELETE", "studies/{study}"),
    ("DELETE", _SERIES),
    ("DELETE", _INSTANCE),
]
"""What is offered at both bases: with the name of a partition and without."""

UNPARTITIONED = [
    # data-partitions.md
    ("GET", "partitions"),
    # change-feed.md
    ("GET", "changefeed"),
    ("GET", "changefeed/latest"),
    # extended-query-tags.md
    ("POST", "extendedquerytags"),
    ("GET", "extendedquerytags"),
    ("GET", "extendedquerytags/{tag}"),
    ("PATCH", "extendedquerytags/{tag}"),
    ("DELETE", "extendedquerytags/{tag}"),
    ("GET", "extendedquerytags/{tag}/errors"),
    # operations.md
    ("GET", "operations/{operation}"),
]
"""What belongs to no partition, and is offered at the first base alone."""

WITHOUT_PARTITIONS = [
    *UNPARTITIONED,
    # health-and-ops.md, "CORS": the question that browsers ask before they call
    ("OPTIONS", "{*path}"),
    # common.md, "Path layout"
    ("GET", "api.json"),
    ("GET", "api.yaml"),
]
"""What is offered below the version alone."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """An HTTP function as the host matches it."""

    name: str
    method: str
    template: str


FUNCTIONS = app.get_functions()
HTTP = [function for function in FUNCTIONS if function.is_http_function()]


def name_of(function: Function) -> str:
    return str(function.get_function_name())


def _trigger(function: Function) -> dict[str, Any]:
    """Return the trigger's binding as the host gets it."""
    bindings: list[dict[str, Any]] = json.loads(function.get_function_json())["bindings"]
    return next(one for one in bindings if one["type"].lower() == "httptrigger")


TRIGGERS = [
    Trigger(name_of(function), _trigger(function)["methods"][0], _trigger(function)["route"]) for function in HTTP
]


@pytest.mark.parametrize(("method", "template"), ROUTES)
def test_both_bases(method: str, template: str) -> None:
    """A route of the specification is one function at each base, named alike."""
    [plain] = [one for one in TRIGGERS if (one.method, one.template) == (method, _BASE + template)]
    [partitioned] = [one for one in TRIGGERS if (one.method, one.template) == (method, _PARTITION_BASE + template)]

    assert partitioned.name == plain.name + _IN_PARTITION


def test_nothing_unlisted() -> None:
    """Every versioned function is in the tables above, so that no route goes untested."""
    listed = {(method, base + template) for method, template in ROUTES for base in (_BASE, _PARTITION_BASE)}
    listed |= {(method, _BASE + template) for method, template in WITHOUT_PARTITIONS}

    assert {(one.method, one.template) for one in TRIGGERS if one.template.startswith("v{")} == listed


def test_names() -> None:
    """Names are unique without regard to case, and those of Python's functions."""
    names = [name_of(function).lower() for function in FUNCTIONS]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,126}", name) for name in names)


@pytest.mark.parametrize("function", HTTP, ids=name_of)
def test_http_function(function: Function) -> None:
    """A function takes `request` and gives a response, of Starlette's types: what the worker reads of it must be plain.

    Tokens are checked by the app, so the host lets everyone in; each function answers to one method, GET to HEAD too.
    """
    trigger = _trigger(function)
    handler = function.get_user_function()
    signature = inspect.signature(handler, follow_wrapped=False)

    assert inspect.iscoroutinefunction(handler)
    assert not hasattr(handler, "__wrapped__")
    assert [(one.name, one.annotation) for one in signature.parameters.values()] == [("request", Request)]
    assert signature.return_annotation is Response
    assert trigger["name"] == "request"
    assert trigger["authLevel"].lower() == "anonymous"
    assert trigger["methods"] in (["GET", "HEAD"], ["POST"], ["PUT"], ["PATCH"], ["DELETE"], ["OPTIONS"])


@pytest.mark.parametrize("one", TRIGGERS, ids=lambda one: one.name)
def test_template(one: Trigger) -> None:
    """No template is one that host or worker keep for themselves, or of a form that `overlap` cannot read."""
    first = one.template.partition("/")[0]

    assert first not in {"admin", "runtime", "docs", "redoc", "openapi.json"}
    assert not first.startswith("{")
    assert re.fullmatch(r"[^{}]*(\{[a-z]+\}[^{}]*)*(\{\*[a-z]+\})?", one.template)


def overlap(one: str, other: str) -> bool:
    """Return whether some path matches both templates."""
    pairs = list(zip(one.split("/"), other.split("/"), strict=False))
    return one.count("/") == other.count("/") and all(_meet(*pair) for pair in pairs)


def _meet(one: str, other: str) -> bool:
    """Return whether some text matches both segments; only the literal text before a parameter tells them apart."""
    start, other_start = (segment.partition("{")[0].lower() for segment in (one, other))
    if "{" not in one and "{" not in other:
        return start == other_start
    if "{" not in one:
        return start.startswith(other_start) and start != other_start
    if "{" not in other:
        return other_start.startswith(start) and start != other_start
    return start.startswith(other_start) or other_start.startswith(start)


def is_more_literal(one: str, other: str) -> bool:
    """Return whether, at the first segment where only one of the templates has a parameter, it is *other*."""
    return ["{" in segment for segment in one.split("/")] < ["{" in segment for segment in other.split("/")]


def wrongly_ordered(triggers: list[Trigger]) -> list[tuple[str, str]]:
    """Return pairs of names where the host would try the less literal of two overlapping templates first."""
    pairs = [(one, other) for one, other in combinations(sorted(triggers, key=lambda one: one.name), 2)]
    return [
        (one.name, other.name)
        for one, other in pairs
        if one.method == other.method
        and overlap(one.template, other.template)
        and not is_more_literal(one.template, other.template)
    ]


def test_order() -> None:
    """Of two overlapping templates with one method the more literal has the smaller name (architecture §4.1)."""
    assert wrongly_ordered(TRIGGERS) == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("v{version}/studies/$bulkUpdate", "v{version}/studies/{study}", True),
        ("v{version}/studies/{study}/series", "v{version}/studies/{study}/instances", False),
        ("v{version}/studies", "v{version}/studies/{study}", False),
        ("v{version}/studies", "health/check", False),
        ("v{version}/studies", "viewer/studies", True),
        ("v{version}/Studies", "v{version}/studies", True),
        ("v{version}/{a}/x", "v{version}/y/{b}", True),
        ("v/studies", "v{version}/studies", False),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    """Templates overlap when one path matches both, whatever the case of its letters."""
    assert overlap(one, other) is overlap(other, one) is expected


def test_wrong_order_is_found() -> None:
    """A name that would hide another function is found, so the order is not right by the luck of having no overlaps."""
    literal, open_one = "v{version}/studies/$bulkUpdate", "v{version}/studies/{study}"
    store = Trigger("store_instances_in_study", "POST", open_one)

    assert wrongly_ordered([Trigger("bulk_update_studies", "POST", literal), store]) == []
    assert wrongly_ordered([Trigger("update_studies", "POST", literal), store]) == [(store.name, "update_studies")]
    assert wrongly_ordered([Trigger("update_studies", "GET", literal), store]) == []


def test_no_prefix() -> None:
    """Paths begin with the version: the host adds no prefix of its own (host.json)."""
    host = json.loads((Path(__file__).parents[2] / "host.json").read_text("utf-8"))

    assert host["extensions"]["http"]["routePrefix"] == ""
