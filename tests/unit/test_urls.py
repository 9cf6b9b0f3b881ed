"""URLs in answers (`shared/web/urls.py`; common.md, "Response headers")."""

import pytest
from starlette.requests import Request

from shared.model import InstanceKey
from shared.web.urls import Urls, service_urls

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
    ],
)
def test_as_addressed(headers: dict[str, str], root: str) -> None:
    """The host is the outermost that the client addressed, never that of the worker."""
    assert service_urls(request(**headers), "", _PATH).base == f"{root}{_PATH}"


@pytest.mark.parametrize("public_url", ["https://pacs.example/dicom", "https://pacs.example/dicom/"])
def test_public_url(public_url: str) -> None:
    """What the deployment says wins over every header field."""
    urls = service_urls(request(host="a", x_forwarded_host="b", x_forwarded_proto="http"), public_url, _PATH)

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
