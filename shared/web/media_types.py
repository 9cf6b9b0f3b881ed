"""Media types in `Content-Type` and `Accept`, transfer syntaxes included (PS3.18 §8.7; RFC 9110 §8.3, §12.5.1)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from shared.errors import NotAcceptable
from shared.model import AS_STORED, Level, Wish

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
MULTIPART_RELATED = "multipart/related"

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

_JSON_RANGES = frozenset({"*/*", "application/*", DICOM_JSON, "application/json"})
_SINGLE_PART = frozenset({DICOM, "application/*"})
_MULTI_PART = frozenset({MULTIPART_RELATED, "multipart/*"})

_SYNTAX_OF_PART = {DICOM: EXPLICIT_VR_LITTLE_ENDIAN, "application/*": AS_STORED, "*/*": AS_STORED}
"""What a multipart range without a transfer syntax means, by its `type` parameter."""

_PARAMETER = re.compile(r'(?:\s*;)+\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,]*))')
_TYPE = re.compile(r"\s*([^\s;,]+)")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range: `type` and the names of `parameters` in lower case."""

    type: str
    parameters: Mapping[str, str]

    @property
    def weight(self) -> float:
        """The `q` of a range: 1 when it is absent or cannot be read, 0 when the client refuses it."""
        try:
            weight = float(self.parameters.get("q", "1"))
        except ValueError:
            return 1.0
        return 1.0 if isnan(weight) else min(max(weight, 0.0), 1.0)


def parse_media_types(headers: Iterable[str]) -> list[MediaType]:
    """Return the media types in the values of one header, in order; what cannot be read is passed over.

    Parameter values may be quoted or not, also where RFC 9110 would have them quoted (clients.md).
    """
    found = []
    for header in headers:
        position = 0
        while position < len(header):
            match = _TYPE.match(header, position)
            position = match.end() if match else position
            parameters = {}
            while parameter := _PARAMETER.match(header, position):
                quoted, plain = parameter[2], parameter[3]
                value = plain.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                parameters[parameter[1].lower()] = value
                position = parameter.end()
            if match:
                found.append(MediaType(match[1].lower(), parameters))
            comma = header.find(",", position)
            position = len(header) if comma < 0 else comma + 1
    return found


def require_json(accept: Sequence[str]) -> None:
    """Raise `NotAcceptable`, without a text, unless DICOM JSON is accepted (common.md, "Accept filter").

    A missing `Accept` counts as `*/*`.
    """
    ranges = parse_media_types(accept)
    if ranges and not any(one.type in _JSON_RANGES and one.weight for one in ranges):
        raise NotAcceptable("")


def wishes(accept: Sequence[str], level: Level) -> list[Wish]:
    """Return the representations of instances that a client accepts, best first (PS3.18 §8.7.3, retrieve.md).

    Among equal weights a range that names `transfer-syntax=*` comes first, then the order of the header decides.

    Raises
    ------
    NotAcceptable
        None of them is DICOM.
    """
    ranges = parse_media_types(accept) or [MediaType("*/*", {})]
    wanted = [(one, wish) for one in ranges if one.weight and (wish := _wish(one, level)) is not None]
    if not wanted:
        single = "" if level is not Level.INSTANCE else f", {DICOM}"
        raise NotAcceptable(f'Accept names nothing that can be given: {MULTIPART_RELATED}; type="{DICOM}"{single}.')
    wanted.sort(key=lambda pair: (-pair[0].weight, pair[0].parameters.get("transfer-syntax") != AS_STORED))
    return [wish for _, wish in wanted]


def _wish(media_range: MediaType, level: Level) -> Wish | None:
    syntax = media_range.parameters.get("transfer-syntax")
    if media_range.type == "*/*":
        return Wish(is_multipart=True, transfer_syntax=syntax or AS_STORED)
    if media_range.type in _SINGLE_PART and level is Level.INSTANCE:
        return Wish(is_multipart=False, transfer_syntax=syntax or EXPLICIT_VR_LITTLE_ENDIAN)
    if media_range.type in _MULTI_PART:
        default = _SYNTAX_OF_PART.get(media_range.parameters.get("type", DICOM).lower())
        return None if default is None else Wish(is_multipart=True, transfer_syntax=syntax or default)
    return None
