"""Orthanc as Debian packages it: a separate program that is installed, configured fairly, started and stopped."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench.service import NotStarted, Service, stop

BASE = "/dicom-web"
_PACKAGES = ("orthanc", "orthanc-dicomweb")
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_START_S = 60

CONFIGURATION: tuple[tuple[str, object, str], ...] = (
    ("Plugins", [str(_PLUGIN)], "DICOMweb and nothing else: no plugin that the requests do not need"),
    ("RemoteAccessAllowed", False, "loopback, as ours"),
    ("AuthenticationEnabled", False, "nobody logs in to either"),
    ("DicomServerEnabled", False, "only DICOMweb is measured"),
    ("HttpThreadsCount", 50, "its default: more than there are connections"),
    ("KeepAlive", True, "its default: the client keeps its connections"),
    ("TcpNoDelay", True, "its default, the fastest with KeepAlive by its own documentation"),
    (
        "HttpCompressionEnabled",
        True,
        "its default; the client offers gzip where it asks for JSON, as ours has it there",
    ),
    ("SyncStorageArea", True, "its default: a 200 says that the file is on disk, as ours does"),
    ("StorageCompression", False, "its default: files as they came, as ours"),
    ("MaximumStorageSize", 0, "no limit: nothing is recycled while it is measured"),
    ("MaximumStorageCacheSize", 128, "its default, in MB: files that were read or written lately"),
    ("OverwriteInstances", False, "its default: what is stored stays, as with a POST of ours"),
    ("StableAge", 60, "its default, in s: what it does with quiet studies falls into few rows"),
    ("StorageAccessOnFind", "Answers", "files are read for answers, never to match: faster than its default"),
    ("MetricsEnabled", False, "no upkeep of figures that nobody reads"),
    ("SaveJobs", False, "no jobs are made"),
    (
        "DicomWeb",
        {"Enable": True, "Root": f"{BASE}/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        "all of it",
    ),
)
"""Each setting, and why. Its index is its own SQLite, below the same folder as the files."""

BULK = {"SyncStorageArea": False}
"""What is different while an index is filled that only searches will be measured on."""


class NotInstalled(Exception):
    """Debian's packages are not there and cannot be had."""


def install() -> str:
    """Install Debian's packages where they are missing and return the program's version.

    Raises
    ------
    NotInstalled
        The message says what to do.
    """
    if not (shutil.which("Orthanc") and _PLUGIN.exists()):
        _install()
    if not (shutil.which("Orthanc") and _PLUGIN.exists()):
        raise NotInstalled(
            f"Debian's packages {' and '.join(_PACKAGES)} cannot be had here; install them, or ORTHANC=no."
        )
    said = subprocess.run(["Orthanc", "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S607
    return said.split("\n", 1)[0].strip()


def _install() -> None:
    if not shutil.which("apt-get"):
        return
    # Debian starts a service that it installs, where there is an init system: stopped by whoever does not want it.
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    for command in (["update"], ["install", "-y", "--no-install-recommends", *_PACKAGES]):
        subprocess.run(
            [*sudo, "apt-get", "-qq", *command],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.DEVNULL,
            check=False,
        )


@contextmanager
def running(data: Path, **different: object) -> Iterator[Service]:
    """Run Orthanc on a free port, keeping everything below *data*.

    Raises
    ------
    NotStarted
        It ended, or does not answer; its log lies beside its data.
    """
    data.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    places = {"Name": "bench", "HttpPort": port, "StorageDirectory": str(data), "IndexDirectory": str(data)}
    settings = {name: value for name, value, _ in CONFIGURATION} | places | different
    file, log = data.with_suffix(".json"), data.with_suffix(".log")
    file.write_text(json.dumps(settings), encoding="utf-8")
    with log.open("ab") as said:
        process = subprocess.Popen(["Orthanc", str(file)], stdout=said, stderr=said)  # noqa: S607
    try:
        url = f"http://127.0.0.1:{port}"
        _await(url, process, log)
        yield Service(url, process.pid)
    finally:
        stop(process)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _await(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"{url}/system", timeout=_START_S):  # noqa: S310 - of this machine
                return
        except URLError:
            time.sleep(0.05)
    raise NotStarted(f"Orthanc did not start; see {log}.")
