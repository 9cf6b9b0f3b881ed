"""The Studies Service: Retrieve (PS3.18 §10.4): instances, frames, metadata and bulk data."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from urllib.parse import unquote

import azure.functions as func
from starlette.responses import Response

from shared.backend import Backend
from shared.errors import InvalidRequest, NotAcceptable, NotDecodable
from shared.model import AS_STORED, Action, ByteStream, StoredInstance, Wish
from shared.services.bulkdata import BulkData, retrieve_bulk
from shared.services.frames import Frames, retrieve_frames
from shared.services.metadata import (
    external_metadata,
    metadata_state,
    retrieve_metadata,
    retrieve_metadata_documents,
    retrieve_series_document,
)
from shared.services.retrieve import Chosen, Files, choose, open_instance, retrieve
from shared.services.source import reader_of
from shared.services.streams import begun, one_piece
from shared.web.endpoint import Request, route
from shared.web.media_types import DICOM, DICOM_JSON, DICOM_XML, MULTIPART_RELATED, accepts_gzip, report_type
from shared.web.multipart import new_boundary, write_parts, written_length
from shared.web.negotiation import FRAMES, RESOURCE_OF, bulk_resource, wishes
from shared.web.store_terms import wants_external
from shared.web.streaming import FRESH, Representation, Streaming, answer, unchanged

blueprint = func.Blueprint()

_SERIES = "studies/{study}/series/{series}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_FRAME_NUMBER = re.compile(r"0{0,9}[1-9][0-9]{0,18}")
_NO_FRAME = 2**31 - 1
"""A number that no instance has as many frames as (PS3.5 §6.2, IS)."""


@route(blueprint, "GET", "studies/{study}", Action.READ)
async def retrieve_study(request: Request, backend: Backend) -> Response:
    """Retrieve all instances of a study (PS3.18 §10.4)."""
    return await _retrieve(request, backend)


@route(blueprint, "GET", _SERIES, Action.READ)
async def retrieve_series(request: Request, backend: Backend) -> Response:
    """Retrieve all instances of a series (PS3.18 §10.4)."""
    return await _retrieve(request, backend)


@route(blueprint, "GET", _INSTANCE, Action.READ)
async def retrieve_instance(request: Request, backend: Backend) -> Response:
    """Retrieve one instance (PS3.18 §10.4)."""
    return await _retrieve(request, backend)


@route(blueprint, "GET", "studies/{study}/metadata", Action.READ, accepts=report_type)
async def retrieve_study_metadata(request: Request, backend: Backend) -> Response:
    """Retrieve the metadata of a study (PS3.18 §10.4.1.1.2)."""
    return await _metadata(request, backend)


@route(blueprint, "GET", f"{_SERIES}/metadata", Action.READ, accepts=report_type)
async def retrieve_series_metadata(request: Request, backend: Backend) -> Response:
    """Retrieve the metadata of a series (PS3.18 §10.4.1.1.2)."""
    return await _metadata(request, backend)


@route(blueprint, "GET", f"{_INSTANCE}/metadata", Action.READ, accepts=report_type)
async def retrieve_instance_metadata(request: Request, backend: Backend) -> Response:
    """Retrieve the metadata of an instance (PS3.18 §10.4.1.1.2)."""
    return await _metadata(request, backend)


@route(blueprint, "GET", f"{_INSTANCE}/frames/{{frames}}", Action.READ)
async def retrieve_frames_of_instance(request: Request, backend: Backend) -> Response:
    """Retrieve frames of an instance, in the order asked for (PS3.18 §10.4.1.1.6)."""
    numbers = frame_numbers(request)
    wanted = wishes(request.accept(), FRAMES)
    if len(numbers) > 1 and not any(wish.is_multipart for wish in wanted):
        raise InvalidRequest(f"{len(numbers)} frames do not fit into a single part; accept {MULTIPART_RELATED}.")
    if len(numbers) > 1:
        wanted = [wish for wish in wanted if wish.is_multipart]
    found = await retrieve_frames(request.scope, numbers, wanted, backend)
    media_type = f"{found.wish.media_type}; transfer-syntax={found.transfer_syntax}"
    fields = await cache_fields(request, found.wish, found.instance.version, found.transfer_syntax)
    if (known := unchanged(fields["ETag"], request.headers, fields)) is not None:
        await found.frames.aclose()
        return known
    if found.wish.is_multipart:
        return multipart(_frame_parts(found.frames, media_type, request), found.wish.media_type, fields)
    _, chunks = await anext(found.frames)
    length = {} if found.length_bytes is None else {"Content-Length": str(found.length_bytes)}
    return Streaming(chunks, media_type, headers=fields | length)


@route(blueprint, "GET", f"{_INSTANCE}/bulkdata/{{*path}}", Action.READ)
async def retrieve_bulkdata_of_instance(request: Request, backend: Backend) -> Response:
    """Retrieve a binary value of an instance (PS3.18 §10.4.1.1.5)."""
    found = await retrieve_bulk(request.scope, unquote(str(request.http.path_params.get("path") or "")), backend)
    wanted = wishes(request.accept(), bulk_resource(found.media_type))
    given = {AS_STORED, found.transfer_syntax}
    wish = next((one for one in wanted if not found.transfer_syntax or one.transfer_syntax in given), None)
    if wish is None:
        raise NotAcceptable(
            f"Bulk data is given as stored, in transfer syntax {found.transfer_syntax}; ask for frames."
        )
    return await bulk_answer(request, found, wish, backend)


async def cache_fields(request: Request, wish: Wish, *state: object) -> dict[str, str]:
    """Return the header fields by which a client keeps an answer and asks whether it still holds (RFC 9110 §8.8).

    The tag is that of the *state* that is told of, in the form that is wished for; a weak one where the form has a
    boundary, which no two answers have in common.
    """
    tag = await request.entity_tag(*state, wish.media_type)
    return {"ETag": f"W/{tag}" if wish.is_multipart else tag, "Cache-Control": FRESH, "Vary": "Accept"}


async def bulk_answer(request: Request, found: BulkData, wish: Wish, backend: Backend) -> Response:
    """Return a binary value as a client wants it."""
    media_type = wish.media_type
    if found.transfer_syntax:
        media_type += f"; transfer-syntax={found.transfer_syntax}"
    if wish.is_multipart or len(found.parts) > 1:
        return multipart(_bulk_parts(found, media_type, request, backend.settings.read_ahead), wish.media_type)
    tag = await request.entity_tag(found.source.instance.version)
    return await answer(Representation(media_type, tag, found.length_bytes, found.read), request.headers)


def multipart(
    parts: AsyncGenerator[tuple[str, ByteStream], None],
    media_type: str,
    headers: Mapping[str, str] | None = None,
    lengths: Sequence[tuple[str, int]] = (),
) -> Response:
    """Return parts, each with its header fields, as one multipart answer (PS3.18 §8.6.1).

    Parameters
    ----------
    lengths
        Of all parts, each with its header fields, where they are known.
    """
    boundary = new_boundary()
    if lengths:
        headers = {**(headers or {}), "Content-Length": str(written_length(lengths, boundary))}
    whole_type = f'{MULTIPART_RELATED}; type="{media_type}"; boundary={boundary}'
    return Streaming(write_parts(parts, boundary), whole_type, headers=headers)


async def _frame_parts(
    frames: Frames, media_type: str, request: Request
) -> AsyncGenerator[tuple[str, ByteStream], None]:
    instance = request.urls.path(request.scope)
    async with aclosing(frames):
        async for frame, chunks in frames:
            yield f"Content-Type: {media_type}\r\nContent-Location: {instance}/frames/{frame}", chunks


async def _bulk_parts(
    found: BulkData, media_type: str, request: Request, depth: int
) -> AsyncGenerator[tuple[str, ByteStream], None]:
    fields = f"Content-Type: {media_type}\r\nContent-Location: {request.urls.path(request.scope)}/bulkdata/{found.path}"
    async with aclosing(found.open_parts(depth)) as parts:
        async for chunks in parts:
            yield fields, chunks


def frame_numbers(request: Request) -> list[int]:
    """Return the numbers in the path (retrieve.md, "Frames")."""
    text = unquote(str(request.http.path_params["frames"]))
    numbers = text.split(",")
    if not all(_FRAME_NUMBER.fullmatch(number) for number in numbers):
        raise InvalidRequest("Frames are numbers from 1 on, with commas between.")
    return [min(int(number), _NO_FRAME) for number in numbers]


async def _retrieve(request: Request, backend: Backend) -> Response:
    return await instance_answer(request, wishes(request.accept(), RESOURCE_OF[request.scope.level]), backend)


async def instance_answer(request: Request, wanted: Sequence[Wish], backend: Backend) -> Response:
    """Return the instances of a request in the first way that is wanted and possible."""
    failure: NotDecodable | None = None
    for chosen in await choose(request.scope, wanted, backend):
        try:
            return await _chosen_answer(request, chosen, backend)
        except NotDecodable as error:
            failure = failure or error
    raise failure or NotAcceptable("")


async def _chosen_answer(request: Request, chosen: Chosen, backend: Backend) -> Response:
    if chosen.wish.is_multipart:
        fields: dict[str, str] = {}
        if (versions := chosen.versions) is not None:
            fields = await cache_fields(request, chosen.wish, *versions, chosen.wish.transfer_syntax)
            if (known := unchanged(fields["ETag"], request.headers, fields)) is not None:
                return known
        lengths = [(_fields(one, request), one.length_bytes) for one in chosen.files_as_stored or ()]
        return multipart(_parts(await retrieve(chosen, backend), request), DICOM, fields, lengths)
    [instance] = chosen.first
    syntax = chosen.syntax_of(instance)
    media_type = f"{DICOM}; transfer-syntax={syntax}"
    if syntax != instance.transfer_syntax:
        return Streaming(await begun(await open_instance(instance, syntax, backend)), media_type)
    tag = await request.entity_tag(instance.version)
    stored = Representation(media_type, tag, instance.length_bytes, reader_of(instance, backend))
    return await answer(stored, request.headers)


async def _parts(files: Files, request: Request) -> AsyncGenerator[tuple[str, ByteStream], None]:
    async with aclosing(files):
        async for instance, chunks in files:
            yield _fields(instance, request), chunks


def _fields(instance: StoredInstance, request: Request) -> str:
    media_type = f"{DICOM}; transfer-syntax={instance.transfer_syntax}"
    return f"Content-Type: {media_type}\r\nContent-Location: {request.urls.instance(instance.key)}"


async def _metadata(request: Request, backend: Backend) -> Response:
    scope, base = request.scope, request.urls.base
    external = await external_metadata(scope, backend) if wants_external(request.fields()) else ()
    media_type = report_type(request.accept())
    tag = await request.entity_tag(*await metadata_state(scope, backend, external), media_type)
    fields = {"ETag": tag, "Cache-Control": FRESH, "Vary": "Accept, Accept-Encoding"}
    if (known := unchanged(tag, request.headers, fields)) is not None:
        return known
    if media_type == DICOM_XML:
        documents = await retrieve_metadata_documents(scope, base, backend, external)
        return multipart(_documents(documents), DICOM_XML, fields)
    if not external and accepts_gzip(request.headers("accept-encoding")):
        document = await retrieve_series_document(scope, base, backend)
        if document is not None:
            fields |= {"Content-Encoding": "gzip", "Content-Length": str(document.length_bytes)}
            return Streaming(document.chunks, DICOM_JSON, headers=fields)
    return Streaming(await retrieve_metadata(scope, base, backend, external), DICOM_JSON, headers=fields)


async def _documents(documents: AsyncGenerator[bytes, None]) -> AsyncGenerator[tuple[str, ByteStream], None]:
    async with aclosing(documents):
        async for document in documents:
            yield f"Content-Type: {DICOM_XML}", one_piece(document)
