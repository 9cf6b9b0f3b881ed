"""URLs in answers (`shared/web/urls.py`; common.md, "Response headers")."""

import pytest
from starlette.requests import Request

from shared.errors import InvalidRequest
from shared.model import InstanceKey
from shared.settings import Settings
from shared.web.urls import Urls, client_address, service_urls

_PATH = "/v2/partitions/a"


def request(**headers: str) -> Request:
    """Return a request as the worker sees it: its own address in the URL, the client's in the header fields."""
    fields = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "server": ("127.0.0.1", 5555),
            "path": "/",
            "headers": fields,
        }
    )


def settings(public_url: str = "", trusted_proxies: str = "") -> Settings:
    return Settings(
        dicom_sql_url="sqlite:///x",
        dicom_storage_folder="x",
        public_url=public_url,
        trusted_proxies=trusted_proxies,
    )


@pytest.mark.parametrize(
    ("headers", "root"),
    [
        ({"host": "pacs.example"}, "http://pacs.example"),
        ({"host": "pacs.example:8080"}, "http://pacs.example:8080"),
        ({"host": "inner", "x_forwarded_host": "outer.example"}, "http://outer.example"),
        ({"host": "inner", "x_forwarded_host": "outer.example, between"}, "http://outer.example"),
        ({"host": "inner", "x_forwarded_proto": "https"}, "https://inner"),
        ({"host": "inner", "x_forwarded_proto": "https, http"}, "https://inner"),
        ({"host": "inner", "x_forwarded_host": "outer:8443", "x_forwarded_proto": "https"}, "https://outer:8443"),
        ({"host": "inner", "x_forwarded_host": "", "x_forwarded_proto": ""}, "http://inner"),
        ({"host": "[::1]:7071"}, "http://[::1]:7071"),
        ({"host": "[2001:db8::7]"}, "http://[2001:db8::7]"),
        ({"host": "dicom_service-1:65535"}, "http://dicom_service-1:65535"),
        ({"host": "pacs.example."}, "http://pacs.example."),
        ({"host": "inner", "x_forwarded_proto": "HTTPS"}, "https://inner"),
    ],
)
def test_as_addressed(headers: dict[str, str], root: str) -> None:
    """The host is the outermost that the client addressed, never that of the worker."""
    assert service_urls(request(**headers), settings(), _PATH).base == f"{root}{_PATH}"


@pytest.mark.parametrize("public_url", ["https://pacs.example/dicom", "https://pacs.example/dicom/"])
def test_public_url(public_url: str) -> None:
    """What the deployment says wins over every header field."""
    sent = request(host="a", x_forwarded_host="b", x_forwarded_proto="http", x_forwarded_prefix="/x")
    urls = service_urls(sent, settings(public_url=public_url), _PATH)

    assert urls.base == f"https://pacs.example/dicom{_PATH}"
    assert urls.host == "pacs.example"


def test_resources() -> None:
    """A resource's URL is that of PS3.18 Table 10.1-1, below version and partition."""
    urls = Urls("http://h:1/v2/partitions/a")

    assert urls.study("1.2") == "http://h:1/v2/partitions/a/studies/1.2"
    assert (
        urls.instance(InstanceKey(7, "1.2", "1.3", "1.4"))
        == "http://h:1/v2/partitions/a/studies/1.2/series/1.3/instances/1.4"
    )
    assert urls.host == "h:1"


@pytest.mark.parametrize(
    ("prefix", "below"),
    [
        ("/pacs", "/pacs"),
        ("pacs", "/pacs"),
        ("/pacs/", "/pacs"),
        ("/a/b.c/..d/e..f/$x~", "/a/b.c/..d/e..f/$x~"),
        ("/...", "/..."),
        ("/", ""),
        ("/outer, /inner", "/outer"),
        (16 * "/a", 16 * "/a"),
    ],
)
def test_prefix(prefix: str, below: str) -> None:
    """A prefix is a path; slashes around it do not count, and dots are part of names."""
    assert service_urls(request(host="h", x_forwarded_prefix=prefix), settings(), _PATH).base == f"http://h{below}"


_PROXY, _OTHER = "10.1.2.3", "203.0.113.9"


@pytest.mark.parametrize(
    ("public_url", "headers", "base"),
    [
        ("", {"for": _PROXY, "host": "outer, inner", "proto": "https, http"}, "https://outer/v2/partitions/a"),
        ("", {"for": f"{_OTHER}, {_PROXY}:5555", "host": "outer, inner"}, "http://outer/v2/partitions/a"),
        ("", {"for": _PROXY, "host": "outer, inner", "prefix": "/pacs/"}, "http://outer/pacs"),
        ("", {"for": _PROXY, "host": "inner", "prefix": "/"}, "http://inner"),
        ("", {"for": _OTHER, "host": "outer, inner", "proto": "https, http"}, "http://inner/v2/partitions/a"),
        ("", {"for": f"{_PROXY}, {_OTHER}", "host": "outer, inner"}, "http://inner/v2/partitions/a"),
        ("", {"for": _OTHER, "host": "inner", "prefix": "/pacs"}, "http://inner/v2/partitions/a"),
        ("https://p/d", {"for": _PROXY, "host": "outer, inner"}, "https://outer/d/v2/partitions/a"),
        ("https://p/d", {"for": _PROXY, "host": "inner"}, "https://p/d/v2/partitions/a"),
        ("https://p/d", {"for": _PROXY, "host": "inner", "prefix": "/pacs"}, "https://p/pacs"),
        ("https://p/d", {"for": _OTHER, "host": "outer, inner", "prefix": "/pacs"}, "https://p/d/v2/partitions/a"),
    ],
)
def test_trusted_proxies(public_url: str, headers: dict[str, str], base: str) -> None:
    """Where proxies are configured what they send counts, and nothing that others do; the last hop is the sender."""
    sent = request(**{f"x_forwarded_{name}": value for name, value in headers.items()}, host="worker")

    assert service_urls(sent, settings(public_url, "10.1.0.0/16"), _PATH).base == base


@pytest.mark.parametrize(
    "headers",
    [
        {"host": 'a" evil="'},
        {"host": "a/b"},
        {"host": "a@b"},
        {"host": "[::1"},
        {"host": ""},
        {"host": "."},
        {"host": ".."},
        {"host": "a..b"},
        {"host": "-a"},
        {"host": "h:0"},
        {"host": "h:65536"},
        {"host": "h:"},
        {"host": "[1.2.3.4]"},
        {"host": "[:::]"},
        {"host": "h", "x_forwarded_host": "a b"},
        {"host": "h", "x_forwarded_host": "a?x"},
        {"host": "h", "x_forwarded_proto": "javascript"},
        {"host": "h", "x_forwarded_prefix": "//evil.example"},
        {"host": "h", "x_forwarded_prefix": "/../x"},
        {"host": "h", "x_forwarded_prefix": ".."},
        {"host": "h", "x_forwarded_prefix": "/a/../b"},
        {"host": "h", "x_forwarded_prefix": "/a/.."},
        {"host": "h", "x_forwarded_prefix": "/a/../"},
        {"host": "h", "x_forwarded_prefix": "/./a"},
        {"host": "h", "x_forwarded_prefix": "/a//b"},
        {"host": "h", "x_forwarded_prefix": "/a/%2e%2e/b"},
        {"host": "h", "x_forwarded_prefix": "/a\\b"},
        {"host": "h", "x_forwarded_prefix": "/a?b=c"},
        {"host": "h", "x_forwarded_prefix": "/a#b"},
        {"host": "h", "x_forwarded_prefix": "/a;b"},
        {"host": "h", "x_forwarded_prefix": "https://evil.example"},
        {"host": "h", "x_forwarded_prefix": "/a\u00e9"},
        {"host": "h", "x_forwarded_prefix": "/" + 129 * "a"},
        {"host": "h", "x_forwarded_prefix": 17 * "/a"},
        {"host": "h", "x_forwarded_prefix": "/a%0d%0ab"},
    ],
    ids=str,
)
def test_injection(headers: dict[str, str]) -> None:
    """What is no host, scheme or path gets into no URL and no header field."""
    with pytest.raises(InvalidRequest):
        service_urls(request(**headers), settings(), _PATH)


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [("", "192.0.2.1"), (_OTHER, _OTHER), (f"1.1.1.1, {_OTHER}:443", _OTHER), ("2001:db8::1", "2001:db8::1")],
)
def test_client_address(forwarded: str, address: str) -> None:
    """A caller's address is what the host saw, not what a client says of itself."""
    sent = request(x_forwarded_for=forwarded)
    sent.scope["client"] = ("192.0.2.1", 1)

    assert client_address(sent) == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7:5000, 10.9.9.9, 10.1.2.3", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, forged, 10.1.2.3", "forged"),
        ("10.1.2.3", "10.1.2.3"),
    ],
)
def test_client_behind_proxies(forwarded: str, address: str) -> None:
    """Behind our proxies a caller is the last one who is none of them; what comes before may be made up."""
    assert client_address(request(x_forwarded_for=forwarded), "10.0.0.0/8") == address
