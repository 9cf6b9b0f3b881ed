"""Index contents made for tests: instances from keyword values, and databases to keep them in."""

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, delete, event

from shared.dicom.attributes import SEARCHABLE
from shared.dicom.values import index_value
from shared.index import tables
from shared.index.database import open_engine
from shared.index.migrate import migrate
from shared.index.publishing import publish, reserve
from shared.model import InstanceKey, Level, NewInstance
from tests.server_sql import MOST_PARAMETERS, faults, parameters, server_sql

NOW = datetime(2024, 5, 1, 8, tzinfo=UTC)

_UIDS: Mapping[str, str | int] = {
    "StudyInstanceUID": "1.1",
    "SeriesInstanceUID": "1.1.1",
    "SOPInstanceUID": "1.1.1.1",
    "SOPClassUID": "1.2.840",
}


def new_instance(version: int, data_set: Mapping[str, str | int] = {}, *, partition: int = 1) -> NewInstance:
    """Return an instance with these attributes; a version of a reservation makes it publishable."""
    given = {**_UIDS, **data_set}
    attributes: dict[Level, dict[str, Any]] = {level: {} for level in Level}
    indexed: dict[Level, dict[str, str | float | None]] = {level: {} for level in Level}
    for keyword, value in given.items():
        known = SEARCHABLE[keyword]
        groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), str(value).split("="), strict=False))
        element = {"vr": known.vr, "Value": [groups if known.vr == "PN" else value]}
        indexed[known.level][keyword] = index_value(element, known.vr)
        attributes[known.level][known.tag] = element
    key = InstanceKey(
        partition, str(given["StudyInstanceUID"]), str(given["SeriesInstanceUID"]), str(given["SOPInstanceUID"])
    )
    document = orjson.dumps({tag: element for elements in attributes.values() for tag, element in elements.items()})
    return NewInstance(
        version,
        key,
        str(given["SOPClassUID"]),
        "1.2.840.10008.1.2.1",
        100,
        {level: orjson.dumps(values) for level, values in indexed.items()},
        {level: orjson.dumps(elements) for level, elements in attributes.items()},
        zlib.compress(document),
    )


def store(connection: Connection, *data_sets: Mapping[str, str | int], partition: int = 1) -> list[int]:
    """Reserve and publish one instance for each data set in one call; return their versions."""
    keys = [new_instance(0, values, partition=partition).key for values in data_sets]
    versions = [version or 0 for version in reserve(connection, keys, NOW)]
    instances = [
        new_instance(version, values, partition=partition) for version, values in zip(versions, data_sets, strict=True)
    ]
    assert not any(publish(connection, instances, NOW))
    return versions


def uids(study: int, series: int = 1, instance: int = 1) -> dict[str, str | int]:
    """Return the UIDs of an instance by numbers: study 2 is 1.2, its series 3 is 1.2.3."""
    return {
        "StudyInstanceUID": f"1.{study}",
        "SeriesInstanceUID": f"1.{study}.{series}",
        "SOPInstanceUID": f"1.{study}.{series}.{instance}",
    }


def empty_server(url: str) -> None:
    """Migrate the database of a server and remove everything from it but what the migrations put there."""
    migrate(url)
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            if table not in {tables.partition, tables.change_feed_clock}:
                connection.execute(delete(table))
    engine.dispose()


@contextmanager
def open_database(folder: Path) -> Iterator[Engine]:
    """Yield the engine of a migrated database: a file in *folder*, or the server that `DICOM_TEST_SQL_URL` names.

    What runs on SQLite is also compiled for SQL Server.
    """
    url = os.environ.get("DICOM_TEST_SQL_URL") or f"sqlite:///{folder / 'index.db'}"
    migrate(url)
    engine = open_engine(url, writes=True)
    event.listen(engine, "before_execute", _compile_for_server)
    yield engine
    engine.dispose()


@contextmanager
def undone(engine: Engine) -> Iterator[Connection]:
    """Yield a transaction that leaves nothing behind."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def _compile_for_server(
    connection: Connection, statement: Any, multiparams: Sequence[Any], params: Any, options: Any
) -> None:
    del connection, options
    given = dict(params) if params else multiparams[0] if multiparams else {}
    assert faults(server_sql(statement)) == []
    assert parameters(statement, given) <= MOST_PARAMETERS
