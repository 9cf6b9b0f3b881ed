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


_FIRST_AT_ONCE = """
from importlib import import_module
from threading import Barrier, Thread
from shared.dicom.charset import charset_of
from shared.dicom.reread import reread

def japanese():
    charset_of(("", "ISO 2022 IR 87")).name(b"\\x1b$B;3ED")

def damaged():
    reread(bytes.fromhex("080005004353000000000000"), is_implicit=False, order="<")

def transcoded():
    import_module("shared.dicom.transcoding")

def run(work):
    barrier.wait()
    work()

barrier = Barrier(9)
threads = [Thread(target=run, args=[work]) for work in (japanese, damaged, transcoded) * 3]
[one.start() for one in threads]
[one.join() for one in threads]
"""


def test_threads_at_once() -> None:
    """Threads that all need pydicom first, each for something else, all get it whole."""
    done = subprocess.run([sys.executable, "-c", _FIRST_AT_ONCE], cwd=_ROOT, capture_output=True, text=True, check=True)

    assert done.stderr == ""
