"""The functions of an app, read the way the Functions worker indexes `function_app.py`."""

import importlib.util
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from azure.functions import FunctionRegister

from localhost.problems import SetupError

_FUNCTION_NAME = re.compile("[A-Za-z][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of a function; `details` is what its decorator said, by the names of function.json."""

    name: str
    kind: str
    direction: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the app."""

    name: str
    handler: Callable[..., Any]
    trigger: Binding
    bindings: tuple[Binding, ...]
    is_async: bool
    wants_context: bool

    @property
    def outputs(self) -> tuple[Binding, ...]:
        """The bindings that the function writes to, but for its HTTP answer."""
        return tuple(one for one in self.bindings if one.direction == "OUT" and one.kind != "http")


def read_functions(folder: Path) -> list[Function]:
    """Import `function_app.py` of *folder* and return its functions.

    Raises
    ------
    SetupError
        The module does not load, has no or several apps, or the app refuses its own functions.
    """
    app = _only_app(_import_app(folder))
    try:
        indexed = app.get_functions()
    except Exception as error:
        raise SetupError(f"function_app.py is refused: {error}") from error
    functions = [_read(one) for one in indexed]
    _check_names(function.name for function in functions)
    return functions


def _import_app(folder: Path) -> ModuleType:
    file = folder / "function_app.py"
    if not file.is_file():
        raise SetupError(f"there is no function_app.py in {folder}")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("function_app", file)
    if spec is None or spec.loader is None:
        raise SetupError(f"{file} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise SetupError(f"function_app.py does not load: {_describe(error)}") from error
    return module


def _describe(error: BaseException) -> str:
    """Say on one line what was raised and where."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{place}"


def _only_app(module: ModuleType) -> Any:
    """Return the one app at the top of the module, under however many names."""
    apps = {id(value): value for value in vars(module).values() if isinstance(value, FunctionRegister)}
    if len(apps) != 1:
        raise SetupError(f"function_app.py has {len(apps)} FunctionApp objects at its top level; expected exactly one")
    return next(iter(apps.values()))


def _read(indexed: Any) -> Function:
    name = indexed.get_function_name()
    bindings = tuple(
        Binding(one["name"], one["type"], str(one["direction"]).upper(), one)
        for one in map(json.loads, indexed.get_raw_bindings())
    )
    triggers = [one for one in bindings if one.kind.lower().endswith("trigger")]
    if len(triggers) != 1:
        raise SetupError(f"function {name} has {len(triggers)} triggers; expected exactly one")
    handler = indexed.get_user_function()
    bound = {one.name for one in bindings}
    return Function(
        name=name,
        handler=handler,
        trigger=triggers[0],
        bindings=bindings,
        is_async=inspect.iscoroutinefunction(handler),
        wants_context="context" in inspect.signature(handler).parameters and "context" not in bound,
    )


def _check_names(names: Iterable[str]) -> None:
    """Refuse names that the host refuses: it compares them without case."""
    seen: set[str] = set()
    for name in names:
        if not _FUNCTION_NAME.fullmatch(name):
            raise SetupError(f"function {name} has a name with other than letters, digits, - and _")
        if name.lower() in seen:
            raise SetupError(f"function {name} is there twice; function names must differ by more than case")
        seen.add(name.lower())
