"""What is deployed (`bicep/package.py`, `.funcignore`) is what runs, and nothing else."""

import subprocess
from pathlib import Path

from bicep.package import compile_all, files_of_app, files_of_packages

_UNCHECKED_HASH = 0b01
"""The flags of a compiled file (PEP 552): named by a hash of its source, which nobody checks."""


def test_files(root: Path) -> None:
    """The app is its functions, their host's settings, its requirements, and all of `shared`."""
    tracked = subprocess.run(["git", "ls-files", "shared"], cwd=root, capture_output=True, text=True, check=True)
    expected = {"function_app.py", "host.json", "requirements.txt", *tracked.stdout.split()}

    found = {path.as_posix() for path in files_of_app(root)}

    assert expected - found == set()
    assert {one for one in found - expected if not one.startswith("shared/")} == set()


def test_ignored(tmp_path: Path) -> None:
    """What a developer's machine has beside the app stays there: settings, data, environments, caches."""
    (tmp_path / ".funcignore").write_text((Path(__file__).parents[2] / ".funcignore").read_text())
    for name in ("local.settings.json", "local.settings.sample.json", ".azure/dev/.env", ".data/index.db", ".venv/x",
                 ".build/app.zip", ".gitignore", "azure.yaml", "shared/__pycache__/a.pyc", "README.md", "shared/a.py",
                 "tests/b.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert [path.as_posix() for path in files_of_app(tmp_path)] == ["shared/a.py"]


def test_packages(tmp_path: Path) -> None:
    """Tests and stubs of packages are left out; a module that is merely called so is not."""
    for name in ("p/a.py", "p/a.pyi", "p/tests/b.py", "p/testing.py", "p-1.dist-info/METADATA"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert [path.as_posix() for path in files_of_packages(tmp_path)] == ["p/a.py", "p/testing.py",
                                                                         "p-1.dist-info/METADATA"]  # fmt: skip


def test_compiled(tmp_path: Path) -> None:
    """Modules are compiled for good: the times that a zip gives files do not make Python compile them again."""
    (tmp_path / "p").mkdir()
    module = tmp_path / "p" / "a.py"
    module.write_text("written = __cached__\n")

    compile_all(tmp_path)

    [compiled] = (tmp_path / "p" / "__pycache__").iterdir()
    assert int.from_bytes(compiled.read_bytes()[4:8], "little") == _UNCHECKED_HASH
