"""OpenAPI 3.1 documents, made from the route table, and the page that shows them (common.md, "Path layout")."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from shared.dicom.query_tags import MOST_TAGS, VRS
from shared.model import Action, Level
from shared.versions import VersionRules
from shared.web.endpoint import Endpoint
from shared.web.media_types import DICOM, DICOM_JSON, DICOM_XML, MULTIPART_RELATED, OCTET_STREAM, report_type
from shared.web.plain_json import JSON

_PAGE = Path(__file__).with_name("swagger.html")
_PARAMETER = re.compile(r"\{\*?([a-z]+)\}")
_UID_PATTERN = "^[0-9.]{0,63}[0-9]$"

_PATH_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "partition": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    "study": {"type": "string", "pattern": _UID_PATTERN},
    "series": {"type": "string", "pattern": _UID_PATTERN},
    "instance": {"type": "string", "pattern": _UID_PATTERN},
    "frames": {"type": "string", "pattern": "^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8}){0,99}$"},
    "path": {"type": "string", "minLength": 1},
}
_ANY_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}

_SEARCH = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 100}),
    ("offset", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0}),
    ("fuzzymatching", {"type": "boolean", "default": False}),
    ("includefield", {"type": "array", "items": {"type": "string"}}),
    ("PatientID", {"type": "string"}),
    ("StudyInstanceUID", {"type": "string"}),
)
_RENDERED = (
    ("quality", {"type": "integer", "minimum": 1, "maximum": 100}),
    ("window", {"type": "string"}),
    ("viewport", {"type": "string"}),
    ("annotation", {"type": "string", "enum": ["patient", "technique", "overlay"]}),
    ("iccprofile", {"type": "string", "enum": ["no", "yes", "srgb"]}),
)
_BY_URI = (
    ("requestType", {"const": "WADO"}),
    ("studyUID", {"type": "string", "pattern": _UID_PATTERN}),
    ("seriesUID", {"type": "string", "pattern": _UID_PATTERN}),
    ("objectUID", {"type": "string", "pattern": _UID_PATTERN}),
    ("contentType", {"type": "string"}),
)
_PAGED = _SEARCH[:2]
_QUERIES: Mapping[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {
    "search": _SEARCH,
    "render": _RENDERED,
    "thumbnail": _RENDERED,
    "retrieve_by_uri": _BY_URI,
    "list_query_tag": _PAGED,
}
"""Parameters of a query by the first words of a handler's name; there are more attributes to search than these."""

_REQUIRED = frozenset({"requestType", "studyUID", "seriesUID", "objectUID"})

_BODIES: Mapping[str, tuple[str, ...]] = {
    "store": (DICOM, MULTIPART_RELATED, DICOM_JSON, DICOM_XML),
    "replace": (DICOM, MULTIPART_RELATED, DICOM_JSON, DICOM_XML),
    "add_query_tags": (JSON,),
    "change_query_tag": (JSON,),
}

_TAG: Mapping[str, Any] = {
    "type": "object",
    "required": ["path", "level"],
    "properties": {
        "path": {"type": "string", "description": "Keyword, or 8 hexadecimal digits."},
        "level": {"type": "string", "enum": [level.value for level in Level]},
        "vr": {"type": "string", "enum": sorted(VRS)},
        "privateCreator": {"type": "string", "minLength": 1, "maxLength": 64},
    },
}
_PLAIN_BODIES: Mapping[str, Mapping[str, Any]] = {
    "add_query_tags": {"type": "array", "minItems": 1, "maxItems": MOST_TAGS, "items": _TAG},
    "change_query_tag": {
        "type": "object",
        "required": ["queryStatus"],
        "properties": {"queryStatus": {"type": "string", "enum": ["enabled", "disabled"]}},
        "additionalProperties": False,
    },
}
"""Schemas of bodies in plain JSON by the first words of a handler's name."""

_ANSWERS: Mapping[str, tuple[str, ...]] = {
    "search": (DICOM_JSON, DICOM_XML),
    "store": (DICOM_JSON, DICOM_XML),
    "replace": (DICOM_JSON, DICOM_XML),
    "render": ("image/jpeg", "image/png", "image/gif", "text/html"),
    "thumbnail": ("image/jpeg", "image/png", "image/gif"),
    "retrieve": (MULTIPART_RELATED, DICOM, OCTET_STREAM, "image/*"),
}

_STATUSES: Mapping[Action, tuple[int, ...]] = {
    Action.READ: (200, 204, 206, 304, 400, 404, 406, 416),
    Action.WRITE: (200, 201, 202, 204, 400, 406, 409, 413, 415),
    Action.DELETE: (200, 204, 400, 404),
    Action.EXPORT: (202, 400, 404),
    Action.MANAGE_QUERY_TAGS: (200, 202, 204, 400, 404, 409, 413, 415),
}
_ALSO: Mapping[str, tuple[int, ...]] = {"get_operation": (202,)}
_ALWAYS = (401, 403, 414, 424, 429, 431, 500, 503)
_MEANINGS: Mapping[int, str] = {
    200: "Done.",
    201: "Made.",
    202: "Done in part, or with warnings; or begun.",
    204: "Nothing to tell.",
    206: "A part of it.",
    304: "As the client has it.",
    400: "The request breaks a rule.",
    401: "No token, or one that does not hold.",
    403: "The caller's roles do not allow it.",
    404: "There is no such thing.",
    406: "Accept admits nothing that can be given.",
    409: "The state of the resource forbids it.",
    413: "Too large.",
    414: "The URL is too long.",
    415: "The body's media type is not taken.",
    416: "Behind the end.",
    424: "The customer's storage or key cannot be used.",
    429: "Too many requests.",
    431: "The header is too large.",
    500: "Unexpected.",
    503: "Try again later.",
}
_EMPTY = frozenset({204, 304})


def document(version: str, rules: VersionRules, routes: Iterable[Endpoint], *, has_partitions: bool) -> dict[str, Any]:
    """Return the document of one version.

    Parameters
    ----------
    version
        As in paths, without `v`.
    has_partitions
        Whether paths name a partition.
    """
    paths: dict[str, dict[str, Any]] = {}
    for one in routes:
        base = "/partitions/{partition}" if has_partitions and one.has_partitions else ""
        path = f"/v{version}{base}/{one.template.replace('{*', '{')}"
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, path, rules)
    return {
        "openapi": "3.1.0",
        "info": {"title": "DICOMweb service", "version": version},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {
                "DataSet": {
                    "type": "object",
                    "description": "A data set in the DICOM JSON Model (PS3.18 Annex F).",
                    "additionalProperties": {
                        "type": "object",
                        "required": ["vr"],
                        "properties": {"vr": {"type": "string", "pattern": "^[A-Z]{2}$"}},
                    },
                }
            },
        },
    }


@cache
def page() -> tuple[bytes, str]:
    """Return the page that shows the documents, and the content security policy that lets its script run."""
    content = _PAGE.read_bytes()
    script = content.partition(b"<script>")[2].partition(b"</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    policy = f"default-src 'none'; connect-src 'self'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'"
    return content, f"{policy}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def _operation(one: Endpoint, path: str, rules: VersionRules) -> dict[str, Any]:
    summary, _, rest = (one.handler.__doc__ or one.name).strip().partition("\n")
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": summary,
        "parameters": [*_path_parameters(path), *_query_parameters(one.name)],
        "responses": {
            str(status): _response(status, one, rules)
            for status in sorted({*_STATUSES[one.action], *_ALWAYS, *_ALSO.get(one.name, ())})
        },
    }
    if rest.strip():
        found["description"] = " ".join(rest.split())
    if bodies := _of(_BODIES, one.name):
        plain = _of(_PLAIN_BODIES, one.name)
        content = {media_type: {"schema": plain or _schema(media_type)} for media_type in bodies}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS.get(name, _ANY_TEXT)}
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(name: str) -> list[dict[str, Any]]:
    return [
        {"name": key, "in": "query", "required": key in _REQUIRED, "schema": schema}
        for key, schema in _of(_QUERIES, name) or ()
    ]


def _response(status: int, one: Endpoint, rules: VersionRules) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _MEANINGS[status]}
    if status == 202 and one.action is Action.WRITE and not rules.warning_is_accepted:  # noqa: PLR2004
        found["description"] = "Done in part."
    if status in _EMPTY:
        return found
    if status >= 400 and not (status == 409 and one.action is Action.WRITE):  # noqa: PLR2004
        return found | {"content": {"text/plain": {"schema": {"type": "string"}}}}
    answers = _of(_ANSWERS, one.name) or (JSON,)
    if one.name.endswith("_metadata") or (one.accepts is report_type and one.action is Action.READ):
        answers = (DICOM_JSON, DICOM_XML)
    is_list = one.action is Action.READ
    return found | {"content": {media_type: {"schema": _schema(media_type, is_list=is_list)} for media_type in answers}}


def _schema(media_type: str, *, is_list: bool = False) -> dict[str, Any]:
    if media_type != DICOM_JSON:
        return {}  # bytes: OpenAPI 3.1 leaves them without a schema
    one = {"$ref": "#/components/schemas/DataSet"}
    return {"type": "array", "items": one} if is_list else one


def _of(table: Mapping[str, Any], name: str) -> Any:
    """Return the entry whose key begins *name*; of several the longest."""
    fitting = [key for key in table if name.startswith(key)]
    return table[max(fitting, key=len)] if fitting else None
