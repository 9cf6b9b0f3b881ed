"""How the service starts, or says why it does not."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import ROOT, running
from tests.factories import part10


@pytest.mark.parametrize(
    ("setting", "value"), [("DATA_PARTITIONS", "maybe"), ("READ_AHEAD", "0"), ("PUBLIC_URL", "nowhere")]
)
def test_wrong_setting(tmp_path: Path, setting: str, value: str) -> None:
    """A setting that cannot be is one sentence that names it, and no start."""
    environment = os.environ | {"PORT": "0", "DATA": str(tmp_path), "STORAGE": "embedded", setting: value}

    done = subprocess.run(
        [sys.executable, "-m", "localhost"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert setting in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["with blank", "per%20cent", "what?", "it's", "ünï#1"])
def test_any_folder(tmp_path: Path, name: str) -> None:
    """Whatever DATA is called, everything lies in it, and it is there again after a restart."""
    data, file = tmp_path / name, part10()
    with running("embedded", data) as url, httpx.Client(base_url=f"{url}/v2") as http:
        [stored] = Client(http).store(file).json()["00081199"]["Value"]

    assert (data / "index.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with running("embedded", data) as url, httpx.Client(base_url=f"{url}/v2") as http:
        path = stored["00081190"]["Value"][0].split("/v2", 1)[1]
        assert Client(http).files(path) == [file]
