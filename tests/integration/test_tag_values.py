"""Values of extended query tags in the index, whatever order their writers come in (`shared/index/tag_values.py`)."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import Connection, event, select

from shared.dicom.query_tags import read_tags
from shared.errors import Conflict, InvalidRequest, NotFound, OperationRunning
from shared.index import query_tags
from shared.index.instances import delete
from shared.index.publishing import publish, reserve_any
from shared.index.tables import metadata, query_tag_error, query_tag_value, query_tag_word
from shared.index.tag_values import Reading, keep_stored
from shared.model import Level, NewInstance, QueryTag, Scope, StoreTerms, TagList, TagStatus
from tests.integration.index_samples import NOW, new_instance, open_database, store, uids, undone

_AGE, _WEIGHTED, _KEY, _NAME = "00101010", "00101020", "00204000", "00081050"
_TAGS = [
    QueryTag(_AGE, "AS", Level.STUDY),
    QueryTag(_KEY, "IS", Level.SERIES),
    QueryTag(_WEIGHTED, "FD", Level.INSTANCE),
    QueryTag(_NAME, "PN", Level.INSTANCE),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with open_database(tmp_path_factory.mktemp("index")) as engine:
        yield engine


@pytest.fixture
def connection(database: object) -> Iterator[Connection]:
    with undone(database) as connection:  # type: ignore[arg-type]
        yield connection


def document(age: str = "", key: int | None = None, weighted: float | None = None, name: str = "") -> dict[str, object]:
    """Return the elements that the tags are about."""
    given = {
        _AGE: ("AS", age or None),
        _KEY: ("IS", key),
        _WEIGHTED: ("FD", weighted),
        _NAME: ("PN", {"Alphabetic": name} if name else None),
    }
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in given.items() if value is not None}


def made(version: int, known: TagList, numbers: tuple[int, int, int], elements: dict[str, object]) -> NewInstance:
    """Return an instance, read when the list of tags was *known*."""
    found = [(one.tag, one.level, one.vr, one.value) for one in read_tags(elements, known.tags)[0]]
    return replace(
        new_instance(version, uids(*numbers)),
        metadata=zlib.compress(orjson.dumps(elements)),
        tag_revision=known.revision,
        tag_values=orjson.dumps(found) if found else b"",
    )


def reserved(connection: Connection, count: int = 1) -> list[int]:
    return reserve_any(connection, [new_instance(0).key] * count, NOW)


def values(connection: Connection) -> dict[tuple[str, int], str | float]:
    """Return what is kept, by path and owner."""
    paths = {tag.number: tag.path for tag in query_tags.find_page(connection, limit=200, offset=0)}
    rows = connection.execute(select(query_tag_value))
    return {(paths.get(row.tag_id, "?"), row.owner_id): row.number if row.text is None else row.text for row in rows}


def test_published(connection: Connection) -> None:
    """A Store that knows the tags keeps values of each level: by study, series and instance."""
    query_tags.add(connection, _TAGS, "a" * 32)
    known = query_tags.read_list(connection)
    [version] = reserved(connection)

    publish(connection, [made(version, known, (1, 1, 1), document("045Y", 3, 1.5, "Doe^J"))], NOW)

    assert values(connection) == {
        (_AGE, version): "045y",
        (_KEY, version): 3,
        (_WEIGHTED, version): 1.5,
        (_NAME, version): "doe^j",
    }
    assert [row.word for row in connection.execute(select(query_tag_word))] == ["doe", "j"]


@pytest.mark.parametrize("known", [TagList(), TagList(17, (QueryTag(_KEY, "IS", Level.SERIES, number=99),))])
def test_other_list(connection: Connection, known: TagList) -> None:
    """A Store that read its files by another list of tags keeps the values of the current one, and no others."""
    query_tags.add(connection, _TAGS[:1], "a" * 32)
    [version] = reserved(connection)

    publish(connection, [made(version, known, (1, 1, 1), document("045Y", 3))], NOW)

    assert values(connection) == {(_AGE, version): "045y"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_newest_wins(connection: Connection, order: tuple[int, int]) -> None:
    """Of a study's instances the newest with a value decides, whichever is published first."""
    query_tags.add(connection, _TAGS[:1], "a" * 32)
    known = query_tags.read_list(connection)
    older, newer, empty = reserved(connection, 3)
    both = [made(older, known, (1, 1, 1), document("010Y")), made(newer, known, (1, 1, 2), document("020Y"))]

    for at in order:
        publish(connection, [both[at]], NOW)
    publish(connection, [made(empty, known, (1, 1, 3), document())], NOW)

    assert set(values(connection).values()) == {"020y"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_newest_of_request(connection: Connection, order: tuple[int, int]) -> None:
    """The same holds for instances that are published together."""
    query_tags.add(connection, _TAGS[:1], "a" * 32)
    known = query_tags.read_list(connection)
    older, newer = reserved(connection, 2)
    both = [made(older, known, (1, 1, 1), document("010Y")), made(newer, known, (1, 1, 2), document("020Y"))]

    publish(connection, [both[at] for at in order], NOW)

    assert set(values(connection).values()) == {"020y"}


def test_deleted_meanwhile(connection: Connection) -> None:
    """A Store that read its files before a tag was deleted keeps no value of it."""
    query_tags.add(connection, _TAGS[:2], "a" * 32)
    known = query_tags.read_list(connection)
    [version] = reserved(connection)
    query_tags.begin_delete(connection, _AGE)

    publish(connection, [made(version, known, (1, 1, 1), document("045Y", 3))], NOW)

    assert {path for path, _ in values(connection)} == {_KEY}


def test_same_value_is_newer(connection: Connection) -> None:
    """An instance that says the same again makes the value as new as itself."""
    query_tags.add(connection, _TAGS[:1], "a" * 32)
    known = query_tags.read_list(connection)
    first, late, last = reserved(connection, 3)

    for version, age, number in ((first, "010Y", 1), (last, "010Y", 2), (late, "020Y", 3)):
        publish(connection, [made(version, known, (1, 1, number), document(age))], NOW)

    assert set(values(connection).values()) == {"010y"}


def test_replaced(connection: Connection) -> None:
    """An upsert takes the values of the instance that it replaces away."""
    query_tags.add(connection, _TAGS, "a" * 32)
    known = query_tags.read_list(connection)
    old, new = reserved(connection, 2)
    publish(connection, [made(old, known, (1, 1, 1), document("045Y", 3, 1.5, "Doe^J"))], NOW)
    terms = StoreTerms(replaced_due_at=NOW)

    publish(connection, [replace(made(new, known, (1, 1, 1), document(weighted=2.5)), terms=terms)], NOW)

    assert values(connection) == {(_AGE, old): "045y", (_KEY, old): 3, (_WEIGHTED, new): 2.5}
    assert connection.execute(select(query_tag_word)).all() == []


def test_replaced_at_once(connection: Connection) -> None:
    """Of an instance that its own request replaces nothing is kept."""
    query_tags.add(connection, _TAGS, "a" * 32)
    known = query_tags.read_list(connection)
    both = [made(v, known, (1, 1, 1), document(weighted=float(v))) for v in reserved(connection, 2)]

    publish(connection, [replace(one, terms=StoreTerms(replaced_due_at=NOW)) for one in both], NOW)

    assert values(connection) == {(_WEIGHTED, both[1].version): float(both[1].version)}


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        (Scope(1, "1.1", "1.1.1", "1.1.1.2"), {_AGE, _KEY, _WEIGHTED, _NAME}),
        (Scope(1, "1.1", "1.1.1"), {_AGE}),
        (Scope(1, "1.1"), set()),
    ],
)
def test_deleted(connection: Connection, scope: Scope, left: set[str]) -> None:
    """Values go with the instance, series or study that has them."""
    query_tags.add(connection, _TAGS, "a" * 32)
    known = query_tags.read_list(connection)
    versions = reserved(connection, 3)
    full = document("045Y", 3, 1.5, "Doe^J")
    places = [((1, 1, 1), full), ((1, 1, 2), full), ((1, 2, 1), document())]
    publish(connection, [made(v, known, at, one) for v, (at, one) in zip(versions, places, strict=True)], NOW)

    delete(connection, scope, NOW, NOW)

    assert {path for path, _ in values(connection)} == left
    assert len([path for path, _ in values(connection) if path == _WEIGHTED]) == (1 if _WEIGHTED in left else 0)


def read_by(connection: Connection, elements: dict[str, object]) -> Reading:
    return Reading(read_tags(elements, query_tags.read_list(connection).tags)[0], {})


def test_stored_before(connection: Connection) -> None:
    """What was stored before a tag is indexed later; doing it again changes nothing; what is gone stays gone."""
    first, gone = store(connection, uids(1, 1, 1), uids(1, 1, 2))
    query_tags.add(connection, _TAGS, "a" * 32)
    reading = read_by(connection, document("045Y", 3, 1.5, "Doe^J"))
    delete(connection, Scope(1, "1.1", "1.1.1", "1.1.1.2"), NOW, NOW)

    for _ in range(2):
        keep_stored(connection, "a" * 32, {first: reading, gone: reading}, NOW)

    assert values(connection) == {
        (_AGE, first): "045y",
        (_KEY, first): 3,
        (_WEIGHTED, first): 1.5,
        (_NAME, first): "doe^j",
    }
    assert len(connection.execute(select(query_tag_word)).all()) == 2


def test_stored_before_and_after(connection: Connection) -> None:
    """What indexes old instances never takes the place of a newer one's value."""
    [old] = store(connection, uids(1, 1, 1))
    query_tags.add(connection, _TAGS[:1], "a" * 32)
    [new] = reserved(connection)
    publish(connection, [made(new, query_tags.read_list(connection), (1, 1, 2), document("020Y"))], NOW)

    keep_stored(connection, "a" * 32, {old: read_by(connection, document("010Y"))}, NOW)

    assert set(values(connection).values()) == {"020y"}


def test_other_operation(connection: Connection) -> None:
    """An operation writes nothing for tags that it does not add, or that were deleted meanwhile."""
    [version] = store(connection, uids(1))
    query_tags.add(connection, _TAGS[:2], "a" * 32)
    number = query_tags.find(connection, _AGE).number
    reading = replace(read_by(connection, document("045Y", 3)), problems={number: "no age"})
    query_tags.begin_delete(connection, _AGE)

    keep_stored(connection, "b" * 32, {version: reading}, NOW)
    assert values(connection) == {}
    keep_stored(connection, "a" * 32, {version: reading}, NOW)

    assert {path for path, _ in values(connection)} == {_KEY}
    assert connection.execute(select(query_tag_error)).all() == []


def test_errors(connection: Connection) -> None:
    """A tag's first error disables it; each instance has one; they go with the instance, and the tag stays disabled."""
    one, other = store(connection, uids(1), uids(2))
    query_tags.add(connection, _TAGS[:2], "a" * 32)
    age, key = (query_tags.find(connection, path) for path in (_AGE, _KEY))

    keep_stored(connection, "a" * 32, {one: Reading((), {age.number: "no age"})}, NOW)
    query_tags.set_enabled(connection, _AGE, is_enabled=True)
    both = {version: Reading((), {age.number: "no age"}) for version in (one, other)}
    keep_stored(connection, "a" * 32, both, NOW + timedelta(seconds=1))

    assert query_tags.find(connection, _AGE).is_enabled
    assert query_tags.count_errors(connection, [age.number, key.number], None) == {age.number: 2}
    found = query_tags.find_errors(connection, age.number, None, limit=10, offset=0)
    assert [(one.study, one.created_at) for one in found] == [("1.1", NOW), ("1.2", NOW + timedelta(seconds=1))]
    delete(connection, Scope(1, "1.1"), NOW, NOW)
    assert query_tags.count_errors(connection, [age.number], None) == {age.number: 1}


def test_errors_of_partitions(connection: Connection) -> None:
    """Errors of partitions that a caller may not read are neither shown nor counted."""
    [version] = store(connection, uids(1))
    query_tags.add(connection, _TAGS[:1], "a" * 32)
    number = query_tags.find(connection, _AGE).number
    keep_stored(connection, "a" * 32, {version: Reading((), {number: "no age"})}, NOW)
    assert not query_tags.find(connection, _AGE).is_enabled

    for within, count in ((None, 1), (frozenset({"microsoft.default"}), 1), (frozenset({"ward-7"}), 0)):
        assert sum(query_tags.count_errors(connection, [number], within).values()) == count
        assert len(query_tags.find_errors(connection, number, within, limit=10, offset=0)) == count


def test_add(connection: Connection) -> None:
    """Tags are added together or not at all: no path twice, one operation at a time, 128 in all."""
    query_tags.add(connection, _TAGS[:1], "a" * 32)
    with pytest.raises(OperationRunning) as raised:
        query_tags.add(connection, _TAGS[1:], "b" * 32)
    query_tags.finish(connection, "a" * 32, is_done=True)
    with pytest.raises(Conflict, match=_AGE):
        query_tags.add(connection, _TAGS, "b" * 32)
    many = [QueryTag(f"0011{0x1000 + n:04X}", "LO", Level.STUDY, "ACME") for n in range(128)]
    with pytest.raises(InvalidRequest, match="128"):
        query_tags.add(connection, many, "b" * 32)

    query_tags.add(connection, many[:127], "b" * 32)

    assert raised.value.operation == "a" * 32
    assert query_tags.find(connection, _AGE).status is TagStatus.READY
    assert len(query_tags.find_page(connection, limit=200, offset=1)) == 127


def test_delete_tag(connection: Connection) -> None:
    """A tag that is deleted takes values, words and errors along; its path can be added again, as another tag."""
    query_tags.add(connection, _TAGS[3:], "a" * 32)
    known = query_tags.read_list(connection)
    versions = reserved(connection, 5)
    publish(connection, [made(v, known, (1, 1, v), document(name="Doe^J")) for v in versions], NOW)
    number = query_tags.find(connection, _NAME).number
    keep_stored(connection, "a" * 32, {versions[0]: Reading((), {number: "no name"})}, NOW)

    assert query_tags.begin_delete(connection, _NAME) == number
    assert query_tags.find_deleting(connection) == [number]
    while query_tags.delete_some(connection, number, 2):
        pass

    with pytest.raises(NotFound):
        query_tags.find(connection, _NAME)
    for table in (query_tag_value, query_tag_word, query_tag_error):
        assert connection.execute(select(table)).all() == []
    query_tags.add(connection, _TAGS[3:], "b" * 32)
    assert query_tags.find(connection, _NAME).number != number


def test_statements(connection: Connection) -> None:
    """Where there was never a tag a Store or delete asks nothing about tags; where one is, a Store asks twice."""
    executed: list[str] = []
    event.listen(connection, "before_execute", lambda *given: executed.append(str(given[1])))
    store(connection, uids(1))
    delete(connection, Scope(1, "1.1"), NOW, NOW)
    before = [text for text in executed if "query_tag" in text]
    query_tags.add(connection, _TAGS[:3], "a" * 32)
    known = query_tags.read_list(connection)
    [version] = reserved(connection)
    executed.clear()

    publish(connection, [made(version, known, (1, 1, 1), document("045Y", 3, 1.5))], NOW)

    assert before == []
    assert len([text for text in executed if "query_tag" in text]) == 2
    assert {"query_tag", "query_tag_value"} <= metadata.tables.keys()
