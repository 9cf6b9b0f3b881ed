"""The Studies Service: Retrieve rendered and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.1.4)."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import azure.functions as func
from starlette.responses import Response

from shared.backend import Backend
from shared.dicom.render_options import RenderOptions
from shared.errors import NotFound
from shared.model import Action, ByteStream, StoredInstance, Wish
from shared.routes.retrieve import bulk_answer, cache_fields, frame_numbers, multipart
from shared.services.bulkdata import value_of
from shared.services.render import ANIMATION, PICTURES, Renderable, animate, render_frames, renderable, report
from shared.services.streams import begun, one_piece, whole
from shared.services.thumbnails import find_shown, has_frames, thumbnail
from shared.web.endpoint import Request, route
from shared.web.negotiation import choose
from shared.web.render_query import render_options
from shared.web.streaming import Streaming, unchanged

blueprint = func.Blueprint()

_SERIES = "studies/{study}/series/{series}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_FRAMES = f"{_INSTANCE}/frames/{{frames}}"


@route(blueprint, "GET", "studies/{study}/rendered", Action.READ)
async def render_study(request: Request, backend: Backend) -> Response:
    """Retrieve a picture that stands for a study (PS3.18 §10.4.1.1.3)."""
    return await _rendered(request, backend)


@route(blueprint, "GET", f"{_SERIES}/rendered", Action.READ)
async def render_series(request: Request, backend: Backend) -> Response:
    """Retrieve a picture that stands for a series (PS3.18 §10.4.1.1.3)."""
    return await _rendered(request, backend)


@route(blueprint, "GET", f"{_INSTANCE}/rendered", Action.READ)
async def render_instance(request: Request, backend: Backend) -> Response:
    """Retrieve an instance as it is shown: its first frame, or all in an animation (PS3.18 §10.4.1.1.3)."""
    return await _rendered(request, backend)


@route(blueprint, "GET", f"{_FRAMES}/rendered", Action.READ)
async def render_frames_of_instance(request: Request, backend: Backend) -> Response:
    """Retrieve frames as pictures (PS3.18 §10.4.1.1.3)."""
    return await _rendered(request, backend, frame_numbers(request))


@route(blueprint, "GET", "studies/{study}/thumbnail", Action.READ)
async def thumbnail_of_study(request: Request, backend: Backend) -> Response:
    """Retrieve a small picture that stands for a study (PS3.18 §10.4.1.1.4)."""
    return await _thumbnail(request, backend)


@route(blueprint, "GET", f"{_SERIES}/thumbnail", Action.READ)
async def thumbnail_of_series(request: Request, backend: Backend) -> Response:
    """Retrieve a small picture that stands for a series (PS3.18 §10.4.1.1.4)."""
    return await _thumbnail(request, backend)


@route(blueprint, "GET", f"{_INSTANCE}/thumbnail", Action.READ)
async def thumbnail_of_instance(request: Request, backend: Backend) -> Response:
    """Retrieve a small picture of an instance (PS3.18 §10.4.1.1.4)."""
    return await _thumbnail(request, backend)


@route(blueprint, "GET", f"{_FRAMES}/thumbnail", Action.READ)
async def thumbnail_of_frames(request: Request, backend: Backend) -> Response:
    """Retrieve a small picture of a frame (PS3.18 §10.4.1.1.4)."""
    return await _thumbnail(request, backend, frame_numbers(request))


async def _rendered(request: Request, backend: Backend, numbers: Sequence[int] = ()) -> Response:
    options = render_options(request.query)
    one = await renderable(request.scope, backend)
    wish = choose(request.accept(), one.media_types, several=one.is_image and len(numbers) > 1)
    if one.is_image:
        return await _pictures(request, one, wish, options, numbers, backend)
    return await _shown(request, one, wish, backend)


async def picture_of(
    request: Request, one: Renderable, wish: Wish, options: RenderOptions, frame: int, backend: Backend
) -> Response:
    """Return a frame, counted from 1, as a picture, or what is shown instead."""
    if one.is_image:
        return await _pictures(request, one, wish, options, [frame], backend)
    return await _shown(request, one, wish, backend)


async def _shown(request: Request, one: Renderable, wish: Wish, backend: Backend) -> Response:
    if one.is_report:
        async with backend.decoding.turn(0):
            text = await asyncio.to_thread(report, one, wish.media_type)
        return Response(text, media_type=f"{wish.media_type}; charset=utf-8")
    return await bulk_answer(request, await value_of(one.source, one.header, one.shown_path, backend), wish, backend)


async def _thumbnail(request: Request, backend: Backend, numbers: Sequence[int] = (1,)) -> Response:
    options = render_options(request.query)
    instance = await find_shown(request.scope, backend)
    wish = choose(request.accept(), PICTURES, several=len(numbers) > 1)
    fields = await cache_fields(request, wish, instance.version)
    known = unchanged(fields["ETag"], request.headers, fields)
    if known is not None and await has_frames(instance, numbers, backend):
        return known
    pictures = await begun(_thumbnails(instance, numbers, options, wish.media_type, backend))
    if wish.is_multipart:
        return multipart(_parts(pictures, "thumbnail", wish.media_type, request), wish.media_type, fields)
    _, picture = await anext(pictures)
    return Response(await whole(picture), headers=fields, media_type=wish.media_type)


async def _thumbnails(
    instance: StoredInstance, numbers: Sequence[int], options: RenderOptions, media_type: str, backend: Backend
) -> AsyncGenerator[tuple[int, ByteStream], None]:
    for number in numbers:
        yield number, one_piece(await thumbnail(instance, number, options, media_type, backend))


async def _pictures(
    request: Request, one: Renderable, wish: Wish, options: RenderOptions, numbers: Sequence[int], backend: Backend
) -> Response:
    if missing := [number for number in numbers if number > one.frames]:
        raise NotFound(f"There is no frame {missing[0]}; the instance has {one.frames}.")
    fields = await cache_fields(request, wish, *one.versions)
    if (known := unchanged(fields["ETag"], request.headers, fields)) is not None:
        return known
    if wish.media_type == ANIMATION and not numbers:
        return Streaming(await begun(animate(one, options, backend)), ANIMATION, headers=fields)
    pictures = await begun(render_frames(one, numbers or (1,), wish.media_type, options, backend))
    if wish.is_multipart:
        return multipart(_parts(pictures, "rendered", wish.media_type, request), wish.media_type, fields)
    _, picture = await anext(pictures)
    await pictures.aclose()
    return Response(await whole(picture), headers=fields, media_type=wish.media_type)


async def _parts(
    pictures: AsyncGenerator[tuple[int, ByteStream], None], resource: str, media_type: str, request: Request
) -> AsyncGenerator[tuple[str, ByteStream], None]:
    instance = request.urls.path(request.scope)
    async with aclosing(pictures):
        async for frame, picture in pictures:
            yield f"Content-Type: {media_type}\r\nContent-Location: {instance}/frames/{frame}/{resource}", picture
