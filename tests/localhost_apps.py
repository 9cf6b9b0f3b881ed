"""Little Functions apps, written into a folder for the tests of the local host."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

PREAMBLE = """
import asyncio, os, time
from pathlib import Path
import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
HERE = Path(__file__).parent

"""


def write_app(folder: Path, functions: str, *, host_json: dict[str, Any] | None = None) -> Path:
    """Write host.json, with no route prefix, and function_app.py into *folder*, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"version": "2.0", "extensions": {"http": {"routePrefix": ""}}} if host_json is None else host_json
    (folder / "host.json").write_text(json.dumps(settings))
    (folder / "function_app.py").write_text(PREAMBLE + dedent(functions))
    return folder
