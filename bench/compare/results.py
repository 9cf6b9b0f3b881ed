"""The figures as JSON: written after every row, so that an interrupted run keeps what it has."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.service import ROOT


@dataclass
class Results:
    """What has been measured: rows by name, starts, profiles, and on what."""

    file: Path
    found: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def at(cls, file: Path) -> "Results":
        """Return what a file holds, or nothing yet; rows that are measured again replace those that it has."""
        return cls(file, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})

    def begin(self, orthanc: str, options: Mapping[str, float]) -> None:
        """Note on what the rows to come are measured."""
        self.found["machine"] = machine() | ({"orthanc": orthanc} if orthanc else {})
        self.found["options"] = dict(options)

    def put(self, row: Mapping[str, Any]) -> None:
        """Add a row, or replace it, and write."""
        self.found.setdefault("rows", {})[row["row"]] = dict(row)
        self.write()

    def put_part(self, name: str, part: Any) -> None:
        """Add another part than a row, or replace it, and write."""
        self.found[name] = part
        self.write()

    def write(self) -> None:
        """Write, so that whoever reads sees all or nothing."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.file)


def machine() -> dict[str, Any]:
    """Return on what it is measured."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
