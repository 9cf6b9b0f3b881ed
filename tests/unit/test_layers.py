"""Who may import whom (architecture.md §3), read from the source with `ast`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_OURS = ("shared", "localhost", "bench", "tests", "function_app")

VALUES = ("errors", "model", "versions", "settings", "grants")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "model": ("errors",),
    "versions": ("model", "errors"),
    "grants": ("model", "errors"),
    "settings": ("model", "errors", "grants"),
    "dicom": ("model", "errors"),
    "threads": (),
    "turns": ("errors",),
    "identity": (),
    "index": ("dicom", "model", "errors", "threads"),
    "index.server": ("identity",),
    "storage": ("model", "errors", "threads"),
    "storage.credentials": ("identity",),
    "metrics": (),
    "entity_tags": ("storage", "errors"),
    "backend": ("index", "storage", "identity", "turns", "metrics", "entity_tags", *VALUES),
    "audit_records": ("backend",),
    "activity": ("backend", "index", "errors"),
    "services": ("dicom", "index", "storage", "backend", "audit_records", "metrics", *VALUES),
    "web": ("dicom", "backend", "activity", "audit_records", "turns", "metrics", *VALUES),
    "check": ("services", "index", "backend", *VALUES),
    "audit": ("backend", *VALUES),
    # Departs from the table: the response dataset of a Store is made, and written, where its URLs are known.
    "routes": (
        "web",
        "services",
        "index",
        "backend",
        "activity",
        "metrics",
        "dicom.reports",
        "dicom.native_model",
        "dicom.render_options",
        *VALUES,
    ),
}
"""What each layer below `shared` may import of the others; of itself it may everything."""

MAY_USE: dict[str, tuple[str, ...]] = {
    "dicom": ("pydicom", "orjson"),
    **dict.fromkeys(
        (f"dicom.{name}" for name in ("lookup", "overlays", "palettes", "pixels", "rendering", "transcoding")),
        ("numpy",),
    ),
    **dict.fromkeys(
        (f"dicom.{name}" for name in ("annotations", "colour", "graphics", "presentation_state", "viewport")),
        ("numpy", "PIL"),
    ),
    "dicom.codecs": ("numpy", "imagecodecs"),
    "dicom.pictures": ("numpy", "PIL", "imagecodecs"),
    "index": ("sqlalchemy", "alembic", "orjson"),
    "index.sqlite": ("sqlite3",),
    "index.identity": ("azure.core",),
    "identity": ("azure.core", "azure.identity"),
    "storage.azure": ("azure.core", "azure.storage.blob", "azure.data.tables"),
    "storage.azure_audit": ("azure.core", "azure.data.tables"),
    "storage.credentials": ("azure.core", "azure.storage.blob", "azure.data.tables"),
    "storage.events": ("aiohttp",),
    "storage.event_grid": ("azure.core", "azure.eventgrid"),
    "audit_records": ("orjson",),
    "services": ("orjson",),
    "web": ("starlette", "orjson"),
    "check": ("orjson",),
    "activity": ("orjson",),
    "metrics": ("opentelemetry", "azure.monitor.opentelemetry.exporter"),
    "web.endpoint": ("azure.functions", "azurefunctions.extensions.http.fastapi"),
    "web.tokens": ("jwt",),
    "web.keys": ("jwt", "cryptography", "aiohttp"),
    "routes": ("azure.functions", "starlette", "orjson"),
}
"""Packages that a layer, or one module of it, may use beside the standard library.

Departs from the table: `starlette` has the request and response types, JSON is `orjson` wherever it is written, and
the clients of `storage.azure` are opened where their credentials are chosen.
"""

_DRIVERS = ("sqlite3",)
"""Of the standard library, and still not for everyone."""


def modules(package: str) -> list[Path]:
    return sorted((_ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the dotted name of a module below `shared`, without that: `web.query`; "" for the package itself."""
    return ".".join(path.relative_to(_ROOT / "shared").with_suffix("").parts).removesuffix("__init__").rstrip(".")


def imports(source: str) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def is_below(name: str, packages: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def forbidden(module: str, source: str) -> list[str]:
    """Return what *module* of `shared` imports although the tables do not let it."""
    layer = module.partition(".")[0]
    ours = (layer, *MAY_IMPORT.get(layer, ()), *MAY_IMPORT.get(module, ()))
    packages = MAY_USE.get(layer, ()) + MAY_USE.get(module, ())
    allowed = (*(f"shared.{one}" for one in ours), *packages, *(sys.stdlib_module_names - set(_DRIVERS)))
    return [name for name in imports(source) if not is_below(name, allowed)]


@pytest.mark.parametrize("path", modules("shared"), ids=lambda path: str(path.relative_to(_ROOT)))
def test_layers(path: Path) -> None:
    """A module imports only its own layer, those below it, and the packages that its layer knows."""
    assert forbidden(name_of(path), path.read_text("utf-8")) == []


def test_pixels_are_imported_late() -> None:
    """What routes import that need no pixels loads no codec, not even through others.

    NumPy is another matter: pydicom imports it by itself where it is installed.
    """
    modules_without = "shared.dicom.image, shared.dicom.syntaxes, shared.dicom.header, shared.dicom.frames"
    script = f"import sys, {modules_without}; print({{'imagecodecs', 'shared.dicom.pixels'}} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "set()"


def test_every_layer_is_listed() -> None:
    """A new layer gets its row in the table first."""
    assert {name_of(path).partition(".")[0] for path in modules("shared")} - {""} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.store", "from shared.web.query import read_query"),
        ("services.store", "from shared import web"),
        ("services.store", "def f():\n    import shared.web.query"),
        ("dicom.header", "from shared.index.tables import study"),
        ("dicom.header", "import numpy"),
        ("dicom.image", "import numpy"),
        ("dicom.pixels", "import imagecodecs"),
        ("index.search", "import pyodbc"),
        ("index.search", "import sqlite3"),
        ("storage.folder", "from shared.settings import Settings"),
        ("storage.folder", "from azure.core.exceptions import AzureError"),
        ("storage.azure", "from azure.identity.aio import DefaultAzureCredential"),
        ("web.query", "from pydicom.datadict import tag_for_keyword"),
        ("web.query", "import azure.functions as func"),
        ("web.query", "from shared.services.search import search"),
        ("routes.studies", "from shared.storage.blobs import BlobStore"),
        ("routes.studies", "from shared.dicom.header import read_header"),
        ("routes.studies", "from azure.storage.blob import BlobClient"),
        ("model", "from shared.versions import RULES"),
        ("errors", "import orjson"),
        ("backend", "from shared.services import store"),
        ("services.store", "import localhost.host"),
        ("services.store", "from tests.factories import part10"),
        ("services.store", "import function_app"),
        ("services.store", "from . import search"),
    ],
)
def test_broken_import_is_found(module: str, source: str) -> None:
    """What the picture does not show is found, also inside a function: this test would not pass in silence."""
    assert len(forbidden(module, source)) == 1


@pytest.mark.parametrize("path", modules("localhost"), ids=lambda path: path.name)
def test_localhost(path: Path) -> None:
    """The local host knows nothing of the app that it runs, as the Functions host does not."""
    others = tuple(one for one in _OURS if one != "localhost")

    assert [name for name in imports(path.read_text("utf-8")) if is_below(name, others)] == []


def test_function_app() -> None:
    """The table of contents imports the routes and nothing else."""
    found = imports((_ROOT / "function_app.py").read_text("utf-8"))

    assert [name for name in found if not is_below(name, ("shared.routes", "azure.functions"))] == []


def test_module_names() -> None:
    """No module is a drawer for what has no name (style.md, "Names")."""
    drawers = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}
    paths = [path for package in _OURS for path in modules(package)]

    assert [path for path in paths if {path.stem, path.parent.name} & drawers] == []
