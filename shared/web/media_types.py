"""Media types in `Content-Type` and `Accept`, transfer syntaxes included (PS3.18 §8.7; RFC 9110 §8.3, §12.5.1)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from shared.errors import NotAcceptable
from shared.model import AS_STORED, Level, Wish

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
OCTET_STREAM = "application/octet-stream"
MULTIPART_RELATED = "multipart/related"

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

_JSON_RANGES = frozenset({"*/*", "application/*", DICOM_JSON, "application/json"})
_SINGLE_PART = frozenset({DICOM, "application/*"})
_MULTI_PART = frozenset({MULTIPART_RELATED, "multipart/*"})

_SYNTAX_OF_PART = {DICOM: EXPLICIT_VR_LITTLE_ENDIAN, "application/*": AS_STORED, "*/*": AS_STORED}
"""What a multipart range without a transfer syntax means, by its `type` parameter."""

TRANSFER_SYNTAXES: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (70, 50, 51, 57)),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
    "image/x-dicom-rle": ("1.2.840.10008.1.2.5",),
    "image/jls": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81)),
    "image/jp2": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91)),
    "image/jpx": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (92, 93)),
    "image/jphc": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)),
    "image/jxl": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112)),
    **dict.fromkeys(
        ("video/mpeg", "video/mpeg2"), tuple(f"1.2.840.10008.1.2.4.{number}" for number in (100, 101, "100.1", "101.1"))
    ),
    "video/mp4": tuple(
        f"1.2.840.10008.1.2.4.{number}{part}" for part in ("", ".1") for number in (102, 103, 104, 105, 106)
    ),
    "video/h265": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (107, 108)),
}
"""What pixel data of a media type may be in, the default first (PS3.18 §8.7.3.3)."""

_PARAMETER = re.compile(r'(?:\s*;)+\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,]*))')
_PARAMETER_OF_ONE = re.compile(_PARAMETER.pattern.replace("[^;,]*", "[^;]*"))
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
            one, position = _parse(header, position, _PARAMETER)
            if one:
                found.append(one)
            comma = header.find(",", position)
            position = len(header) if comma < 0 else comma + 1
    return found


def parse_content_type(headers: Iterable[str]) -> MediaType | None:
    """Return the first media type of a `Content-Type`; None where there is none.

    Since it is no list, a comma belongs to the value that it stands in, also where no quotes say so.
    """
    return next((one for header in headers if (one := _parse(header, 0, _PARAMETER_OF_ONE)[0])), None)


def _parse(header: str, position: int, pattern: re.Pattern[str]) -> tuple[MediaType | None, int]:
    """Read the media type at *position*, its parameters by *pattern*, and return it and where it ends."""
    match = _TYPE.match(header, position)
    position = match.end() if match else position
    parameters = {}
    while parameter := pattern.match(header, position):
        quoted, plain = parameter[2], parameter[3]
        value = plain.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters[parameter[1].lower()] = value
        position = parameter.end()
    return (MediaType(match[1].lower(), parameters) if match else None), position


def require_json(accept: Sequence[str]) -> None:
    """Raise `NotAcceptable`, without a text, unless DICOM JSON is accepted (common.md, "Accept filter").

    A missing `Accept` counts as `*/*`.
    """
    ranges = parse_media_types(accept)
    if ranges and not any(one.type in _JSON_RANGES and one.weight for one in ranges):
        raise NotAcceptable("")


def report_type(accept: Sequence[str]) -> str:
    """Return which of `DICOM_JSON` and `DICOM_XML` a Store is answered in (PS3.18 §10.5.3).

    The most specific range of a type has its weight (RFC 9110 §12.5.1); among equals, and without `Accept`, JSON.

    Raises
    ------
    NotAcceptable
        Without a text: neither is accepted.
    """
    ranges = parse_media_types(accept)
    json = 1.0 if not ranges else _weight(ranges, {DICOM_JSON, "application/json"})
    xml = _weight(ranges, {DICOM_XML})
    if not json and not xml:
        raise NotAcceptable("")
    return DICOM_JSON if json >= xml else DICOM_XML


def _weight(ranges: Sequence[MediaType], names: set[str]) -> float:
    """Return the greatest weight among the most specific ranges that admit one of *names*; 0 when none does."""
    for admitted in (names, {"application/*"}, {"*/*"}):
        weights = [one.weight for one in ranges if _range_name(one) in admitted]
        if weights:
            return max(weights)
    return 0.0


def _range_name(media_range: MediaType) -> str:
    """Return the type of a range; that of its parts where it is `multipart/related` of XML, as clients ask for it."""
    of_parts = media_range.parameters.get("type", "").lower()
    return DICOM_XML if (media_range.type, of_parts) == (MULTIPART_RELATED, DICOM_XML) else media_range.type


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
