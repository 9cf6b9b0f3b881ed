"""What the real worker and host refuse when they load an app, refused here at start in one sentence each."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import azure.functions
from azurefunctions.extensions.base import HttpV2FeatureChecker, RequestTrackerMeta, ResponseTrackerMeta

from localhost.functions import Binding, Function
from localhost.problems import SetupError

_RESERVED_ROUTES = ("admin", "runtime")
_WORKER_PATHS = frozenset({"docs", "docs/oauth2-redirect", "redoc", "openapi.json"})
_TRIGGERS = frozenset({"httpTrigger", "queueTrigger", "timerTrigger"})
_OUTPUTS = frozenset({"http", "queue"})
_registry: Callable[[], Any] = azure.functions.get_binding_registry


def check_functions(functions: Sequence[Function], *, route_prefix: str, environment: Mapping[str, str]) -> None:
    """Raise `SetupError` for the first function that the real worker or host would refuse."""
    if any(function.trigger.kind == "httpTrigger" for function in functions):
        check_indexing(environment)
        _check_extension()
    for function in functions:
        _check_kinds(function)
        _check_signature(function)
        if function.trigger.kind == "httpTrigger":
            _check_route(function, route_prefix)


def check_indexing(environment: Mapping[str, str], version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Refuse what would make every HTTP request hang: Python before 3.13 without `PYTHON_ENABLE_INIT_INDEXING`."""
    is_on = environment.get("PYTHON_ENABLE_INIT_INDEXING", "").lower() in {"1", "true", "t", "yes", "y"}
    if version < (3, 13) and not is_on:
        raise SetupError("PYTHON_ENABLE_INIT_INDEXING is not 1; without it the worker of Python 3.10 to 3.12 hangs")


def _check_extension() -> None:
    if not HttpV2FeatureChecker.http_v2_enabled():
        raise SetupError("function_app.py has HTTP functions but never imports azurefunctions.extensions.http.fastapi")


def _check_kinds(function: Function) -> None:
    if function.trigger.kind not in _TRIGGERS:
        raise SetupError(
            f"function {function.name} has a {function.trigger.kind}; expected an HTTP, queue or timer trigger"
        )
    for binding in function.bindings:
        if binding.direction == "INOUT":
            raise SetupError(f"function {function.name}: binding {binding.name} is inout, which is not supported")
        if binding is not function.trigger and (binding.direction == "IN" or binding.kind not in _OUTPUTS):
            raise SetupError(
                f"function {function.name}: binding {binding.name} is of type {binding.kind};"
                " the local host has queue outputs only"
            )


def _check_route(function: Function, route_prefix: str) -> None:
    route = str(function.trigger.details.get("route") or function.name).strip("/").lower()
    if route.startswith(_RESERVED_ROUTES):
        raise SetupError(f"function {function.name} has the route {route!r}; those of admin and runtime are the host's")
    if not route_prefix and route in _WORKER_PATHS:
        raise SetupError(f"function {function.name} has the route {route!r}, which the worker answers itself")


def _check_signature(function: Function) -> None:
    """Hold the signature against the bindings, as the worker does when it registers a function."""
    parameters = set(inspect.signature(function.handler).parameters)
    if function.wants_context:
        parameters.discard("context")
    bound = {binding.name: binding for binding in function.bindings if binding.name != "$return"}
    if missing := sorted(bound.keys() - parameters):
        raise SetupError(f"function {function.name} lacks the parameter {missing[0]!r}, which is bound")
    if unbound := sorted(parameters - bound.keys()):
        raise SetupError(f"function {function.name} has a parameter {unbound[0]!r} that no binding gives")
    try:
        annotations = get_type_hints(function.handler)
    except Exception as error:
        raise SetupError(f"function {function.name} has annotations that cannot be read: {error}") from error
    for name, binding in bound.items():
        if name in annotations:
            _check_parameter(function, binding, annotations[name])
    _check_return(function, annotations)


def _check_parameter(function: Function, binding: Binding, annotation: Any) -> None:
    is_out = _is_out(annotation)
    if is_out != (binding.direction == "OUT"):
        raise SetupError(
            f"function {function.name}: parameter {binding.name} is annotated {annotation!r},"
            f" but its binding's direction is {binding.direction.lower()}"
        )
    value_type = get_args(annotation)[0] if is_out and get_args(annotation) else annotation
    if get_origin(value_type) in {Union, UnionType}:
        raise SetupError(f"function {function.name}: parameter {binding.name} is annotated with a union")
    if binding.kind == "httpTrigger":
        if not RequestTrackerMeta.check_type(value_type):
            raise SetupError(
                f"function {function.name} takes {_name(value_type)}; the HTTP functions of an app all take the"
                " Request of azurefunctions.extensions.http.fastapi"
            )
    elif not _fits(binding, value_type):
        raise SetupError(f"function {function.name}: {_name(value_type)} is no type for a {binding.kind}")


def _check_return(function: Function, annotations: Mapping[str, Any]) -> None:
    returned = [binding for binding in function.bindings if binding.name == "$return"]
    if not returned or "return" not in annotations:
        return
    annotation = annotations["return"]
    if not isinstance(annotation, type) or _is_out(annotation):
        raise SetupError(
            f"function {function.name} has the return annotation {_name(annotation)}; expected one type, not a union"
        )
    fits = ResponseTrackerMeta.check_type(annotation) if returned[0].kind == "http" else _fits(returned[0], annotation)
    if not fits:
        raise SetupError(
            f"function {function.name} returns {_name(annotation)}, no type for binding {returned[0].kind}"
        )


def _fits(binding: Binding, annotation: Any) -> bool:
    if annotation in {str, bytes}:
        return True
    converter = _registry().get(binding.kind)
    if binding.direction == "OUT":
        return bool(converter.check_output_type_annotation(annotation))
    return isinstance(annotation, type) and bool(converter.check_input_type_annotation(annotation))


def _is_out(annotation: Any) -> bool:
    return getattr(get_origin(annotation) or annotation, "__name__", "") == "Out"


def _name(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
