"""Bodies of plain JSON, as lenient as the reference (common.md, "Plain-JSON conventions")."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

import orjson

from shared.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from shared.web.media_types import parse_content_type

JSON = "application/json"

_LONGEST = 2**20
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])')


async def read_json(body: AsyncIterator[bytes], content_type: Sequence[str]) -> object:
    """Return what a body says; comments and commas behind the last member are passed over.

    Raises
    ------
    UnsupportedMediaType
        It is of another type.
    PayloadTooLarge
        It has more than a megabyte.
    InvalidRequest
        It is no JSON.
    """
    given = parse_content_type(content_type)
    if given is None or given.type != JSON:
        raise UnsupportedMediaType(f"Content-Type must be {JSON}.")
    document = bytearray()
    async for chunk in body:
        document += chunk
        if len(document) > _LONGEST:
            raise PayloadTooLarge(f"The body is larger than {_LONGEST} bytes.")
    try:
        text = document.decode("utf-8-sig")
        for pattern in (_COMMENT, _TRAILING_COMMA):
            text = pattern.sub(lambda found: found[1] or " ", text)
        return orjson.loads(text)
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body is not UTF-8.") from error
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is no JSON: line {error.lineno}, column {error.colno}.") from error


def members(value: object, name: str) -> Mapping[str, object]:
    """Return the members of an object by their names in lower case, without those that are null.

    Raises
    ------
    InvalidRequest
        The value called *name* is no object.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} is not an object.")
    return {str(key).lower(): one for key, one in value.items() if one is not None}


def text_of(given: Mapping[str, object], name: str, where: str) -> str | None:
    """Return the text of a member, None where it is left out; raise `InvalidRequest` where it is something else."""
    value = given.get(name.lower())
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{where}{name} is not a text.")
    return value


def written_time(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
