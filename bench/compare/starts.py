"""What a start costs: importing the app by family of routes, and a server until its first answer."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from bench import service
from bench.compare import orthanc
from bench.service import ROOT, Service

_IMPORT = """
import importlib, json, sys, time
before = time.process_time(), len(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps({"cpu_s": time.process_time() - before[0], "modules": len(sys.modules) - before[1]}))
"""
_BASES = {"embedded": "/v2/studies?limit=1", "orthanc": f"{orthanc.BASE}/studies?limit=1"}


def starts(data: Path, rounds: int, *, has_orthanc: bool) -> dict[str, Any]:
    """Return the CPU time and modules of each family's imports, and the times of each server's first answers."""
    families = sorted(file.stem for file in (ROOT / "shared" / "routes").glob("*.py") if file.stem != "__init__")
    modules = ["function_app", *(f"shared.routes.{name}" for name in families)]
    kinds = ["embedded", *(["orthanc"] if has_orthanc else [])]
    return {
        "imports": {name: _imported(name, rounds) for name in modules},
        "answers": {kind: [_first_answer(kind, data) for _ in range(rounds)] for kind in kinds},
    }


def _imported(module: str, rounds: int) -> dict[str, float]:
    """Return the median of a module's import in processes of their own, and how many modules that loads."""
    said = [
        subprocess.run([sys.executable, "-c", _IMPORT, module], cwd=ROOT, capture_output=True, text=True, check=True)
        for _ in range(rounds)
    ]
    found = [json.loads(one.stdout) for one in said]
    return {"cpu_s": median(one["cpu_s"] for one in found), "modules": found[0]["modules"]}


def _first_answer(kind: str, data: Path) -> dict[str, float]:
    """Return wall and CPU time from a server's start, over storage that it has used before, until its first answer."""
    folder = Path(tempfile.mkdtemp(prefix="start-", dir=data))
    try:
        with _running(kind, folder / "data"):
            pass
        began = time.perf_counter()
        with _running(kind, folder / "data") as one:
            urlopen(one.url + _BASES[kind]).read()  # noqa: S310 - of this machine
            return {"wall_s": time.perf_counter() - began, "cpu_s": one.cpu_s()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _running(kind: str, data: Path) -> AbstractContextManager[Service]:
    return orthanc.running(data) if kind == "orthanc" else service.running(kind, data, 1, log=data.with_suffix(".log"))
