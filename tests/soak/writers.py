"""Clients that change studies of their own, and know at each moment what must be found of them."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from tests.e2e.client import Client, stored
from tests.factories import new_uid, part10
from tests.soak.hosts import Host

_TIMEOUT_S = 60
_PAUSE_S = 0.05
_STUDIES = 3
_INSTANCES = 4
_SIZES = (300, 9_000, 70_000, 300_000)

Files = Mapping[str, bytes]
"""The files of a study by SOP Instance UID."""


class Lost(Exception):
    """No answer: the host was killed, or cannot answer now; what was asked for may have been done."""


@dataclass(slots=True)
class Study:
    """A study as its writer knows it; `told` are the changes of each instance that the change feed must tell of."""

    uid: str
    series: str
    names: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Writer:
    """Does one thing after the other, at whichever host answers, and reads back what it could not know."""

    hosts: list[Host]
    chance: random.Random
    counts: dict[str, int] = field(default_factory=dict)
    studies: list[Study] = field(default_factory=list)
    ended: list[Study] = field(default_factory=list)
    expiring: list[tuple[str, float]] = field(default_factory=list)

    def run(self, end: float) -> None:
        """Do everything once, and then go on until a moment (`time.monotonic`)."""
        first = self.chance.sample(list(_DOES), len(_DOES))
        while first or time.monotonic() < end:
            while len(self.studies) < _STUDIES:
                self.studies.append(Study(new_uid(), new_uid(), [new_uid() for _ in range(_INSTANCES)]))
            study = self.chance.choice(self.studies)
            name = first.pop() if first else self._next()
            self.counts[name] = self.counts.get(name, 0) + 1
            _DOES[name][0](self, study)

    def _next(self) -> str:
        [name] = self.chance.choices(list(_DOES), [often for _, often in _DOES.values()])
        return name

    def settle(self) -> None:
        """Hold what is found of each study against what must be."""
        for study in (*self.studies, *self.ended):
            assert self._read(study) == study.files, "a study is not what was last answered or read"

    def store(self, study: Study) -> None:
        """Instances that are there stay; the others are stored, all or none of a request."""
        some = self._some(study)
        new = [name for name in some if name not in study.files]
        files = {name: self._file(study, name) for name in some}
        self._change(
            study,
            lambda client: client.store(*files.values()),
            {name: files[name] for name in new},
            lambda answer: (
                answer.status_code == (200 if new == some else 202 if new else 409)
                and sorted(stored(answer)) == sorted(new)
            ),
        )

    def upsert(self, study: Study) -> None:
        """Every instance is as it was sent last."""
        files = {name: self._file(study, name) for name in self._some(study)}
        self._change(
            study, lambda client: client.upsert(*files.values()), files, lambda answer: answer.status_code == 200
        )

    def delete(self, study: Study) -> None:
        """The study, its series, or one instance is gone, and nothing else."""
        name = self.chance.choice(study.names)
        path, gone = self.chance.choice(
            [
                (f"/studies/{study.uid}", study.names),
                (f"/studies/{study.uid}/series/{study.series}", study.names),
                (f"/studies/{study.uid}/series/{study.series}/instances/{name}", [name]),
            ]
        )
        before = [one for one in gone if one in study.files]
        expected = 204 if before else 404
        self._change(
            study,
            lambda client: client.http.delete(path),
            dict.fromkeys(before),
            lambda answer: answer.status_code == expected,
        )

    def retrieve(self, study: Study) -> None:
        """All files, byte for byte."""
        found = self._read(study, is_patient=False)
        assert found in (None, study.files), "a retrieve found another state of the study"

    def search(self, study: Study) -> None:
        """All instances and no others."""
        with suppress(Lost):
            found = self._ask(lambda client: client.get(f"/studies/{study.uid}/instances", "application/dicom+json"))
            assert found.status_code == (200 if study.files else 204), found.status_code
            names = {one["00080018"]["Value"][0] for one in found.json()} if study.files else set()
            assert names == set(study.files), "a search found other instances"

    def metadata(self, study: Study) -> None:
        """Those of all instances and no others."""
        with suppress(Lost):
            found = self._ask(lambda client: client.get(f"/studies/{study.uid}/metadata", "application/dicom+json"))
            assert found.status_code == (200 if study.files else 404), found.status_code
            names = {one["00080018"]["Value"][0] for one in found.json()} if study.files else set()
            assert names == set(study.files), "metadata are of other instances"

    def expire(self, _: Study) -> None:
        """Another study expires within seconds; nobody touches it again."""
        study, lasts_s = new_uid(), self.chance.uniform(0.5, 5)
        headers = {"msdicom-expiry-time-milliseconds": str(int(lasts_s * 1000))}
        with suppress(Lost):
            answer = self._ask(lambda client: client.store(part10(StudyInstanceUID=study), **headers))
            assert answer.status_code == 200, answer.status_code
            self.expiring.append((study, time.monotonic() + lasts_s))

    def leave(self, study: Study) -> None:
        """Nobody changes the study any more; it is as it was at the end."""
        self.studies.remove(study)
        self.ended.append(study)

    def _change(
        self,
        study: Study,
        ask: Callable[[Client], httpx.Response],
        changes: Mapping[str, bytes | None],
        is_right: Callable[[httpx.Response], bool],
    ) -> None:
        """Change a study by files, None for one that goes; where no answer comes read what became of it."""
        after = {name: file for name, file in {**study.files, **changes}.items() if file is not None}
        try:
            answer = self._ask(ask)
        except Lost:
            self.counts["lost"] = self.counts.get("lost", 0) + 1
            found = self._read(study)
            assert found in (study.files, after), "half of a request was done"
            if found != after:
                return
        else:
            assert is_right(answer), f"{answer.request.method} was answered {answer.status_code}"
        for name, file in changes.items():
            action = "Delete" if file is None else "Update" if name in study.files else "Create"
            study.told.setdefault(name, []).append(action)
        study.files = after

    def _read(self, study: Study, *, is_patient: bool = True) -> Files | None:
        """Return the files of a study; None where no answer comes, unless one is waited for."""
        while True:
            with suppress(Lost):
                answer = self._ask(lambda client: client.get(f"/studies/{study.uid}", _ANY))
                if answer.status_code == 404:
                    return {}
                assert answer.status_code == 200, answer.status_code
                return {name: file for file in _parts(answer) for name in study.names if name.encode() in file}
            if not is_patient:
                return None

    def _ask(self, ask: Callable[[Client], httpx.Response]) -> httpx.Response:
        """Return a host's answer; raise `Lost` where it was killed meanwhile, or is too busy."""
        host = self.chance.choice(self.hosts)
        began, url = time.monotonic(), host.url
        try:
            with httpx.Client(base_url=f"{url}/v2", timeout=_TIMEOUT_S) as http:
                answer = ask(Client(http))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if url and host.was_up(began):
                raise
            time.sleep(_PAUSE_S)
            raise Lost from error
        if answer.status_code == 503:
            self.counts["503"] = self.counts.get("503", 0) + 1
            raise Lost
        return answer

    def _some(self, study: Study) -> list[str]:
        return self.chance.sample(study.names, self.chance.randint(1, len(study.names)))

    def _file(self, study: Study, name: str) -> bytes:
        return part10(
            StudyInstanceUID=study.uid,
            SeriesInstanceUID=study.series,
            SOPInstanceUID=name,
            PatientID=f"{self.chance.randrange(10**9)}",
            pixel_bytes=self.chance.choice(_SIZES),
        )


_ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def _parts(answer: httpx.Response) -> list[bytes]:
    boundary = answer.headers["content-type"].partition("boundary=")[2]
    opening, *parts, closing = (b"\r\n" + answer.content).split(f"\r\n--{boundary}".encode())
    assert (opening, closing) == (b"", b"--\r\n")
    return [part.split(b"\r\n\r\n", 1)[1] for part in parts]


_DOES: Mapping[str, tuple[Callable[[Writer, Study], None], int]] = {
    "store": (Writer.store, 6),
    "upsert": (Writer.upsert, 3),
    "delete": (Writer.delete, 2),
    "retrieve": (Writer.retrieve, 4),
    "search": (Writer.search, 3),
    "metadata": (Writer.metadata, 3),
    "expire": (Writer.expire, 1),
    "leave": (Writer.leave, 1),
}
"""What a writer does, and how often."""
