"""What `docs/deploy.md` tells people to type exists: files, modules, parameters, settings, outputs, versions."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from bicep.hooks import database
from shared.settings import defaults
from tests.bicep.rules import environment_names
from tests.bicep.syntax import read, text

_ROOT = Path(__file__).parents[2]
_TEXTS = ("docs/deploy.md", "README.md")
_MAIN = read(_ROOT / "bicep" / "main.bicep")
_FROM_ENVIRONMENT = {*environment_names(_ROOT / "bicep" / "main.parameters.json").values(), database._OPEN}
_OUTPUTS = {*_MAIN.of("output"), "AZURE_RESOURCE_GROUP", "AZURE_SUBSCRIPTION_ID"}

_COMMANDS = {
    "azd": {"auth login", "config set", "env new", "env set", "env get-value", "up", "provision", "deploy", "down",
            "hooks run"},
    "az": {"login", "bicep upgrade", "account show", "provider register", "group create", "deployment group create",
           "deployment group show", "functionapp deployment source config-zip", "functionapp stop",
           "functionapp start", "sql db restore", "sql db rename"},
    "func": {"azure functionapp publish", "start"},
}  # fmt: skip
"""Commands of other programs that were looked up."""


def blocks(name: str) -> list[str]:
    """Return what stands in the blocks of shell commands of a text, continued lines joined."""
    return [block.replace("\\\n", " ") for block in re.findall(r"```sh\n(.*?)```", everything(name), re.DOTALL)]


def lines(name: str = "docs/deploy.md") -> list[str]:
    return [line.strip() for block in blocks(name) for line in block.splitlines() if line.strip()]


def everything(name: str) -> str:
    return (_ROOT / name).read_text()


def test_found() -> None:
    """The test reads the commands that it is about."""
    assert len(lines()) > 40
    assert any(line.startswith("az deployment group create") for line in lines())


@pytest.mark.parametrize("name", _TEXTS)
def test_files(name: str) -> None:
    """Every path of the project that is named, in commands and in prose, exists."""
    paths = re.findall(r"(?<![\w/.:@-])((?:bicep|docs|shared|localhost|bench|tests)/[\w./-]*\w/?)", everything(name))

    assert [path for path in paths if not (_ROOT / path).exists()] == []


@pytest.mark.parametrize("name", _TEXTS)
def test_scripts(name: str) -> None:
    """Scripts and modules that Python or a shell runs exist."""
    for line in lines(name):
        for module in re.findall(r"python[\d.]* -m ([\w.]+)", line):
            assert find_spec(module), line
        for path in re.findall(r"(?:python[\d.]*|sh) ([\w./-]+\.(?:py|sh))", line):
            assert (_ROOT / path).is_file(), line


def test_template() -> None:
    """The template that is deployed without azd exists and takes the parameters that are given, and all it needs."""
    commands = [line for line in lines() if line.startswith("az deployment group create")]
    needed = {name for name, one in _MAIN.of("param").items() if one.value is None}

    for command in commands:
        words = shlex.split(command)
        assert (_ROOT / words[words.index("--template-file") + 1]).resolve() == _MAIN.path.resolve()
        given = {word.partition("=")[0] for word in words[words.index("--parameters") + 1 :]}
        assert needed <= given <= _MAIN.of("param").keys()
    assert commands


@pytest.mark.parametrize("name", _TEXTS)
def test_set(name: str) -> None:
    """What is set by `azd env set` is the value of a parameter, or read by a hook."""
    names = re.findall(r"azd env set (\w+)", everything(name).replace("azd env set NAME", ""))

    assert set(names) - _FROM_ENVIRONMENT == set()
    assert names


def test_values() -> None:
    """A value that a command sets is one that its parameter takes."""
    parameters = {name: one for one, name in environment_names(_ROOT / "bicep" / "main.parameters.json").items()}
    for name, value in re.findall(r"azd env set (\w+) (\S+)", "\n".join(lines())):
        kind = _MAIN.of("param")[parameters[name]].label if name in parameters else "bool"
        assert kind != "bool" or value in {"true", "false"}, name
        assert kind != "int" or value.isdigit(), name


def test_outputs() -> None:
    """What is read by `azd env get-value` or from the deployment is an output."""
    names = re.findall(r"(?:azd env get-value|\$\(output) (\w+)", "\n".join(lines()))

    assert set(names) - _OUTPUTS == set()
    assert names


def test_exported() -> None:
    """The environment that is made by hand for the hook is complete, and otherwise of settings."""
    exported = set(re.findall(r"([A-Z_]{6,})=", " ".join(line for line in lines() if line.startswith("export"))))

    assert set(database._NAMES) <= exported
    assert exported - set(database._NAMES) - {"AZCOPY_AUTO_LOGIN_TYPE"} <= defaults().keys()


def test_table() -> None:
    """The table of what can be set is complete, with the defaults of the deployment."""
    section = everything("docs/deploy.md").partition("## What can be set")[2].partition("\n## ")[0]
    rows = [row.split("|")[1:4] for row in section.splitlines() if row.startswith("| `")]
    listed: dict[str, str] = {}
    for names, values, _ in rows:
        shown = re.findall(r"`([^`]*)`", values)
        for index, name in enumerate(re.findall(r"`(\w+)`", names)):
            listed[name] = shown[index] if index < len(shown) else ""

    assert listed.keys() == _FROM_ENVIRONMENT
    for parameter, name in environment_names(_ROOT / "bicep" / "main.parameters.json").items():
        default = _MAIN.of("param")[parameter].value
        is_plain = default is not None and default.type in {"string", "number", "boolean"}
        assert listed[name] == (text(default).strip("'") if default is not None and is_plain else ""), name


@pytest.mark.parametrize("name", _TEXTS)
def test_commands(name: str) -> None:
    """Only commands of azd, az and func that were looked up are named."""
    for program, known in _COMMANDS.items():
        for call in re.findall(rf"(?:^|[|(`] ?){program} ([a-z][a-z -]*)", "\n".join(lines(name)), re.MULTILINE):
            assert any(f"{call} ".startswith(f"{one} ") for one in known), f"{program} {call}"


def test_settings_named() -> None:
    """A setting that the prose names exists."""
    settings = re.findall(r'\{"([A-Z_]+)":', everything("docs/deploy.md"))

    assert settings
    assert set(settings) <= defaults().keys()


def test_no_secrets() -> None:
    """No command asks for a key, a password or a shared access signature."""
    assert not re.search(r"(?i)account-key|connection-string|--password|\bsig=", "\n".join(lines()))
