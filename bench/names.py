"""What the instances of the benchmark are, and what they are called."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What the files of a row are.

    CT images of 525 KB, those without their pixel data, structured reports, images of 200 such frames, and slides of
    3,200 tiles of 16 KB.
    """

    IMAGE = "image"
    HEADER = "header"
    REPORT = "report"
    FRAMES = "frames"
    SLIDE = "slide"


FRAMES_OF = {Kind.FRAMES: 200, Kind.SLIDE: 3200}
"""How many frames a file has."""


PER_SERIES = 250
"""Instances of a series at most; the next one begins a new series."""


@dataclass(frozen=True, slots=True)
class Names:
    """What makes one file differ from the others."""

    study: str
    series: str
    instance: str
    patient_id: str
    number: str

    @property
    def path(self) -> str:
        """The path of the instance below a service's base."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


PLACEHOLDERS = Names("2.25.1" + "1" * 20, "2.25.2" + "2" * 20, "2.25.3" + "3" * 20, "BENCH00000000", "87654321")
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
    )


def _uid(kind: int, run: int, group: int, number: int) -> str:
    """Return a UID of the same width as its placeholder."""
    return f"2.25.{kind}{run:010d}{group:03d}{number:07d}"
