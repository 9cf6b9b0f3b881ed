"""Migrations make the schema that `tables.py` describes, once, from anywhere (`shared/index/migrate.py`)."""

import io
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import mssql
from sqlalchemy.schema import CreateIndex, CreateTable

from shared.errors import Unavailable
from shared.index.database import open_engine
from shared.index.migrate import migrate, script_config
from shared.index.tables import metadata

ROOT = Path(__file__).parents[2]


def run(url: str | None, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DICOM_SQL_URL", None)
    if url is not None:
        environment["DICOM_SQL_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "shared.index.migrate"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_same_as_tables(tmp_path: Path) -> None:
    """What the migrations make on SQLite is what `tables.py` says."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    engine = open_engine(url, writes=True)

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        made: dict[str, str] = {name: sql for name, sql in rows}  # noqa: C416 - dict() does not know a row's types
    engine.dispose()

    for table in metadata.sorted_tables:
        assert _lines(made[table.name]) == _lines(str(CreateTable(table).compile(dialect=engine.dialect)))


def test_same_on_server() -> None:
    """What the migrations make on SQL Server is what `tables.py` says."""
    written = io.StringIO()
    config = script_config()
    config.output_buffer = written
    command.upgrade(config, "head", sql=True)
    made = [_lines(part) for part in re.split(r";|\bGO\b", written.getvalue())]
    dialect = mssql.dialect()  # type: ignore[no-untyped-call]

    for table in metadata.sorted_tables:
        assert _lines(str(CreateTable(table).compile(dialect=dialect))) in made
        for index in table.indexes:
            assert _lines(str(CreateIndex(index).compile(dialect=dialect))) in made
    default = next(part for part in written.getvalue().split(";") if "INSERT INTO partition" in part)
    assert "(id, name, folded_name, created_at) VALUES (1, 'Microsoft.Default'" in default


def _lines(statement: str) -> list[str]:
    """Return the lines of a statement in any order: constraints have none."""
    lines = (line.strip(" \t,") for line in statement.splitlines())
    return sorted(line for line in lines if line.strip(")(") and not line.startswith("--"))


def test_again(tmp_path: Path) -> None:
    """A database that is up to date stays untouched."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "index.db")) as file:
        before = file.execute("PRAGMA data_version").fetchone()

        migrate(url)

        assert file.execute("PRAGMA data_version").fetchone() == before
        assert file.execute("SELECT id, name FROM partition").fetchall() == [(1, "Microsoft.Default")]


def test_two_at_once(tmp_path: Path) -> None:
    """Processes that migrate one file at the same time all succeed."""
    url = f"sqlite:///{tmp_path / 'index.db'}"
    code = "import sys; from shared.index.migrate import migrate; migrate(sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    running = [subprocess.Popen([sys.executable, "-c", code, url], env=environment) for _ in range(2)]

    assert [process.wait(60) for process in running] == [0, 0]
    with closing(sqlite3.connect(tmp_path / "index.db")) as file:
        assert file.execute("SELECT count(*) FROM partition").fetchone() == (1,)


def test_command(tmp_path: Path) -> None:
    """The command works from any directory and makes the folder of the file."""
    finished = run("sqlite:///data/index.db", tmp_path)

    assert (finished.returncode, finished.stderr) == (0, "")
    with closing(sqlite3.connect(tmp_path / "data" / "index.db")) as file:
        names = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}
    assert {table.name for table in metadata.sorted_tables} <= names


def test_command_without_url(tmp_path: Path) -> None:
    """Without its setting the command says so in a sentence."""
    finished = run(None, tmp_path)

    assert finished.returncode == 2
    assert "DICOM_SQL_URL is not set" in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/index.db", "nonsense"])
def test_command_fails(tmp_path: Path, url: str) -> None:
    """Where the file cannot be, the command fails with a sentence."""
    finished = run(url, tmp_path)

    assert finished.returncode == 1
    assert finished.stderr.startswith("DICOM_SQL_URL: ")
    assert finished.stderr.count("\n") == 1


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is no database is left as it is."""
    path = tmp_path / "index.db"
    path.write_text("not a database" * 100)

    with pytest.raises(Unavailable):
        migrate(f"sqlite:///{path}")

    assert path.read_text() == "not a database" * 100
