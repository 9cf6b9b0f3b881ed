"""The local host as processes: starting, sharing, streaming, stopping, and what it refuses."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psutil
import pytest

from tests.localhost_apps import write_app

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0

APP = """
started = []

@app.route("pid")
async def pid(req: Request) -> Response:
    return Response(str(os.getpid()))

@app.route("slow")
async def slow(req: Request) -> Response:
    (HERE / "slow-began").touch()
    await asyncio.sleep(1)
    return Response("slow but done")

@app.route("upload", methods=["POST"])
async def upload(req: Request) -> Response:
    size = 0
    try:
        async for chunk in req.stream():
            size += len(chunk)
            (HERE / "upload-began").touch()
    except Exception as error:
        (HERE / "upload-ended").write_text(type(error).__name__)
        raise
    return Response(str(size))

@app.route("stalled", methods=["POST"])
async def stalled(req: Request) -> Response:
    await asyncio.sleep(0.5)
    return Response(str(len(await req.body())))

@app.route("download", methods=["GET", "HEAD"])
async def download(req: Request) -> Response:
    async def chunks():
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        except BaseException as error:
            (HERE / "download-error").write_text(type(error).__name__)
            raise
        finally:
            (HERE / "download-ended").touch()
    return StreamingResponse(chunks(), headers={"Content-Type": "application/dicom"})

@app.route("breaks")
async def breaks(req: Request) -> Response:
    async def chunks():
        yield b"some"
        await asyncio.sleep(0)
        raise ValueError("secret")
    return StreamingResponse(chunks(), headers={"Content-Length": "100"})

@app.route("die")
async def die(req: Request) -> Response:
    os._exit(7)
"""

TIMERS = """
@app.timer_trigger("timer", "* * * * * *")
async def tick(timer: func.TimerRequest) -> None:
    with open(HERE / "ticks", "a") as log:
        log.write(f"{int(time.time())} {os.getpid()} {timer.past_due}\\n")
    raise ValueError("a timer's errors stop nothing")

@app.timer_trigger("timer", "0 0 0 1 1 *", run_on_startup=True)
async def at_start(timer: func.TimerRequest) -> None:
    with open(HERE / "starts", "a") as log:
        log.write(f"{os.getpid()}\\n")

@app.timer_trigger("timer", "0 0 0 1 1 *")
async def another_year(timer: func.TimerRequest) -> None:
    (HERE / "too-early").touch()
"""

QUEUES = """
@app.route("send")
@app.queue_output("out", "work", "AzureWebJobsStorage")
async def send(req: Request, out: func.Out[str]) -> Response:
    out.set("task")
    return Response("sent")

@app.queue_trigger("message", "work", "AzureWebJobsStorage")
async def work(message: func.QueueMessage) -> None:
    with open(HERE / "begun", "a") as log:
        log.write(f"{message.dequeue_count} ")
    if (HERE / "block").exists():
        await asyncio.sleep(600)
    (HERE / "done").touch()
"""


class Service:
    """One running local host."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.greeting = process.stdout.readline()
        if not self.greeting:
            _, error = process.communicate(timeout=PATIENCE_S)
            pytest.fail(f"the host did not start: {error}")
        self.url = self.greeting.split(" at ")[1].split("/v2")[0]
        self.family = psutil.Process(process.pid).children(recursive=True)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the host, or as a terminal does to its whole process group."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def wait(self) -> tuple[int, str, str]:
        """Return exit code, the rest of standard output and standard error, when nothing is left running."""
        out, error = self.process.communicate(timeout=PATIENCE_S)
        _, alive = psutil.wait_procs(self.family, timeout=PATIENCE_S)
        assert alive == []
        return self.process.returncode, out, error


Starter = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    services: list[Service] = []

    def run(app: str = APP, **options: str) -> Service:
        service = Service(_popen(write_app(tmp_path / "app", app), tmp_path / "data dir's", **options))
        services.append(service)
        return service

    yield run
    for service in services:
        if service.process.poll() is None:
            service.process.terminate()
            service.wait()


def _popen(app: Path, data: Path, **options: str) -> subprocess.Popen[str]:
    arguments = {"app": str(app), "data": str(data), "port": "0", "host": "127.0.0.1", "storage": "embedded", **options}
    return subprocess.Popen(
        [sys.executable, "-m", "localhost", *(f"--{name}={value}" for name, value in arguments.items())],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _refusal(app: Path, data: Path, **options: str) -> str:
    """Return what a host that must not start says, checked to be one sentence."""
    process = _popen(app, data, **options)
    out, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert out == ""
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A host that several tests talk to, and its app's folder."""
    folder = tmp_path_factory.mktemp("shared")
    environment = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "4000000"}
    os.environ.update(environment)
    try:
        service = Service(_popen(write_app(folder / "app", APP), folder / "data", workers="2"))
    finally:
        for name in environment:
            del os.environ[name]
    yield service, folder / "app"
    service.process.terminate()
    assert service.wait()[0] == 0


def test_greeting(shared: tuple[Service, Path]) -> None:
    """One line says where the service is, on a port of its own choice when PORT is 0."""
    assert shared[0].greeting.startswith("The DICOM service is at http://127.0.0.1:")
    assert shared[0].greeting.endswith(", 2 workers). Ctrl-C stops it.\n")


def test_workers_share(shared: tuple[Service, Path]) -> None:
    """A burst of connections is spread over all workers."""
    service, _ = shared
    host, port = service.url.removeprefix("http://").split(":")
    burst = [HTTPConnection(host, int(port), timeout=PATIENCE_S) for _ in range(16)]
    for connection in burst:
        connection.connect()

    pids: Counter[str] = Counter()
    for connection in burst:
        connection.request("GET", "/pid")
        pids[connection.getresponse().read().decode()] += 1

    for connection in burst:
        connection.close()
    assert pids.keys() <= {str(process.pid) for process in service.family}
    assert len(pids) == 2
    assert min(pids.values()) >= 4


def test_chunked_upload(shared: tuple[Service, Path]) -> None:
    """A chunked body of some megabytes arrives whole, one with a length too."""
    service, _ = shared

    chunked = httpx.post(f"{service.url}/upload", content=(b"x" * 100_000 for _ in range(30)))
    whole = httpx.post(f"{service.url}/upload", content=b"x" * 3_000_000)

    assert (chunked.text, whole.text) == ("3000000", "3000000")


def test_upload_waits(shared: tuple[Service, Path]) -> None:
    """A client cannot send on while the app does not read: the server holds back."""
    service, _ = shared
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        client.sendall(b"POST /stalled HTTP/1.1\r\nHost: x\r\nContent-Length: 3900000\r\n\r\n")
        client.settimeout(0.2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 3_900_000:
                sent += client.send(b"x" * min(65536, 3_900_000 - sent))
        sent_before_reading = sent
        client.settimeout(PATIENCE_S)
        client.sendall(b"x" * (3_900_000 - sent))

        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    assert sent_before_reading < 3_900_000


@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "counted"])
def test_body_limit(shared: tuple[Service, Path], is_chunked: bool) -> None:
    """Above the limit the answer is an empty 500, and the connection is closed."""
    service, _ = shared
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as client:
        if is_chunked:
            client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(4):
                client.sendall(b"F4240\r\n" + b"x" * 1_000_000 + b"\r\n")
            client.sendall(b"1\r\nx\r\n")
        else:
            client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 4000001\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 500")
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 0" in answer


def test_download_left(shared: tuple[Service, Path]) -> None:
    """When the client leaves, the generator of a download is ended and its `finally` runs."""
    service, app = shared

    with httpx.stream("GET", f"{service.url}/download") as answer:
        next(answer.iter_bytes())

    _wait_for(app / "download-ended")
    assert (app / "download-error").read_text() in {"CancelledError", "GeneratorExit"}


def test_upload_left(shared: tuple[Service, Path]) -> None:
    """When the client leaves in the middle of an upload, reading on raises `ClientDisconnect`."""
    service, app = shared
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        _wait_for(app / "upload-began")

    _wait_for(app / "upload-ended")
    assert (app / "upload-ended").read_text() == "ClientDisconnect"


def test_head(shared: tuple[Service, Path]) -> None:
    """HEAD is answered with the header fields alone."""
    answer = httpx.head(f"{shared[0].url}/download")

    assert (answer.headers["content-type"], answer.content) == ("application/dicom", b"")


def test_breaks(shared: tuple[Service, Path]) -> None:
    """An answer that fails in the middle ends early, so that nobody takes it for whole."""
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{shared[0].url}/breaks")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_stop(start: Starter, tmp_path: Path, number: int) -> None:
    """A signal to the whole process group lets the request in flight end, exits 0 and leaves no process."""
    service = start(workers="2")
    async with httpx.AsyncClient() as client:
        request = asyncio.create_task(client.get(f"{service.url}/slow"))
        await asyncio.to_thread(_wait_for, tmp_path / "app" / "slow-began")

        service.signal(number, group=True)

        assert (await request).text == "slow but done"
    code, out, error = await asyncio.to_thread(service.wait)
    assert (code, out) == (0, "")
    assert "Traceback" not in error


def test_killed(start: Starter) -> None:
    """When the parent is killed, its workers end by themselves."""
    service = start(workers="2")
    assert len(service.family) == 2

    service.signal(signal.SIGKILL)

    assert service.wait()[0] == -signal.SIGKILL


def test_worker_dies(start: Starter) -> None:
    """A worker that dies is replaced, and the service goes on at the same address."""
    service = start()
    first = httpx.get(f"{service.url}/pid").text

    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{service.url}/die")
    second = httpx.get(f"{service.url}/pid", timeout=PATIENCE_S).text

    assert first != second
    service.signal(signal.SIGTERM)
    assert "worker 0 ended with 7; starting another" in service.wait()[2]


def test_worker_keeps_dying(start: Starter, tmp_path: Path) -> None:
    """Workers that die soon after their start, again and again, end the service with an error."""
    service = start()
    (tmp_path / "app" / "function_app.py").write_text("import os; os._exit(9)")

    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{service.url}/die")

    code, _, error = service.wait()
    assert code == 1
    assert error.splitlines()[-1].endswith("giving up")


def test_timers(start: Starter, tmp_path: Path) -> None:
    """Of two workers one runs the timers: each turn once, at start only where asked for, and errors stop nothing."""
    service = start(APP + TIMERS, workers="2")
    ticks = tmp_path / "app" / "ticks"
    _wait_for(ticks)
    deadline = time.monotonic() + PATIENCE_S
    while len(ticks.read_text().splitlines()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    service.signal(signal.SIGTERM)

    assert service.wait()[0] == 0
    seconds, pids, past_due = zip(*(line.split() for line in ticks.read_text().splitlines()), strict=True)
    assert len(seconds) == len(set(seconds)) >= 2
    assert len(set(pids)) == 1
    assert set(past_due) == {"False"}
    assert len((tmp_path / "app" / "starts").read_text().splitlines()) == 1
    assert not (tmp_path / "app" / "too-early").exists()


def test_message_survives(start: Starter, tmp_path: Path) -> None:
    """A message under way when everything is killed is delivered again after the next start."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "block").touch()
    service = start(APP + QUEUES)
    httpx.get(f"{service.url}/send")
    _wait_for(app / "begun")
    for process in service.family:
        process.kill()
    service.signal(signal.SIGKILL)
    service.wait()
    (app / "block").unlink()

    start(APP + QUEUES)

    _wait_for(app / "done")
    assert (app / "begun").read_text() == "1 2 "


def test_azurite(start: Starter, tmp_path: Path) -> None:
    """With STORAGE=azurite queues are Azurite's, and it ends with the host."""
    service = start(APP + QUEUES, storage="azurite")
    assert len(service.family) == 2

    httpx.get(f"{service.url}/send")
    _wait_for(tmp_path / "app" / "done")
    service.signal(signal.SIGINT, group=True)

    assert service.wait()[0] == 0
    assert not (tmp_path / "data dir's" / "queues.db").exists()
    assert (tmp_path / "data dir's" / "azurite").is_dir()


def test_port_taken(tmp_path: Path) -> None:
    """A port that something listens on is refused with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])

        said = _refusal(write_app(tmp_path / "app", APP), tmp_path / "data", port=port)

    assert f"port {port}" in said
    assert "PORT" in said


def test_data_unwritable(tmp_path: Path) -> None:
    """A DATA that cannot be made is refused."""
    (tmp_path / "file").touch()

    said = _refusal(write_app(tmp_path / "app", APP), tmp_path / "file" / "data")

    assert said.startswith(f"DATA is '{tmp_path}/file/data', which cannot be written")


def test_data_in_use(start: Starter, tmp_path: Path) -> None:
    """Two hosts never work on one DATA."""
    start()

    assert "another local host is using" in _refusal(tmp_path / "app", tmp_path / "data dir's")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("storage", "cloud", "STORAGE is 'cloud'; expected embedded or azurite"),
        ("workers", "0", "WORKERS is '0'"),
        ("port", "70000", "PORT is '70000'"),
        ("host", "300.1.1.1", "cannot listen on 300.1.1.1"),
    ],
)
def test_bad_option(tmp_path: Path, option: str, value: str, said: str) -> None:
    """A bad value is named with what is expected."""
    assert said in _refusal(write_app(tmp_path / "app", APP), tmp_path / "data", **{option: value})


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ("import nowhere_to_be_found", "function_app.py does not load: ModuleNotFoundError"),
        ("os._exit(5)", " ended with 5"),
    ],
)
def test_app_refused(tmp_path: Path, functions: str, said: str) -> None:
    """An app that does not load is refused in one sentence, however many workers find it out."""
    assert said in _refusal(write_app(tmp_path / "app", functions), tmp_path / "data", workers="2")


def test_extension_missing(tmp_path: Path) -> None:
    """An app with HTTP functions that never imports the streaming extension is refused."""
    app = write_app(tmp_path / "app", "")
    (app / "function_app.py").write_text(
        "import azure.functions as func\napp = func.FunctionApp()\n@app.route('x')\ndef x(req): ...\n"
    )

    assert "azurefunctions.extensions.http.fastapi" in _refusal(app, tmp_path / "data")


def test_unhealthy(tmp_path: Path) -> None:
    """An app whose health check fails while it is asked is given up when its worker ends."""
    app = write_app(
        tmp_path / "app",
        """
        @app.route("health/check")
        async def check_health(req: Request) -> Response:
            asyncio.get_running_loop().call_later(0.2, os._exit, 4)
            return Response(status_code=503)
        """,
    )

    assert "worker 0 ended with 4" in _refusal(app, tmp_path / "data")


def test_health_breaks(tmp_path: Path) -> None:
    """An app whose health check raises does not start; the log says where."""
    app = write_app(
        tmp_path / "app",
        """
        @app.route("health/check")
        async def check_health(req: Request) -> Response:
            raise ValueError
        """,
    )
    process = _popen(app, tmp_path / "data")

    out, error = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, out) == (1, "")
    assert error.splitlines()[-1] == "/health/check fails with 500; its error is in the log above"
    assert "check_health failed: ValueError" in error


def test_migration(tmp_path: Path, start: Starter) -> None:
    """The database is migrated before the first worker starts, with the app's settings."""
    package = tmp_path / "app" / "shared" / "index"
    package.mkdir(parents=True)
    (package / "migrate.py").write_text("import os\nopen('migrated', 'w').write(os.environ['DICOM_SQL_URL'])\n")

    start("assert (HERE / 'migrated').exists()\n" + APP)

    assert (tmp_path / "app" / "migrated").read_text() == f"sqlite:///{tmp_path}/data%20dir%27s/index.db"


def test_migration_fails(tmp_path: Path) -> None:
    """A migration that fails stops the start with its last words."""
    app = write_app(tmp_path / "app", APP)
    package = app / "shared" / "index"
    package.mkdir(parents=True)
    (package / "migrate.py").write_text("raise ValueError('no such table')")

    assert "the database cannot be migrated: ValueError: no such table" in _refusal(app, tmp_path / "data")
