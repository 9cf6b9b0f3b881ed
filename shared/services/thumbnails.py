"""Thumbnails: made when they are first asked for, then kept beside the instance's file (PS3.18 §10.4.1.1.4)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from shared.backend import Backend
from shared.dicom.render_options import RenderOptions, Viewport
from shared.errors import DicomwebError, NotDecodable, NotFound
from shared.index.frames import pages_for
from shared.index.representative import find_middle
from shared.model import Scope, StoredInstance
from shared.services.render import PICTURES, render_frames, renderable
from shared.services.streams import begun, whole
from shared.storage.blobs import thumbnail_blob

_SIZE = Viewport(128, 128)
"""Of a thumbnail whose size the client leaves to us."""


async def find_shown(scope: Scope, backend: Backend) -> StoredInstance:
    """Return the instance that stands for *scope*."""
    instance = await backend.index.read(find_middle, scope)
    if instance is None:
        raise NotFound("Nothing is stored under these UIDs.")
    return instance


async def thumbnail(
    instance: StoredInstance, frame: int, options: RenderOptions, media_type: str, backend: Backend
) -> bytes:
    """Return a small picture of a frame.

    Raises
    ------
    NotFound
        There is no such frame.
    NotDecodable
        It cannot be shown as a picture.
    """
    is_kept = frame == 1 and options == RenderOptions() and media_type == PICTURES[0]
    name = thumbnail_blob(instance.version)
    if is_kept:
        with suppress(NotFound):
            return await whole(await backend.blobs.read(name))
    one = await renderable(_scope_of(instance), backend)
    if not one.is_image:
        raise NotDecodable("There are thumbnails of images alone: not of video, documents and reports.")
    shown = replace(options, viewport=options.viewport or _SIZE)
    pictures = await begun(render_frames(one, (frame,), media_type, shown, backend))
    _, chunks = await anext(pictures)
    await pictures.aclose()
    picture = await whole(chunks)
    if is_kept and one.instance.version == instance.version:
        await _keep(name, picture, instance, backend)
    return picture


async def has_frames(instance: StoredInstance, numbers: Sequence[int], backend: Backend) -> bool:
    """Return whether the frame table knows these frames."""
    return None not in await backend.index.read(pages_for, instance.version, numbers)


async def _keep(name: str, picture: bytes, instance: StoredInstance, backend: Backend) -> None:
    """Keep a thumbnail, unless its instance is gone by now: then nobody would remove it."""
    with suppress(DicomwebError):  # it can be made anew
        await backend.blobs.write([(name, picture)])
        now = await backend.index.read(find_middle, _scope_of(instance))
        if now is None or now.version != instance.version:
            await backend.blobs.delete([name])


def _scope_of(instance: StoredInstance) -> Scope:
    key = instance.key
    return Scope(key.partition, key.study, key.series, key.instance)
