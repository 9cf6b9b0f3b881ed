"""How the host answers, in this process: routing, headers, responses, failures and limits."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from localhost.host import Host
from tests.localhost_apps import write_app

APP = """
@app.route("echo/{value}", methods=["GET", "HEAD", "POST"])
async def echo(req: Request) -> Response:
    return JSONResponse({"path": req.path_params, "headers": req.headers.items(), "url": str(req.url),
                         "query": req.scope["query_string"].decode(), "size": len(await req.body())})

@app.route("text", methods=["GET"])
async def text(req: Request) -> str:
    return "plain"

@app.route("object")
def object_(req: Request) -> dict:
    return {"at": Path("/x")}

@app.route("nothing")
async def nothing(req: Request):
    return None

@app.route("broken")
async def broken(req: Request) -> Response:
    raise ValueError(req.query_params["name"])

@app.route("blocking")
def blocking(req: Request, context: func.Context) -> Response:
    return Response(context.function_name + " " + str(context.invocation_id == req.headers["x-ms-invocation-id"]))

@app.route("partial")
async def partial(req: Request) -> Response:
    return Response(b"2345", 206, headers={"Content-Range": "bytes 2-5/10"})

@app.route("swallow")
async def swallow(req: Request) -> Response:
    try:
        return Response(str(len(await req.body())))
    except Exception:
        return Response("swallowed")
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    folder = write_app(tmp_path_factory.mktemp("app"), APP)
    environment = {"PYTHON_ENABLE_INIT_INDEXING": "1", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1000"}
    return Host(folder, environment=environment)


@pytest.fixture
async def client(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(host, client=("10.0.0.9", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://here:7071") as one:
        yield one


async def _echo(client: httpx.AsyncClient, path: str, **options: Any) -> dict[str, Any]:
    answer = await client.get(path, **options)
    assert answer.status_code == 200
    content: dict[str, Any] = answer.json()
    content["headers"] = dict(content["headers"])
    return content


async def test_route_values(client: httpx.AsyncClient) -> None:
    """A handler gets the route values as text, with an encoded slash as it was sent."""
    assert (await _echo(client, "/ECHO/1%2F2%20x/"))["path"] == {"value": "1%2F2 x"}


async def test_query_is_raw(client: httpx.AsyncClient) -> None:
    """The query string arrives as it was sent: repeated keys, empty values, escapes."""
    assert (await _echo(client, "/echo/1?a=1&a=&b=%5E"))["query"] == "a=1&a=&b=%5E"


async def test_forwarded(client: httpx.AsyncClient) -> None:
    """The worker sees its own address; where the client came from and went to is in forwarded headers."""
    echo = await _echo(client, "/echo/1")

    assert echo["url"].startswith("http://127.0.0.1:65535/")
    assert echo["headers"]["x-forwarded-host"] == "here:7071"
    assert echo["headers"]["x-forwarded-proto"] == "http"
    assert echo["headers"]["x-forwarded-for"] == "10.0.0.9"
    assert len(echo["headers"]["x-ms-invocation-id"]) == 36
    assert echo["headers"]["traceparent"].startswith("00-")


async def test_forwarded_appended(client: httpx.AsyncClient) -> None:
    """What proxies before the host said comes first; a given trace goes on."""
    headers = {"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Host": "public", "traceparent": "00-a-b-01"}

    echo = await _echo(client, "/echo/1", headers=headers)

    assert echo["headers"]["x-forwarded-for"] == "1.1.1.1, 10.0.0.9"
    assert echo["headers"]["x-forwarded-host"] == "public, here:7071"
    assert echo["headers"]["traceparent"] == "00-a-b-01"


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/echo/1"), ("GET", "/nowhere"), ("GET", "/"), ("POST", "/text")]
)
async def test_not_found(client: httpx.AsyncClient, method: str, path: str) -> None:
    """What no route matches, a wrong method included, is a 404 without a body."""
    answer = await client.request(method, path)

    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/text", 200, b'"plain"'),
        ("/object", 200, b'{"at":"/x"}'),
        ("/nothing", 500, b""),
        ("/broken", 500, b""),
        ("/blocking", 200, b"blocking True"),
        ("/partial", 206, b"2345"),
    ],
)
async def test_answers(client: httpx.AsyncClient, path: str, status: int, body: bytes) -> None:
    """Responses pass, other values become JSON as FastAPI makes it, None and errors are an empty 500."""
    answer = await client.get(path)

    assert (answer.status_code, answer.content) == (status, body)


async def test_failure_is_logged(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """The log names function, type and line of a failure, and not its text, which may quote a patient."""
    with caplog.at_level(logging.ERROR):
        await client.get("/broken?name=Doe^John")

    assert "broken failed: ValueError" in caplog.text
    assert "function_app.py" in caplog.text
    assert "Doe" not in caplog.text


@pytest.mark.parametrize("path", ["/echo/1", "/swallow"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "counted"])
async def test_body_limit(client: httpx.AsyncClient, path: str, is_chunked: bool) -> None:
    """A body above the limit is an empty 500 that closes the connection, whatever the app makes of it."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    answer = await client.post(path, content=chunks() if is_chunked else b"x" * 1001)

    assert (answer.status_code, answer.content, answer.headers["connection"]) == (500, b"", "close")


async def test_body_at_limit(client: httpx.AsyncClient) -> None:
    """A body of exactly the limit is taken."""
    assert (await client.post("/echo/1", content=b"x" * 1000)).json()["size"] == 1000


async def test_body_limit_default(tmp_path: Path) -> None:
    """Without the setting the limit is 104,857,600 bytes, as in the host's code."""
    host = Host(write_app(tmp_path, APP), environment={"PYTHON_ENABLE_INIT_INDEXING": "1"})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://here") as client:
        answer = await client.post("/echo/1", headers={"Content-Length": "104857601"}, content=b"")

    assert answer.status_code == 500


@pytest.mark.parametrize(("http", "path"), [({}, "/api/text"), ({"routePrefix": "/x/"}, "/x/text")])
async def test_route_prefix(tmp_path: Path, http: dict[str, str], path: str) -> None:
    """The prefix is host.json's, and `api` where that says nothing."""
    app = write_app(tmp_path, APP, host_json={"extensions": {"http": http}})
    host = Host(app, environment={"PYTHON_ENABLE_INIT_INDEXING": "1"})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://here") as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.get("/text")).status_code == 404
