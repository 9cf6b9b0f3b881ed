"""What the tests of the deployment lean on."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return _ROOT


@pytest.fixture(scope="session")
def types() -> Path | None:
    """The file of Azure's resource types, which lies beside the project and is never part of it; None if absent."""
    path = _ROOT.parent / "shared" / "data" / "bicep-resource-types.json"
    return path if path.is_file() else None
