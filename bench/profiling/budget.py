"""Which module's time counts as what: from sampled stacks to a budget."""

from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter

Stack = Sequence[Sequence[str]]
"""File and function of each frame, the innermost first."""

OTHER = "other"

GROUPS: tuple[tuple[str, str, str], ...] = (
    ("sqlalchemy/engine/default.py", "do_execute", "SQLite"),
    ("sqlalchemy/engine/default.py", "do_commit", "SQLite"),
    ("sqlalchemy/engine/default.py", "do_begin", "SQLite"),
    ("/sqlalchemy/", "", "SQL"),
    ("/sqlite3/", "", "SQLite"),
    ("shared/index/", "", "SQL"),
    ("shared/dicom/image.py", "", "pixels"),
    ("shared/dicom/rendering.py", "", "pixels"),
    ("shared/dicom/pixels.py", "", "pixels"),
    ("shared/dicom/codecs.py", "", "pixels"),
    ("shared/dicom/pictures.py", "", "pixels"),
    ("/numpy/", "", "pixels"),
    ("/PIL/", "", "pixels"),
    ("shared/services/new_instance.py", "", "JSON"),
    ("shared/services/documents.py", "", "JSON"),
    ("shared/services/metadata.py", "", "JSON"),
    ("shared/services/search.py", "", "JSON"),
    ("/json/", "", "JSON"),
    ("shared/dicom/", "", "parsing"),
    ("/pydicom/", "", "parsing"),
    ("shared/web/multipart.py", "", "parsing"),
    ("shared/storage/", "", "storage"),
    ("/azure/", "", "storage"),
    ("/aiohttp/", "", "storage"),
    ("/yarl/", "", "storage"),
    ("/multidict/", "", "storage"),
    ("shared/services/", "", "services"),
    ("shared/routes/", "", "services"),
    ("shared/web/", "", "HTTP"),
    ("localhost/", "", "HTTP"),
    ("/uvicorn/", "", "HTTP"),
    ("/httptools/", "", "HTTP"),
    ("/starlette/", "", "HTTP"),
    ("/fastapi/", "", "HTTP"),
    ("azurefunctions", "", "HTTP"),
    ("/opentelemetry/", "", "metrics"),
    ("shared/metrics.py", "", "metrics"),
    ("/logging/", "", "logging"),
    ("shared/threads.py", "", "threads"),
    ("shared/turns.py", "", "threads"),
    ("/concurrent/", "", "threads"),
    ("/threading.py", "", "threads"),
    ("/queue.py", "", "threads"),
    ("/asyncio/", "", "event loop"),
)
"""Part of a file's path, of a function's name, and what it counts as; the first that fits.

JSON has no modules of its own: orjson and zlib have no frames, and count as the modules that join documents with them.
"""


def group_of(file: str, function: str) -> str:
    """Return what a frame counts as, "" for a module that serves many: its caller then decides."""
    return next((group for path, name, group in GROUPS if path in file and name in function), "")


def budget(stacks: Sequence[tuple[float, Stack]]) -> dict[str, float]:
    """Return the seconds of each group; a stack counts as its innermost frame of a known module."""
    found = defaultdict[str, float](float)
    for seconds, stack in stacks:
        groups = (group_of(file, function) for file, function in stack)
        found[next(filter(None, groups), OTHER)] += seconds
    return dict(found)


def heaviest(stacks: Sequence[tuple[float, Stack]], most: int) -> list[tuple[float, str]]:
    """Return the functions that used most themselves: seconds, and the end of the file's path with the function."""
    found = defaultdict[str, float](float)
    for seconds, stack in stacks:
        file, function = stack[0]
        found["/".join(file.split("/")[-3:]) + f": {function}"] += seconds
    return [(seconds, name) for name, seconds in sorted(found.items(), key=itemgetter(1), reverse=True)[:most]]
