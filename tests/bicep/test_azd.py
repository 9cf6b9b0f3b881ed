"""`azure.yaml`, its hooks and the Bicep files name each other rightly."""

import re
import subprocess
from pathlib import Path

import pytest

from bicep.hooks import database
from tests.bicep.rules import environment_names
from tests.bicep.syntax import read

_ROOT = Path(__file__).parents[2]
_AZD = (_ROOT / "azure.yaml").read_text()
_HOOKS = _ROOT / "bicep" / "hooks"
_BY_AZD = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"}
"""What azd itself puts into its environment."""


def said(key: str) -> list[str]:
    """Return the values of *key* in azure.yaml."""
    return re.findall(rf"^ +{key}: (.+)$", _AZD, re.MULTILINE)


def test_infrastructure() -> None:
    """The Bicep files are where azd looks for them."""
    assert (_ROOT / said("path")[0] / f"{said('module')[0]}.bicep").is_file()


def test_service() -> None:
    """The app has the tag that azd finds it by, the name of its service."""
    services = re.findall(r"^services:\n  (\w+):$", _AZD, re.MULTILINE)

    assert services
    assert f"'azd-service-name': '{services[0]}'" in (_ROOT / "bicep" / "app" / "api.bicep").read_text()


def test_hooks() -> None:
    """Each hook exists for both kinds of shell, and each script is a hook."""
    runs = {_ROOT / path for path in said("run")}

    assert runs == {*_HOOKS.glob("*.sh"), *_HOOKS.glob("*.ps1")}
    assert {path.stem for path in runs if path.suffix == ".sh"} == {path.stem for path in runs if path.suffix == ".ps1"}


@pytest.mark.parametrize("script", sorted(_HOOKS.glob("*.sh")), ids=lambda path: path.name)
def test_shell(script: Path) -> None:
    """A hook is a script of the POSIX shell."""
    assert script.read_text().startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted({path.stem for path in _HOOKS.glob("*.sh")}))
def test_pair(name: str) -> None:
    """The two scripts of a hook run the same Python."""
    calls = [
        re.findall(r"bicep/hooks/database\.py.*", (_HOOKS / f"{name}{end}").read_text()) for end in (".sh", ".ps1")
    ]

    assert calls[0] == calls[1] != []


@pytest.mark.parametrize("path", [_ROOT / "requirements.txt", _HOOKS / "database.py"], ids=["requirements", "database"])
def test_files_of_hooks(path: Path) -> None:
    """What the hooks use is there."""
    assert path.is_file()


def test_outputs() -> None:
    """What the hook reads from its environment is put there by azd or is an output of the deployment."""
    outputs = read(_ROOT / "bicep" / "main.bicep").of("output").keys()

    assert set(database._NAMES) <= outputs | _BY_AZD


def test_own_identity() -> None:
    """No output is called as the setting by which the app logs in: hooks log in as whoever runs them."""
    outputs = read(_ROOT / "bicep" / "main.bicep").of("output").keys()

    assert not {"DICOM_IDENTITY_CLIENT_ID", "AZURE_CLIENT_ID"} & outputs


def test_parameters() -> None:
    """Each parameter of the deployment can be set by `azd env set`, each by a name of its own."""
    names = environment_names(_ROOT / "bicep" / "main.parameters.json")
    declared = read(_ROOT / "bicep" / "main.bicep").of("param").keys()

    assert declared - names.keys() == {"appSettings"}
    assert len(set(names.values())) == len(names)
    assert {name for name in names.values() if name.startswith("AZURE_")} <= _BY_AZD
