"""The files in the body of a Store request, by its `Content-Type` (PS3.18 §10.5.1; store.md, "Request")."""

import re
from collections.abc import AsyncIterator

from shared.errors import InvalidRequest, UnsupportedMediaType
from shared.model import Buffer
from shared.web.media_types import DICOM, MULTIPART_RELATED, MediaType, parse_media_types
from shared.web.multipart import read_parts

_BOUNDARY = re.compile(r"[ -~]{0,69}[!-~]")
"""1 to 70 printable ASCII characters, no blank at the end: wider than RFC 2046 §5.1.1, as clients are."""


def read_files(
    body: AsyncIterator[bytes], content_type: list[str], content_encoding: list[str]
) -> AsyncIterator[AsyncIterator[Buffer]]:
    """Return the Part 10 files of a Store request, each as its bytes arrive.

    Raises
    ------
    UnsupportedMediaType
        The body, or while it is read a part of it, is of another type than DICOM.
    InvalidRequest
        While it is read: the body is not the multipart message that it says it is.
    """
    encodings = [encoding for encoding in content_encoding if encoding.strip().lower() not in {"", "identity"}]
    if encodings:
        raise UnsupportedMediaType("Content-Encoding is not identity; the body must be sent as it is.")
    found = parse_media_types(content_type)
    given = found[0] if found else MediaType("", {})
    if given.type == DICOM:
        return _one(body)
    if given.type == MULTIPART_RELATED:
        return _parts(body, given)
    raise UnsupportedMediaType(f'Content-Type must be {DICOM} or {MULTIPART_RELATED}; type="{DICOM}".')


async def _one(body: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[Buffer]]:
    yield body


async def _parts(body: AsyncIterator[bytes], given: MediaType) -> AsyncIterator[AsyncIterator[Buffer]]:
    boundary = given.parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise UnsupportedMediaType("Content-Type needs a boundary of 1 to 70 characters.")
    if "start" in given.parameters:
        raise InvalidRequest("Content-Type has a start parameter; parts are taken in the order they are sent.")
    # Only the first part inherits its type from the request (store.md, "Multipart rules").
    inherited = given.parameters.get("type")
    number = 0
    async for part in read_parts(body, boundary):
        number += 1
        types = parse_media_types(filter(None, [part.headers.get("content-type", inherited)]))
        inherited = None
        if not types or types[0].type != DICOM:
            raise UnsupportedMediaType(f"Part {number} is not of Content-Type {DICOM}.")
        yield part.chunks
