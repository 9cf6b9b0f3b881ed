"""A cold start is a user waiting: what most routes do not need is imported when it is first needed."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_HEAVY = (
    "PIL",
    "aiohttp",
    "alembic",
    "azure.core",
    "azure.data",
    "azure.eventgrid",
    "azure.identity",
    "azure.storage",
    "cryptography",
    "imagecodecs",
    "jwt",
    "msal",
    "numpy",
    "opentelemetry.sdk",
    "pydicom",
    "pyodbc",
    "requests",
)


def loaded_by(script: str) -> set[str]:
    """Return what of the heavy packages a fresh process has loaded after *script*."""
    report = f"{script}\nimport sys; print('|'.join(set({_HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", report], cwd=_ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.strip().split("|")) - {""}


def test_app() -> None:
    """The app itself loads no codec, SDK, driver or library of pixels."""
    assert loaded_by("import function_app") == set()


def test_private_elements() -> None:
    """A file with private elements is read without pydicom, which would be half as much memory again."""
    name, element = "SIEMENS CT VA0  COAD", 0x00191010
    script = f"from shared.dicom.data_dictionary import private_vr; assert private_vr({element}, {name!r}) == 'IS'"
    assert loaded_by(script) == set()


@pytest.mark.parametrize(
    ("module", "needs"),
    [
        ("shared.services.store", set()),
        ("shared.services.search", set()),
        ("shared.services.retrieve", set()),
        ("shared.services.frames", set()),
        ("shared.services.metadata", set()),
        ("shared.storage.folder", set()),
        ("shared.index.server", set()),
        ("shared.storage.azure", {"azure.core", "azure.data", "azure.storage", "aiohttp", "cryptography", "requests"}),
        ("shared.services.render", {"numpy", "PIL", "imagecodecs"}),
    ],
)
def test_family(module: str, needs: set[str]) -> None:
    """Each family of routes loads what it needs and no more."""
    assert loaded_by(f"import {module}") <= needs
