"""Bicep files as values: what each declares, and where (grammar: tree-sitter-bicep)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))

KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}

UNREAD = {
    "type_declaration": "type",
    "user_defined_function": "func",
    "import_statement": "import",
    "import_functionality": "import",
    "compile_time_import": "import",
    "assert_statement": "assert",
}
"""Statements of the language that this project does without, so that the checker need not follow them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, with its place."""

    path: Path
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        """Write it as compilers do."""
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class Declaration:
    """A param, var, resource, module or output.

    Parameters
    ----------
    label
        Text behind the name: the declared type, or the quoted string of a resource or module.
    value
        Expression, body or default; None where there is none.
    decorators
        Arguments by decorator, as written.
    owner
        Of a nested resource, the one around it.
    """

    kind: str
    name: str
    node: Node
    label: str
    value: Node | None
    existing: bool = False
    decorators: dict[str, list[Node]] = field(default_factory=dict)
    owner: "Declaration | None" = None

    @property
    def line(self) -> int:
        """Where it begins."""
        return line_of(self.node)


@dataclass(frozen=True, slots=True)
class BicepFile:
    """One file."""

    path: Path
    root: Node
    declarations: tuple[Declaration, ...]
    _kinds: dict[str, dict[str, Declaration]]

    def of(self, kind: str) -> dict[str, Declaration]:
        """Return the declarations of one kind by name; nested resources are not among them."""
        return self._kinds[kind]

    def symbol(self, name: str) -> Declaration | None:
        """Return what an expression at the top of the file means by *name*."""
        found = (self._kinds[kind].get(name) for kind in ("param", "var", "resource", "module"))
        return next((one for one in found if one is not None), None)


def read(path: Path) -> BicepFile:
    """Return what is declared in a file, however broken it is."""
    root = _PARSER.parse(path.read_bytes()).root_node
    declarations = tuple(_declarations(root, None))
    kinds: dict[str, dict[str, Declaration]] = {kind: {} for kind in KINDS.values()}
    for one in declarations:
        if one.owner is None:
            kinds[one.kind][one.name] = one
    return BicepFile(path, root, declarations, kinds)


def faults(file: BicepFile) -> Iterator[Finding]:
    """Yield what cannot be parsed, and statements that are never followed here."""
    for node in walk(file.root):
        if node.is_error or node.is_missing:
            yield Finding(file.path, line_of(node), "syntax", f"cannot be read: {text(node)[:40]!r}")
        elif node.type in UNREAD:
            yield Finding(file.path, line_of(node), "syntax", f"{UNREAD[node.type]!r} is not followed by this checker")


def walk(node: Node) -> Iterator[Node]:
    """Yield *node* and all below it, in the order of the source."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += reversed(current.children)


def text(node: Node) -> str:
    """Return the source of a node."""
    return (node.text or b"").decode()


def line_of(node: Node) -> int:
    """Return the line a node begins on, from 1."""
    return int(node.start_point[0]) + 1


def literal(node: Node | None) -> str | None:
    """Return the content of a string without interpolation; None for anything else."""
    if node is None or node.type != "string" or any(child.type == "interpolation" for child in node.children):
        return None
    return text(node).strip("'").replace("\\'", "'")


def pairs(node: Node) -> dict[str, tuple[Node, Node]]:
    """Return the properties of an object by name, each with its key and its value; computed names are left out."""
    found = {}
    for child in node.named_children:
        if child.type != "object_property" or len(child.named_children) < 2:
            continue
        key, value = child.named_children[0], child.named_children[-1]
        name = literal(key) if key.type == "string" else text(key)
        if name is not None:
            found[name] = (key, value)
    return found


def body(node: Node | None) -> Node | None:
    """Return the object inside an `if` or `for` around it."""
    while node is not None and node.type in {"if_statement", "for_statement"}:
        node = node.named_children[-1]
    return node if node is not None and node.type == "object" else None


def _declarations(node: Node, owner: Declaration | None) -> Iterator[Declaration]:
    decorators: dict[str, list[Node]] = {}
    for child in node.named_children:
        inner = child.named_children[0] if child.type == "object_property" and child.named_children else child
        if child.type == "decorators":
            decorators = dict(_decorators(child))
        elif inner.type in KINDS:
            one = _declaration(inner, decorators, owner)
            yield one
            if one.kind == "resource" and (content := body(one.value)) is not None:
                yield from _declarations(content, one)
            decorators = {}


def _decorators(node: Node) -> Iterator[tuple[str, list[Node]]]:
    for decorator in node.named_children:
        call = decorator.named_children[0] if decorator.named_children else None
        if call is not None and call.type == "call_expression":
            yield text(call.named_children[0]), call.named_children[1].named_children


def _declaration(node: Node, decorators: dict[str, list[Node]], owner: Declaration | None) -> Declaration:
    kind = KINDS[node.type]
    name, *rest = [child for child in node.named_children if child.type != "comment"]
    existing = any(child.type == "existing" for child in node.children)
    label = ""
    if kind != "var" and rest:
        label = literal(rest[0]) or text(rest[0])
        rest = rest[1:]
    return Declaration(kind, text(name), node, label, rest[-1] if rest else None, existing, decorators, owner)
