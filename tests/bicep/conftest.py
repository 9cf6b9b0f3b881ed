"""What the tests of the deployment lean on."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return _ROOT


@pytest.fixture(scope="session")
def types() -> Path:
    """The file of Azure's resource types, which lies beside the project and is never part of it."""
    path = _ROOT.parent / "shared" / "data" / "bicep-resource-types.json"
    if not path.is_file():
        pytest.skip(f"Azure's resource types are not there: {path.name} is missing in {path.parent}")
    return path
