"""The OpenAPI documents and the page that shows them, and what the documents are worth (common.md, "Path layout")."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import VERSIONS, Service
from tests.unit.test_function_app import ROUTES, UNPARTITIONED

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))
"""Of each operation."""


def document(service: Service, version: str = "v2") -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{service.url}/{version}/api.json").json()
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_route(service: Service, version: str) -> None:
    """A version's document has each of its routes, by the paths at which this service has them, and no other."""
    paths = document(service, version)["paths"]

    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == {
        (method, f"/{version}/{template.replace('{*', '{')}") for method, template in ROUTES + UNPARTITIONED
    }


def test_valid(service: Service) -> None:
    """The document is one of OpenAPI 3.1: every name is defined, every parameter of a path is described."""
    validator = pytest.importorskip("openapi_spec_validator", reason="openapi-spec-validator is not installed")
    found = document(service)

    assert found["openapi"] == "3.1.0"
    validator.OpenAPIV31SpecValidator(found).validate()


def test_yaml(service: Service) -> None:
    """The YAML document is the same: JSON is YAML."""
    answer = httpx.get(f"{service.url}/v2/api.yaml")

    assert answer.headers["Content-Type"] == "application/yaml"
    assert answer.json() == document(service)


@pytest.mark.parametrize(("path", "status"), [("v7/api.json", 400), ("vx/api.json", 404)])
def test_no_such_version(service: Service, path: str, status: int) -> None:
    """A version that does not exist has no document."""
    assert httpx.get(f"{service.url}/{path}").status_code == status


def test_page(service: Service) -> None:
    """The page takes nothing from elsewhere, and its policy lets its own script run and no other."""
    answer = httpx.get(f"{service.url}/swagger")
    policy = answer.headers["Content-Security-Policy"]

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "http" not in answer.text.replace("http-equiv", "")
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_fuzz(service: Service, tmp_path: Path) -> None:
    """Whatever a client sends that the document allows, or nearly, no answer is a 5xx, and its status is documented."""
    beside = Path(sys.executable).parent
    command = shutil.which("st", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if command is None:
        pytest.skip("schemathesis is not installed")
    options = f"--checks not_a_server_error,status_code_conformance,content_type_conformance --max-examples {_EXAMPLES}"

    done = subprocess.run(
        [command, "run", f"{service.url}/v2/api.json", "--no-color", *options.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert done.returncode == 0, done.stdout[-20_000:]
