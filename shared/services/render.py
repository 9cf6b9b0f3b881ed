"""Retrieve rendered: frames as pictures, reports as text, documents and video as they are (PS3.18 §10.4.1.1.3)."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.backend import Backend
from shared.dicom.attributes import tag_of
from shared.dicom.frames import frame_count
from shared.dicom.header import Header
from shared.dicom.render_options import RenderOptions
from shared.dicom.transfer_syntaxes import MEDIA_TYPE_OF
from shared.errors import InvalidRequest, NotFound
from shared.index.frames import pages_for
from shared.index.representative import find_middle
from shared.model import ByteStream, Scope, StoredInstance
from shared.services.bulkdata import document_type
from shared.services.frames import Place, decoded_ahead, places_of, read_frame
from shared.services.source import Source, header_of, image_in, source_of
from shared.services.streams import each, one_piece, read_ahead, whole

PICTURES = ("image/jpeg", "image/png", "image/gif", "image/jp2")
ANIMATION = "image/gif"
HTML, TEXT = "text/html", "text/plain"
REPORTS = (HTML, TEXT)

_STATE_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2, 5))
"""Softcopy presentation states that `dicom.presentation_state` understands."""
_MOST_REFERENCES = 20
"""Of a presentation state that are looked for."""
_REPORT_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
_CLASS, _DOCUMENT = map(tag_of, ("SOPClassUID", "EncapsulatedDocument"))
_TABLES = ("0028", "0048", "5200", "6")
"""How the tags begin of what holds binary values for rendering: lookup tables, colour profiles, overlays."""
_TABLE_BYTES = 16 * 2**20
"""Of those values together; what is beyond is not there."""


@dataclass(frozen=True, slots=True)
class Renderable:
    """An instance that can be shown, and the media types that it can be shown in, the default first."""

    source: Source
    header: Header
    media_types: tuple[str, ...]
    state: Any = None
    """The presentation state that the image is shown with (`dicom.presentation_state`)."""
    versions: tuple[int, ...] = ()
    """Of what is shown: the image and its presentation state."""

    @property
    def instance(self) -> StoredInstance:
        """What is stored."""
        return self.source.instance

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return frame_count(self.header.dataset)

    @property
    def is_single_frame(self) -> bool:
        """Whether it is an image of one frame."""
        return self.is_image and self.frames == 1

    @property
    def rows_and_columns(self) -> tuple[int, int]:
        """Of the image; raises as `image_in`."""
        image = image_in(self.header)
        return image.rows, image.columns

    @property
    def shown_path(self) -> str:
        """Where the value lies that is shown as it is: a video or document."""
        return _DOCUMENT if self.header.pixel_data is None else self.header.pixel_data.path

    @property
    def is_image(self) -> bool:
        """Whether its frames are rendered."""
        return self.media_types == PICTURES

    @property
    def is_report(self) -> bool:
        """Whether it is a structured report, of which a page or a text is made."""
        return self.media_types == REPORTS


async def renderable(scope: Scope, backend: Backend, state: Scope | None = None) -> Renderable:
    """Return what stands for *scope*: an instance itself, of a study or series the middle one of its images.

    Parameters
    ----------
    state
        A presentation state that the image is to be shown with.

    Raises
    ------
    NotFound
        Nothing is stored there, or nothing that can be shown.
    InvalidRequest
        There is no such presentation state, or not for that image.
    """
    if state is not None:
        return await _image_as_in(scope, state, backend)
    instance = await backend.index.read(find_middle, scope)
    if instance is None:
        raise NotFound("Nothing is stored under these UIDs.")
    source = await source_of(instance, backend)
    header = await header_of(source)
    if _first(header, _CLASS) in _STATE_CLASSES:
        return await _image_with_state(source, header, backend)
    media_types = _media_types(header)
    if not media_types:
        raise NotFound("The instance has no pixel data, and nothing else that could be shown.")
    return Renderable(source, header, media_types, versions=(instance.version,))


async def _image_as_in(scope: Scope, state: Scope, backend: Backend) -> Renderable:
    found = await backend.index.read(find_middle, state)
    if found is None:
        raise NotFound("There is no such presentation state.")
    source = await source_of(found, backend)
    header = await header_of(source)
    if _first(header, _CLASS) not in _STATE_CLASSES:
        raise InvalidRequest("What is to be the presentation state is none that is understood here.")
    return await _image_with_state(source, header, backend, of=scope)


async def _image_with_state(source: Source, header: Header, backend: Backend, *, of: Scope | None = None) -> Renderable:
    """Return the first image that a presentation state is made for and that is here, to be shown as the state says.

    It is the one *of* a scope, where that is given.
    """
    from shared.dicom.presentation_state import read_state  # NumPy

    state = read_state(header.dataset, (await _tables(source, header)).__getitem__)
    key = source.instance.key
    wanted = [one for one in state.references if of is None or (one.series, one.instance) == (of.series, of.instance)]
    if not wanted:
        raise InvalidRequest("The presentation state is not made for that image.")
    for one in wanted[:_MOST_REFERENCES]:
        found = await backend.index.read(find_middle, Scope(key.partition, key.study, one.series, one.instance))
        if found is not None:
            image = await source_of(found, backend)
            versions = (found.version, source.instance.version)
            return Renderable(image, await header_of(image), PICTURES, state, versions)
    raise NotFound("None of the images that the presentation state is made for is stored.")


def _media_types(header: Header) -> tuple[str, ...]:
    if header.pixel_data is not None:
        kind = MEDIA_TYPE_OF.get(header.transfer_syntax, "")
        return (kind,) if kind.startswith("video/") else PICTURES
    if document := document_type(header.dataset):
        return (document,)
    return REPORTS if _first(header, _CLASS).startswith(_REPORT_CLASSES) else ()


async def render_frames(
    one: Renderable, numbers: Sequence[int], media_type: str, options: RenderOptions, backend: Backend
) -> AsyncGenerator[tuple[int, ByteStream], None]:
    """Yield frames as pictures, in the order of their *numbers*.

    Raises
    ------
    NotFound
        A frame is not there.
    NotDecodable
        It cannot be shown.
    """
    places = await _places(one, numbers, backend)
    tables = await _tables(one.source, one.header)
    image = image_in(one.header)

    async def render(place: Place) -> ByteStream:
        asked = replace(options, frame=place.frame)
        async with backend.decoding.turn(image.frame_bytes):  # read only now: who waits holds no frame
            frame = await read_frame(one.source, place)
            return one_piece(await asyncio.to_thread(_picture, one, frame, tables, media_type, asked))

    async for place, picture in read_ahead(each(places), render, decoded_ahead(image, backend.settings.read_ahead)):
        yield place.frame, picture


async def animate(one: Renderable, options: RenderOptions, backend: Backend) -> ByteStream:
    """Yield all frames as an animated GIF, evenly spread ones where there are too many."""
    from shared.dicom.items import Item
    from shared.dicom.pictures import animated_gif, animation_frames, frame_delay_ms

    places = await _places(one, animation_frames(frame_count(one.header.dataset)), backend)
    tables = await _tables(one.source, one.header)
    loop = asyncio.get_running_loop()

    def frames() -> Iterator[Any]:
        for place in places:
            frame = asyncio.run_coroutine_threadsafe(read_frame(one.source, place), loop).result()
            yield _drawn(one, frame, tables, replace(options, frame=place.frame))

    pieces = animated_gif(frames(), frame_delay_ms(Item(one.header.dataset)))
    while True:
        async with backend.decoding.turn(image_in(one.header).frame_bytes):
            piece = await asyncio.to_thread(next, pieces, None)
        if piece is None:
            return
        yield piece


def report(one: Renderable, media_type: str) -> bytes:
    """Return a structured report as a page or as text."""
    from shared.dicom.report_text import to_html, to_text

    return to_html(one.header.dataset) if media_type == HTML else to_text(one.header.dataset)


async def _places(one: Renderable, numbers: Sequence[int], backend: Backend) -> list[Place]:
    pages = await backend.index.read(pages_for, one.instance.version, numbers)
    return await places_of(one.source, numbers, pages)


async def _tables(source: Source, header: Header) -> dict[str, bytes]:
    """Return the binary values that rendering may need, by path."""
    found: dict[str, bytes] = {}
    left = _TABLE_BYTES
    for value in header.bulk:
        if value.path.startswith(_TABLES) and value.length is not None and value.length <= left:
            left -= value.length
            found[value.path] = await whole(await source.read(value.offset, value.length))
    return found


def _picture(one: Renderable, frame: bytes, tables: dict[str, bytes], media_type: str, options: RenderOptions) -> bytes:
    from shared.dicom.items import Item
    from shared.dicom.pictures import encode, profile_of, with_profile

    profile = profile_of(Item(one.header.dataset, tables.__getitem__))
    shown, icc = with_profile(_drawn(one, frame, tables, options), profile, options.icc_profile)
    return encode(shown, media_type, quality=options.quality, icc=icc)


def _drawn(one: Renderable, frame: bytes, tables: dict[str, bytes], options: RenderOptions) -> Any:
    from shared.dicom.pixels import decode_frame
    from shared.dicom.presentation_state import draw_with_state
    from shared.dicom.rendering import draw

    header = one.header
    decoded = decode_frame(frame, header.transfer_syntax, image_in(header))
    image = (decoded.array, decoded.photometric, header.dataset, options)
    if one.state is None:
        return draw(*image, tables.__getitem__)
    return draw_with_state(*image, one.state, tables.__getitem__)


def _first(header: Header, tag: str) -> str:
    values = header.dataset.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")
