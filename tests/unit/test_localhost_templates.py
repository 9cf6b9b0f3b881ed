"""Route templates and the host's order."""

import pytest

from localhost.problems import SetupError
from localhost.routing import Route, Router, decode_path
from localhost.templates import parse_template


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("studies", "/studies", {}),
        ("studies", "/STUDIES", {}),
        ("studies", "/study", None),
        ("v{version}/studies", "/v2/studies", {"version": "2"}),
        ("v{version}/studies", "/v1.0-prerelease/studies", {"version": "1.0-prerelease"}),
        ("v{version}/studies", "/V2/studies", {"version": "2"}),
        ("v{version}/studies", "/v/studies", None),
        ("v{version}/studies", "/x2/studies", None),
        ("studies/{study}", "/studies/1.2", {"study": "1.2"}),
        ("studies/{study}", "/studies", None),
        ("studies/{study}", "/studies/1/2", None),
        ("studies/{study}", "/studies/", None),
        ("studies/{study}", "/studies//", None),
        ("a/{b?}", "/a", {}),
        ("a/{b?}", "/a/1", {"b": "1"}),
        ("a/{b=c}", "/a", {"b": "c"}),
        ("a/{b=c}", "/a/d", {"b": "d"}),
        ("a/{*rest}", "/a", {}),
        ("a/{*rest}", "/a/b/c", {"rest": "b/c"}),
        ("{**rest}", "/a/b", {"rest": "a/b"}),
        ("{*rest}", "", {}),
        ("{a}-{b}", "/1-2-3", {"a": "1-2", "b": "3"}),
        ("{file}.{extension?}", "/x", {"file": "x"}),
        ("{file}.{extension?}", "/x.y.z", {"file": "x.y", "extension": "z"}),
        ("n/{n:int}", "/n/12", {"n": "12"}),
        ("n/{n:int}", "/n/x", None),
        ("n/{n:int:min(5)}", "/n/4", None),
        ("n/{n:range(1,3)}", "/n/3", {"n": "3"}),
        ("n/{n:length(2)}", "/n/abc", None),
        ("n/{n:maxlength(3)?}", "/n", {}),
        ("n/{n:regex(^\\d{{2}}$)}", "/n/12", {"n": "12"}),
        ("n/{n:regex(^\\d{{2}}$)}", "/n/123", None),
        ("n/{n:guid}", "/n/6f9619ff-8b86-d011-b42d-00c04fc964ff", {"n": "6f9619ff-8b86-d011-b42d-00c04fc964ff"}),
        ("studies/$bulkUpdate", "/studies/$bulkUpdate", {}),
        ("a.b", "/axb", None),
    ],
)
def test_template(template: str, path: str, values: dict[str, str] | None) -> None:
    """Templates match as ASP.NET's do: whole segments, without case, longest value first in mixed segments."""
    assert parse_template(template).match(path) == values


@pytest.mark.parametrize(
    "template", ["a//b", "{a}/{A}", "{a", "a}", "{}", "x{*rest}", "{a:sometimes}", "{a:min(x)}", "{a!}"]
)
def test_template_refused(template: str) -> None:
    """What is not a template is refused and quoted."""
    with pytest.raises(SetupError, match="route"):
        parse_template(template)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", ""),
        (b"/a/", "/a"),
        (b"/a//", "/a/"),
        (b"/a%20b", "/a b"),
        (b"/a%2Fb", "/a%2Fb"),
        (b"/a%2fb", "/a%2fb"),
        (b"/%24bulkUpdate", "/$bulkUpdate"),
        (b"/%C3%A9", "/é"),
        (b"/%FF", "/%FF"),
        (b"/a/../b", "/b"),
        (b"/a/./b/", "/a/b"),
        (b"/../..", ""),
        (b"/a/b/..", "/a"),
        (b"/a/.b", "/a/.b"),
    ],
)
def test_decode_path(raw: bytes, path: str) -> None:
    """Paths are decoded but for encoded slashes; one trailing slash does not count."""
    assert decode_path(raw) == path


def _router(*routes: tuple[str, str, str]) -> Router:
    return Router(Route(name, parse_template(text), frozenset(methods.split())) for name, text, methods in routes)


@pytest.mark.parametrize(
    ("method", "path", "winner"),
    [
        ("POST", "/studies/$bulkUpdate", "bulk_update"),
        ("POST", "/studies/1.2", "store_in_study"),
        ("GET", "/studies/1.2", "Retrieve_study"),
        ("GET", "/studies/$bulkUpdate", "Retrieve_study"),
        ("DELETE", "/studies/1.2", None),
        ("GET", "/any", "any_method"),
        ("PATCH", "/any", "any_method"),
        ("GET", "/studies/1/series/2/instances/3", "a_rest"),
    ],
)
def test_router(method: str, path: str, winner: str | None) -> None:
    """Functions are tried by name without case; the first whose template and method match wins."""
    router = _router(
        ("store_in_study", "studies/{study}", "POST"),
        ("bulk_update", "studies/$bulkUpdate", "POST"),
        ("Retrieve_study", "studies/{study}", "GET"),
        ("search_later", "studies/{other}", "GET"),
        ("any_method", "any", ""),
        ("a_rest", "studies/{one}/series/{*rest}", "GET"),
        ("b_instance", "studies/{one}/series/{two}/instances/{three}", "GET"),
    )

    found = router.match(method, path)

    assert (found[0] if found else None) == winner


def test_router_names_decide() -> None:
    """A less literal template wins over a more literal one when its function's name comes first."""
    router = _router(("a_study", "studies/{study}", "GET"), ("b_count", "studies/count", "GET"))

    assert router.match("GET", "/studies/count") == ("a_study", {"study": "count"})
