"""Whether a fault is known of what the app is built on, by pip-audit where its source can be reached."""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

_ROOT = Path(__file__).parents[2]
_COMMENT = re.compile(r"\s*#.*")


def installed(requirements: list[str]) -> dict[str, str]:
    """Return the version of each package that *requirements* lead to, as far as it is installed."""
    found: dict[str, str] = {}
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        one, extra = waiting.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        try:
            package = distribution(one.name)
        except PackageNotFoundError:
            continue
        extras = ["", *one.extras]
        if one.name in found and extras == [""]:
            continue
        found[one.name] = package.version
        waiting += [(Requirement(line), name) for line in package.requires or () for name in extras]
    return found


def test_known_faults(tmp_path: Path) -> None:
    """Of no package that the app needs, directly or not, is a fault known in its version."""
    pytest.importorskip("pip_audit", reason="pip-audit is not installed")
    lines = (_COMMENT.sub("", line) for line in (_ROOT / "requirements.txt").read_text("utf-8").splitlines())
    packages = installed([line for line in lines if line.strip()])
    pins = tmp_path / "pins.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()), "utf-8")
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off"]

    done = subprocess.run(
        [*command, "--timeout=5", "--format=json", f"--requirement={pins}"],
        capture_output=True,
        text=True,
        check=False,
    )

    if not done.stdout.startswith("{"):
        pytest.skip("pip-audit did not reach its source")
    found = json.loads(done.stdout)["dependencies"]
    if all("skip_reason" in one for one in found):
        pytest.skip("pip-audit's source knows none of the packages")
    assert len(packages) > 20
    assert {one["name"]: [fault["id"] for fault in one["vulns"]] for one in found if one.get("vulns")} == {}
