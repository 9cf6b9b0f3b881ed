"""Thumbnails are kept beside the file, and go with it (issue 4; delete.md)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from shared.backend import Backend, open_backend
from shared.dicom.render_options import RenderOptions, Viewport
from shared.errors import NotFound
from shared.index.instances import delete
from shared.index.migrate import migrate
from shared.model import DEFAULT_PARTITION, Buffer, Scope
from shared.services.acceptance import StoreRequest
from shared.services.cleanup import clean_up
from shared.services.consistency import check
from shared.services.store import store
from shared.services.thumbnails import find_shown, thumbnail
from shared.settings import Settings
from shared.storage.blobs import thumbnail_blob
from shared.versions import RULES
from tests.factories import dataset, file_of

STUDY = Scope(DEFAULT_PARTITION.key, "1.2")
JPEG = "image/jpeg"


def image() -> bytes:
    made = dataset(
        StudyInstanceUID="1.2",
        Rows=8,
        Columns=8,
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
    )
    made.PixelData = np.arange(64, dtype="<u2").tobytes()
    made["PixelData"].VR = "OW"
    return file_of(made)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """An embedded backend that holds one image."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    opened = open_backend(Settings(dicom_storage_folder=str(tmp_path), dicom_sql_url=url))

    async def one() -> AsyncIterator[Buffer]:
        yield image()

    async def every() -> AsyncIterator[AsyncIterator[Buffer]]:
        yield one()

    [outcome] = await store(every(), StoreRequest(DEFAULT_PARTITION, None, RULES["2"]), opened)
    assert outcome.failure is None
    yield opened
    await opened.close()


async def kept(backend: Backend) -> list[str]:
    return [blob.name async for blob in backend.blobs.list() if blob.name.endswith(".jpg")]


async def test_kept(backend: Backend) -> None:
    """The first request makes the thumbnail, the next ones are given what was kept; the checker has no objection."""
    instance = await find_shown(STUDY, backend)
    made = await thumbnail(instance, 1, RenderOptions(), JPEG, backend)
    assert await kept(backend) == [thumbnail_blob(instance.version)]

    await backend.blobs.write([(thumbnail_blob(instance.version), b"kept")])

    assert made.startswith(b"\xff\xd8")
    assert await thumbnail(instance, 1, RenderOptions(), JPEG, backend) == b"kept"
    assert (await check(backend)).is_clean


@pytest.mark.parametrize(
    ("options", "media_type"),
    [(RenderOptions(viewport=Viewport(5, 5)), JPEG), (RenderOptions(quality=5), JPEG), (RenderOptions(), "image/png")],
)
async def test_not_kept(backend: Backend, options: RenderOptions, media_type: str) -> None:
    """What a client asks for in another way is made for it alone."""
    await thumbnail(await find_shown(STUDY, backend), 1, options, media_type, backend)

    assert await kept(backend) == []


async def test_deleted(backend: Backend) -> None:
    """It is gone with the bytes of its instance, and is not left when the instance went while it was made."""
    instance = await find_shown(STUDY, backend)
    await thumbnail(instance, 1, RenderOptions(), JPEG, backend)
    now = backend.now()
    await backend.index.write(delete, STUDY, now, now - timedelta(seconds=1))

    await clean_up(backend)

    assert [blob.name async for blob in backend.blobs.list()] == []
    with pytest.raises(NotFound):
        await thumbnail(instance, 1, RenderOptions(), JPEG, backend)
    assert await kept(backend) == []
