"""What the runs of a row come to: medians, ranges, ratios, and whether its marks hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.compare.rows import AZURITE, EMBEDDED, ORTHANC, Row, search_rows, transaction_rows, worker_rows
from bench.rows import Mark

OURS = (EMBEDDED, AZURITE)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over the runs of a row."""

    median: float
    least: float
    most: float

    @property
    def spread(self) -> float:
        """How far the runs lie apart, as a part of the median."""
        return (self.most - self.least) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A mark of a row on a storage, and the figure that it is held against; None where it cannot be."""

    row: Mapping[str, Any]
    mark: Mark
    target: str
    value: float | None

    @property
    def holds(self) -> bool:
        """Return whether the mark holds."""
        return self.value is not None and self.mark.holds(self.value)


def figure(row: Mapping[str, Any], target: str, name: str) -> Figure | None:
    """Return a figure of a target; None where it was not measured, or where any answer was wrong."""
    runs = row["runs"].get(target, [])
    if not runs or faults(row, target):
        return None
    return _figure([run[name] for run in runs])


def raw(row: Mapping[str, Any], target: str) -> Figure | None:
    """Return the rate of a target's storage used raw."""
    rates = row["raw"].get(target, [])
    return _figure(rates) if rates else None


def faults(row: Mapping[str, Any], target: str) -> dict[str, int]:
    """Return what was wrong with the answers of a target, and how often."""
    found: dict[str, int] = {}
    for run in row["runs"].get(target, []):
        for what, count in run["wrong"].items():
            found[what] = found.get(what, 0) + count
    return found


def ratio(above: Figure | None, below: Figure | None) -> float | None:
    """Return the ratio of two medians, None where there is none."""
    return above.median / below.median if above and below and below.median else None


_RATIOS = {"rate": "per_s", "cpu": "cpu_ms", "memory": "peak_mib"}
"""Which figure each ratio of ours to Orthanc's is of."""


def value_of(name: str, row: Mapping[str, Any], target: str) -> float | None:
    """Return the value that a mark is held against."""
    if name in _RATIOS:
        return ratio(figure(row, target, _RATIOS[name]), figure(row, ORTHANC, _RATIOS[name]))
    if name == "raw":
        return ratio(figure(row, target, "per_s"), raw(row, target))
    found = figure(row, target, name)
    return found.median if found else None


def verdicts(row: Mapping[str, Any]) -> Iterator[Verdict]:
    """Yield each mark of a row that was measured on the mark's storage."""
    known = row_named(row["row"])
    for mark in known.marks if known else ():
        for target in mark.storages:
            # Where Orthanc has no right answer there is nothing to be held against.
            if row["runs"].get(target) and (mark.figure not in _RATIOS or figure(row, ORTHANC, "per_s")):
                yield Verdict(row, mark, target, value_of(mark.figure, row, target))


def row_named(name: str) -> Row | None:
    """Return the row of a name; those of an index say its size at their end."""
    size = name.rsplit("_", 1)[-1]
    rows = [*transaction_rows(), *worker_rows(), *(search_rows(int(size)) if size.isdigit() else ())]
    return next((row for row in rows if row.name == name), None)


def _figure(values: list[float]) -> Figure:
    return Figure(median(values), min(values), max(values))
