"""Media types in `Content-Type` and `Accept`, transfer syntaxes included (PS3.18 §8.7; RFC 9110 §8.3, §12.5.1)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from shared.errors import NotAcceptable

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
OCTET_STREAM = "application/octet-stream"
MULTIPART_RELATED = "multipart/related"

_JSON_RANGES = frozenset({"*/*", "application/*", DICOM_JSON, "application/json"})
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


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Return whether a client takes gzip (RFC 9110 §12.5.3); without the field it may take nothing."""
    ranges = {one.type: one.weight for one in parse_media_types(accept_encoding)}
    return ranges.get("gzip", ranges.get("x-gzip", ranges.get("*", 0.0))) > 0
