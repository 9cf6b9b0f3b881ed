"""An app works with the schemas that it knows, and says else which side is behind (`shared/index/schema.py`)."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from shared.index.database import open_index
from shared.index.migrate import main, migrate, script_config
from shared.index.schema import NEWEST, UnknownSchema

Write = Callable[[str], str]

ADDED = f"{int(NEWEST) + 1:04}"
"""A schema that a newer app made by only adding to ours."""

NEXT_GENERATION = f"{int(NEWEST[0]) + 1}{ADDED[1:]}"
"""A schema that only a newer app can use."""


@pytest.fixture
def database(tmp_path: Path) -> Write:
    """Return what gives a migrated database another revision, and then returns its URL."""
    path = tmp_path / "index.db"
    migrate(f"sqlite:///{path}")

    def write(revision: str) -> str:
        with closing(sqlite3.connect(path)) as file:
            file.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            file.commit()
        return f"sqlite:///{path}"

    return write


async def refusal(url: str) -> str:
    index = open_index(url)
    try:
        for use in (index.check(), index.read(lambda _: 1), index.write(lambda _: 1)):
            with pytest.raises(UnknownSchema) as caught:
                await use
    finally:
        await index.close()
    return str(caught.value)


def test_revisions() -> None:
    """Revisions are four digits in their order, so that texts tell which is newer; files are named by them."""
    script = ScriptDirectory.from_config(script_config())
    revisions = [one.revision for one in reversed([*script.walk_revisions()])]

    assert script.get_heads() == [NEWEST]
    assert revisions == sorted(revisions)
    for one in script.walk_revisions():
        assert Path(one.path).name.startswith(f"{one.revision}_")
        assert one.revision.isdecimal()
        assert len(one.revision) == 4


async def test_older(database: Write) -> None:
    """Before the migration the app refuses to work and says that the database is behind, and what to do."""
    said = await refusal(database("0001"))

    assert f"The database is behind the app: its schema is 0001, the app's {NEWEST}." in said
    assert "shared.index.migrate" in said


async def test_without_schema(tmp_path: Path) -> None:
    """An empty database is behind too."""
    assert "its schema is empty" in await refusal(f"sqlite:///{tmp_path / 'new.db'}")


async def test_only_added(database: Write) -> None:
    """While it is replaced the app goes on with a schema that a newer one has added to."""
    index = open_index(database(ADDED))

    await index.check()
    assert await index.write(lambda _: 1) == 1
    await index.close()


async def test_next_generation(database: Write) -> None:
    """The app refuses a schema that only a newer one can use, and says that it is itself behind."""
    said = await refusal(database(NEXT_GENERATION))

    assert f"The app is behind the database: its schema is {NEWEST}, the database's {NEXT_GENERATION}." in said


async def test_migrated_meanwhile(database: Write) -> None:
    """An app that waits for the migration begins to work when it is done."""
    index = open_index(database("0001"))
    with pytest.raises(UnknownSchema):
        await index.read(lambda _: 1)

    database(NEWEST)

    assert await index.read(lambda _: 1) == 1
    await index.close()


async def test_checked_again(database: Write) -> None:
    """Requests look once; health looks each time, so a process whose schema was replaced stops being ready."""
    index = open_index(database(NEWEST))
    await index.check()

    database(NEXT_GENERATION)

    assert await index.read(lambda _: 1) == 1
    with pytest.raises(UnknownSchema):
        await index.check()
    await index.close()


def test_migrate_newer(database: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The migration leaves a newer schema as it is; one that this app cannot use is a sentence and no start."""
    monkeypatch.setenv("DICOM_SQL_URL", database(ADDED))
    assert main() == 0

    database(NEXT_GENERATION)

    assert main() == 1
    assert "The app is behind the database" in capsys.readouterr().err


def test_at_once(database: Write) -> None:
    """Many uses at once look for the schema without harm."""

    async def use() -> list[int]:
        index = open_index(database(NEWEST))
        try:
            return await asyncio.gather(*(index.read(lambda _: 1) for _ in range(20)))
        finally:
            await index.close()

    assert asyncio.run(use()) == [1] * 20
