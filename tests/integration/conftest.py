"""The stores that contract tests run against: a folder, and Azurite through the Azure SDKs."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.storage.azure import AzureBlobs, AzureRecords
from shared.storage.blobs import BlobStore, RecordStore
from shared.storage.credentials import blob_service, table_service
from shared.storage.folder import FolderBlobs, FolderRecords

_STORAGES = ("folder", "azurite")


@pytest.fixture(params=_STORAGES)
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    """Each kind of blob store, empty; its folder or container does not exist yet."""
    store: BlobStore
    if request.param == "folder":
        store = FolderBlobs(tmp_path / "blobs")
    else:
        service = blob_service(request.getfixturevalue("azurite"), None, None)
        store = AzureBlobs(service, container=f"test-{secrets.token_hex(8)}")
    yield store
    await store.close()


@pytest.fixture(params=_STORAGES)
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RecordStore]:
    """Each kind of record store, empty; its folder or table does not exist yet."""
    store: RecordStore
    if request.param == "folder":
        store = FolderRecords(tmp_path / "records")
    else:
        service = table_service(request.getfixturevalue("azurite"), None, None)
        store = AzureRecords(service, table=f"test{secrets.token_hex(8)}")
    yield store
    await store.close()
