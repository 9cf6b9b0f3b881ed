"""What tests of every kind lean on: Azurite, and real DICOM files."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from localhost.azurite import Azurite

hypothesis.settings.register_profile("untimed", deadline=None)  # no test measures time: the box may be busy
hypothesis.settings.load_profile("untimed")

_ROOT = Path(__file__).parents[1]
_CORPUS = _ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Azurite over an empty folder and give its connection string; each xdist worker has its own."""
    with Azurite(tmp_path_factory.mktemp("azurite"), install=_ROOT / ".build" / "azurite") as emulator:
        yield emulator.start()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real DICOM files, which lie beside the project and are never part of it."""
    if not _CORPUS.is_dir():
        pytest.skip(f"the real DICOM files are not there: {_CORPUS} is not a folder")
    return _CORPUS
