"""Paths and bodies of requests about extended query tags (extended-query-tags.md, "Add", "Patch")."""

from shared.dicom.query_tags import MOST_TAGS, new_tag, path_of
from shared.errors import InvalidRequest
from shared.model import Level, QueryTag
from shared.web.plain_json import members, text_of

__all__ = ["path_of", "read_is_enabled", "read_tags"]

_LEVELS = {level.value: level for level in Level}
_STATUSES = {"enabled": True, "disabled": False}


def read_tags(body: object) -> list[QueryTag]:
    """Return the tags that a body asks for.

    Raises
    ------
    InvalidRequest
        One of them cannot be added; names it by its place, from 0.
    """
    if not isinstance(body, list) or not body:
        raise InvalidRequest("The body is not an array of at least one extended query tag.")
    if len(body) > MOST_TAGS:
        raise InvalidRequest(f"{len(body)} extended query tags; {MOST_TAGS} are the most.")
    tags: dict[str, QueryTag] = {}
    for at, entry in enumerate(body):
        tag = _read_tag(entry, f"[{at}]")
        if tag.path in tags:
            raise InvalidRequest(f"[{at}].Path: {tag.path} is given more than once.")
        tags[tag.path] = tag
    return list(tags.values())


def read_is_enabled(body: object) -> bool:
    """Return whether a body lets a tag be searched; raise `InvalidRequest` where it says anything else."""
    if not isinstance(body, dict) or [str(name).lower() for name in body] != ["querystatus"]:
        raise InvalidRequest("The body is not an object with the one member queryStatus.")
    status = text_of(members(body, "The body"), "queryStatus", "")
    if status is None or status.lower() not in _STATUSES:
        raise InvalidRequest("queryStatus is neither enabled nor disabled.")
    return _STATUSES[status.lower()]


def _read_tag(entry: object, where: str) -> QueryTag:
    given = members(entry, where)
    path, level, vr, creator = (text_of(given, name, f"{where}.") for name in ("Path", "Level", "VR", "PrivateCreator"))
    if not path or not path.strip():
        raise InvalidRequest(f"{where}.Path is missing.")
    if not level or not level.strip():
        raise InvalidRequest(f"{where}.Level is missing.")
    if level.lower() not in _LEVELS:
        raise InvalidRequest(f"{where}.Level is none of Study, Series and Instance.")
    try:
        return new_tag(path.strip(), _LEVELS[level.lower()], vr, creator)
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error}") from error
