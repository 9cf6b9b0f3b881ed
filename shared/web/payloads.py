"""The files in the body of a Store request, by its `Content-Type` (PS3.18 §10.5.1; store.md, "Request")."""

import re
from collections.abc import AsyncIterator, Sequence

from shared.errors import InvalidRequest, UnsupportedMediaType
from shared.model import Buffer
from shared.web.composed import compose_body, compose_parts
from shared.web.encodings import decoded
from shared.web.media_types import DICOM, DICOM_JSON, DICOM_XML, MULTIPART_RELATED, MediaType, parse_content_type
from shared.web.multipart import read_parts

_BOUNDARY = re.compile(r"[ -~]{0,69}[!-~]")
"""1 to 70 printable ASCII characters, no blank at the end: wider than RFC 2046 §5.1.1, as clients are."""

_COMPOSED = frozenset({DICOM_JSON, DICOM_XML})


def read_files(
    body: AsyncIterator[bytes],
    content_type: Sequence[str],
    content_encoding: Sequence[str],
    *,
    inflated_limit: int = 4 * 2**30,
    composed_limit: int = 64 * 2**20,
    most_parts: int = 20_000,
) -> AsyncIterator[AsyncIterator[Buffer]]:
    """Return the Part 10 files of a Store request, each as its bytes arrive, or composed of metadata and bulk data.

    Parameters
    ----------
    inflated_limit
        Bytes of a body behind its `Content-Encoding`.
    composed_limit
        Bytes of a body of metadata and bulk data, which is held in memory.
    most_parts
        Of a multipart body.

    Raises
    ------
    UnsupportedMediaType
        The body, or while it is read a part of it, is of a type or content coding that is not taken.
    InvalidRequest
        While it is read: the body is not the message that it says it is.
    PayloadTooLarge
        While it is read: it is over one of the limits.
    UnreadableFile
        While one of the files is read: its instance cannot be composed; the others can be read.
    """
    body = decoded(body, content_encoding, inflated_limit)
    given = parse_content_type(content_type) or MediaType("", {})
    if given.type == DICOM:
        return _one(body)
    if given.type in _COMPOSED:
        return compose_body(body, given.type, composed_limit)
    if given.type == MULTIPART_RELATED:
        return _parts(body, given, composed_limit, most_parts)
    raise UnsupportedMediaType(
        f'Content-Type must be {DICOM}, {DICOM_JSON}, {DICOM_XML} or {MULTIPART_RELATED}; type="one of these".'
    )


async def _one(body: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[Buffer]]:
    yield body


async def _parts(
    body: AsyncIterator[bytes], given: MediaType, composed_limit: int, most_parts: int
) -> AsyncIterator[AsyncIterator[Buffer]]:
    boundary = given.parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise UnsupportedMediaType("Content-Type needs a boundary of 1 to 70 characters.")
    if "start" in given.parameters:
        raise InvalidRequest("Content-Type has a start parameter; parts are taken in the order they are sent.")
    # Only the first part inherits its type from the request (store.md, "Multipart rules").
    inherited = given.parameters.get("type", "")
    parts = read_parts(body, boundary, most_parts)
    if inherited.lower() in _COMPOSED:
        async for file in compose_parts(parts, inherited.lower(), composed_limit):
            yield file
        return
    number = 0
    async for part in parts:
        number += 1
        one = parse_content_type([part.headers.get("content-type", inherited)])
        inherited = ""
        if one is None or one.type != DICOM:
            raise UnsupportedMediaType(f"Part {number} is not of Content-Type {DICOM}.")
        yield part.chunks
