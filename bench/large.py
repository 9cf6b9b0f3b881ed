"""The rows that are measured on a large index: what is searched for, and what it may cost."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.index import (
    Shape,
    accession_number,
    build,
    database_url,
    patient_id,
    patient_name,
    station,
    study_date,
    study_uid,
)
from bench.names import Kind
from bench.rows import Count, Mark, Row, Transaction

_EMBEDDED = ("embedded",)


@dataclass(frozen=True, slots=True)
class Search:
    """A kind of search: its path for a study's number, and the mark of its row."""

    title: str
    path: Callable[[int], str]
    mark: Mark | None


def _name(number: int) -> str:
    return quote(patient_name(number)[:4])


def _within(milliseconds: float) -> Mark:
    return Mark("p50_ms", milliseconds, _EMBEDDED)


SEARCHES: dict[str, Search] = {
    "patient": Search("by PatientID", lambda n: f"/studies?PatientID={patient_id(n)}", _within(3)),
    "accession": Search("by accession number", lambda n: f"/studies?AccessionNumber={accession_number(n)}", _within(3)),
    "study_uid": Search("by study UID", lambda n: f"/studies?StudyInstanceUID={study_uid(n)}", _within(3)),
    "dates": Search("by a month", lambda n: f"/studies?StudyDate={study_date(n):%Y%m01-%Y%m28}", _within(10)),
    "modality_year": Search(
        "by modality and year",
        lambda n: f"/studies?ModalitiesInStudy=CT&StudyDate={study_date(n):%Y0101-%Y1231}",
        _within(10),
    ),
    "name_prefix": Search("by a name's beginning", lambda n: f"/studies?PatientName={_name(n)}*", _within(10)),
    "fuzzy": Search("by a fuzzy name", lambda n: f"/studies?PatientName={_name(n)}&fuzzymatching=true", _within(10)),
    "contained": Search("by a part of a name", lambda n: f"/studies?PatientName=*{_name(n)}*", None),
    "newest": Search("first page", lambda n: f"/studies?limit=100&StudyDate=1900{n % 12 + 1:02d}01-", _within(10)),
    "worklist": Search(
        "OHIF's worklist",
        lambda n: f"/studies?limit=101&offset={n % 5}&fuzzymatching=false&includefield=00081030%2C00080061%2C00080090",
        None,
    ),
    "tag": Search("by an extended query tag", lambda n: f"/studies?StationName={station(n)}", None),
    "number": Search("instances by number", lambda n: f"/instances?InstanceNumber={n % 25 + 1}", None),
    "series": Search("series of a study", lambda n: f"/studies/{study_uid(n)}/series", _within(5)),
    "instances": Search(
        "instances of a series", lambda n: f"/studies/{study_uid(n)}/series/{study_uid(n)}.1/instances", _within(5)
    ),
}

_WORKERS = Row(
    "search_workers",
    "by PatientID, two workers",
    Transaction.SEARCH,
    8,
    Count(4000),
    Count(200),
    "request",
    of="patient",
    workers=2,
    marks=(Mark("per_s", 800, _EMBEDDED, is_least=True),),
)


def search_rows() -> Iterator[Row]:
    """Yield a row for each kind of search; `of` names the kind."""
    for name, search in SEARCHES.items():
        marks = () if search.mark is None else (search.mark,)
        title = f"Search {search.title}"
        yield Row(f"large_{name}", title, Transaction.SEARCH, 1, Count(200), Count(20), "request", of=name, marks=marks)
    counts, marks = (Count(100), Count(20)), (_within(50),)
    yield Row("large_last", "Search, last page", Transaction.SEARCH, 1, *counts, "request", "last", marks=marks)
    yield _WORKERS


def store_row(name: str, title: str, *, raw: str = "", marks: tuple[Mark, ...] = ()) -> Row:
    """Return a row that stores what the table's `fill` stores; `raw` holds its rate against another's."""
    counts = Count(100, 100), Count(2, 100)
    return Row(name, title, Transaction.STORE, 4, *counts, per_study=20, kind=Kind.HEADER, raw=raw, marks=marks)


STORE_EMPTY = store_row("large_store_empty", "Store into an empty index")
STORE_LARGE = store_row(
    "large_store", "Store into the large one", raw="write", marks=(Mark("ratio", 0.8, _EMBEDDED, is_least=True),)
)


def paths(row: Row, shape: Shape, requests: int) -> Iterator[str]:
    """Yield the paths that a row asks for: of studies all over the index."""
    for number in range(requests):
        if row.of == "last":
            yield f"/studies?limit=100&offset={shape.studies - 100 - number % 7}"
        else:
            yield SEARCHES[row.of].path(number * 7919 % shape.studies)


def build_in(folder: Path, shape: Shape) -> float:
    """Make the index where the local host keeps it below its DATA *folder*; return the seconds that it took."""
    folder.mkdir(parents=True, exist_ok=True)
    return build(database_url(folder), shape)
