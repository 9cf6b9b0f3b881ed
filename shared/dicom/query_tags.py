"""Extended query tags: which attributes can be one, and their values in a data set (extended-query-tags.md)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.dicom.attributes import INDEXED_BY_REFERENCE, tag_of
from shared.dicom.data_dictionary import entry
from shared.dicom.external import VRS, tag_problem
from shared.dicom.private_blocks import creators_of, is_private
from shared.dicom.strict import broken_rule
from shared.dicom.value_rules import LONGEST, string_problem
from shared.dicom.values import index_value
from shared.errors import InvalidRequest
from shared.model import Level, QueryTag, TagValue

__all__ = ["MOST_TAGS", "VRS", "new_tag", "path_of", "place_of", "places", "read_tags"]

MOST_TAGS = 128
"""Of a service."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_BY_DEFAULT = frozenset(INDEXED_BY_REFERENCE) | {tag_of("ModalitiesInStudy")}
"""What the reference finds without a tag. What else this service finds can be a tag too: clients of the reference
make it one."""

_FIRST_GROUP = 0x0008
_CREATORS = range(0x10, 0x100)


def path_of(name: str) -> str:
    """Return the tag, as 8 upper-case hexadecimal digits, of an attribute named by keyword or by tag.

    Raises
    ------
    InvalidRequest
        It is neither; attributes within sequences cannot be named.
    """
    if _TAG.fullmatch(name):
        return name.upper()
    try:
        return tag_of(name)
    except KeyError as error:
        raise InvalidRequest("The path is neither a keyword of PS3.6 nor 8 hexadecimal digits.") from error


def new_tag(path: str, level: Level, vr: str | None, creator: str | None) -> QueryTag:
    """Return the tag that a client asks for; *vr* and *creator* are None where they are left out.

    Raises
    ------
    InvalidRequest
        It cannot be one; says why.
    """
    tag = path_of(path)
    if tag in _BY_DEFAULT:
        raise InvalidRequest("the attribute can be searched without a tag")
    group, element = int(tag[:4], 16), int(tag[4:], 16)
    is_value = is_private(tag) and element not in _CREATORS
    problem = tag_problem(tag) if is_value else None
    if problem or not element or not _FIRST_GROUP <= group < 0xFFFE:  # noqa: PLR2004 - item delimiters
        raise InvalidRequest(problem or "no attribute of a data set has this tag")
    if is_value:
        _check_creator(creator)
    elif creator is not None:
        raise InvalidRequest("privateCreator is given for an attribute that has none")
    return QueryTag(tag, _vr(tag, vr), level, creator or "")


def _check_creator(creator: str | None) -> None:
    if not creator or not creator.strip(" "):
        raise InvalidRequest("privateCreator is missing, and the tag is private")
    problem = "a backslash" if "\\" in creator else string_problem(creator, LONGEST["LO"])
    if problem:
        raise InvalidRequest(f"privateCreator: {problem}")


def _vr(tag: str, given: str | None) -> str:
    """Return the VR of a tag: what the client gives must be one of the dictionary's (PS3.6)."""
    vr = given.upper() if given is not None else None
    try:
        known = "LO" if is_private(tag) and int(tag[4:], 16) in _CREATORS else entry(int(tag, 16)).vr
    except KeyError:
        known = ""
    choices = known.split(" or ") if known else []
    if vr is None and len(choices) == 1:
        vr = choices[0]
    if vr is None:
        raise InvalidRequest("vr is missing, and the dictionary does not tell it")
    if vr not in VRS:
        raise InvalidRequest(f"an attribute of this VR cannot be a tag; those of {' '.join(sorted(VRS))} can")
    if choices and vr not in choices:
        raise InvalidRequest(f"vr is not that of the dictionary, {known}")
    return vr


def place_of(creators: Mapping[str, str], path: str, creator: str) -> str | None:
    """Return the tag under which a data set has the private tag *path* of a creator; None where it cannot have it.

    Parameters
    ----------
    creators
        What `creators_of` the data set gives.
    """
    named = creator.strip(" ")
    block = next((block for block, name in creators.items() if block[:4] == path[:4] and name == named), None)
    return None if block is None else block + path[6:]


def places(dataset: Mapping[str, Any], tags: Sequence[QueryTag]) -> list[tuple[QueryTag, str]]:
    """Return those of *tags* that a data set can have, with the tag under which it does (PS3.5 §7.8.1)."""
    creators = creators_of(dataset) if any(tag.creator for tag in tags) else {}
    found = ((tag, place_of(creators, tag.path, tag.creator) if tag.creator else tag.path) for tag in tags)
    return [(tag, place) for tag, place in found if place is not None]


def read_tags(dataset: Mapping[str, Any], tags: Sequence[QueryTag]) -> tuple[tuple[TagValue, ...], Mapping[int, str]]:
    """Return the index values of a data set for *tags*, and by tag's number which minimum rule a value breaks.

    Of what is empty there is neither.
    """
    values, problems = [], {}
    for tag, place in places(dataset, tags):
        element = dataset.get(place)
        if not element or not element.get("Value"):
            continue
        problem = broken_rule(element, tag.vr, trims_nuls=True)
        value = None if problem else index_value(element, tag.vr)
        if problem:
            problems[tag.number] = problem
        if value is not None:
            values.append(TagValue(tag.number, tag.level, tag.vr, value))
    return tuple(values), problems
