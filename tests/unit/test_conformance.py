"""The conformance statement (docs/conformance.md) has everything that the service has."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_description

from shared.dicom.attributes import COMPUTED, INDEXED_BY_REFERENCE, KEYS, keyword_of
from shared.dicom.external import VRS
from shared.dicom.reports import FailureReason, WarningReason
from shared.grants import REFERENCE_ROLES
from shared.model import Action
from shared.settings import Settings, defaults
from shared.versions import RULES
from shared.web.problems import STATUS_OF
from shared.web.store_terms import EXPIRY_LEVEL, EXPIRY_OPTION, EXPIRY_TIME, SHOW_EXTERNAL
from tests.unit.test_function_app import FUNCTIONS

_STATEMENT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text("utf-8")
_VERSION, _PARTITION = "v{version}/", "v{version}/partitions/{partition}/"
_ROUTE = re.compile(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \|", re.MULTILINE)


def _routes() -> set[tuple[str, str]]:
    """Return method, HEAD aside, and path below the version, if any, of every HTTP function outside of partitions."""
    found = set()
    for function in FUNCTIONS:
        bindings = json.loads(function.get_function_json())["bindings"]
        trigger = next((one for one in bindings if one["type"].lower() == "httptrigger"), None)
        if trigger is not None and not trigger["route"].startswith(_PARTITION):
            found |= {(method, trigger["route"].removeprefix(_VERSION)) for method in trigger["methods"][:1]}
    return found


def _section(number: str) -> str:
    """Return the text of a numbered section, its subsections included."""
    name = re.escape(number)
    pattern = rf"^#+ {name} .*?(?=^#+ (?!{name}\.)[0-9]|\Z)"
    found = re.search(pattern, _STATEMENT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section {number}"
    return found[0]


def test_routes() -> None:
    """The table of resources has each route of the app, and no other; those of no version stand below it."""
    unversioned = {("GET", "health/check"), ("GET", "health/live"), ("GET", "swagger")}
    preflights = {("OPTIONS", path) for path in ("{*path}", "health/{*path}", "swagger")}

    assert set(_ROUTE.findall(_section("1.1"))) | unversioned | preflights == _routes()
    assert "GET `health/check`, `health/live` and `swagger`" in _section("1.1")


def test_versions() -> None:
    """Every spelling of a version is named."""
    assert {text for text in RULES if f"`v{text}`" not in _section("1.1")} == set()


@pytest.mark.parametrize("name", [one.name.upper() for one in fields(Settings)])
def test_setting(name: str) -> None:
    """Every setting is in the table of settings."""
    assert f"`{name}`" in _section("1.2")


def test_no_other_setting() -> None:
    """The table of settings has none that is not there any more."""
    names = [row.split(" | ")[0] for row in _section("1.2").splitlines() if row.startswith("| `")]

    assert {name for row in names for name in re.findall("`([A-Z_]+)`", row)} == set(defaults())


def test_roles() -> None:
    """The roles that count without a policy are those of the service."""
    stated = set(re.findall(r"^\| `([A-Za-z ]+)` \| (all|read) \|$", _section("10.2"), re.MULTILINE))

    assert stated == {(one.value, "read" if one.actions == {Action.READ} else "all") for one in REFERENCE_ROLES}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_REQUEST_BYTES", "4 GiB"),
        ("MAX_INSTANCE_BYTES", "4 GiB"),
        ("MAX_COMPOSED_BYTES", "64 MiB"),
        ("BATCH_BYTES", "8 MiB"),
        ("MAX_HEADER_BYTES", "64 KiB"),
    ],
)
def test_size(name: str, text: str) -> None:
    """The defaults of sizes are those of the service."""
    number, unit = text.split()

    assert f"| `{name}` | {text} |" in _section("1.2")
    assert defaults()[name] == int(number) * {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]


@pytest.mark.parametrize(
    "name", [name for name, default in defaults().items() if type(default) is int and not name.endswith("_BYTES")]
)
def test_number(name: str) -> None:
    """The defaults of other numbers are those of the service."""
    assert f"| `{name}` | {defaults()[name]:,} |" in _section("1.2")


def test_searchable_attributes() -> None:
    """Each level's row has its searchable attributes and no other; what is computed is named with its level."""
    rows = re.findall(r"^\| (study|series|instance) \| ([A-Za-z., ]+) \|$", _section("5.2"), re.MULTILINE)
    stated = {(level, keyword) for level, keywords in rows for keyword in keywords.split(", ")}

    assert stated == {(one.level.value, one.keyword) for one in KEYS.values()}
    assert {keyword_of(tag) for tag in COMPUTED if keyword_of(tag) not in _section("5.4")} == set()


def test_reasons() -> None:
    """The table of reasons has each that the service gives, and of those it never gives says so."""
    stated = {int(code) for code in re.findall(r"^\| (\d+) ", _section("3.5"), re.MULTILINE)}

    assert stated == {*map(int, FailureReason), *map(int, WarningReason)}


def test_statuses() -> None:
    """Every status that an error of a Store can have is in the table; 404 is none of a Store."""
    stated = {int(code) for code in re.findall(r"^\| (\d{3}) \|", _section("3.4"), re.MULTILINE)}

    assert stated == {200, 202, 204, 409, 500} | ({int(one) for one in STATUS_OF.values()} - {404})


@pytest.mark.parametrize("name", [EXPIRY_TIME, EXPIRY_OPTION, EXPIRY_LEVEL])
def test_expiry(name: str) -> None:
    """Every header field about expiry is described."""
    assert f"`{name}`" in _section("3.7")


def test_query_tags() -> None:
    """The VRs of extended query tags are those of the service."""
    [row] = re.findall(r"^\| `vr` \| ([A-Z ]+);", _section("5.6"), re.MULTILINE)

    assert set(row.split()) == VRS


def test_external() -> None:
    """External metadata is described: its VRs, and the field that shows it."""
    [row] = re.findall(r"^\| VR \| ([A-Z ]+);", _section("3.8"), re.MULTILINE)

    assert set(row.split()) == VRS
    assert f"`{SHOW_EXTERNAL}: true`" in _section("3.8")


def test_indexed_by_version_1() -> None:
    """What version 1 refuses instances for is named, and nothing else."""
    [sentence] = re.findall(r"those of the reference: (.*?)\.\n", _section("3.3"), re.DOTALL)
    names = re.split(r", | and ", " ".join(sentence.split()))

    assert sorted(names) == sorted(dictionary_description(int(tag, 16)) for tag in INDEXED_BY_REFERENCE)
