"""Whether every name in a Bicep file leads somewhere, and everything declared is used."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from tests.bicep.schema import Tree, declared_type, static_type, type_of_resource
from tests.bicep.syntax import BicepFile, Declaration, Finding, body, line_of, literal, pairs, text, walk

_FUNCTIONS = """
    any array base64 base64ToString cidrHost cidrSubnet concat contains createObject dateTimeAdd deployer
    deployment empty endsWith environment fail filter first flatten format getSecret groupBy guid indexOf int
    intersection items join json last length loadFileAsBase64 loadJsonContent loadTextContent map mapValues max min
    nameof objectKeys padLeft parseCidr range reduce replace resourceGroup resourceId shallowMerge skip sort split
    startsWith string subscription subscriptionResourceId substring take tenant toLower toObject toUpper trim union
    uniqueString uri utcNow
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
DECORATORS = frozenset(
    "allowed batchSize description maxLength maxValue metadata minLength minValue secure".split()  # noqa: SIM905
)
_NAMESPACES = ("sys", "az")


def check_names(file: BicepFile, files: Mapping[Path, BicepFile], types: Mapping[str, Tree]) -> Iterator[Finding]:
    """Yield names that lead nowhere, things nobody uses, and modules that are called wrongly."""
    yield from _twice(file)
    used: set[str] = set()
    for node, local in _identifiers(file.root, frozenset()):
        name = text(node)
        if file.symbol(name) is not None:
            used.add(name)
        elif name not in local and name not in _nested_around(file, node):
            yield Finding(file.path, line_of(node), "undefined", f"{name!r} is declared nowhere")
    for one in file.declarations:
        idle = one.kind in {"param", "var"} or (one.kind == "resource" and one.existing)
        if idle and one.owner is None and one.name not in used:
            yield Finding(file.path, one.line, "unused", f"{one.kind} {one.name!r} is used nowhere")
    yield from _uses(file, files, types)
    for module in file.of("module").values():
        yield from _call(file, files, module)


def module_path(file: BicepFile, module: Declaration) -> Path:
    """Return the file that a module names."""
    return (file.path.parent / module.label).resolve()


def _twice(file: BicepFile) -> Iterator[Finding]:
    seen: set[tuple[bool, str]] = set()
    for one in file.declarations:
        if one.owner is not None:
            continue
        if (one.kind == "output", one.name) in seen:
            yield Finding(file.path, one.line, "undefined", f"{one.name!r} is declared twice")
        seen.add((one.kind == "output", one.name))


def _identifiers(node: Node, local: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """Yield identifiers that stand for something, each with the names of the loops and lambdas around it."""
    children = list(node.named_children)
    if node.type in {"decorators", "type"}:
        return
    if node.type == "identifier":
        yield node, local
        return
    if node.type in {"for_statement", "lambda_expression"}:
        names, *children = children
        local |= {text(one) for one in (names.named_children or [names])}
    elif node.type.endswith("_declaration"):
        children = children[1:]
    elif node.type in {"object_property", "call_expression"}:
        children = children[1:] if len(children) > 1 and children[0].type == "identifier" else children
    elif node.type == "member_expression":
        children = [] if text(children[0]) in _NAMESPACES else children[:1]
    elif node.type == "resource_expression":
        children = children[:1]
    for child in children:
        yield from _identifiers(child, local)


def _nested_around(file: BicepFile, node: Node) -> set[str]:
    """Return the names of the nested resources that *node* may use: those of the resources around it."""
    return {one.name for one in file.declarations if one.owner is not None and _within(node, one.owner.node)}


def _within(node: Node, outer: Node) -> bool:
    return bool(outer.start_byte <= node.start_byte and node.end_byte <= outer.end_byte)


def _uses(file: BicepFile, files: Mapping[Path, BicepFile], types: Mapping[str, Tree]) -> Iterator[Finding]:
    for node in walk(file.root):
        if node.type == "call_expression":
            yield from _function(file, node)
        elif node.type == "member_expression":
            yield from _member(file, files, types, node)
        elif node.type == "resource_expression":
            yield from _nested(file, node)
        elif node.type == "subscript_expression":
            yield from _subscript(file, node)


def _function(file: BicepFile, node: Node) -> Iterator[Finding]:
    called = node.named_children[0]
    is_decorator = node.parent is not None and node.parent.type == "decorator"
    if called.type == "identifier" and text(called) not in (DECORATORS if is_decorator else FUNCTIONS):
        yield Finding(file.path, line_of(node), "undefined", f"{text(called)!r} is no known function")


def _member(
    file: BicepFile, files: Mapping[Path, BicepFile], types: Mapping[str, Tree], node: Node
) -> Iterator[Finding]:
    """A property of a module's outputs, of a resource, or of a variable that is an object."""
    if node.parent is not None and node.parent.type == "member_expression" and node.parent.named_children[0] == node:
        return  # the whole chain is looked at once
    steps: list[str] = []
    while node.type == "member_expression":
        steps.insert(0, text(node.named_children[1]))
        node = node.named_children[0]
    found = _nested_target(file, node) if node.type == "resource_expression" else file.symbol(text(node))
    if found is None:
        return
    if found.kind == "module":
        yield from _output(file, files, found, steps, line_of(node))
    elif found.kind == "resource":
        tree = types.get(type_of_resource(found))
        yield from _path(file, tree, steps, f"{found.name} ({type_of_resource(found)})", line_of(node))
    elif found.kind == "var" and found.value is not None and not _may_have(found.value, steps[0]):
        yield Finding(file.path, line_of(node), "undefined", f"variable {found.name} has no {steps[0]!r}")


def _may_have(value: Node, name: str) -> bool:
    return value.type != "object" or name in pairs(value)


def _output(
    file: BicepFile, files: Mapping[Path, BicepFile], module: Declaration, steps: list[str], line: int
) -> Iterator[Finding]:
    target = files.get(module_path(file, module))
    if steps[0] != "outputs":
        yield Finding(file.path, line, "undefined", f"module {module.name} has no {steps[0]!r}, only outputs")
    elif target is not None and len(steps) > 1 and steps[1] not in target.of("output"):
        yield Finding(file.path, line, "undefined", f"{module.label} has no output {steps[1]!r}")


def _path(file: BicepFile, tree: Tree | None, steps: list[str], what: str, line: int) -> Iterator[Finding]:
    for step in steps:
        if tree is None or tree.get("ro") or "map" in tree or "props" not in tree:
            return
        if step not in tree["props"]:
            yield Finding(file.path, line, "property", f"{what} has no {step!r}")
            return
        tree = tree["props"][step]


def _nested_target(file: BicepFile, node: Node) -> Declaration | None:
    names = text(node).split("::")
    found = file.symbol(names[0])
    for name in names[1:]:
        found = next((one for one in file.declarations if one.owner is found and one.name == name), None)
        if found is None:
            return None
    return found


def _nested(file: BicepFile, node: Node) -> Iterator[Finding]:
    if _nested_target(file, node) is None:
        yield Finding(file.path, line_of(node), "undefined", f"{text(node)!r} is no nested resource")


def _subscript(file: BicepFile, node: Node) -> Iterator[Finding]:
    """An entry of a table: a literal key must be there, and so must each that a loop takes from a list."""
    table = file.of("var").get(text(node.named_children[0]))
    if table is None or table.value is None or table.value.type != "object":
        return
    keys = pairs(table.value)
    for asked in _possible(file, node.named_children[1]):
        if asked not in keys:
            yield Finding(file.path, line_of(node), "undefined", f"variable {table.name} has no {asked!r}")


def _possible(file: BicepFile, index: Node) -> list[str]:
    if (said := literal(index)) is not None:
        return [said]
    name = text(index)
    if name in file.of("param") and (allowed := file.of("param")[name].decorators.get("allowed")):
        return [said for one in allowed[0].named_children if (said := literal(one)) is not None]
    loop = index.parent
    while loop is not None and not (loop.type == "for_statement" and text(loop.named_children[0]) == name):
        loop = loop.parent
    source = file.of("var").get(text(loop.named_children[1])) if loop is not None else None
    if source is None or source.value is None or source.value.type != "array":
        return []
    return [said for one in source.value.named_children if (said := literal(one)) is not None]


def _call(file: BicepFile, files: Mapping[Path, BicepFile], module: Declaration) -> Iterator[Finding]:
    target = files.get(module_path(file, module))
    content = body(module.value)
    if target is None or content is None:
        yield Finding(file.path, module.line, "module", f"{module.label} is no file of this deployment")
        return
    top = pairs(content)
    for name in top.keys() - {"name", "params", "scope", "dependsOn"}:
        yield Finding(file.path, module.line, "module", f"{module.name}: a module takes no {name!r}")
    given = pairs(top["params"][1]) if "params" in top else {}
    wanted = target.of("param")
    for name, (key, value) in given.items():
        if name not in wanted:
            yield Finding(file.path, line_of(key), "module", f"{module.label} takes no parameter {name!r}")
            continue
        kind = static_type(value, file)
        expected = declared_type(wanted[name])
        if kind is not None and kind != expected:
            yield Finding(file.path, line_of(key), "module", f"{name}: {kind} where {expected} is expected")
    for name, parameter in wanted.items():
        if parameter.value is None and name not in given:
            yield Finding(file.path, module.line, "module", f"{module.label} needs parameter {name!r}")
