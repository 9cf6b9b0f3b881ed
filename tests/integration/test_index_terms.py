"""Replacing instances, frames, expiry and external values (`shared/index/instances.py`, `shared/index/terms.py`)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, func, select

from shared.errors import InvalidRequest
from shared.index import garbage, tables
from shared.index.instances import delete, find, find_frame_page, read_metadata, state, stored_instances
from shared.index.publishing import Refusal, publish, publish_and_confirm, reserve, reserve_any
from shared.index.terms import external_values
from shared.model import NO_TERMS, ExternalValue, FramePage, Scope, StoreTerms
from tests.integration.index_samples import NOW, new_instance, open_database, store, uids, undone

LATER = NOW + timedelta(days=3)
REPLACES = StoreTerms(replaced_due_at=LATER)
EVERYTHING = Scope(1)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_database(tmp_path_factory.mktemp("index")) as opened:
        yield opened


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with undone(database) as opened:
        yield opened


def put(connection: Connection, data_set: Mapping[str, str | int], terms: StoreTerms = REPLACES) -> int:
    """Publish one instance that may replace another and return its version."""
    one = new_instance(0, data_set)
    [version] = reserve_any(connection, [one.key], NOW)
    assert publish(connection, [replace(one, version=version, terms=terms)], NOW) == [None]
    return version


def feed(connection: Connection) -> list[tuple[str, int]]:
    rows = connection.execute(select(tables.change_feed).order_by(tables.change_feed.c.sequence))
    return [(row.action, row.version) for row in rows]


def expiry(connection: Connection) -> datetime | None:
    return connection.execute(select(tables.study_expiry.c.expires_at)).scalar()


def count(connection: Connection, name: str) -> int:
    return connection.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar_one()


def test_replace(connection: Connection) -> None:
    """A replacement takes the place of the old instance in every table; the old bytes go when they are due."""
    [old] = store(connection, {**uids(1), "PatientID": "A", "StudyDescription": "kept"})

    new = put(connection, {**uids(1), "PatientID": "B"})

    assert [one.version for one in find(connection, EVERYTHING, limit=9)] == [new]
    assert [kept.version for kept in read_metadata(connection, EVERYTHING, limit=9)] == [new]
    study = connection.execute(select(tables.study)).one()
    assert (study.patient_id, study.study_description) == ("b", "kept")
    assert feed(connection) == [("Create", old), ("Update", new)]
    assert garbage.due(connection, LATER - timedelta(seconds=1), 9) == []
    assert garbage.due(connection, LATER, 9) == [old]
    assert [count(connection, name) for name in ("study", "series", "instance", "reservation")] == [1, 1, 1, 0]


def test_replace_nothing(connection: Connection) -> None:
    """What replaces nothing is created."""
    version = put(connection, uids(1))

    assert feed(connection) == [("Create", version)]


def test_replace_in_one_call(connection: Connection) -> None:
    """Of two replacements of one key in a call the later one stays; the other was there before it."""
    one = replace(new_instance(0, uids(1)), terms=REPLACES)
    first, second = reserve_any(connection, [one.key, one.key], NOW)

    assert publish(connection, [replace(one, version=first), replace(one, version=second)], NOW) == [None, None]

    assert [found.version for found in find(connection, EVERYTHING, limit=9)] == [second]
    assert feed(connection) == [("Create", first), ("Update", second)]


def test_replaced_before_it_was_published(connection: Connection) -> None:
    """Of two replacements at once the newer version stays, whichever is published last; both were stored."""
    first, second = reserve_any(connection, [new_instance(0, uids(1)).key] * 2, NOW)
    newer = replace(new_instance(second, {**uids(1), "PatientID": "B"}), terms=REPLACES)
    older = replace(new_instance(first, {**uids(1), "PatientID": "A"}), terms=REPLACES)

    assert publish(connection, [newer], NOW) == [None]
    assert publish(connection, [older], NOW) == [None]

    assert [one.version for one in find(connection, EVERYTHING, limit=9)] == [second]
    assert connection.execute(select(tables.study.c.patient_id)).scalar_one() == "b"
    assert feed(connection) == [("Create", second)]
    assert garbage.due(connection, NOW, 9) == [first]


def test_outdated_external(connection: Connection) -> None:
    """External values of a replacement that a newer one overtook are kept where the study has none of that tag."""
    first, second = reserve_any(connection, [new_instance(0, uids(1)).key] * 2, NOW)
    a, b, c = (
        ExternalValue(tag, "LO", value) for tag, value in [("00191001", "a"), ("00191001", "b"), ("00191002", "c")]
    )
    newer, older = (replace(REPLACES, external=values) for values in [(a,), (b, c)])

    publish(connection, [replace(new_instance(second, uids(1)), terms=newer)], NOW)
    publish(connection, [replace(new_instance(first, uids(1)), terms=older)], NOW)

    assert external_values(connection, Scope(1, "1.1")) == [a, c]


def test_replacement_of_another_study(connection: Connection) -> None:
    """The same SOP Instance UID in another series is another instance."""
    store(connection, uids(1))

    put(connection, {**uids(2), "SOPInstanceUID": "1.1.1.1"})

    assert len(find(connection, EVERYTHING, limit=9)) == 2


def test_state_tells_replacements(connection: Connection) -> None:
    """A replacement below the highest version changes the state too."""
    store(connection, uids(1))
    [middle] = reserve_any(connection, [new_instance(0, uids(1)).key], NOW)
    store(connection, uids(1, 1, 2))
    before = state(connection, Scope(1, "1.1"))

    publish(connection, [replace(new_instance(middle, uids(1)), terms=REPLACES)], NOW)

    assert find(connection, EVERYTHING, limit=1)[0].version == middle
    assert state(connection, Scope(1, "1.1")) != before


def test_stored(connection: Connection) -> None:
    """Of given keys those that are stored are told, with version and length; the same UID in another study is none."""
    [version] = store(connection, uids(1))
    key, other = new_instance(0, uids(1)).key, new_instance(0, {**uids(2), "SOPInstanceUID": "1.1.1.1"}).key

    found = stored_instances(connection, [key, other])

    assert list(found) == [key]
    assert (found[key].version, found[key].length_bytes) == (version, 100)


def test_frames(connection: Connection) -> None:
    """A frame is found on the page that holds it, and nowhere beyond the last one or after a delete."""
    pages = (FramePage(1, 10, 5000, 80), FramePage(11, 3, fragments=b"x" * 60))
    one = new_instance(0, uids(1))
    [version] = reserve_any(connection, [one.key], NOW)
    publish(connection, [replace(one, version=version, frames=pages)], NOW)

    found = [find_frame_page(connection, version, frame) for frame in (1, 10, 11, 13, 14)]
    assert found == [pages[0], pages[0], pages[1], pages[1], None]
    assert find_frame_page(connection, version + 1, 1) is None

    delete(connection, Scope(1, "1.1"), NOW, LATER)
    assert find_frame_page(connection, version, 1) is None


def test_expiry(connection: Connection) -> None:
    """The last Store into a study decides when it expires, one without a time that it does not (store.md, "Expiry")."""
    soon, late = NOW + timedelta(hours=1), NOW + timedelta(days=9)
    seen = []

    for number, time in enumerate((soon, late, soon, None)):
        put(connection, uids(1, 1, number), replace(NO_TERMS, expires_at=time))
        seen.append(expiry(connection))

    assert seen == [soon, late, soon, None]


def test_expiry_of_an_older_store(connection: Connection) -> None:
    """A Store that began before the newest one of the study, and is published after it, decides nothing."""
    one = new_instance(0, uids(1))
    [older] = reserve_any(connection, [one.key], NOW)
    put(connection, uids(1, 1, 2), replace(NO_TERMS, expires_at=LATER))

    publish(connection, [replace(one, version=older)], NOW)

    assert expiry(connection) == LATER


def test_expiry_of_refused(connection: Connection) -> None:
    """An instance that is not stored leaves the expiry of its study as it is."""
    put(connection, uids(1), replace(NO_TERMS, expires_at=LATER))
    one = new_instance(0, uids(1))
    [version] = reserve_any(connection, [one.key], NOW)

    assert publish(connection, [replace(one, version=version)], NOW) == [Refusal.ALREADY_STORED]

    assert expiry(connection) == LATER


def test_external(connection: Connection) -> None:
    """External values belong to the study, are changed by a later Store and go with the study."""
    a, b, c = (
        ExternalValue("00191001", "LO", "a"),
        ExternalValue("00191001", "LO", "b"),
        ExternalValue("00191101", "US", "1"),
    )
    put(connection, uids(1), replace(NO_TERMS, external=(a, c)))

    put(connection, uids(1, 2), replace(NO_TERMS, external=(b,)))

    assert external_values(connection, Scope(1, "1.1", "1.1.2")) == [b, c]
    assert external_values(connection, Scope(1, "1.2")) == []
    delete(connection, Scope(1, "1.1"), NOW, LATER)
    assert count(connection, "external_value") == 0


def test_external_of_other_vr(connection: Connection) -> None:
    """A value of another VR than the study has at that tag refuses the whole call."""
    put(connection, uids(1), replace(NO_TERMS, external=(ExternalValue("00191001", "LO", "a"),)))
    other = replace(NO_TERMS, external=(ExternalValue("00191001", "SH", "a"),))

    with pytest.raises(InvalidRequest, match="00191001"):
        put(connection, uids(1, 2), other)


def test_unchanged(connection: Connection) -> None:
    """What is sent again as it is stored makes no version and no entry, but its terms count."""
    [version] = store(connection, uids(1))
    terms = StoreTerms(LATER, LATER, (ExternalValue("00191001", "LO", "a"),))
    key = new_instance(0, uids(1)).key

    assert publish_and_confirm(connection, [], [key], terms, lambda: NOW) == []

    assert (expiry(connection), external_values(connection, Scope(1, "1.1"))) == (LATER, list(terms.external))
    assert feed(connection) == [("Create", version)]
    publish_and_confirm(connection, [], [key], REPLACES, lambda: NOW)
    assert expiry(connection) is None


def test_reserve_any(connection: Connection) -> None:
    """A version is given whether or not the key is stored, which an ordinary Store is refused."""
    store(connection, uids(1))
    key = new_instance(0, uids(1)).key

    assert reserve(connection, [key], NOW) == [None]
    assert len(set(reserve_any(connection, [key, key], NOW))) == 2
    assert reserve_any(connection, [], NOW) == []
