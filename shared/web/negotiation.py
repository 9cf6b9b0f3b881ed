"""Which representations of a resource a client accepts: resource by media type by transfer syntax (PS3.18 §8.7).

`Accept` is read in one place for every resource of Retrieve; what a stored object can be had in, `services` decide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.dicom.syntaxes import EXPLICIT
from shared.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from shared.errors import InvalidRequest, NotAcceptable
from shared.model import AS_STORED, Level, Wish
from shared.web.media_types import DICOM, MULTIPART_RELATED, OCTET_STREAM, MediaType, parse_media_types

_ANY = "*/*"
_KINDS = frozenset({"image/", "video/"})
_MULTI_PART = frozenset({MULTIPART_RELATED, "multipart/*"})


@dataclass(frozen=True, slots=True)
class Resource:
    """What a resource can be given in.

    Parameters
    ----------
    syntaxes
        By media type, the transfer syntaxes that belong to it, first the one that a range means which names none;
        only a media type with a single one goes with any other too.
    any_type
        The media type of the answer to `*/*` and to a missing `Accept`; then nothing is transcoded.
    has_single_part
        Whether it can be given outside of a multipart body.
    any_is_multipart
        Whether the answer to `*/*` is a multipart body.
    """

    syntaxes: Mapping[str, tuple[str, ...]]
    any_type: str
    has_single_part: bool
    any_is_multipart: bool = True


_ANY_SYNTAX = (EXPLICIT,)

INSTANCES = Resource({DICOM: _ANY_SYNTAX}, DICOM, has_single_part=False)
"""A study or series."""
INSTANCE = Resource({DICOM: _ANY_SYNTAX}, DICOM, has_single_part=True)
FRAMES = Resource({OCTET_STREAM: _ANY_SYNTAX, **TRANSFER_SYNTAXES}, OCTET_STREAM, has_single_part=True)
RESOURCE_OF: Mapping[Level, Resource] = {Level.STUDY: INSTANCES, Level.SERIES: INSTANCES, Level.INSTANCE: INSTANCE}


def bulk_resource(media_type: str) -> Resource:
    """Return the resource of a binary value, which has a *media_type* of its own or none; any syntax will do."""
    return Resource(dict.fromkeys((media_type, OCTET_STREAM), (AS_STORED,)), media_type, True, False)


def wishes(accept: Sequence[str], resource: Resource) -> list[Wish]:
    """Return the representations that a client accepts, best first (PS3.18 §8.7.3, retrieve.md).

    Among equal weights a range that names `transfer-syntax=*` comes first, then the order of the header decides.
    A missing `Accept` counts as `*/*`.

    Raises
    ------
    NotAcceptable
        None of them is one of the resource; the text lists what is.
    """
    ranges = [one for found in parse_media_types(accept) for one in _spelt_out(found, resource)] or [
        MediaType(_ANY, {})
    ]
    wanted = [(one, wish) for one in ranges if one.weight and (wish := _wish(one, resource)) is not None]
    if not wanted:
        raise NotAcceptable(f"Accept names nothing that can be given: {_offer(resource)}.")
    wanted.sort(key=lambda pair: (-pair[0].weight, pair[0].parameters.get("transfer-syntax") != AS_STORED))
    return [wish for _, wish in wanted]


def _spelt_out(media_range: MediaType, resource: Resource) -> Iterator[MediaType]:
    """Yield a range of images or video as ranges of each type of those that the resource has (RFC 9110 §12.5.1)."""
    kind = media_range.type.removesuffix("*")
    names = [name for name in resource.syntaxes if name.startswith(kind)] if kind in _KINDS else []
    yield from (MediaType(name, media_range.parameters) for name in names)
    if not names:
        yield media_range


def _wish(media_range: MediaType, resource: Resource) -> Wish | None:
    syntax = media_range.parameters.get("transfer-syntax")
    if media_range.type == _ANY:
        return Wish(resource.any_is_multipart, syntax or AS_STORED, resource.any_type)
    if media_range.type in _MULTI_PART:
        of_parts = media_range.parameters.get("type", resource.any_type).lower()
        return _of_type(of_parts, syntax or (AS_STORED if "*" in of_parts else None), resource, is_multipart=True)
    return _of_type(media_range.type, syntax, resource, is_multipart=False) if resource.has_single_part else None


def _of_type(media_type: str, syntax: str | None, resource: Resource, *, is_multipart: bool) -> Wish | None:
    """Return the wish for one media type; None where that, or its transfer syntax, is none of the resource's."""
    name = resource.any_type if media_type in {_ANY, "application/*"} else media_type
    first, *others = resource.syntaxes.get(name, ("",))
    if not others:
        return Wish(is_multipart, syntax or first, name) if first else None
    if syntax in {None, AS_STORED}:
        return Wish(is_multipart, first, name, tuple(others))
    return Wish(is_multipart, str(syntax), name) if syntax in resource.syntaxes[name] else None


def _offer(resource: Resource) -> str:
    """Return the media types of a resource as a client would write them."""
    several = [f'{MULTIPART_RELATED}; type="{one}"' for one in resource.syntaxes]
    return ", ".join([*several, *(resource.syntaxes if resource.has_single_part else ())])


def choose(accept: Sequence[str], offered: Sequence[str], *, several: bool = False) -> Wish:
    """Return which of the *offered* media types a client wants, the first of them where it does not mind.

    *several* of them are parts of a multipart body.

    The most specific range of a type has its weight (RFC 9110 §12.5.1); a type that is wanted as the part of a
    multipart body counts as one that is wanted alone, only after it where both weigh the same.

    Raises
    ------
    NotAcceptable
        None; the text lists what is offered.
    InvalidRequest
        Several are wanted in a single part.
    """
    ranges = parse_media_types(accept) or [MediaType(_ANY, {})]
    weighed = [
        (_weight(ranges, name, is_multipart=is_multipart), not is_multipart, -number, name)
        for number, name in enumerate(offered)
        for is_multipart in (False, True)
    ]
    possible = [one for one in weighed if one[0] and not (several and one[1])]
    if not possible and any(weight for weight, *_ in weighed):
        raise InvalidRequest(f"Several do not fit into a single part; accept {MULTIPART_RELATED}.")
    if not possible:
        raise NotAcceptable(f"Accept names nothing that can be given: {', '.join(offered)}.")
    _, is_alone, _, name = max(possible)
    return Wish(not is_alone, AS_STORED, name)


def _weight(ranges: Sequence[MediaType], name: str, *, is_multipart: bool) -> float:
    """Return the weight that a client gives a media type; 0 when it does not take it."""
    for admitted in (name, f"{name.partition('/')[0]}/*", _ANY):
        weights = [one.weight for one in ranges if _named(one, is_multipart=is_multipart) == admitted]
        if weights:
            return max(weights)
    return 0.0


def _named(media_range: MediaType, *, is_multipart: bool) -> str:
    """Return the type that a range is about: that of the parts for a multipart body."""
    if not is_multipart or media_range.type == _ANY:
        return media_range.type
    return media_range.parameters.get("type", _ANY).lower() if media_range.type in _MULTI_PART else ""
