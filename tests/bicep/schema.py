"""What Azure's resource types take: a tree of properties for each type and API version.

A node of the tree has `t` (its type), `props`, `items`, `map` (free keys), `req`, `ro` (read only), `enum` with
`closed`, or `discriminator` and `variants`.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from tree_sitter import Node

from tests.bicep.syntax import BicepFile, Declaration, Finding, body, line_of, literal, pairs, text

Tree = dict[str, Any]
Properties = dict[str, tuple[Node, Node]]

_STRING: Tree = {"t": "string"}
_ROTATION: Tree = {
    "t": "object",
    "props": {
        "attributes": {"t": "object", "props": {"expiryTime": _STRING}},
        "lifetimeActions": {
            "t": "array",
            "items": {
                "t": "object",
                "props": {
                    "action": {"t": "object", "props": {"type": {"t": "string", "enum": ["rotate", "notify"]}}},
                    "trigger": {"t": "object", "props": {"timeAfterCreate": _STRING, "timeBeforeExpiry": _STRING}},
                },
            },
        },
    },
}

NOT_IN_DATA: dict[str, Tree] = {
    "Microsoft.KeyVault/vaults/keys@2024-11-01": {
        "t": "object",
        "props": {
            "id": {"ro": 1},
            "name": {"t": "string", "req": 1},
            "tags": {"t": "object", "map": 1},
            "properties": {
                "t": "object",
                "req": 1,
                "props": {
                    "kty": {"t": "string", "enum": ["RSA", "RSA-HSM", "EC", "EC-HSM"]},
                    "keySize": {"t": "int"},
                    "keyOps": {"t": "array", "items": _STRING},
                    "rotationPolicy": _ROTATION,
                    "keyUri": {"ro": 1},
                    "keyUriWithVersion": {"ro": 1},
                },
            },
        },
    },
    "Microsoft.Sql/servers/encryptionProtector@2023-08-01": {
        "t": "object",
        "props": {
            "id": {"ro": 1},
            "name": {"t": "string", "req": 1, "enum": ["current"], "closed": 1},
            "properties": {
                "t": "object",
                "props": {
                    "autoRotationEnabled": {"t": "bool"},
                    "serverKeyName": _STRING,
                    "serverKeyType": {"t": "string", "req": 1, "enum": ["AzureKeyVault", "ServiceManaged"]},
                },
            },
        },
    },
}
"""Types that the type definitions we were given lack; from Azure's template reference, the properties that we use."""

_LANGUAGE = ("scope", "parent", "dependsOn")
"""Keys of a resource's body that belong to Bicep."""

_GIVEN = ("apiVersion", "type")

_VALUES = {"string": "string", "number": "int", "boolean": "bool", "object": "object", "array": "array",
           "for_statement": "array"}  # fmt: skip
"""Types of literals by node."""

_RETURNS = {
    "string": "string", "toLower": "string", "trim": "string", "guid": "string", "uniqueString": "string",
    "subscriptionResourceId": "string", "resourceId": "string", "cidrSubnet": "string",
    "int": "int", "max": "int", "min": "int", "length": "int", "empty": "bool", "contains": "bool",
    "concat": "array", "items": "array", "split": "array", "filter": "array", "map": "array",
    "toObject": "object",
}  # fmt: skip
"""Types of the results of functions."""


@cache
def load(path: Path) -> dict[str, Tree]:
    """Return every known type by `Type@version`."""
    known: dict[str, Tree] = json.loads(path.read_text())
    return known | NOT_IN_DATA


def type_of_resource(resource: Declaration) -> str:
    """Return `Type@version`; a nested resource names only the last part of its type."""
    if resource.owner is None:
        return resource.label
    outer, _, version = type_of_resource(resource.owner).partition("@")
    name, _, own = resource.label.partition("@")
    return f"{outer}/{name}@{own or version}"


def check_resources(file: BicepFile, types: dict[str, Tree]) -> Iterator[Finding]:
    """Yield what the types of the resources in *file* do not allow."""
    for one in file.declarations:
        if one.kind != "resource":
            continue
        tree = types.get(type_of_resource(one))
        if tree is None:
            yield Finding(file.path, one.line, "type", f"{type_of_resource(one)} is not a known type and version")
            continue
        content = body(one.value)
        if content is None:
            yield Finding(file.path, one.line, "type", f"{one.name} has no body")
        elif one.existing:
            if "name" not in pairs(content):
                yield Finding(file.path, one.line, "required", f"{one.name}: 'name' is missing")
        else:
            yield from _Check(file, one).object(_own(pairs(content)), tree, type_of_resource(one), line_of(content))


def static_type(node: Node, file: BicepFile) -> str | None:
    """Return string, int, bool, object or array for what an expression gives; None where it cannot be told."""
    if node.type == "parenthesized_expression":
        return static_type(node.named_children[0], file)
    if node.type == "ternary_expression":
        sides = {static_type(side, file) for side in node.named_children[1:]} - {None}
        return sides.pop() if len(sides) == 1 else None
    if node.type == "identifier":
        return _type_of_symbol(file.symbol(text(node)), file)
    if node.type == "call_expression":
        return _RETURNS.get(text(node.named_children[0]))
    if node.type == "unary_expression":
        return "bool" if text(node).startswith("!") else "int"
    return _VALUES.get(node.type)


def _type_of_symbol(symbol: Declaration | None, file: BicepFile) -> str | None:
    if symbol is not None and symbol.kind == "param":
        return declared_type(symbol)
    if symbol is not None and symbol.kind == "var" and symbol.value is not None:
        return static_type(symbol.value, file)
    return None


def declared_type(parameter: Declaration) -> str:
    """Return string, int, bool, object or array for a parameter."""
    return "array" if parameter.label.endswith("[]") else parameter.label


def _own(properties: Properties) -> Properties:
    return {name: pair for name, pair in properties.items() if name not in _LANGUAGE}


class _Check:
    """Walks the body of one resource and its type side by side."""

    def __init__(self, file: BicepFile, resource: Declaration) -> None:
        self._file = file
        self._variables = file.of("var")
        self._resource = resource

    def _finding(self, line: int, rule: str, message: str) -> Finding:
        return Finding(self._file.path, line, rule, message)

    def object(self, given: Properties, tree: Tree, path: str, line: int) -> Iterator[Finding]:
        """Yield what is wrong with the properties *given* for *tree*."""
        props = _props(given, tree)
        if props is None:
            return
        for name, (key, value) in given.items():
            known = props.get(name)
            if known is None and "map" not in tree:
                close = next((one for one in props if one.lower() == name.lower()), None)
                yield self._finding(
                    line_of(key), "property", f"{path}: {name!r} is unknown{f'; {close!r} is meant?' if close else ''}"
                )
            elif known is not None and known.get("ro"):
                yield self._finding(line_of(key), "property", f"{path}: {name!r} is read only")
            elif known is not None:
                yield from self.value(value, known, f"{path}.{name}")
        for name, known in props.items():
            if known.get("req") and name not in given and name not in _GIVEN:
                yield self._finding(line, "required", f"{path}: {name!r} is missing")

    def value(self, node: Node, tree: Tree, path: str) -> Iterator[Finding]:
        """Yield what is wrong with one value, whichever way a condition goes."""
        kind, wanted = static_type(node, self._file), tree.get("t")
        if kind is not None and wanted in _VALUES.values() and kind != wanted and text(node) != "null":
            yield self._finding(line_of(node), "type", f"{path}: {kind} where {wanted} is expected")
            return
        for alternative in self._alternatives(node):
            if wanted == "array":
                for element in _elements(alternative):
                    yield from self.value(element, tree.get("items", {}), f"{path}[]")
            elif wanted == "object":
                for properties in self._objects(alternative):
                    yield from self.object(properties, tree, path, line_of(alternative))
            elif (known := tree.get("enum")) and (said := literal(alternative)) is not None and said not in known:
                yield self._finding(line_of(alternative), "value", f"{path}: {said!r} is none of {known}")

    def _alternatives(self, node: Node) -> Iterator[Node]:
        """Yield each expression that the value may come from, looking through variables, parameters and conditions."""
        if node.type == "parenthesized_expression":
            yield from self._alternatives(node.named_children[0])
        elif node.type == "ternary_expression":
            for side in node.named_children[1:]:
                yield from self._alternatives(side)
        elif node.type == "identifier" and text(node) in self._variables:
            value = self._variables[text(node)].value
            if value is not None:
                yield from self._alternatives(value)
        elif node.type == "identifier" and text(node) in self._file.of("param"):
            allowed = self._file.of("param")[text(node)].decorators.get("allowed")
            yield from allowed[0].named_children if allowed else ()
        elif node.type == "call_expression" and text(node.named_children[0]) == "concat":
            for argument in node.named_children[1].named_children:
                yield from self._alternatives(argument)
        else:
            yield node

    def _objects(self, node: Node) -> Iterator[Properties]:
        """Yield the properties of each object that the value may be."""
        if node.type == "object":
            yield pairs(node)
        elif node.type == "call_expression" and text(node.named_children[0]) == "union":
            choices = [
                [found for side in self._alternatives(argument) for found in self._objects(side)]
                for argument in node.named_children[1].named_children
            ]
            for parts in product(*choices):
                merged: Properties = {}
                for part in parts:
                    merged |= part
                yield merged
        elif node.type == "subscript_expression" and text(node.named_children[0]) in self._variables:
            table = self._variables[text(node.named_children[0])].value
            if table is not None and table.type == "object":
                for _, entry in pairs(table).values():
                    for side in self._alternatives(entry):
                        yield from self._objects(side)


def _elements(node: Node) -> Sequence[Node]:
    if node.type == "array":
        return [child for child in node.named_children if child.type != "comment"]
    if node.type == "for_statement":
        content = body(node)
        return [content] if content is not None else []
    return []


def _props(given: Properties, tree: Tree) -> Tree | None:
    if "variants" not in tree:
        return tree.get("props")
    chosen = given.get(tree["discriminator"])
    variant = tree["variants"].get(literal(chosen[1])) if chosen else None
    props: Tree | None = variant.get("props") if variant else None
    return props
