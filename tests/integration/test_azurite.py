"""Azurite as the local host runs it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from localhost.azurite import Azurite
from localhost.node import node_on_path
from localhost.problems import SetupError

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / ".build" / "azurite"


def test_start_services(azurite: str) -> None:
    """Blob, queue and table service answer once it has started."""
    blobs = BlobServiceClient.from_connection_string(azurite, retry_total=0)
    queues = QueueServiceClient.from_connection_string(azurite, retry_total=0)
    tables = TableServiceClient.from_connection_string(azurite, retry_total=0)

    with blobs, queues, tables:
        blobs.create_container("answers-blob")
        queues.create_queue("answers-queue")
        tables.create_table("answerstable")


def test_start_again(tmp_path: Path) -> None:
    """What was written just before it stopped is there when it starts over the same folder."""
    with Azurite(tmp_path, install=INSTALL) as first, BlobServiceClient.from_connection_string(first.start()) as blobs:
        blobs.create_container("kept").upload_blob("blob", b"bytes")

    with (
        Azurite(tmp_path, install=INSTALL) as second,
        BlobServiceClient.from_connection_string(second.start()) as blobs,
    ):
        found = blobs.get_blob_client("kept", "blob").download_blob().readall()

    assert found == b"bytes"


def test_parent_killed(tmp_path: Path) -> None:
    """It is out of reach of the terminal's Ctrl-C, and yet ends when its parent is killed."""
    code = (
        "import sys; from pathlib import Path; from localhost.azurite import Azurite\n"
        f"azurite = Azurite(Path({str(tmp_path)!r}), install=Path({str(INSTALL)!r}))\n"
        "azurite.start(); print('started', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        [azurite] = psutil.Process(parent.pid).children()
        session = os.getsid(azurite.pid)

        parent.send_signal(signal.SIGKILL)

        assert session == azurite.pid
        assert psutil.wait_procs([azurite], timeout=20) == ([azurite], [])


def test_stop_not_started(tmp_path: Path) -> None:
    """Stopping what does not run does nothing."""
    azurite = Azurite(tmp_path, install=INSTALL)

    azurite.stop()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blocked", ["folder", "install"])
def test_start_blocked(tmp_path: Path, blocked: str) -> None:
    """A folder that cannot be made is a fault of the setup, said in one line that names the folder."""
    (tmp_path / "file").touch()
    folders = {"folder": tmp_path / "data", "install": INSTALL} | {blocked: tmp_path / "file" / "below"}
    azurite = Azurite(folders["folder"], install=folders["install"])

    with pytest.raises(SetupError, match=r"\AAzurite cannot be .*file/below.*: [^\n]*\Z"):
        azurite.start()


def test_start_fails(tmp_path: Path) -> None:
    """An Azurite that ends at once is a fault of the setup that tells its last words."""
    (tmp_path / "__azurite_db_blob__.json").mkdir()

    with pytest.raises(SetupError, match=r"\AAzurite ended with exit code 1: [^\n]+\Z"):
        Azurite(tmp_path, install=INSTALL).start()


@pytest.mark.parametrize(("version", "is_taken"), [("v18.20.8", False), ("v20.0.0", True), ("nonsense", False)])
def test_node_on_path(tmp_path: Path, version: str, *, is_taken: bool) -> None:
    """Only a Node.js of version 20 or later is used."""
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)

    node = node_on_path(str(tmp_path))

    assert (node is not None) is is_taken


def test_node_without_npm(tmp_path: Path) -> None:
    """A Node.js without its package manager is not used."""
    (tmp_path / "node").write_text("#!/bin/sh\necho v22.0.0\n")
    (tmp_path / "node").chmod(0o755)

    assert node_on_path(str(tmp_path)) is None
