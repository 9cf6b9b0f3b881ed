"""Every statement that `shared/index` keeps can be given to SQL Server; those made at run time: `index_samples.py`."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules

import pytest
from sqlalchemy import Executable, bindparam, case, func, select, tuple_

import shared.index
from shared.index.tables import instance, study
from tests.server_sql import faults, parameters, server_sql

MODULES = [one.name for one in iter_modules(shared.index.__path__) if one.name != "migrations"]


def statements() -> Iterator[tuple[str, Executable]]:
    for name in MODULES:
        module = import_module(f"shared.index.{name}")
        for variable, value in vars(module).items():
            for number, one in enumerate(kept(value)):
                yield f"{name}.{variable}[{number}]", one


def kept(value: object) -> Iterator[Executable]:
    """Yield the statements in a variable: one, or some in a table."""
    if isinstance(value, Executable):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from kept(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from kept(one)


@pytest.mark.parametrize("statement", [one for _, one in statements()], ids=[name for name, _ in statements()])
def test_statement(statement: Executable) -> None:
    """SQL Server would take it: nothing that only SQLite knows, no more parameters than it takes."""
    assert faults(server_sql(statement)) == []


def test_all_are_seen() -> None:
    """The modules that write and read rows keep statements that are looked at."""
    seen = {name.partition(".")[0] for name, _ in statements()}

    assert {"publishing", "studies", "instances", "documents", "garbage", "terms", "change_feed", "audit"} <= seen
    assert len([*statements()]) > 60


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            select(func.max(select(study.c.id).order_by(study.c.id).limit(bindparam("n")).subquery().c.id)),
            "FETCH without ORDER BY",
        ),
        (select(study.c.patient_id + "x"), ""),
        (select(func.instr(study.c.patient_id, "x")), "only SQLite knows"),
        (select(study.c.id).where(tuple_(study.c.id, study.c.revision) > (1, 2)), "only SQLite knows"),
        (select(study.c.id).order_by(study.c.id, study.c.id), "a column twice"),
        (select(instance.c.version).where(instance.c.version.in_(range(9))), ""),
        (select(case((study.c.id == 1, 1), else_=0)), ""),
    ],
)
def test_faults_are_found(statement: Executable, fault: str) -> None:
    """What SQL Server refuses is found, and nothing else is."""
    found = faults(server_sql(statement))

    assert any(fault in one for one in found) if fault else not found


def test_parameters() -> None:
    """Each value of a list is a parameter of its own."""
    statement = select(instance.c.version).where(
        instance.c.partition_id == 1, instance.c.version.in_(bindparam("versions", expanding=True))
    )

    assert parameters(statement, {"versions": [*range(2100)]}) == 2101
