"""What the instances of the benchmark are, and what they are called."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """What the files of a row are.

    CT images of 525 KB, MR images of 130 KB, CT without its pixel data, structured reports, images of 200 CT frames,
    and slides of 3,200 tiles of 16 KB.
    """

    IMAGE = "image"
    MR = "mr"
    HEADER = "header"
    REPORT = "report"
    FRAMES = "frames"
    SLIDE = "slide"


FRAMES_OF = {Kind.FRAMES: 200, Kind.SLIDE: 3200}
"""How many frames a file has."""


PER_SERIES = 250
"""Instances of a series at most; the next one begins a new series."""


_FIRST_DAY, _DAYS = date(2010, 1, 1), 5000
_LAST = ("Smith", "Jones", "Evans", "Brown", "Clark", "Lewis", "Allen", "Young", "Scott", "Green", "Adams")
_FIRST = ("John", "Mary", "Anna", "Paul", "Olga", "Luis", "Ruth")
_OTHERS = ("MR", "US", "CR")


@dataclass(frozen=True, slots=True)
class Names:
    """What makes one file differ from the others."""

    study: str
    series: str
    instance: str
    patient_id: str
    number: str
    patient_name: str
    accession_number: str
    study_date: str
    modality: str

    @property
    def path(self) -> str:
        """The path of the instance below a service's base."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


PLACEHOLDERS = Names(
    study="2.25.1" + "1" * 20,
    series="2.25.2" + "2" * 20,
    instance="2.25.3" + "3" * 20,
    patient_id="BENCH00000000",
    number="87654321",
    patient_name="Place00^Held",
    accession_number="ACC0000000000000",
    study_date="18991231",
    modality="ZQ",
)
"""What stands in the template of all files: as wide as any, and found nowhere else in it."""


def names(run: int, group: int, number: int, per_study: int, per_series: int = PER_SERIES) -> Names:
    """Return the names of instance *number* of a *group*; a group begins a new study every *per_study* instances."""
    study, series = number // per_study, number // min(per_series, per_study)
    return Names(
        study=_uid(1, run, group, study),
        series=_uid(2, run, group, series),
        instance=_uid(3, run, group, number),
        patient_id=f"BENCH{group % 100:02d}{study:06d}",
        number=f"{number + 1:08d}",
        patient_name=f"{_LAST[study % len(_LAST)]}{study // len(_LAST) % 97:02d}^{_FIRST[study // 3 % len(_FIRST)]}",
        accession_number=f"ACC{group:03d}{study:010d}",
        study_date=f"{_FIRST_DAY + timedelta(days=study * 37 % _DAYS):%Y%m%d}",
        modality="CT" if study % 2 == 0 else _OTHERS[study // 2 % len(_OTHERS)],
    )


def number_of(uid: str) -> int:
    """Return the number of the study, the series or the instance that has a UID of `names`."""
    return int(uid[-7:])


def _uid(kind: int, run: int, group: int, number: int) -> str:
    """Return a UID of the same width as its placeholder."""
    return f"2.25.{kind}{run:010d}{group:03d}{number:07d}"
