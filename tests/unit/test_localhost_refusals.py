"""Everything that the real worker or host refuses when it loads an app is refused at start."""

from pathlib import Path

import pytest

from localhost.host import Host
from localhost.problems import SetupError
from localhost.refusals import check_indexing
from tests.localhost_apps import write_app

GOOD = """
@app.route("good")
async def good(req: Request) -> Response:
    return Response("good")
"""
X = "@app.route('x')\n"
INDEXING = {"PYTHON_ENABLE_INIT_INDEXING": "1"}


def _load(folder: Path, functions: str) -> Host:
    return Host(write_app(folder, functions), environment=INDEXING, queue_database=folder / "queues.db")


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ("second = func.FunctionApp()" + GOOD, "2 FunctionApp"),
        ("app = None", "0 FunctionApp"),
        ("import nowhere_to_be_found", r"ModuleNotFoundError: .*nowhere.*\(function_app.py, line 10\)"),
        ("def (:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        (
            GOOD + "@app.function_name('good')\n@app.route('other')\nasync def other(req: Request) -> Response: ...",
            "good",
        ),
        (
            GOOD + "@app.function_name('GOOD')\n@app.route('other')\nasync def other(req: Request) -> Response: ...",
            "GOOD is there twice",
        ),
        ("@app.function_name('a b')\n@app.route('x')\nasync def x(req: Request) -> Response: ...", "function a b"),
        (GOOD + X + "def old(req: func.HttpRequest) -> Response: ...", "function old takes HttpRequest"),
        (X + "def old(req: func.HttpRequest) -> func.HttpResponse: ...", "function old takes HttpRequest"),
        (
            GOOD + X + "def one(req: Request) -> func.HttpResponse: ...",
            "function one returns HttpResponse",
        ),
        (X + "async def one(req: Request) -> Response | None: ...", "function one .* union"),
        (X + "async def one(req: Request) -> None: ...", "function one returns NoneType"),
        (
            X + "async def one(req: Request | None) -> Response: ...",
            "function one: parameter req .* union",
        ),
        (X + "async def one(request: Request) -> Response: ...", "function one lacks .* 'req'"),
        ("@app.route('x/{y}')\nasync def one(req: Request, y: str) -> Response: ...", "function one has .* 'y'"),
        (X + "async def one() -> Response: ...", "function one lacks .* 'req'"),
        (X + "async def one(req: 'Missing') -> Response: ...", "function one has annotations"),
        ("@app.route('admin/x')\nasync def one(req: Request) -> Response: ...", "function one .*admin"),
        ("@app.route('/Runtime')\nasync def one(req: Request) -> Response: ...", "function one .*runtime"),
        ("@app.route('docs')\nasync def one(req: Request) -> Response: ...", "function one .*'docs'"),
        ("@app.route('x//y')\nasync def one(req: Request) -> Response: ...", "function one: route"),
        ("@app.route('{x:odd}')\nasync def one(req: Request) -> Response: ...", "function one: route .*'odd'"),
        ("@app.blob_trigger('b', 'c', 'AzureWebJobsStorage')\nasync def one(b: func.InputStream): ...", "function one"),
        (
            "@app.timer_trigger('t', '* * * * *')\ndef one(t: func.TimerRequest): ...",
            "function one: .*six fields",
        ),
        ("@app.timer_trigger('t', '0 99 * * * *')\nasync def one(t: func.TimerRequest): ...", "function one: timer"),
        ("@app.timer_trigger('t', '%NO%')\nasync def one(t: func.TimerRequest): ...", "function one: .*%NO%"),
        (
            "@app.timer_trigger('t', '0 * * * * *')\nasync def one(t: func.QueueMessage): ...",
            "function one: QueueMessage",
        ),
        ("@app.queue_trigger('m', 'q', 'S')\nasync def one(m: func.TimerRequest): ...", "function one: TimerRequest"),
        (
            X + "@app.queue_output('out', 'q', 'S')\nasync def one(req: Request) -> Response: ...",
            "function one lacks .* 'out'",
        ),
        (
            X + "@app.queue_output('out', 'q', 'S')\ndef one(req: Request, out: str) -> Response: ...",
            "function one: parameter out .* direction is out",
        ),
    ],
)
def test_refused(tmp_path: Path, functions: str, said: str) -> None:
    """Each is one sentence that names the function."""
    with pytest.raises(SetupError, match=said) as refusal:
        _load(tmp_path, functions)

    assert "\n" not in str(refusal.value)


def test_no_function_app(tmp_path: Path) -> None:
    """A folder without function_app.py is no app."""
    with pytest.raises(SetupError, match="no function_app"):
        Host(tmp_path, environment=INDEXING)


def test_no_connection(tmp_path: Path) -> None:
    """A queue needs a connection string or the embedded database."""
    app = write_app(tmp_path, "@app.queue_trigger('m', 'q', 'Store')\nasync def one(m: func.QueueMessage): ...")

    with pytest.raises(SetupError, match=r"function one: .*Store"):
        Host(app, environment=INDEXING)


@pytest.mark.parametrize("value", ["", "0", "false"])
@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_indexing_off(value: str, version: tuple[int, int]) -> None:
    """Before 3.13 the worker hangs on every HTTP request unless indexing at start is on."""
    with pytest.raises(SetupError, match="PYTHON_ENABLE_INIT_INDEXING"):
        check_indexing({"PYTHON_ENABLE_INIT_INDEXING": value}, version)


@pytest.mark.parametrize(("value", "version"), [("1", (3, 11)), ("true", (3, 12)), ("", (3, 13))])
def test_indexing_on(value: str, version: tuple[int, int]) -> None:
    """With the setting, or from 3.13 without it, streaming works."""
    check_indexing({"PYTHON_ENABLE_INIT_INDEXING": value}, version)


def test_accepted(tmp_path: Path) -> None:
    """Starlette's own types, no annotations, a context, and queue outputs are all fine."""
    _load(
        tmp_path,
        """
        from starlette.requests import Request as Plain
        from starlette.responses import Response as PlainResponse

        @app.route("one")
        async def one(req: Plain) -> PlainResponse: ...

        @app.route("two")
        def two(req, context: func.Context): ...

        @app.route("three")
        @app.queue_output("out", "q", "S")
        async def three(req: Request, out: func.Out[str]) -> dict: ...

        @app.queue_trigger("m", "q", "S")
        async def four(m: bytes): ...

        @app.timer_trigger("t", "0 */5 * * * 1-5")
        def five(t: func.TimerRequest) -> None: ...
        """,
    )
