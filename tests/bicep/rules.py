"""The rules of this project, and those of the compiler's linter that a syntax tree shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.bicep.schema import declared_type, static_type
from tests.bicep.syntax import BicepFile, Declaration, Finding, body, line_of, literal, pairs, text, walk

ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "8a0f0c08-91a1-4084-bc3d-661d67233fed": "Storage Queue Data Message Processor",
    "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a": "Storage Queue Data Message Sender",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "d5a91429-5739-47e2-a06b-3470a27159e7": "EventGrid Data Sender",
    "e147488a-f6f5-4113-8e2d-b22465e65bf6": "Key Vault Crypto Service Encryption User",
}
"""Built-in roles that give rights to data, by the GUID that Azure knows them by."""

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_NEVER_SET = """
    AzureWebJobsStorage FUNCTIONS_EXTENSION_VERSION FUNCTIONS_WORKER_RUNTIME FUNCTIONS_WORKER_RUNTIME_VERSION
    FUNCTIONS_MAX_HTTP_CONCURRENCY FUNCTIONS_WORKER_PROCESS_COUNT FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED
    ENABLE_ORYX_BUILD SCM_DO_BUILD_DURING_DEPLOYMENT WEBSITE_RUN_FROM_PACKAGE WEBSITE_CONTENTAZUREFILECONNECTIONSTRING
    WEBSITE_CONTENTSHARE WEBSITE_CONTENTOVERVNET WEBSITE_SKIP_CONTENTSHARE_VALIDATION WEBSITE_VNET_ROUTE_ALL
    WEBSITE_DNS_SERVER WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT WEBSITE_MOUNT_ENABLED WEBSITE_TIME_ZONE TZ
    WEBSITE_LOAD_CERTIFICATES
"""
NEVER_SET = frozenset(_NEVER_SET.split())
"""Settings that Flex Consumption ignores or that break it."""

_KEY_FUNCTIONS = re.compile(r"list(AccountSas|Keys|Secrets|ServiceSas|ConnectionStrings|\w*Keys)$")
_SECRET_PROPERTIES = frozenset(
    {"administratorLogin", "administratorLoginPassword", "storageAccountAccessKey", "connectionStrings"}
)
_SECRET_TEXT = re.compile(r"(AccountKey|SharedAccessKey|SharedAccessSignature|Password|PWD|sig)\s*=", re.IGNORECASE)
_SECRET_NAME = re.compile(r"password|secret|accountkey|sastoken|apikey", re.IGNORECASE)

_CLOUD_NAMES = ("core.windows.net", "database.windows.net", "vault.azure.net", "login.microsoftonline.com",
                "management.azure.com", "azuredatabase.net")  # fmt: skip
_WORDS = ("Required.", "Optional.", "Conditional.")
_MOST = {"param": 256, "var": 512, "output": 64}
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?:=([^}]*))?\}")


def check_rules(file: BicepFile) -> Iterator[Finding]:
    """Yield where *file* departs from the rules."""
    yield from _descriptions(file)
    yield from _limits(file)
    yield from _defaults(file)
    yield from _roles(file)
    yield from _secrets(file)
    yield from _strings(file)
    yield from _assignments(file)


def check_parameters(path: Path, main: BicepFile) -> Iterator[Finding]:
    """Yield where the file of parameters does not fit `main.bicep`: names, types and defaults."""
    given: dict[str, dict[str, object]] = json.loads(path.read_text())["parameters"]
    declared = main.of("param")
    for name in given.keys() - declared.keys():
        yield Finding(path, 1, "parameters", f"main.bicep has no parameter {name!r}")
    for name in declared.keys() - given.keys():
        yield Finding(path, 1, "parameters", f"{name!r} of main.bicep is missing")
    for name in given.keys() & declared.keys():
        problem = _misfit(given[name].get("value"), declared[name])
        if problem:
            yield Finding(path, 1, "parameters", f"{name}: {problem}")


def environment_names(path: Path) -> dict[str, str]:
    """Return the environment variable that each parameter takes its value from, by parameter."""
    given: dict[str, dict[str, object]] = json.loads(path.read_text())["parameters"]
    return {
        name: match.group(1) for name, one in given.items() if (match := _VARIABLE.fullmatch(str(one.get("value"))))
    }


def _misfit(value: object, parameter: Declaration) -> str | None:
    kinds = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
    match = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        wanted = kinds.get(parameter.label, object)
        return None if isinstance(value, wanted) else f"{value!r} where {parameter.label} is expected"
    default = parameter.value
    said = literal(default) if default is not None and default.type == "string" else text(default) if default else None
    is_plain = default is not None and default.type in {"string", "number", "boolean"} and said is not None
    if is_plain and (match.group(2) or "") != said:
        return f"default {match.group(2)!r} where main.bicep has {said!r}"
    if not is_plain and match.group(2):
        return f"default {match.group(2)!r} where main.bicep has none that is a plain value"
    return None


def _descriptions(file: BicepFile) -> Iterator[Finding]:
    for one in file.declarations:
        if one.kind not in {"param", "output"}:
            continue
        said = literal(one.decorators["description"][0]) if "description" in one.decorators else None
        if not said:
            yield Finding(file.path, one.line, "description", f"{one.kind} {one.name!r} has none")
        elif one.kind == "param":
            word = said.split(" ", 1)[0]
            if word not in _WORDS:
                yield Finding(file.path, one.line, "description", f"{one.name!r} begins with none of {_WORDS}")
            elif (word, one.value is None) in {("Required.", False), ("Optional.", True)}:
                fits = "no default" if one.value is None else "a default"
                yield Finding(file.path, one.line, "description", f"{one.name!r} is called {word} and has {fits}")


def _limits(file: BicepFile) -> Iterator[Finding]:
    for kind, most in _MOST.items():
        if (count := len(file.of(kind))) > most:
            yield Finding(file.path, 1, "limit", f"{count} of {kind}; at most {most}")


def _defaults(file: BicepFile) -> Iterator[Finding]:
    """A default has the declared type and is among the allowed values, within the bounds."""
    for one in file.of("param").values():
        if one.value is None:
            continue
        kind = static_type(one.value, file)
        expected = declared_type(one)
        if kind is not None and kind != expected:
            yield Finding(file.path, one.line, "default", f"{one.name}: {kind} where {expected} is expected")
        if allowed := one.decorators.get("allowed"):
            values = [text(value) for value in allowed[0].named_children]
            if one.value.type in {"string", "number"} and text(one.value) not in values:
                yield Finding(file.path, one.line, "default", f"{one.name}: {text(one.value)} is not allowed")
        for bound, is_out in (("minValue", int.__lt__), ("maxValue", int.__gt__)):
            limit = one.decorators.get(bound)
            if limit and one.value.type == "number" and is_out(int(text(one.value)), int(text(limit[0]))):
                yield Finding(file.path, one.line, "default", f"{one.name}: {text(one.value)} breaks {bound}")


def _roles(file: BicepFile) -> Iterator[Finding]:
    """A GUID stands only in a table, as the value of the name that Azure gives the role."""
    for node in walk(file.root):
        said = literal(node)
        if said is None or not _GUID.fullmatch(said):
            continue
        pair = node.parent
        name = ""
        if pair is not None and pair.type == "object_property":
            name = literal(pair.named_children[0]) or text(pair.named_children[0])
        known = ROLES.get(said)
        if known is None:
            yield Finding(file.path, line_of(node), "role", f"{said} is no role that this checker knows")
        elif known != name:
            yield Finding(file.path, line_of(node), "role", f"{said} is {known!r}, not {name!r}")


def _secrets(file: BicepFile) -> Iterator[Finding]:
    for node in walk(file.root):
        if node.type == "call_expression":
            name = text(node.named_children[0]).rsplit(".", 1)[-1]
            if _KEY_FUNCTIONS.fullmatch(name):
                yield Finding(file.path, line_of(node), "secret", f"{name}() reads a key; identities replace keys")
        elif node.type == "object_property" and len(node.named_children) > 1:
            name = text(node.named_children[0]).strip("'")
            if name in _SECRET_PROPERTIES:
                yield Finding(file.path, line_of(node), "secret", f"{name!r} is not used: logins are by identity")
            if name in NEVER_SET:
                yield Finding(file.path, line_of(node), "setting", f"{name!r} must not be set on Flex Consumption")
        elif node.type == "string" and _SECRET_TEXT.search(text(node)):
            yield Finding(file.path, line_of(node), "secret", "a string that carries a key or password")
    for one in file.declarations:
        if one.kind in {"param", "output"} and ("secure" in one.decorators or _SECRET_NAME.search(one.name)):
            yield Finding(file.path, one.line, "secret", f"{one.kind} {one.name!r}: nothing here is secret")


def _strings(file: BicepFile) -> Iterator[Finding]:
    """Names of one cloud come from environment(); locations from a parameter (no-hardcoded-env-urls, -location)."""
    for node in walk(file.root):
        if node.type == "string_content" and any(name in text(node).lower() for name in _CLOUD_NAMES):
            yield Finding(file.path, line_of(node), "cloud", f"{text(node)!r} names one cloud; use environment()")
    for one in file.declarations:
        content = body(one.value) if one.kind == "resource" else None
        place = pairs(content).get("location") if content is not None else None
        if place and literal(place[1]) not in {None, "global"}:
            yield Finding(file.path, line_of(place[1]), "location", f"{one.name}: a location comes from a parameter")


def _assignments(file: BicepFile) -> Iterator[Finding]:
    """All roles are given in one file, each to one kind of principal, on one resource, under a lasting name."""
    for one in file.declarations:
        content = body(one.value) if one.kind == "resource" else None
        if content is None or not one.label.startswith("Microsoft.Authorization/roleAssignments@"):
            continue
        if file.path.name != "rbac.bicep":
            yield Finding(file.path, one.line, "role", "roles are given in rbac.bicep only")
        top = pairs(content)
        inner = pairs(top["properties"][1]) if "properties" in top else {}
        if "scope" not in top:
            yield Finding(file.path, one.line, "role", f"{one.name}: a role is given on a single resource; no scope")
        if "principalType" not in inner:
            yield Finding(file.path, one.line, "role", f"{one.name}: 'principalType' is missing")
        if "name" in top and not text(top["name"][1]).startswith("guid("):
            yield Finding(file.path, one.line, "role", f"{one.name}: its name is guid(scope, principal, role)")
