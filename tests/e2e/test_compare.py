"""`make compare`, as small as it gets and without Orthanc."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = "store_mr_fifties,instance_8,study,rendered,metadata_1,frames_last,thumbnail,*_200"


def test_compare_ours(tmp_path: Path) -> None:
    """Every answer of ours is right, and figures and page are written."""
    out = tmp_path / "out.json"
    sizes = ["--scale", "0.03", "--rounds", "1", "--search", "200", "--orthanc", "no", "--azurite", "no"]
    places = ["--rows", ROWS, "--data", str(tmp_path / "data"), "--out", str(out)]

    command = [sys.executable, "-m", "bench.compare", *sizes, *places]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)

    assert ended.returncode == 0, ended.stderr
    rows = json.loads(out.read_text())["rows"]
    assert {"store_mr_fifties", "instance_8", "rendered", "fuzzy_200", "instances_200"} <= set(rows)
    runs = [(name, run) for name, row in rows.items() for run in row["runs"]["embedded"]]
    assert [(name, run["wrong"]) for name, run in runs if run["wrong"]] == []
    assert [name for name, run in runs if not run["per_s"] > 0 < run["cpu_ms"]] == []
    assert "## Search" in out.with_suffix(".md").read_text()
    assert list((tmp_path / "data").iterdir()) == []
