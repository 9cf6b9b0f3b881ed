"""The rows of the comparison: what is stored, read and searched for, and the marks that are held against."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bench.instances import WINDOW
from bench.load import Job, Stored
from bench.names import FRAMES_OF, PER_SERIES, Kind, Names, names
from bench.rows import Count, Mark

EMBEDDED, ORTHANC, AZURITE = "embedded", "orthanc", "azurite"
SECTIONS = ("Store", "Retrieve", "Search", "Workers")

_FILES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_JSON = "application/dicom+json"
_WINDOW = f"window={WINDOW[0]},{WINDOW[1]},linear"
Paths = Callable[[Stored], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a Store where it has no `of`, else requests for the `paths` of what the row `of` stored.

    `targets` are the kinds of server it is measured on; `raw` the rate of the raw storage that belongs to it. `marks`
    are of `rate`, `cpu` and `memory` as ratios of ours to Orthanc's, and of `raw` to the raw storage's rate, `azurite`.
    """

    section: str
    name: str
    title: str
    concurrency: int
    count: Count
    kind: Kind = Kind.IMAGE
    of: str = ""
    paths: Paths | None = None
    accept: str = "*/*"
    check: str = "stored"
    per_study: int = 0
    per_series: int = PER_SERIES
    targets: tuple[str, ...] = (EMBEDDED, ORTHANC, AZURITE)
    raw: str = ""
    is_measured: bool = True
    marks: tuple[Mark, ...] = ()

    def scaled(self, scale: float) -> "Row":
        """Return the row with another number of requests."""
        return replace(self, count=replace(self.count, requests=max(1, round(self.count.requests * scale))))


def _least(figure: str, limit: float, target: str = EMBEDDED) -> Mark:
    return Mark(figure, limit, (target,), is_least=True)


_LESS_MEMORY = Mark("memory", 1, (EMBEDDED,))
_STORE = (_least("rate", 1.8), Mark("cpu", 0.45, (EMBEDDED,)), _LESS_MEMORY, _least("raw", 0.6, AZURITE))
_INSTANCE = (_least("rate", 4), _LESS_MEMORY, _least("raw", 0.55, AZURITE))
_STUDY = (_least("rate", 1), Mark("first_byte_ms", 10, (EMBEDDED,)), _LESS_MEMORY)


def _instances(stored: Stored) -> Iterator[str]:
    yield from (one.path for one in _each(stored))


def _studies(stored: Stored) -> Iterator[str]:
    for one in _each(stored, stored.per_study):
        yield f"/studies/{one.study}"


def _below(suffix: str, of: Paths = _instances) -> Paths:
    return lambda stored: (path + suffix for path in of(stored))


def _each(stored: Stored, step: int = 1) -> Iterator[Names]:
    for number in range(0, stored.instances, step):
        yield names(stored.run, stored.group, number, stored.per_study, stored.per_series)


def _frame_numbers(kind: Kind) -> dict[str, list[int]]:
    count = FRAMES_OF[kind]
    random = [number * 7919 % count + 1 for number in range(1, 13)]
    return {"first": [1], "middle": [count // 2], "last": [count], "random": random}


def _frames(numbers: list[int]) -> Paths:
    return lambda stored: (f"{one.path}/frames/{number}" for one in _each(stored) for number in numbers)


def _store_rows() -> Iterator[Row]:
    for kind, name in ((Kind.IMAGE, "CT"), (Kind.MR, "MR")):
        for concurrency, requests in ((1, 120), (8, 320), (32, 320)):
            row = f"store_{kind.value}_{concurrency}"
            marks = _STORE if concurrency > 1 else (_LESS_MEMORY,)
            yield Row("Store", row, f"{name} images", concurrency, Count(requests), kind, raw="write", marks=marks)
        row = f"store_{kind.value}_fifties"
        yield Row("Store", row, f"{name} images", 4, Count(10, 50), kind, raw="write", marks=_STORE)
    yield Row("Store", "store_header", "files without pixel data", 8, Count(320), Kind.HEADER, marks=_STORE[:3])
    row = "store_header_fifties"
    yield Row("Store", row, "files without pixel data", 4, Count(20, 50), Kind.HEADER, marks=_STORE[:3])
    marks = (_LESS_MEMORY,)
    yield Row("Store", "store_frames", "an object of 200 frames, 105 MB", 1, Count(1), Kind.FRAMES, marks=marks)
    yield Row("Store", "store_slide", "a slide of 3,200 tiles, 50 MB", 1, Count(1), Kind.SLIDE, marks=marks)
    title = "a study without pixel data"
    yield Row("Store", "fill_5000", title, 4, Count(100, 50), Kind.HEADER, is_measured=False)


def _retrieve_rows() -> Iterator[Row]:
    base = Row("Retrieve", "", "", 1, Count(1), of="store_image_8", check="files", accept=_FILES)
    for concurrency, requests in ((1, 150), (8, 320), (32, 320)):
        yield replace(
            base,
            name=f"instance_{concurrency}",
            title="a CT image",
            concurrency=concurrency,
            count=Count(requests),
            paths=_instances,
            raw="read",
            marks=_INSTANCE,
        )
    study = replace(base, name="study", title="a study of CT images", count=Count(2), of="store_image_fifties")
    yield replace(study, paths=_studies, marks=_STUDY)
    whole = replace(base, count=Count(2), paths=_instances, marks=(_LESS_MEMORY,))
    yield replace(whole, name="whole_frames", title="the whole object of 105 MB", of="store_frames", kind=Kind.FRAMES)
    yield replace(whole, name="whole_slide", title="the whole slide", of="store_slide", kind=Kind.SLIDE)
    for kind, title in ((Kind.FRAMES, "of the object's frames"), (Kind.SLIDE, "of the slide's tiles")):
        for which, numbers in _frame_numbers(kind).items():
            frames = replace(base, name=f"{kind.value}_{which}", title=f"{which} {title}", of=f"store_{kind.value}")
            marks = (_least("rate", 100), _LESS_MEMORY)
            yield replace(
                frames,
                count=Count(6),
                kind=kind,
                paths=_frames(numbers),
                accept=_FRAMES,
                check="frame",
                marks=marks,
            )
    metadata = replace(base, accept=_JSON, check="metadata", marks=(_LESS_MEMORY,))
    of_study = _below("/metadata", _studies)
    yield replace(
        metadata, name="metadata_1", title="metadata of an image", count=Count(100), paths=_below("/metadata")
    )
    yield replace(
        metadata,
        name="metadata_500",
        title="metadata of a study",
        count=Count(2),
        of="store_image_fifties",
        paths=of_study,
        marks=(_least("rate", 30), _LESS_MEMORY),
    )
    title = "metadata of a large study"
    yield replace(metadata, name="metadata_5000", title=title, of="fill_5000", kind=Kind.HEADER, paths=of_study)
    marks = (_least("rate", 1.3), _LESS_MEMORY)
    picture = replace(base, accept="image/jpeg", count=Count(60), check="rendered", marks=marks)
    yield replace(picture, name="rendered", title="a rendered image", paths=_below(f"/rendered?{_WINDOW}"))
    yield replace(picture, name="thumbnail", title="a thumbnail", paths=_below("/thumbnail"), check="thumbnail")


SEARCHES: dict[str, tuple[str, int, Callable[[Names, int], str]]] = {
    "patient": ("by PatientID", 20, lambda one, _: f"/studies?PatientID={one.patient_id}"),
    "accession": ("by AccessionNumber", 20, lambda one, _: f"/studies?AccessionNumber={one.accession_number}"),
    "study_uid": ("by StudyInstanceUID", 20, lambda one, _: f"/studies?StudyInstanceUID={one.study}"),
    "month": (
        "by a month",
        5,
        lambda one, _: f"/studies?StudyDate={one.study_date[:6]}01-{one.study_date[:6]}28&limit=100",
    ),
    "modality": (
        "by modality and year",
        5,
        lambda one, _: (
            f"/studies?ModalitiesInStudy={one.modality}&limit=100"
            f"&StudyDate={one.study_date[:4]}0101-{one.study_date[:4]}1231"
        ),
    ),
    "prefix": ("by a name's beginning", 5, lambda one, _: f"/studies?PatientName={one.patient_name[:6]}*&limit=100"),
    "contained": ("by a part of a name", 5, lambda one, _: f"/studies?PatientName=*{one.patient_name[5:]}*&limit=100"),
    "fuzzy": (
        "by a fuzzy name",
        5,
        lambda one, _: f"/studies?PatientName={one.patient_name[-4:]}&fuzzymatching=true&limit=100",
    ),
    "first": ("first page", 5, lambda _, __: "/studies?limit=100"),
    "last": ("last page", 5, lambda _, studies: f"/studies?limit=100&offset={max(studies - 100, 0)}"),
    "worklist": (
        "OHIF's worklist",
        5,
        lambda _, __: "/studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060",
    ),
    "series": ("series of a study", 20, lambda one, _: f"/studies/{one.study}/series"),
    "instances": ("instances of a series", 20, lambda one, _: f"/studies/{one.study}/series/{one.series}/instances"),
}
"""Each kind of search: its title, requests of a round, and the path for a study of so many."""


def _searches(path: Callable[[Names, int], str]) -> Paths:
    def paths(stored: Stored) -> Iterator[str]:
        studies = stored.instances // stored.per_study
        for number in range(studies):
            one = number * 7919 % studies * stored.per_study
            yield path(names(stored.run, stored.group, one, stored.per_study, stored.per_series), studies)

    return paths


def search_rows(instances: int) -> Iterator[Row]:
    """Yield the rows of an index of so many instances, the one that fills it first."""
    per_request, per_study = 100, 20
    count = Count(max(1, instances // per_request), per_request)
    fill = Row("Search", f"fill_{instances}", "", 4, count, Kind.HEADER, per_study=per_study, is_measured=False)
    yield fill
    marks = (_least("rate", 10), _LESS_MEMORY) if instances >= 100_000 else (_LESS_MEMORY,)
    base = Row("Search", "", "", 1, Count(1), of=fill.name, check="found", accept=_JSON, marks=marks)
    base = replace(base, targets=(EMBEDDED, ORTHANC))
    for name, (title, requests, path) in SEARCHES.items():
        row = replace(base, name=f"{name}_{instances}", title=title, count=Count(requests), paths=_searches(path))
        yield row
    paths = _searches(SEARCHES["patient"][2])
    title = "by PatientID"
    yield replace(base, name=f"eight_{instances}", title=title, concurrency=8, count=Count(80), paths=paths)


def worker_rows() -> Iterator[Row]:
    """Yield the rows that are measured with different numbers of workers."""
    store = Row("Workers", "workers_store", "Store CT images", 8, Count(320), raw="write", targets=(EMBEDDED, AZURITE))
    yield store
    header = replace(store, name="workers_header", title="Store without pixel data", kind=Kind.HEADER, raw="")
    yield replace(header, concurrency=4, count=Count(30, 50))
    read = replace(store, of=store.name, check="files", accept=_FILES, paths=_instances, raw="read")
    yield replace(read, name="workers_instance", title="Retrieve a CT image")
    found = replace(read, check="found", accept=_JSON, raw="")
    yield replace(found, name="workers_search", title="Search the instances", paths=_searches(_of_study))


def _of_study(one: Names, _studies: int) -> str:
    return f"/studies?StudyInstanceUID={one.study}"


def transaction_rows() -> Iterator[Row]:
    """Yield the rows of Store and Retrieve."""
    yield from _store_rows()
    yield from _retrieve_rows()


def stored_by(row: Row, group: int, run: int) -> Stored:
    """Return what a Store row stores as a *group* of its own."""
    per_study = row.per_study or row.count.instances
    return Stored(run, group, row.count.per_request, per_study, row.per_series, row.kind, row.count.instances)


def job_of(row: Row, url: str, stored: Stored) -> Job:
    """Return what the load client does for a row, at a server's base URL."""
    if row.paths is None:
        return Job(url, row.concurrency, row.count.requests, stored, check=row.check)
    paths = tuple(path for path, _ in zip(row.paths(stored), range(row.count.requests), strict=False))
    return Job(url, row.concurrency, row.count.requests, None, paths, row.accept, row.check, stored)
