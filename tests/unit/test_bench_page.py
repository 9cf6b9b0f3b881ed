"""The page of the comparison: what it says follows from the figures beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.compare import model
from bench.compare.figures import figure, verdicts
from bench.compare.page import page

_DOCS = Path(__file__).parents[2] / "docs"


def _run(per_s: float, **others: Any) -> dict[str, Any]:
    names = ("p50_ms", "first_byte_ms", "cpu_ms", "peak_mib", "largest_mib", "client_cpu_ms")
    return dict.fromkeys(names, 2.0) | {"per_s": per_s, "wrong": {}} | others


def _row(section: str, name: str, runs: dict[str, list[dict[str, Any]]], **others: Any) -> dict[str, Any]:
    row = {"section": section, "row": name, "title": "CT images", "kind": "image", "concurrency": 8, "requests": 320}
    more = {"per_request": 1, "time": "2026-01-01", "workers": dict.fromkeys(runs, 1), "runs": runs, "raw": {}}
    return row | more | others


def _found(*rows: dict[str, Any], **parts: Any) -> dict[str, Any]:
    machine = {"cpus": 2, "processor": "any", "memory_gib": 8, "system": "Linux", "python": "3", "commit": "abc"}
    options = {"rounds": 3, "scale": 1}
    return {"machine": machine, "options": options, "rows": {row["row"]: row for row in rows}} | parts


def test_page_rates() -> None:
    """A row shows medians with their range, and ours as a ratio to Orthanc's."""
    runs = {"embedded": [_run(300), _run(200), _run(700)], "orthanc": [_run(100), _run(150), _run(90)]}

    text = page(_found(_row("Store", "store_image_8", runs)))

    assert "| CT images: 320, 8 at once | 300 (200-700) | 100 (90-150) | 3 |" in text


def test_page_wrong_answer() -> None:
    """One wrong answer takes a server's figures out of a row; it is told what was wrong."""
    runs = {"embedded": [_run(300)], "orthanc": [_run(900), _run(900, wrong={"bytes differ": 2})]}

    text = page(_found(_row("Retrieve", "instance_8", runs)))

    assert "| 300 (300-300) | wrong |  |" in text
    assert "| orthanc | bytes differ | 2 |" in text
    assert "900" not in text


@pytest.mark.parametrize(("rate", "holds"), [(181, True), (179, False)], ids=["above", "below"])
def test_mark_rate(rate: float, *, holds: bool) -> None:
    """The mark of Store's rate holds from 1.8 times Orthanc's on."""
    runs = {"embedded": [_run(rate)], "orthanc": [_run(100)]}

    found = {str(one.mark): one.holds for one in verdicts(_row("Store", "store_image_8", runs))}

    assert found["rate >= 1.8"] is holds


def test_mark_without_right_answer() -> None:
    """No mark is held against an Orthanc whose answers are wrong."""
    runs = {"embedded": [_run(1)], "orthanc": [_run(100, wrong={"status 404": 1})]}

    assert list(verdicts(_row("Store", "store_image_8", runs))) == []


def test_mark_azurite() -> None:
    """Over Azurite, Store's rate is held against that of the SDK's own calls."""
    row = _row("Store", "store_image_8", {"azurite": [_run(50)]}, raw={"azurite": [100.0, 100.0]})

    [verdict] = verdicts(row)

    assert (verdict.value, verdict.holds) == (0.5, False)


def test_figure_even() -> None:
    """Of an even number of runs the median lies between the two in the middle."""
    found = figure(_row("Store", "store_image_8", {"embedded": [_run(1), _run(3)]}), "embedded", "per_s")

    assert found is not None
    assert (found.median, found.least, found.most) == (2, 1, 3)


_OF = model.Measured(store_cpu_ms=5.5, index_bytes=4000)


def test_model_app() -> None:
    """What the app allows grows with its instances: of a core what is used, by what an image costs it and the host."""
    assert model.instance_rate(_OF) == pytest.approx(0.7 * 1000 / (5.5 + 1.5))
    assert model.limits(20, _OF, 9).app == pytest.approx(20 * 100)


@pytest.mark.parametrize(
    ("instances", "log_mb_s", "first"),
    [(1, 9, "app"), (100, 9, "log"), (100, 1e9, "ingress"), (10, 1e9, "app")],
    ids=["app", "log", "ingress", "app with fast log"],
)
def test_model_first(instances: int, log_mb_s: float, first: str) -> None:
    """The part that allows least comes first, and says how much there is in all."""
    found = model.limits(instances, _OF, log_mb_s)

    assert found.first == first
    assert found.rate == min(found.app, found.log, found.requests, found.ingress)


def test_model_needed() -> None:
    """A rate takes as many instances, databases and storage accounts as make it, and no fewer."""
    found = model.needed(10_000, _OF)

    assert (found.instances, found.databases, found.accounts) == (100, 1, 2)
    assert found.log_mb_s == pytest.approx(100)


def test_model_cost() -> None:
    """A million images cost seconds of an instance's memory, executions and writes."""
    expected = 1e6 / 100 * 2 * 0.000026 + 0.40 + 1.05e6 / 10_000 * 0.055

    assert model.cost_per_million(_OF) == pytest.approx(expected)


def test_model_checked() -> None:
    """The model's rate of several workers is bound by their cores, or by the machine's that the client shares."""
    runs = {"embedded": [_run(400, cpu_ms=2.0, client_cpu_ms=0.5)], "embedded, 4 workers": [_run(700, cpu_ms=2.0)]}
    row = _row("Workers", "workers_store", runs, workers={"embedded": 1, "embedded, 4 workers": 4})

    assert [(predicted, rate) for *_, predicted, rate in model.checked(_found(row))] == [(500, 400), (500, 700)]


def test_page_committed() -> None:
    """The page among the documents is what the script makes of the figures beside it."""
    figures = _DOCS / "performance.json"
    if not figures.exists():
        pytest.skip("docs/performance.json is not there yet: `make compare` writes it")

    assert (_DOCS / "performance.md").read_text() == page(json.loads(figures.read_text()))
