"""Reserve, publish, find and delete instances (`shared/index/instances.py`)."""

import zlib
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import orjson
import pytest
from sqlalchemy import Connection, Engine, event, func, select

from shared.errors import InvalidRequest
from shared.index import garbage, tables
from shared.index.instances import KeptMetadata, delete, find, find_first, metadata_of, read_metadata, state
from shared.index.partitions import find_or_add
from shared.index.publishing import Refusal, abandon, publish, reserve
from shared.index.search import search
from shared.model import InstanceKey, Level, Query, Scope
from tests.integration.index_samples import NOW, new_instance, open_database, store, uids, undone

KEY = InstanceKey(1, "1.1", "1.1.1", "1.1.1.1")
LATER = NOW + timedelta(days=3)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_database(tmp_path_factory.mktemp("index")) as opened:
        yield opened


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with undone(database) as opened:
        yield opened


def count(connection: Connection, name: str) -> int:
    return connection.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar_one()


def feed(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(select(tables.change_feed).order_by(tables.change_feed.c.sequence))
    return [(row.action, row.sop_uid) for row in rows]


def reserved(connection: Connection, *keys: InstanceKey) -> list[int]:
    return [version for version in reserve(connection, keys or [KEY], NOW) if version is not None]


def patient_id(connection: Connection) -> object:
    (match,), _ = search(connection, Query(Level.STUDY, Scope(1)))
    return match.attributes[Level.STUDY].get("00100020", {}).get("Value")


def test_reserve_versions(connection: Connection) -> None:
    """Versions differ and grow, also those of one call and of a key that is asked for twice."""
    versions = [*reserved(connection, KEY, KEY), *reserved(connection)]

    assert all(one < other for one, other in pairwise(versions))


def test_reserve_never_again(connection: Connection) -> None:
    """A version that was given up is not given out again: its blob may still be there."""
    (version,) = reserved(connection)
    abandon(connection, [version], NOW)

    assert reserved(connection)[0] > version


def test_reserve_stored(connection: Connection) -> None:
    """A published key gets no version, in its place; another partition, study or series is another key."""
    store(connection, uids(1))
    keys = [KEY, InstanceKey(1, "1.9", "1.1.1", "1.1.1.1"), InstanceKey(2, "1.1", "1.1.1", "1.1.1.1")]

    versions = reserve(connection, keys, NOW)

    assert [version is None for version in versions] == [True, False, False]


def test_reserve_hidden(connection: Connection) -> None:
    """What is only reserved is not there for readers."""
    reserved(connection)

    assert find(connection, Scope(1), limit=10) == []
    assert state(connection, Scope(1)) is None


def test_publish_visible(connection: Connection) -> None:
    """A published instance is found with its key, and its metadata comes back byte for byte."""
    (version,) = reserved(connection)
    one = new_instance(version, {"PatientID": "A"})

    refused = publish(connection, [one], NOW)

    assert refused == [None]
    (found,) = find(connection, Scope(1), limit=10)
    assert (found.version, found.key, found.length_bytes, found.transfer_syntax) == (
        version, KEY, one.length_bytes, one.transfer_syntax,
    )  # fmt: skip
    assert read_metadata(connection, Scope(1), limit=10) == [KeptMetadata(version, version, KEY, one.metadata, None)]
    assert count(connection, "reservation") == 0
    assert feed(connection) == [("Create", "1.1.1.1")]


def test_publish_second(connection: Connection) -> None:
    """Of two reservations of one key the second to publish is refused, and its blob is due."""
    first, second = reserved(connection, KEY, KEY)
    publish(connection, [new_instance(first)], NOW)

    refused = publish(connection, [new_instance(second)], NOW)

    assert refused == [Refusal.ALREADY_STORED]
    assert garbage.due(connection, NOW, 10) == [second]
    assert [one.version for one in find(connection, Scope(1), limit=10)] == [first]


def test_publish_twice_in_call(connection: Connection) -> None:
    """Of two instances of one key in one call the earlier is published."""
    first, second = reserved(connection, KEY, KEY)

    refused = publish(connection, [new_instance(second), new_instance(first)], NOW)

    assert refused == [None, Refusal.ALREADY_STORED]


def test_publish_lost(connection: Connection) -> None:
    """A reservation that cleanup took is not published, even when the blob was written after; the others are."""
    lost, kept = reserved(connection, KEY, KEY)
    abandon(connection, [lost], NOW)
    garbage.forget(connection, [lost])
    other = uids(1, 1, 2)

    refused = publish(connection, [new_instance(lost), new_instance(kept, other)], NOW)

    assert refused == [Refusal.RESERVATION_LOST, None]
    assert garbage.due(connection, NOW, 10) == [lost]
    assert [one.version for one in find(connection, Scope(1), limit=10)] == [kept]


def test_publish_again(connection: Connection) -> None:
    """A call whose commit nobody heard of is made again and refuses nothing."""
    (version,) = reserved(connection)
    publish(connection, [new_instance(version)], NOW)

    refused = publish(connection, [new_instance(version)], NOW)

    assert refused == [None]
    assert garbage.backlog(connection) == (0, None)
    assert len(feed(connection)) == 1


def test_publish_many(connection: Connection) -> None:
    """A thousand instances of many studies and series are published in one call and come back by version."""
    data_sets = [{**uids(n % 40, n % 120, n), "Modality": "CT"} for n in range(1100)]

    versions = store(connection, *data_sets)

    assert [one.version for one in find(connection, Scope(1), limit=2000)] == sorted(versions)
    assert count(connection, "study") == 40
    assert count(connection, "series") == 120
    assert len(feed(connection)) == 1100


def test_publish_partitions(connection: Connection) -> None:
    """The same key in two partitions is two instances, and a scope sees its own."""
    ours = store(connection, uids(1))
    theirs = store(connection, uids(1), partition=_partition(connection))

    assert [one.version for one in find(connection, Scope(1, "1.1"), limit=10)] == ours
    assert ours != theirs


def _partition(connection: Connection) -> int:
    return find_or_add(connection, "other", NOW).key


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (["A", "B"], ["B"]),
        (["A", ""], ["A"]),
        (["", "A"], ["A"]),
        (["A", "", "C"], ["C"]),
    ],
)
@pytest.mark.parametrize("in_one_call", [True, False])
def test_newest_wins(connection: Connection, stored: list[str], expected: list[str], in_one_call: bool) -> None:
    """Of a study's attribute the newest value wins that is not empty, in one call or several."""
    data_sets = [
        {**uids(1, 1, number), **({"PatientID": value} if value else {})} for number, value in enumerate(stored)
    ]

    for call in [data_sets] if in_one_call else [[one] for one in data_sets]:
        store(connection, *call)

    assert patient_id(connection) == expected


def test_older_published_last(connection: Connection) -> None:
    """An instance that is published after a newer one fills what is empty and changes nothing else."""
    older, newer = reserved(connection, KEY, KEY)
    publish(connection, [new_instance(newer, {**uids(1, 1, 2), "PatientID": "newer"})], NOW)

    publish(connection, [new_instance(older, {**uids(1, 1, 1), "PatientID": "older", "AccessionNumber": "7"})], NOW)

    row = connection.execute(select(tables.study)).one()
    assert (row.patient_id, row.accession_number) == ("newer", "7")


def test_unchanged_study(connection: Connection) -> None:
    """An instance that says nothing new of its study and series leaves their rows unwritten."""
    store(connection, {**uids(1, 1, 1), "PatientID": "A", "Modality": "CT"})
    store(connection, {**uids(1, 1, 2), "PatientID": "A", "Modality": "CT"})

    assert connection.execute(select(tables.study.c.revision)).scalar_one() == 0
    assert connection.execute(select(tables.series.c.revision)).scalar_one() == 0


def test_name_words_replaced(connection: Connection) -> None:
    """The words of a name follow the name."""
    store(connection, {**uids(1, 1, 1), "PatientName": "Doe^John^Quincy"})
    store(connection, {**uids(1, 1, 2), "PatientName": "Roe^Jane"})

    words = connection.execute(select(tables.name_word.c.word).order_by(tables.name_word.c.position)).scalars()
    assert list(words) == ["roe", "jane"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(1), [0, 1, 2, 3]),
        (Scope(1, "1.1"), [0, 1, 2]),
        (Scope(1, "1.1", "1.1.1"), [0, 1]),
        (Scope(1, "1.1", "1.1.1", "1.1.1.2"), [1]),
        (Scope(1, "1.2", "1.1.1"), []),
        (Scope(1, "1.1", "1.1.2", "1.1.1.2"), []),
        (Scope(1, "1.2", "1.1.1", "1.1.1.2"), []),
        (Scope(2, "1.1"), []),
        (Scope(1, "1.9"), []),
    ],
)
def test_scopes(connection: Connection, scope: Scope, expected: list[int]) -> None:
    """A scope holds what lies under all of its UIDs, by version, and nothing of another parent."""
    versions = store(connection, uids(1, 1, 1), uids(1, 1, 2), uids(1, 2, 1), uids(2, 1, 1))
    wanted = [versions[number] for number in expected]

    assert [one.version for one in find(connection, scope, limit=10)] == wanted
    assert [kept.version for kept in read_metadata(connection, scope, limit=10)] == wanted
    assert state(connection, scope) == ((wanted[-1], len(wanted), sum(wanted)) if wanted else None)
    for limit in (1, 10):
        first, syntaxes = find_first(connection, scope, limit=limit)
        assert [one.version for one in first] == wanted[:limit]
        assert syntaxes == ({"1.2.840.10008.1.2.1"} if wanted else set())


def test_find_pages(connection: Connection) -> None:
    """A reader pages by the last version it saw."""
    versions = store(connection, *(uids(1, 1, number) for number in range(5)))

    pages = [find(connection, Scope(1, "1.1"), after=after, limit=2) for after in (0, versions[1], versions[3])]

    assert [[one.version for one in page] for page in pages] == [versions[:2], versions[2:4], versions[4:]]


def test_metadata_content(connection: Connection) -> None:
    """The metadata is the compressed JSON that was published."""
    store(connection, {**uids(1), "PatientID": "A"})

    [kept] = read_metadata(connection, Scope(1), limit=1)

    assert orjson.loads(zlib.decompress(kept.dicom_json or b""))["00100020"]["Value"] == ["A"]


def test_metadata_of_versions(connection: Connection) -> None:
    """Metadata is read by version too; a version that is not published has none."""
    first, second = store(connection, {**uids(1), "PatientID": "A"}, {**uids(2), "PatientID": "B"})
    [waiting] = reserved(connection, InstanceKey(1, "1.3", "1.3.1", "1.3.1.1"))

    found = metadata_of(connection, [second, waiting, first])

    documents = {kept.version: orjson.loads(zlib.decompress(kept.dicom_json or b"")) for kept in found}
    assert {version: one["00100020"]["Value"] for version, one in documents.items()} == {first: ["A"], second: ["B"]}


@pytest.mark.parametrize(
    ("scope", "gone", "studies", "series"),
    [
        (Scope(1, "1.1"), 3, 1, 1),
        (Scope(1, "1.1", "1.1.1"), 2, 2, 2),
        (Scope(1, "1.1", "1.1.1", "1.1.1.1"), 1, 2, 3),
        (Scope(1, "1.1", "1.1.2", "1.1.2.1"), 1, 2, 2),
        (Scope(1, "1.2", "1.1.1"), 0, 2, 3),
    ],
)
def test_delete(connection: Connection, scope: Scope, gone: int, studies: int, series: int) -> None:
    """A delete removes what is in its scope with all that belongs to it, and parents that it leaves empty."""
    versions = store(
        connection,
        {**uids(1, 1, 1), "PatientName": "A"},
        {**uids(1, 1, 2), "PatientName": "A"},
        {**uids(1, 2, 1), "PatientName": "A"},
        {**uids(2, 1, 1), "PatientName": "B"},
    )
    expected = [one.version for one in find(connection, scope, limit=10)]

    assert delete(connection, scope, NOW, LATER) == gone

    left = [version for version in versions if version not in expected]
    assert [one.version for one in find(connection, Scope(1), limit=10)] == left
    assert [kept.version for kept in read_metadata(connection, Scope(1), limit=10)] == left
    assert (count(connection, "study"), count(connection, "series")) == (studies, series)
    assert count(connection, "name_word") == studies
    assert count(connection, "instance_metadata") == len(left)
    assert garbage.due(connection, LATER - timedelta(seconds=1), 10) == []
    assert garbage.due(connection, LATER, 10) == expected
    assert [action for action, _ in feed(connection)] == ["Create"] * 4 + ["Delete"] * gone


def test_delete_again(connection: Connection) -> None:
    """What was deleted may be stored again at once, and the feed tells all three."""
    (first,) = store(connection, uids(1))
    delete(connection, Scope(1, "1.1"), NOW, LATER)

    (second,) = store(connection, uids(1))

    assert second > first
    assert feed(connection) == [("Create", "1.1.1.1"), ("Delete", "1.1.1.1"), ("Create", "1.1.1.1")]


def test_delete_values_stay(connection: Connection) -> None:
    """A study's values stay while another of its instances remains, and its newest version is recounted."""
    versions = store(connection, uids(1, 1, 1), {**uids(1, 1, 2), "PatientID": "A"})
    delete(connection, Scope(1, "1.1", "1.1.1", "1.1.1.2"), NOW, LATER)

    (match,), _ = search(connection, Query(Level.STUDY, Scope(1)))

    assert match.version == versions[0]
    assert patient_id(connection) == ["A"]


def test_delete_everything(connection: Connection) -> None:
    """A scope without a study is refused: nothing asks for a whole partition to go."""
    with pytest.raises(InvalidRequest):
        delete(connection, Scope(1), NOW, LATER)


def test_delete_feed_entry(connection: Connection) -> None:
    """A delete's entry names the version, class and modality that its create named."""
    store(connection, {**uids(1), "Modality": "CT"})
    delete(connection, Scope(1, "1.1"), NOW, LATER)

    created, deleted = connection.execute(select(tables.change_feed).order_by(tables.change_feed.c.sequence))

    same = ("partition_id", "study_uid", "series_uid", "sop_uid", "version", "sop_class_uid", "modality")
    assert [created._mapping[name] for name in same] == [deleted._mapping[name] for name in same]
    assert created.modality == "CT"
    assert created.timestamp == NOW


def test_abandon(connection: Connection) -> None:
    """A reservation that is given up is over, and its blob is due."""
    (version,) = reserved(connection)

    abandon(connection, [version], NOW)

    assert garbage.due(connection, NOW, 10) == [version]
    assert publish(connection, [new_instance(version)], NOW) == [Refusal.RESERVATION_LOST]


def test_abandon_published(connection: Connection) -> None:
    """Giving up what was published after all never costs its blob."""
    (version,) = store(connection, uids(1))

    abandon(connection, [version], NOW)

    assert garbage.backlog(connection) == (0, None)
    assert len(find(connection, Scope(1), limit=10)) == 1


def test_statements(connection: Connection) -> None:
    """A batch of two hundred instances is a handful of statements, and one instance costs eight."""
    executed: list[str] = []

    store(connection, {**uids(1, 1, 0), "PatientName": "A^B", "Modality": "CT"})
    event.listen(connection, "before_execute", lambda *given: executed.append(str(given[1])))

    store(connection, {**uids(1, 1, 1), "PatientName": "A^B", "Modality": "CT"})
    one = len(executed)
    store(connection, *({**uids(1, 1, n), "PatientName": "A^B", "Modality": "CT"} for n in range(2, 200)))

    assert one <= 8
    assert len(executed) - one <= 9
