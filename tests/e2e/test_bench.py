"""`make bench`, as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path

from bench.rows import ROWS

ROOT = Path(__file__).parents[2]
FIGURES = ("cpu_ms", "per_s", "p50_ms", "first_byte_ms", "peak_mib", "client_cpu_ms")


def test_bench_quick(tmp_path: Path) -> None:
    """Every row is measured and written as JSON, with raw rates where it has them and marks that fail nothing."""
    command = [sys.executable, "-m", "bench", "--quick", "--storage", "embedded"]
    folders = ["--data", str(tmp_path / "data"), "--results", str(tmp_path / "results")]

    ended = subprocess.run(command + folders, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert ended.returncode == 0, ended.stderr
    [file] = (tmp_path / "results").iterdir()
    written = json.loads(file.read_text())
    results = written["results"]
    assert [one["row"] for one in results] == [row.name for row in ROWS]
    assert [(one["row"], name) for one in results for name in FIGURES if not one[name] > 0] == []
    ratios = {one["row"] for one in results if one["ratio"] is not None and one["raw_per_s"] > 0 < one["ratio"]}
    assert ratios == {row.name for row in ROWS if row.raw}
    assert {one["row"] for one in results if one["marks"]} == {row.name for row in ROWS if row.marks}
    assert list((tmp_path / "data").iterdir()) == []
    assert all(one["cpu_s"] > 0 and one["what"] in ended.stdout for one in written["starts"])
    assert [one["what"].split(" ")[0] for one in written["starts"]] == ["first", "import"]
    assert all(row.title in ended.stdout for row in ROWS)
