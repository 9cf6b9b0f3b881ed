"""Build the package of the app with everything in it: ``python bicep/package.py`` writes .build/app.zip.

Deployment without it lets Azure install the requirements (remote build). This is for those whose build machine may
reach a package index and whose deployment may not, or who want to deploy exactly what they tested.

Everything is compiled in it, without times of files to compare with: those do not survive a zip, and a cold start that
compiles takes two seconds of CPU more.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from compileall import compile_dir
from fnmatch import fnmatch
from pathlib import Path
from py_compile import PycInvalidationMode
from shutil import copyfile, rmtree
from zipfile import ZIP_DEFLATED, ZipFile

_ROOT = Path(__file__).parents[1]
_BUILD = ".build"
_ZIP = "app.zip"
_PACKAGES = ".python_packages/lib/site-packages"
"""Where the worker looks for packages beside the app."""

MOST_BYTES = 120 * 10**6
_PYTHON = (3, 13)
_NEVER_RUN = ("tests", "*.pyi")
"""What packages bring and the app never imports."""


def files_of_app(root: Path) -> Iterator[Path]:
    """Yield the files that are deployed, relative to *root*: all but what `.funcignore` names."""
    ignored = [line.strip() for line in (root / ".funcignore").read_text().splitlines() if line.strip()]
    return _files(root, root, ignored)


def files_of_packages(folder: Path) -> Iterator[Path]:
    """Yield the files of installed packages that may run, relative to *folder*."""
    return _files(folder, folder, _NEVER_RUN)


def compile_all(folder: Path) -> None:
    """Compile every module in *folder*, for good."""
    compile_dir(folder, quiet=2, force=True, maxlevels=50, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


def main() -> int:
    """Install the requirements, write the zip, and say how large it is; return the exit code."""
    # Which requirements apply, and which wheels, is decided by the Python that installs them.
    if sys.version_info[:2] != _PYTHON or sys.platform != "linux":
        sys.stderr.write("Run it with Python 3.13 on Linux, as the app will be: pip chooses packages for itself.\n")
        return 2
    build, archive = _ROOT / _BUILD / "package", _ROOT / _BUILD / _ZIP
    packages = build / _PACKAGES
    rmtree(build, ignore_errors=True)
    subprocess.run(  # noqa: S603 - our own requirements
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *(
                "--no-compile",
                "--only-binary",
                ":all:",
                "--target",
                str(packages),
                "--requirement",
                str(_ROOT / "requirements.txt"),
            ),
        ],
        check=True,
    )
    for path in files_of_app(_ROOT):
        (build / path).parent.mkdir(parents=True, exist_ok=True)
        copyfile(_ROOT / path, build / path)
    compile_all(build)
    with ZipFile(archive, "w", ZIP_DEFLATED) as app:
        for path in files_of_packages(build):
            app.write(build / path, str(path))
    size = archive.stat().st_size
    sys.stdout.write(f"{archive.relative_to(_ROOT)}: {size / 10**6:.1f} MB\n")
    if size > MOST_BYTES:
        sys.stderr.write(f"It may have {MOST_BYTES / 10**6:.0f} MB.\n")
        return 1
    return 0


def _files(folder: Path, root: Path, ignored: Sequence[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in ignored):
            continue
        if path.is_dir():
            yield from _files(path, root, ignored)
        else:
            yield path.relative_to(root)


if __name__ == "__main__":
    sys.exit(main())
