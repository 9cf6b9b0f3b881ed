"""Route templates as ASP.NET Core writes them: `v{version}`, `{name?}`, `{n:int}`, `{name=default}`, `{*rest}`.

A template becomes one regular expression over the path, in which every segment begins with its slash. A segment never
holds a slash of its own, because `%2F` stays encoded.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localhost.problems import SetupError

Constraint = Callable[[str], bool]

# One part of a segment: a parameter in braces (regex constraints double their own braces), or literal text.
_PART = re.compile(
    r"\{(?P<stars>\*{0,2})(?P<name>[A-Za-z_][\w-]*)(?P<rest>(?:[^{}]|\{\{|\}\})*)\}|(?P<literal>[^{}]+)", re.ASCII
)
_CONSTRAINT = re.compile(r":(?P<name>[A-Za-z]+)(?:\((?P<arguments>(?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\))?")
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; *fewest* and *most* bound the number of segments that it can match."""

    text: str
    pattern: re.Pattern[str]
    names: Mapping[str, str]
    defaults: Mapping[str, str]
    constraints: tuple[tuple[str, Constraint], ...]
    fewest: int
    most: int

    def match(self, path: str) -> dict[str, str] | None:
        """Return the route values of *path* (`""` or `/a/b`), or None when it does not match."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values = {name: found[group] or self.defaults.get(name, "") for group, name in self.names.items()}
        values = {name: value for name, value in values.items() if value}
        if all(holds(values[name]) for name, holds in self.constraints if name in values):
            return values
        return None


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    is_rest: bool
    is_optional: bool
    default: str | None
    constraints: tuple[Constraint, ...]


def parse_template(text: str) -> Template:
    """Compile a template.

    Raises
    ------
    SetupError
        The text is not a template, or names an unknown constraint.
    """
    segments = [_parse_segment(segment, text) for segment in _split(text.strip("/"))]
    parameters = [part for segment in segments for part in segment if isinstance(part, _Parameter)]
    if len({parameter.name.lower() for parameter in parameters}) < len(parameters):
        raise SetupError(f"route {text!r} uses a parameter name twice")
    has_rest = any(parameter.is_rest for parameter in parameters)
    groups = {f"g{index}": parameter.name for index, parameter in enumerate(parameters)}
    group_of = {name: group for group, name in groups.items()}
    pattern = "".join(_segment_pattern(segment, group_of) for segment in segments)
    return Template(
        text=text,
        pattern=re.compile(pattern, re.IGNORECASE | re.DOTALL),
        names=groups,
        defaults={one.name: one.default for one in parameters if one.default is not None},
        constraints=tuple((one.name, constraint) for one in parameters for constraint in one.constraints),
        fewest=sum(not _may_lack(segment) for segment in segments),
        most=_NO_LIMIT if has_rest else len(segments),
    )


def _split(text: str) -> list[str]:
    """Split at slashes outside braces."""
    if not text:
        return []
    pieces, depth = [""], 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if character == "/" and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def _parse_segment(segment: str, template: str) -> list[str | _Parameter]:
    parts: list[str | _Parameter] = []
    position = 0
    while position < len(segment):
        part = _PART.match(segment, position)
        if part is None:
            break
        parts.append(part["literal"] or _parse_parameter(part, template))
        position = part.end()
    if not parts or position < len(segment):
        raise SetupError(f"route {template!r} has a segment {segment!r} that is empty or not well formed")
    if len(parts) > 1 and any(isinstance(part, _Parameter) and part.is_rest for part in parts):
        raise SetupError(f"route {template!r} has a catch-all parameter that is not a segment of its own")
    return parts


def _parse_parameter(part: re.Match[str], template: str) -> _Parameter:
    rest = part["rest"]
    is_optional = rest.endswith("?")
    rest = rest.removesuffix("?")
    constraints: list[Constraint] = []
    while found := _CONSTRAINT.match(rest):
        constraints.append(_constraint(found["name"].lower(), found["arguments"], template))
        rest = rest[found.end() :]
    if rest and not rest.startswith("="):
        raise SetupError(f"route {template!r} has a parameter {part['name']!r} that is not well formed")
    default = rest[1:] if rest else None
    return _Parameter(part["name"], bool(part["stars"]), is_optional, default, tuple(constraints))


def _may_lack(segment: list[str | _Parameter]) -> bool:
    """Say whether a path may end before this segment."""
    only = segment[0]
    if len(segment) > 1 or isinstance(only, str):
        return False
    return only.is_rest or only.is_optional or only.default is not None


def _segment_pattern(parts: list[str | _Parameter], group_of: Mapping[str, str]) -> str:
    """Return the expression of one segment with its leading slash."""
    only = parts[0]
    if len(parts) == 1 and isinstance(only, _Parameter):
        group = f"(?P<{group_of[only.name]}>{'.*' if only.is_rest else '[^/]+'})"
        return f"(?:/{group})?" if _may_lack(parts) else f"/{group}"
    pattern = "/"
    for index, part in enumerate(parts):
        if isinstance(part, str):
            pattern += re.escape(part)
            continue
        if part.is_optional and index and pattern.endswith(r"\."):  # {file}.{extension?}: the dot goes with it
            before = pattern[:-2].replace("[^/]+)", "[^/]+?)")
            pattern = f"{before}(?:\\.(?P<{group_of[part.name]}>[^/.]+))?"
        else:
            pattern += f"(?P<{group_of[part.name]}>[^/]+)"
    return pattern


def _constraint(name: str, arguments: str | None, template: str) -> Constraint:
    if arguments is None and name in _KINDS:
        kind = _KINDS[name]
        return lambda value: kind.fullmatch(value) is not None
    if arguments is not None and name == "regex":
        expression = re.compile(arguments.replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
        return lambda value: expression.search(value) is not None
    if arguments is not None and name in _BOUNDS:
        try:
            numbers = [int(number) for number in arguments.split(",")]
        except ValueError as error:
            raise SetupError(f"route {template!r} has a constraint {name!r} whose bounds are not numbers") from error
        return _BOUNDS[name](numbers)
    raise SetupError(f"route {template!r} has an unknown constraint {name!r}")


def _length(low: int, high: int) -> Constraint:
    return lambda value: low <= len(value) <= high


def _range(low: int, high: int) -> Constraint:
    return lambda value: _KINDS["int"].fullmatch(value) is not None and low <= int(value) <= high


_KINDS = {
    "alpha": re.compile("[A-Za-z]+"),
    "bool": re.compile("true|false", re.IGNORECASE),
    "decimal": re.compile(r"[-+]?[0-9.]+"),
    "double": re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"),
    "float": re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"),
    "guid": re.compile("[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}"),
    "int": re.compile(r"[-+]?[0-9]+"),
    "long": re.compile(r"[-+]?[0-9]+"),
    "required": re.compile(".+", re.DOTALL),
}

_BOUNDS: dict[str, Callable[[list[int]], Constraint]] = {
    "length": lambda numbers: _length(numbers[0], numbers[-1]),
    "max": lambda numbers: _range(-_NO_LIMIT, numbers[0]),
    "maxlength": lambda numbers: _length(0, numbers[0]),
    "min": lambda numbers: _range(numbers[0], _NO_LIMIT),
    "minlength": lambda numbers: _length(numbers[0], _NO_LIMIT),
    "range": lambda numbers: _range(numbers[0], numbers[-1]),
}
