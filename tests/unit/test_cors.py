"""CORS (`shared/web/cors.py`; Fetch Standard §3.2)."""

from typing import Any

import pytest
from starlette.datastructures import Headers

from shared.settings import InvalidSetting, Settings
from shared.web.cors import Cors, cors_of

_VIEWER = "https://viewer.example"


def cors(**settings: Any) -> Cors:
    return cors_of(Settings(dicom_sql_url="sqlite:///x", dicom_storage_folder="x", **settings))


def fields(one: Cors, origin: str) -> dict[str, str]:
    return {name.lower(): value for name, value in one.fields(Headers({"origin": origin})).items()}


def test_none() -> None:
    """Without origins no page of another may call, or even show what is answered."""
    assert fields(cors(), _VIEWER) == {"cross-origin-resource-policy": "same-origin"}


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (_VIEWER, True),
        ("https://VIEWER.example", True),
        ("http://localhost:3000", True),
        ("https://viewer.example.evil", False),
        ("https://evil.viewer.example", False),
        ("http://viewer.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_origins(origin: str, is_allowed: bool) -> None:
    """An origin that is listed is echoed, any other is not; caches are told that it matters."""
    found = fields(cors(cors_origins=f"{_VIEWER}, http://localhost:3000"), origin)

    assert found.get("access-control-allow-origin") == (origin if is_allowed else None)
    assert ("access-control-expose-headers" in found) is is_allowed
    assert "access-control-allow-credentials" not in found
    assert (found["vary"], found["cross-origin-resource-policy"]) == ("Origin", "cross-origin")


def test_wildcard() -> None:
    """With * every page may call, without credentials."""
    found = fields(cors(cors_origins="*"), "null")

    assert found["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in found


def test_credentials() -> None:
    """Credentials are allowed where the setting and the origin are."""
    one = cors(cors_origins=_VIEWER, cors_credentials=True)

    assert fields(one, _VIEWER)["access-control-allow-credentials"] == "true"
    assert "access-control-allow-credentials" not in fields(one, "https://evil.example")


@pytest.mark.parametrize(
    "settings",
    [
        {"cors_origins": "*", "cors_credentials": True},
        {"cors_origins": f"* {_VIEWER}"},
        {"cors_origins": "viewer.example"},
        {"cors_origins": "https://viewer.example/"},
        {"cors_origins": "https://*.example"},
        {"cors_headers": "a:b"},
        {"cors_methods": 'G"T'},
    ],
    ids=str,
)
def test_refused_at_start(settings: dict[str, Any]) -> None:
    """What would open more than it says, or nothing, stops the start."""
    with pytest.raises(InvalidSetting, match="CORS_"):
        cors(**settings)


def preflight(one: Cors, **headers: str) -> dict[str, str]:
    answer = one.preflight(Headers({name.replace("_", "-"): value for name, value in headers.items()}))
    assert answer.status_code == 204
    return dict(answer.headers)


def test_preflight() -> None:
    """A preflight of an allowed origin is told methods, the fields it asked for, and for how long that holds."""
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization, msdicom-meta-CS-001912FF, b@d",
    }
    one = cors(cors_origins=_VIEWER)

    assert preflight(one, origin=_VIEWER, **asked) == {
        "access-control-allow-methods": "DELETE, GET, HEAD, PATCH, POST, PUT",
        "access-control-allow-headers": "authorization, msdicom-meta-CS-001912FF",
        "access-control-max-age": "1440",
    }
    assert preflight(one, origin="https://evil.example", **asked) == {}


def test_narrow() -> None:
    """Settings name fewer methods and fields."""
    one = cors(cors_origins="*", cors_methods="get", cors_headers="Accept, Authorization", cors_max_age_s=0)

    assert preflight(one, origin="null", access_control_request_method="GET") == {
        "access-control-allow-methods": "GET",
        "access-control-allow-headers": "Accept, Authorization",
        "access-control-max-age": "0",
    }


def test_options() -> None:
    """OPTIONS that is no preflight names the methods there are."""
    assert "GET" in preflight(cors())["allow"]
