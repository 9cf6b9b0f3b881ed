"""The schema holds together with the attributes and with what Azure SQL allows (`shared/index/tables.py`)."""

import pytest
from sqlalchemy import Column, Integer, Table
from sqlalchemy.dialects import mssql

from shared.dicom.attributes import RETURNED, SEARCHABLE
from shared.dicom.values import LENGTHS, NUMBERS
from shared.index.tables import instance, metadata, series, study
from shared.model import Attribute, Level

TABLES = {Level.STUDY: study, Level.SERIES: series, Level.INSTANCE: instance}
UTF16 = {"NVARCHAR": 2, "VARCHAR": 1}


@pytest.mark.parametrize("attribute", SEARCHABLE.values(), ids=SEARCHABLE)
def test_column_of_attribute(attribute: Attribute) -> None:
    """Every searchable attribute has a column of its level's table that takes any of its values."""
    column = TABLES[attribute.level].c[attribute.column]

    if attribute.vr in NUMBERS:
        assert isinstance(column.type, Integer)
    else:
        assert _server_length(column) >= LENGTHS[attribute.vr]


@pytest.mark.parametrize("attribute", SEARCHABLE.values(), ids=SEARCHABLE)
def test_attribute_is_returned(attribute: Attribute) -> None:
    """What can be searched is kept for answers too, so columns and kept elements change together."""
    assert attribute.tag in RETURNED[attribute.level]


def _server_length(column: Column[object]) -> int:
    length = column.type.dialect_impl(mssql.dialect()).length  # type: ignore[attr-defined, no-untyped-call]
    assert isinstance(length, int)
    return length


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_index_keys(table: Table) -> None:
    """No index key is longer than the 1,700 bytes that SQL Server takes."""
    keys = [[*index.columns] for index in table.indexes]
    keys += [[*constraint.columns] for constraint in table.constraints if hasattr(constraint, "columns")]

    for columns in keys:
        assert sum(_server_bytes(column) for column in columns) <= 1700


def _server_bytes(column: Column[object]) -> int:
    name = type(column.type.dialect_impl(mssql.dialect())).__name__.lstrip("_").split("_")[0]  # type: ignore[no-untyped-call]
    return _server_length(column) * UTF16[name] if name in UTF16 else 8


def test_names() -> None:
    """Constraints and indexes have names of their own, which SQL Server wants across tables."""
    names = [str(index.name) for table in metadata.sorted_tables for index in table.indexes]
    names += [str(constraint.name) for table in metadata.sorted_tables for constraint in table.constraints]

    assert len(names) == len(set(names))
    assert all(len(name) <= 128 for name in names)
