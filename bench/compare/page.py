"""`python -m bench.compare.page`: writes docs/performance.md from docs/performance.json, every figure of it."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from bench.compare import model
from bench.compare.figures import Figure, faults, figure, ratio, raw, verdicts
from bench.compare.orthanc import CONFIGURATION
from bench.compare.results import Results
from bench.compare.rows import AZURITE, EMBEDDED, ORTHANC, SECTIONS
from bench.service import ROOT

_Found = Mapping[str, Any]

_INTRODUCTION = """# Performance

Written by `python -m bench.compare.page` from `performance.json` beside it, which `make compare` and `make profile`
measure. Nothing in it is typed by hand.

Ours is the local host with one worker, over embedded storage (a folder and SQLite) or over Azurite; beside it Orthanc
as Debian packages it. Both start over fresh storage on the same disk and are asked on loopback, in turn and by the same
client, which shares the machine. Every answer is checked off the clock: the instances that a Store names, files byte
for byte, frames byte for byte, data sets, grey levels of decoded pictures, and of searches how many match and which.
A row with a wrong answer has no figure.

- **a second**: instances in Store, requests elsewhere. The median of the rounds, with least and most.
- **CPU**: user and system time of all processes of a server, for one of these. **memory**: the largest resident sets
  of all its processes, added up; an interpreter that two processes share is counted twice.
- **x**: ours to Orthanc's; at a rate more is better, at CPU and memory less.
- Ours logs two audit records for every request, to a file; Orthanc logs no requests."""


def main() -> int:
    """Write the page of the figures that are among the documents, or of the file that is named."""
    publish(Results.at(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "performance.json"))
    return 0


def publish(results: Results) -> None:
    """Write the page beside its figures."""
    results.file.with_suffix(".md").write_text(page(results.found), encoding="utf-8")


def page(found: _Found) -> str:
    """Return the page of the figures."""
    parts = (_INTRODUCTION, _machine(found), _marks(found), *_sections(found), _wrong(found), _workers(found))
    rest = (_starts(found), _budget(found), _model(found), _configuration())
    return "\n\n".join(part for part in (*parts, *rest) if part) + "\n"


def line(row: _Found) -> str:
    """Return a row as the terminal shows it: a second and CPU of each target, or what was wrong."""
    shown = (f"{target} {_cell(row, target, 'per_s')}/s {_cell(row, target, 'cpu_ms')} ms" for target in row["runs"])
    return f"{row['section']}: {_title(row)}: " + "; ".join(shown)


def _machine(found: _Found) -> str:
    machine, options = found["machine"], found["options"]
    spreads = [one.spread for row in _rows(found) for target in row["runs"] if (one := figure(row, target, "per_s"))]
    noise = f"The runs of a row lie {median(spreads):.0%} of their median apart, as a median of all." if spreads else ""
    times = sorted(row["time"] for row in _rows(found))
    lines = (
        f"Measured {times[0]} to {times[-1]}" if times else "",
        f"on {machine['cpus']} cores ({machine['processor']}), {machine['memory_gib']} GiB, {machine['system']},",
        f"Python {machine['python']}, Orthanc {machine.get('orthanc') or 'not installed'}, at {machine['commit']},",
        f"in {options['rounds']} rounds of {options['scale']:g} times the requests. {noise}",
    )
    return "\n".join(lines).strip()


def _marks(found: _Found) -> str:
    all_of_them = list(chain.from_iterable(verdicts(row) for row in _rows(found)))
    if not all_of_them:
        return ""
    failed = [one for one in all_of_them if not one.holds]
    rows = ([_title(one.row), one.target, str(one.mark), _number(one.value)] for one in failed)
    said = f"{len(all_of_them) - len(failed)} of {len(all_of_them)} marks hold."
    return f"## Marks\n\n{said}" + (f" These do not:\n\n{_table('row|storage|mark|found', rows)}" if failed else "")


def _sections(found: _Found) -> Iterator[str]:
    for section in SECTIONS[:-1]:
        rows = [row for row in _rows(found) if row["section"] == section]
        if rows:
            yield f"## {section}\n\n{_beside(rows)}"
        if any(row["runs"].get(AZURITE) for row in rows):
            yield f"### {section}, Azurite\n\n{_azurite(rows)}"


def _beside(rows: Iterable[_Found]) -> str:
    heading = "row|ours, a second|Orthanc|x|ours, CPU ms|Orthanc|x|ours, p50 ms|Orthanc|ours, first byte ms|Orthanc"
    heading += "|ours, memory MiB|Orthanc"
    return _table(heading, map(_beside_row, rows))


def _beside_row(row: _Found) -> list[str]:
    def pair(name: str, *, has_range: bool = False) -> list[str]:
        return [_cell(row, target, name, has_range=has_range) for target in (EMBEDDED, ORTHANC)]

    def times(name: str) -> str:
        return _number(ratio(figure(row, EMBEDDED, name), figure(row, ORTHANC, name)))

    rate, cpu = [*pair("per_s", has_range=True), times("per_s")], [*pair("cpu_ms"), times("cpu_ms")]
    return [_title(row), *rate, *cpu, *pair("p50_ms"), *pair("first_byte_ms"), *pair("peak_mib")]


def _azurite(rows: Iterable[_Found]) -> str:
    shown = (
        [
            _title(row),
            _cell(row, AZURITE, "per_s", has_range=True),
            _shown(raw(row, AZURITE), has_range=True),
            _number(ratio(figure(row, AZURITE, "per_s"), raw(row, AZURITE))),
            _cell(row, AZURITE, "cpu_ms"),
            _cell(row, AZURITE, "p50_ms"),
            _cell(row, AZURITE, "peak_mib"),
        ]
        for row in rows
        if row["runs"].get(AZURITE)
    )
    text = "The SDK's own calls put or get the same files at the same concurrency, in the same run.\n\n"
    return text + _table("row|a second|the SDK alone|x|CPU ms|p50 ms|MiB", shown)


def _wrong(found: _Found) -> str:
    wrong = (
        [_title(row), target, what, str(count)]
        for row in _rows(found)
        for target in row["runs"]
        for what, count in faults(row, target).items()
    )
    rows = list(wrong)
    return f"## Wrong answers\n\n{_table('row|server|what|answers', rows)}" if rows else ""


def _workers(found: _Found) -> str:
    rows = [
        [
            _title(row),
            target,
            _cell(row, target, "per_s", has_range=True),
            _number(predicted),
            _number(rate / predicted),
        ]
        for row, target, predicted, rate in model.checked(found)
    ]
    if not rows:
        return ""
    text = """Workers share one listening socket, one folder and one SQLite file, or one Azurite. The model takes a
row's own CPU time: a worker uses a core, and the cores are shared with the client. Where much less is measured than it
says, the row waits for something else than cores: SQLite's one writer, the disk, or Azurite's one process."""
    return f"## Several workers\n\n{text}\n\n{_table('row|storage|a second|the model says|x', rows)}"


def _starts(found: _Found) -> str:
    if "starts" not in found:
        return ""
    starts = found["starts"]
    imports = ([f"`{name}`", _number(one["cpu_s"]), str(one["modules"])] for name, one in starts["imports"].items())
    answers = (
        [kind, *(_number(median(run[name] for run in runs)) for name in ("wall_s", "cpu_s"))]
        for kind, runs in starts["answers"].items()
    )
    first = _table("server|until the first answer, s|CPU s", answers)
    return f"## Start\n\n{first}\n\n{_table('import alone|CPU s|modules', imports)}"


def _budget(found: _Found) -> str:
    if "profile" not in found:
        return ""
    profile = found["profile"]
    groups = sorted({group for one in profile.values() for group in one["groups"]})
    rows = (
        [one["title"], _number(one["cpu_ms"]), *(_number(one["groups"].get(group, 0.0)) for group in groups)]
        for one in profile.values()
    )
    text = """CPU time of the worker in ms for one of each, by what it is spent on: every few milliseconds each thread's
own clock is read, and what it used since goes to the innermost frame of a known module
(`bench/profiling/budget.py`). Sampling itself makes a worker some percent slower."""
    return f"## Where the time goes\n\n{text}\n\n{_table('|'.join(['transaction', 'all', *groups]), rows)}"


def _model(found: _Found) -> str:
    of = model.measured(found)
    if of is None:
        return ""
    assumed = ([name, f"{value:g} {unit}".strip(), why] for name, (value, unit, why) in model.ASSUMED.items())
    taken = [
        ["store_cpu_ms", f"{of.store_cpu_ms:.2f} ms", "measured: storing a CT image over Azurite at concurrency 8"],
        ["index_bytes", f"{of.index_bytes:.0f} bytes", "measured: the database for an instance, all indexes included"],
    ]
    heading = "|".join(("instances", "the app allows, a second", *model.DATABASES))
    rows = (
        [str(count), _number(model.limits(count, of, 1).app), *_by_database(count, of)] for count in model.INSTANCES
    )
    needed = (model.needed(rate, of) for rate in model.RATES)
    past = (
        [_number(one.rate), str(one.instances), _number(one.log_mb_s), str(one.databases), str(one.accounts)]
        for one in needed
    )
    parts = (
        "## On Flex Consumption",
        "What one deployment stores, of CT images one in a request. A limit is named where it comes before the app's.",
        _table("assumption|value|from", [*assumed, *taken]),
        _table(heading, rows),
        f"A million images cost ${model.cost_per_million(of):.2f}: the app and the writes, without the database, logs"
        " and what is kept. That does not depend on how many instances share the work; past a limit they wait, and are"
        f" paid for that too. Beyond {model.ASSUMED['quota_cores'][0]:g} cores the region's quota comes first.",
        "What a rate takes, and so how a deployment goes past a limit: faster log first (more vCores, then Hyperscale),"
        " then several databases and storage accounts, which is several deployments, a share of the studies in each.",
        _table("images a second|instances|log MB/s|Hyperscale databases|storage accounts", past),
    )
    return "\n\n".join(parts)


def _by_database(instances: int, of: model.Measured) -> Iterator[str]:
    for log_mb_s in model.DATABASES.values():
        found = model.limits(instances, of, log_mb_s)
        yield _number(found.rate) + ("" if found.first == "app" else f" ({found.first})")


def _configuration() -> str:
    rows = ([f"`{name}`", f"`{json.dumps(value)}`", why] for name, value, why in CONFIGURATION)
    return f"## How Orthanc is configured\n\n{_table('setting|value|why', rows)}"


def _rows(found: _Found) -> list[_Found]:
    return list(found.get("rows", {}).values())


def _title(row: _Found) -> str:
    each = f" of {row['per_request']}" if row["per_request"] > 1 else ""
    index = f", {row['row'].rsplit('_', 1)[1]} instances" if row["section"] == "Search" else ""
    return f"{row['title']}{index}: {row['requests']}{each}, {row['concurrency']} at once"


def _cell(row: _Found, target: str, name: str, *, has_range: bool = False) -> str:
    if faults(row, target):
        return "wrong"
    return _shown(figure(row, target, name), has_range=has_range)


def _shown(found: Figure | None, *, has_range: bool) -> str:
    if found is None:
        return ""
    return _number(found.median) + (f" ({_number(found.least)}-{_number(found.most)})" if has_range else "")


def _number(value: float | None) -> str:
    """Return a figure with three digits, or all of those before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(heading: str, rows: Iterable[Sequence[str]]) -> str:
    names = heading.split("|")
    lines = (names, ["---"] * len(names), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
