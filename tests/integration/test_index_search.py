"""A `Query` finds what it describes (`shared/index/search.py`, `shared/index/matching.py`)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine

from shared.dicom.attributes import KEYS, tag_of
from shared.errors import InvalidRequest
from shared.index.instances import delete
from shared.index.search import search
from shared.model import Condition, Level, Match, Query, Scope
from tests.integration.index_samples import NOW, open_database, store, uids, undone

ALL = Query(Level.STUDY, Scope(1))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_database(tmp_path_factory.mktemp("index")) as opened:
        yield opened


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with undone(database) as opened:
        yield opened


def find(connection: Connection, query: Query, **conditions: str) -> list[Match]:
    return search(connection, asking(query, **conditions))[0]


def asking(query: Query, **conditions: str) -> Query:
    """Return a query with conditions by keyword."""
    by_keyword = {one.keyword: one for one in KEYS.values()}
    return replace(query, conditions=tuple(Condition(by_keyword[name], value) for name, value in conditions.items()))


def finds(connection: Connection, keyword: str, value: str, query: Query = ALL) -> bool:
    return bool(find(connection, query, **{keyword: value}))


@pytest.mark.parametrize(
    ("keyword", "stored", "value", "found"),
    [
        ("PatientID", "Ab-1", "aB-1", True),
        ("PatientID", "Ab-1", "ab-1 ", True),
        ("PatientID", "Ab-1", "Ab-1\0", True),
        ("PatientID", "Ab-1", "ab", False),
        ("PatientID", "müller", "MÜLLER", True),
        ("PatientID", "müller", "muller", False),
        ("PatientID", "a%b", "a*b", True),
        ("PatientID", "axb", "a%b", False),
        ("PatientID", "axb", "a_b", False),
        ("PatientID", "a_b", "a_b", True),
        ("PatientID", "axb", "a%*", False),
        ("PatientID", "a%b", "a%*", True),
        ("PatientID", "a_b", "?_?", True),
        ("PatientID", "axb", "?_?", False),
        ("PatientID", "a[x]b", "*[x]*", True),
        ("PatientID", "axb", "*[x]*", False),
        ("PatientID", "a\\b", "a\\?", True),
        ("PatientID", "ABC", "a*", True),
        ("PatientID", "ABC", "*C", True),
        ("PatientID", "ABC", "*b*", True),
        ("PatientID", "ABC", "a?c", True),
        ("PatientID", "ABC", "a?", False),
        ("PatientID", "ABC", "b*", False),
        ("PatientID", "ABC", "abc*", True),
        ("PatientName", "José^Müller", "jose^MULLER", True),
        ("PatientName", "Doe^John^^^", "Doe^John", True),
        ("PatientName", "Doe^John", "Doe", False),
        ("PatientName", "Doe^John", "Doe*", True),
        ("PatientName", "Doe^John", "*JOHN", True),
        ("PatientName", "Yamada^Tarou=山田^太郎", "yamada^tarou", True),
        ("PatientName", "Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太郎", True),
        ("PatientName", "Yamada^Tarou=山田^太郎", "yamada", False),
        ("PatientName", "Yamada^Tarou=山田^太郎", "*山田*", True),
        ("StudyDate", "20240229", "20240229", True),
        ("StudyDate", "20240229", "20240228", False),
        ("StudyDate", "20240229", "20240201-20240229", True),
        ("StudyDate", "20240229", "20240229-20240301", True),
        ("StudyDate", "20240229", "20240229-20240229", True),
        ("StudyDate", "20240229", "20240301-20240302", False),
        ("StudyDate", "20240229", "20240229-", True),
        ("StudyDate", "20240229", "20240301-", False),
        ("StudyDate", "20240229", "-20240229", True),
        ("StudyDate", "20240229", "-20240228", False),
        ("StudyTime", "101530.5", "101530.5", True),
        ("StudyTime", "1015", "10:15", True),
        ("StudyTime", "101530.5", "10-11", True),
        ("StudyTime", "125959", "10-12", True),
        ("StudyTime", "130000", "10-12", False),
        ("StudyTime", "101530.5", "-101530", True),
        ("StudyTime", "101531", "-101530", False),
        ("StudyInstanceUID", "1.2.3", "1.2.3", True),
        ("StudyInstanceUID", "1.2.3", "1.2.4,1.2.3", True),
        ("StudyInstanceUID", "1.2.3", "1.2.4\\1.2.3", True),
        ("StudyInstanceUID", "1.2.3", "1.2.4, 1.2.5", False),
        ("StudyInstanceUID", "1.2.3", "1.2", False),
    ],
)
def test_matching(connection: Connection, keyword: str, stored: str, value: str, found: bool) -> None:
    """A study is found by a value that matches as its VR wants it (PS3.4 §C.2.2.2)."""
    store(connection, {**uids(1), keyword: stored})

    assert finds(connection, keyword, value) is found


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "2024"),
        ("StudyDate", "20240230"),
        ("StudyDate", "-"),
        ("StudyDate", "20240301-20240201"),
        ("StudyDate", "20240101-20240102-20240103"),
        ("StudyDate", "2024*"),
        ("StudyDate", "20240101-x"),
        ("StudyTime", "25"),
        ("StudyTime", "12-10"),
        ("StudyInstanceUID", "1.2.a"),
        ("StudyInstanceUID", "1.2,"),
        ("StudyInstanceUID", "1.2.3."),
        ("StudyInstanceUID", "1" * 65),
        ("Modality", "CT"),
    ],
)
def test_refused(connection: Connection, keyword: str, value: str) -> None:
    """A value that is none of its VR, and an attribute of no upper level, are refused by name."""
    with pytest.raises(InvalidRequest, match=keyword):
        finds(connection, keyword, value)


@pytest.mark.parametrize(
    ("value", "found"),
    [("3", True), ("0003", True), ("+3", True), ("4", False), ("-3", False)],
)
def test_number(connection: Connection, value: str, found: bool) -> None:
    """Numbers match by value."""
    store(connection, {**uids(1), "SeriesNumber": 3})

    assert finds(connection, "SeriesNumber", value, Query(Level.SERIES, Scope(1))) is found


@pytest.mark.parametrize("value", ["x", "3.5", "", "99999999999"])
def test_number_refused(connection: Connection, value: str) -> None:
    """What is no number is refused."""
    with pytest.raises(InvalidRequest, match="SeriesNumber"):
        finds(connection, "SeriesNumber", value, Query(Level.SERIES, Scope(1)))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("joh", True),
        ("do", True),
        ("jo do", True),
        ("Doe", True),
        ("John Doe", True),
        ("JÖHN^dö", True),
        ("doe=jr", True),
        ("john doe jr", True),
        ("ohn", False),
        ("doe john", False),
        ("john jr", False),
        ("john smith", False),
        ("john doe jr x", False),
        ("*oh*", True),
        ("j?hn*", True),
    ],
)
def test_fuzzy(connection: Connection, value: str, found: bool) -> None:
    """Fuzzy matching looks for the beginnings of consecutive words, in order; a value with wildcards stays one."""
    store(connection, {**uids(1), "PatientName": "John^Doe=Jr", "ReferringPhysicianName": "Zoe^Smith"})

    assert finds(connection, "PatientName", value, replace(ALL, fuzzy=True)) is found


@pytest.mark.parametrize("last", ["\ud7ff", "\U0010ffff", "z", "\uffff"])
def test_fuzzy_ends(connection: Connection, last: str) -> None:
    """A prefix finds the words that begin with it, whatever its last character is."""
    store(connection, {**uids(1), "PatientName": f"a{last}\U00020000"})
    store(connection, {**uids(2), "PatientName": "b"})

    found = find(connection, replace(ALL, fuzzy=True), PatientName=f"a{last}")

    assert [match.scope.study for match in found] == ["1.1"]


def test_fuzzy_other_name(connection: Connection) -> None:
    """The words of another attribute are not looked at, and other attributes stay exact."""
    store(connection, {**uids(1), "PatientName": "John", "ReferringPhysicianName": "House^Greg", "PatientID": "abc"})
    fuzzy = replace(ALL, fuzzy=True)

    assert not finds(connection, "PatientName", "hou", fuzzy)
    assert finds(connection, "ReferringPhysicianName", "hou gre", fuzzy)
    assert not finds(connection, "PatientID", "ab", fuzzy)


@pytest.mark.parametrize("value", ['"John"', "^", "a " * 33])
def test_fuzzy_refused(connection: Connection, value: str) -> None:
    """Quotation marks, no word and more words than any name has are refused."""
    with pytest.raises(InvalidRequest, match="PatientName"):
        finds(connection, "PatientName", value, replace(ALL, fuzzy=True))


def test_universal(connection: Connection) -> None:
    """`*` alone finds what has no value too (PS3.4 §C.2.2.2.3)."""
    store(connection, uids(1))

    assert finds(connection, "PatientName", "**")


@pytest.mark.parametrize(
    ("value", "found"), [("CT", True), ("mr", True), ("US", False), ("US,CT", True), ("US\\MR", True), ("C*", True)]
)
@pytest.mark.parametrize("level", list(Level))
def test_modalities_in_study(connection: Connection, level: Level, value: str, found: bool) -> None:
    """A study matches by the modality of any of its series, at every level."""
    store(connection, {**uids(1, 1), "Modality": "CT"}, {**uids(1, 2), "Modality": "MR"})

    assert finds(connection, "ModalitiesInStudy", value, Query(level, Scope(1))) is found


def test_all_conditions(connection: Connection) -> None:
    """Every condition must hold, of whichever level it is."""
    store(connection, {**uids(1), "PatientID": "A", "Modality": "CT", "InstanceNumber": 1})
    store(connection, {**uids(2), "PatientID": "A", "Modality": "MR", "InstanceNumber": 1})
    store(connection, {**uids(3), "PatientID": "B", "Modality": "MR", "InstanceNumber": 1})

    found = find(connection, Query(Level.INSTANCE, Scope(1)), PatientID="a", Modality="mr", InstanceNumber="1")

    assert [match.scope.study for match in found] == ["1.2"]


@pytest.mark.parametrize(
    ("level", "scope", "expected"),
    [
        (Level.STUDY, Scope(1), ["1.2", "1.1"]),
        (Level.SERIES, Scope(1), ["1.2.1", "1.1.2", "1.1.1"]),
        (Level.SERIES, Scope(1, "1.1"), ["1.1.2", "1.1.1"]),
        (Level.INSTANCE, Scope(1), ["1.1.1.2", "1.2.1.1", "1.1.2.1", "1.1.1.1"]),
        (Level.INSTANCE, Scope(1, "1.1"), ["1.1.1.2", "1.1.2.1", "1.1.1.1"]),
        (Level.INSTANCE, Scope(1, "1.1", "1.1.1"), ["1.1.1.2", "1.1.1.1"]),
        (Level.INSTANCE, Scope(1, "1.2", "1.1.1"), []),
        (Level.SERIES, Scope(1, "1.9"), []),
        (Level.STUDY, Scope(2), []),
    ],
)
def test_kinds(connection: Connection, level: Level, scope: Scope, expected: list[str]) -> None:
    """Each of the six searches finds the resources of its level in its scope, newest first."""
    for numbers in ((1, 1, 1), (1, 2, 1), (2, 1, 1), (1, 1, 2)):
        store(connection, uids(*numbers))

    found = find(connection, Query(level, scope))

    own = {Level.STUDY: "study", Level.SERIES: "series", Level.INSTANCE: "instance"}[level]
    assert [getattr(match.scope, own) for match in found] == expected
    assert all(match.scope.level is level for match in found)


def test_attributes_and_version(connection: Connection) -> None:
    """A match carries the elements of its level and those above, as stored, and its newest version."""
    first, second = store(
        connection,
        {**uids(1, 1, 1), "PatientName": "Döe", "Modality": "CT", "InstanceNumber": 7},
        {**uids(1, 2, 1), "Modality": "MR"},
    )

    (study,) = find(connection, ALL)
    (_, series) = find(connection, Query(Level.SERIES, Scope(1)))
    (_, instance) = find(connection, Query(Level.INSTANCE, Scope(1)))

    assert (study.version, series.version, instance.version) == (second, first, first)
    assert list(study.attributes) == [Level.STUDY]
    assert study.attributes[Level.STUDY]["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Döe"}]}
    assert list(instance.attributes) == list(Level)
    assert series.attributes[Level.SERIES]["00080060"]["Value"] == ["CT"]
    assert instance.attributes[Level.INSTANCE]["00200013"]["Value"] == [7]
    assert instance.scope == Scope(1, "1.1", "1.1.1", "1.1.1.1")


@pytest.mark.parametrize(
    ("limit", "offset", "expected", "more"),
    [(2, 0, ["1.4", "1.3"], True), (2, 2, ["1.2", "1.1"], False), (4, 0, ["1.4", "1.3", "1.2", "1.1"], False),
     (2, 3, ["1.1"], False), (2, 4, [], False)],
)  # fmt: skip
def test_pages(connection: Connection, limit: int, offset: int, expected: list[str], more: bool) -> None:
    """A page says whether more remains behind it."""
    for number in range(1, 5):
        store(connection, uids(number))

    found, remains = search(connection, replace(ALL, limit=limit, offset=offset))

    assert [match.scope.study for match in found] == expected
    assert remains is more


COMPUTED = {
    "ModalitiesInStudy": {"vr": "CS", "Value": ["CT", "MR"]},
    "SOPClassesInStudy": {"vr": "UI", "Value": ["1.2.840"]},
    "NumberOfStudyRelatedSeries": {"vr": "IS", "Value": [3]},
    "NumberOfStudyRelatedInstances": {"vr": "IS", "Value": [4]},
}


@pytest.mark.parametrize("keyword", COMPUTED)
def test_computed_by_name(connection: Connection, keyword: str) -> None:
    """A computed attribute comes when it is named, and counts everything of the study, not what matched."""
    _three_series(connection)

    (match,) = find(connection, replace(ALL, include=(tag_of(keyword),)), PatientID="a")

    assert match.computed == {tag_of(keyword): COMPUTED[keyword]}


def test_computed_all(connection: Connection) -> None:
    """`all` names every computed attribute of the level."""
    _three_series(connection)

    (study,) = find(connection, replace(ALL, include_all=True))
    series = find(connection, replace(ALL, level=Level.SERIES, include_all=True))

    assert study.computed == {tag_of(keyword): value for keyword, value in COMPUTED.items()}
    assert [match.computed[tag_of("NumberOfSeriesRelatedInstances")]["Value"] for match in series] == [[1], [1], [2]]


def test_computed_by_condition(connection: Connection) -> None:
    """A filter on ModalitiesInStudy returns all modalities of the study."""
    _three_series(connection)

    (match,) = find(connection, ALL, ModalitiesInStudy="CT")

    assert match.computed == {tag_of("ModalitiesInStudy"): COMPUTED["ModalitiesInStudy"]}


def test_computed_none(connection: Connection) -> None:
    """ModalitiesInStudy is left out where no series has one, and nothing is computed unasked."""
    store(connection, uids(1))

    (asked,) = find(connection, replace(ALL, include=(tag_of("ModalitiesInStudy"),)))
    (unasked,) = find(connection, ALL)

    assert (asked.computed, unasked.computed) == ({}, {})


def _three_series(connection: Connection) -> None:
    store(
        connection,
        {**uids(1, 1, 1), "Modality": "MR", "PatientID": "A"},
        {**uids(1, 1, 2), "Modality": "MR"},
        {**uids(1, 2, 1), "Modality": "CT"},
        {**uids(1, 3, 1), "Modality": "CT"},
    )


def test_deleted(connection: Connection) -> None:
    """What was deleted is not found, by its words neither."""
    store(connection, {**uids(1), "PatientName": "John"})
    delete(connection, Scope(1, "1.1"), NOW, NOW + timedelta(days=3))

    assert not find(connection, ALL)
    assert not finds(connection, "PatientName", "jo", replace(ALL, fuzzy=True))
