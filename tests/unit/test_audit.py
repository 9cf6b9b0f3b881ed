"""Which records must be kept, and what they hold (`shared/web/audit.py`; health-and-ops.md, "Audit log")."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import pytest

from shared.backend import Backend, open_backend
from shared.errors import Unavailable
from shared.model import Action
from shared.settings import Settings
from shared.web.audit import Call, begin, end


@dataclass
class Table:
    """Keeps rows in memory, or cannot; `later` are those that nobody waited for."""

    is_down: bool = False
    rows: list[Mapping[str, str | int]] = field(default_factory=list)
    later: list[Mapping[str, str | int]] = field(default_factory=list)

    async def add(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:  # noqa: ARG002
        if self.is_down:
            raise Unavailable("It is down.")
        self.rows.append(fields)

    async def add_later(self, at: datetime, name: str, fields: Mapping[str, str | int]) -> None:  # noqa: ARG002
        self.later.append(fields)

    async def find(self, first: date, last: date, equal: Mapping[str, str]) -> AsyncIterator[dict[str, str | int]]:  # noqa: ARG002
        for row in self.rows:
            yield dict(row)

    async def close(self) -> None:
        pass


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Backend]:
    settings = Settings(
        dicom_sql_url=f"sqlite:///{tmp_path / 'index.db'}",
        dicom_storage_connection_string="UseDevelopmentStorage=true",
        audit_strict=True,
    )
    opened = open_backend(settings)
    yield opened
    await opened.close()


def call(action: Action = Action.READ) -> Call:
    return Call("retrieve_study", action, "GET", "192.0.2.1", uids={"study": "1.2.3"})


async def test_strict_read(strict: Backend) -> None:
    """A strict read neither starts nor ends well without its record."""
    down = replace(strict, audit=Table(is_down=True))

    with pytest.raises(Unavailable):
        await begin(call(), down)
    with pytest.raises(Unavailable):
        await end(call(), 200, 1, down)
    await end(call(), 404, 1, down)


async def test_others(strict: Backend) -> None:
    """What reads nothing, or where nobody is strict, goes on; its rows are written beside it."""
    lax = replace(strict, settings=replace(strict.settings, audit_strict=False))
    for context, action in ((strict, Action.WRITE), (strict, Action.DELETE), (lax, Action.READ)):
        table = Table(is_down=True)

        await begin(call(action), replace(context, audit=table))
        await end(call(action), 200, 1, replace(context, audit=table))

        assert [row["ResultType"] for row in table.later] == ["Started", "Succeeded"]


async def test_uids(strict: Backend, caplog: pytest.LogCaptureFixture) -> None:
    """UIDs are in the table and not in the log."""
    table = Table()

    with caplog.at_level("DEBUG"):
        await begin(call(), replace(strict, audit=table))

    assert table.rows[0]["StudyInstanceUid"] == "1.2.3"
    assert "retrieve_study" in caplog.text
    assert "1.2.3" not in caplog.text
