"""Switching data partitions off (data-partitions.md)."""

from pathlib import Path

import pytest

from shared.backend import open_backend
from shared.errors import Unavailable
from shared.index.migrate import migrate
from shared.model import DEFAULT_PARTITION
from shared.settings import Settings


async def test_switched_off(tmp_path: Path) -> None:
    """A process without partitions serves nothing where the database has others than the default one."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    settings = Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url)
    before, after = open_backend(settings), open_backend(settings)
    assert await before.default_partition() == DEFAULT_PARTITION

    await before.add_partition("other")

    with pytest.raises(Unavailable, match="DATA_PARTITIONS"):
        await after.default_partition()
    await before.close()
    await after.close()
