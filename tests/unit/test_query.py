"""The query string of a search (`shared/web/query.py`; search.md)."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from shared.dicom.attributes import KEYS
from shared.errors import InvalidRequest
from shared.model import Attribute, Condition, Kept, Level, Query, QueryTag, Scope, TagStatus
from shared.web.query import other_tags, read_query

_ALL, _STUDY, _SERIES = Scope(1), Scope(1, "1.2"), Scope(1, "1.2", "1.3")

ROUTES: dict[str, tuple[Level, Scope]] = {
    "/studies": (Level.STUDY, _ALL),
    "/series": (Level.SERIES, _ALL),
    "/instances": (Level.INSTANCE, _ALL),
    "/studies/{study}/series": (Level.SERIES, _STUDY),
    "/studies/{study}/instances": (Level.INSTANCE, _STUDY),
    "/studies/{study}/series/{series}/instances": (Level.INSTANCE, _SERIES),
}

SEARCHABLE = {
    "StudyInstanceUID PatientName PatientID PatientBirthDate AccessionNumber ReferringPhysicianName StudyDate"
    " StudyDescription ModalitiesInStudy StudyTime StudyID PatientSex NumberOfStudyRelatedSeries"
    " NumberOfStudyRelatedInstances": ("/studies", "/series", "/instances"),
    "SeriesInstanceUID Modality PerformedProcedureStepStartDate ManufacturerModelName SeriesNumber"
    " PerformedProcedureStepStartTime SeriesDescription BodyPartExamined NumberOfSeriesRelatedInstances"
    " RequestAttributesSequence.ScheduledProcedureStepID RequestAttributesSequence.RequestedProcedureID": (
        "/series",
        "/instances",
        "/studies/{study}/series",
        "/studies/{study}/instances",
    ),
    "SOPInstanceUID SOPClassUID InstanceNumber": (
        "/instances",
        "/studies/{study}/instances",
        "/studies/{study}/series/{series}/instances",
    ),
}
"""search.md, "Searchable attributes", and the required keys of conformance-extras.md, by the routes that take them."""

_BY_KEYWORD = {one.keyword: one for one in KEYS.values()}


def asks(keyword: str, value: str) -> Condition:
    """Return a condition on an attribute of the table."""
    return Condition(_BY_KEYWORD[keyword], value)


studies: Callable[[str], Query] = partial(read_query, level=Level.STUDY, scope=_ALL)


@pytest.mark.parametrize(("level", "scope"), ROUTES.values(), ids=ROUTES.keys())
def test_nothing_asked(level: Level, scope: Scope) -> None:
    """Without parameters everything in scope matches, 100 at a time from the first, literally."""
    assert read_query("", level, scope) == Query(
        level, scope, conditions=(), include=(), include_all=False, limit=100, offset=0, fuzzy=False
    )


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("keyword", "allowed"),
    [(keyword, routes) for keywords, routes in SEARCHABLE.items() for keyword in keywords.split()],
)
def test_searchable(keyword: str, allowed: tuple[str, ...], route: str) -> None:
    """An attribute is a matching key at the routes of its row and 400 at the others, those of its own scope too."""
    level, scope = ROUTES[route]

    if route in allowed:
        assert read_query(f"{keyword}=1", level, scope).conditions == (asks(keyword, "1"),)
    else:
        with pytest.raises(InvalidRequest, match=keyword):
            read_query(f"{keyword}=1", level, scope)


@pytest.mark.parametrize(
    ("name", "keyword"),
    [
        ("PatientID", "PatientID"),
        ("00100020", "PatientID"),
        ("0020000D", "StudyInstanceUID"),
        ("0020000d", "StudyInstanceUID"),
        ("00080061", "ModalitiesInStudy"),
        ("%30%3010%30020", "PatientID"),
        ("+PatientID%20", "PatientID"),
    ],
)
def test_identifier(name: str, keyword: str) -> None:
    """An attribute is named by keyword or by 8 hexadecimal digits in either case, blanks around it do not count."""
    assert studies(f"{name}=x").conditions == (asks(keyword, "x"),)


@pytest.mark.parametrize(
    "name",
    [
        "foo",
        "patientid",
        "PATIENTID",
        "Patient's Name",
        "0010020",
        "000100020",
        "0010,0020",
        "(0010,0020)",
        "0x100020",
        "+0100020",
        "001000_2",
        "\uff100100020",
        "",
        "PatientID.",
        "ReferencedStudySequence.Nothing",
        "orderby",
    ],
)
def test_unknown(name: str) -> None:
    """A parameter that is neither an option nor an attribute's keyword or tag is 400, as a key and in includefield."""
    with pytest.raises(InvalidRequest):
        studies(f"{quote(name)}=1")
    with pytest.raises(InvalidRequest):
        studies(f"includefield={quote(name)}")


@pytest.mark.parametrize("name", ["PatientComments", "00104000", "PixelData", "00091001", "60003000", "FFFFFFFF"])
def test_not_searchable(name: str) -> None:
    """An attribute that is known, private or of no dictionary, but not searchable, is 400 and named."""
    with pytest.raises(InvalidRequest, match=name):
        studies(f"{name}=1")


@pytest.mark.parametrize(
    "query",
    [
        "PatientID=a&PatientID=a",
        "PatientID=a&00100020=b",
        "00100020=a&PatientID=b",
        "0020000d=1.2&0020000D=1.3",
        "PatientID=a&limit=5&PatientID=b",
    ],
)
def test_attribute_twice(query: str) -> None:
    """The same attribute twice is 400, however it is written."""
    with pytest.raises(InvalidRequest, match="more than once"):
        studies(query)


@pytest.mark.parametrize("query", ["PatientID=", "PatientID", "PatientID=%20", "PatientID=+", "00100020="])
def test_empty_value(query: str) -> None:
    """A matching key without a value is 400."""
    with pytest.raises(InvalidRequest, match="PatientID"):
        studies(query)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("PatientName=Doe^John", "Doe^John"),
        ("PatientName=Doe%5EJohn", "Doe^John"),
        ("PatientName=jo+do", "jo do"),
        ("PatientName=jo%20do", "jo do"),
        ("PatientName=a%2Bb", "a+b"),
        ("PatientName=%20Doe%20", "Doe"),
        ("PatientName=M%C3%BCller", "Müller"),
        ("PatientName=a%26b=c", "a&b=c"),
        ("PatientName=*oe%2A", "*oe*"),
        ("PatientName=abc%00", "abc\0"),
        ("PatientName=a,b", "a,b"),
        ("PatientName=a%5Cb", "a\\b"),
        ("&&PatientName=x&", "x"),
    ],
)
def test_value(query: str, value: str) -> None:
    """A value is taken decoded and without the blanks around it; `+` is a blank."""
    assert studies(query).conditions == (asks("PatientName", value),)


@pytest.mark.parametrize("name", ["limit", "Limit", "LIMIT", "%6Cimit"])
@pytest.mark.parametrize("value", [1, 100, 200])
def test_limit(name: str, value: int) -> None:
    """The limit is 1 to 200; names of options compare without case."""
    assert studies(f"{name}={value}").limit == value


@pytest.mark.parametrize("value", ["0", "201", "-1", "%2B5", "abc", "", "1.0", "1e2", "٣", "²", "9" * 5000])
def test_bad_limit(value: str) -> None:
    """Another limit is 400 and the text names it."""
    with pytest.raises(InvalidRequest, match="limit"):
        studies(f"limit={value}")


@pytest.mark.parametrize("value", [0, 1, 201, 2**31 - 1])
def test_offset(value: int) -> None:
    """The offset is 0 or more, up to what every database can count."""
    assert studies(f"Offset={value}").offset == value


@pytest.mark.parametrize("value", ["-1", "x", "", "0.5", str(2**31)])
def test_bad_offset(value: str) -> None:
    """Another offset is 400 and the text names it."""
    with pytest.raises(InvalidRequest, match="offset"):
        studies(f"offset={value}")


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), ("True", True), ("FALSE", False)])
def test_fuzzy(value: str, expected: bool) -> None:
    """Fuzzy matching is asked for, or not (clients.md: OHIF always says false)."""
    assert studies(f"fuzzymatching={value}").fuzzy is expected
    assert studies(f"FuzzyMatching={value}").fuzzy is expected


@pytest.mark.parametrize("value", ["", "1", "0", "yes", "maybe"])
def test_bad_fuzzy(value: str) -> None:
    """Anything but true and false is 400 and the text names the parameter."""
    with pytest.raises(InvalidRequest, match="fuzzymatching"):
        studies(f"fuzzymatching={value}")


@pytest.mark.parametrize(
    "query", ["limit=5&limit=5", "limit=5&LIMIT=6", "offset=1&offset=1", "fuzzymatching=true&FuzzyMatching=true"]
)
def test_option_twice(query: str) -> None:
    """An option that is given twice is 400."""
    with pytest.raises(InvalidRequest, match="more than once"):
        studies(query)


@pytest.mark.parametrize(
    ("query", "include"),
    [
        ("includefield=StudyDescription", ("00081030",)),
        ("includefield=00081030%2C00080060", ("00081030", "00080060")),
        ("includefield=00081030,00080060", ("00081030", "00080060")),
        ("includefield=00081030&IncludeField=Modality", ("00081030", "00080060")),
        ("includefield=+PatientID+,+Rows", ("00100020", "00280010")),
        ("includefield=0020000d", ("0020000D",)),
        ("includefield=00091001", ("00091001",)),
        ("includefield=NumberOfStudyRelatedInstances", ("00201208",)),
    ],
)
@pytest.mark.parametrize("route", ROUTES)
def test_include(query: str, include: tuple[str, ...], route: str) -> None:
    """Attributes of any level, private ones too, can be included, in one list or several."""
    level, scope = ROUTES[route]

    found = read_query(query, level, scope)

    assert found.include == include
    assert not found.include_all


@pytest.mark.parametrize(
    "query", ["includefield=all", "includefield=ALL", "includefield=Rows,all", "includefield=all&includefield=Rows"]
)
def test_include_all(query: str) -> None:
    """`all` wins, alone or beside names (search.md, "Parameters")."""
    assert studies(query).include_all


@pytest.mark.parametrize("query", ["includefield=", "includefield=Rows,", "includefield=all,nothing"])
def test_bad_include(query: str) -> None:
    """An empty or unknown name is 400, beside `all` too."""
    with pytest.raises(InvalidRequest, match="is not an attribute"):
        studies(query)


def test_ohif_worklist() -> None:
    """The worklist query of OHIF is understood as it is sent (clients.md)."""
    query = studies(
        "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"
        "&PatientName=*x*&00100020=*x*&ModalitiesInStudy=CT&StudyDate=19521125-20210507"
    )

    assert query == Query(
        Level.STUDY,
        _ALL,
        (
            asks("PatientName", "*x*"),
            asks("PatientID", "*x*"),
            asks("ModalitiesInStudy", "CT"),
            asks("StudyDate", "19521125-20210507"),
        ),
        ("00081030", "00080060", "00080090", "00100030"),
        limit=101,
    )


def test_uid_list() -> None:
    """A list of UIDs stays one value, by comma or backslash, for the index to part (clients.md)."""
    [condition] = studies("StudyInstanceUID=1.2%5C1.3,1.4").conditions

    assert condition == asks("StudyInstanceUID", "1.2\\1.3,1.4")


_STEP = "RequestAttributesSequence.ScheduledProcedureStepID"


@pytest.mark.parametrize(
    "name",
    [_STEP, "00400275.00400009", "RequestAttributesSequence.00400009", "00400275.ScheduledProcedureStepID"],
)
def test_path(name: str) -> None:
    """An attribute in a sequence is named by a path of keywords or tags (PS3.18 §8.3.4.1)."""
    assert read_query(f"{name}=x", Level.SERIES, _ALL).conditions == (asks(_STEP, "x"),)


@pytest.mark.parametrize(
    "name",
    [
        "PatientID.",
        ".PatientID",
        "RequestAttributesSequence",
        "ReferencedStudySequence.ReferencedSOPInstanceUID",
    ],
)
def test_no_path(name: str) -> None:
    """A path that is none, or that is not searched, is 400 by name."""
    with pytest.raises(InvalidRequest, match=name.replace(".", "[.]")):
        read_query(f"{name}=x", Level.SERIES, _ALL)


def test_path_twice() -> None:
    """The same nested attribute, once by keywords and once by tags, is 400."""
    with pytest.raises(InvalidRequest, match="more than once"):
        read_query(f"{_STEP}=x&00400275.00400009=y", Level.SERIES, _ALL)


def test_path_depth() -> None:
    """A path of more sequences than any object has is 400."""
    with pytest.raises(InvalidRequest, match="9 attributes"):
        studies("includefield=" + ".".join(["00400275"] * 9))


def test_include_path() -> None:
    """A field within a sequence is included by its path (PS3.18 §8.3.4.3)."""
    assert studies("includefield=ReferencedStudySequence.00081155").include == ("00081110.00081155",)


@pytest.mark.parametrize("name", ["emptyvaluematching", "multiplevaluematching"])
def test_flags(name: str) -> None:
    """Both kinds of matching are asked for by true, not by false, and by nothing else."""
    field = {"emptyvaluematching": "matches_empty", "multiplevaluematching": "matches_each"}[name]

    assert getattr(studies(f"{name}=true"), field)
    assert getattr(studies(f"{name.upper()}=TRUE"), field)
    assert not getattr(studies(f"{name}=false"), field)
    with pytest.raises(InvalidRequest, match=name):
        studies(f"{name}=1")


def test_empty_matching() -> None:
    """Without emptyvaluematching an empty value is 400, with it a value like any other."""
    with pytest.raises(InvalidRequest, match="PatientID"):
        studies("PatientID=")

    assert studies("PatientID=&emptyvaluematching=true").conditions == (asks("PatientID", ""),)


def test_passed_over() -> None:
    """`accept` and `charset` are about the answer, not about what is searched (PS3.18 §8.3.3)."""
    assert studies("accept=application/dicom%2Bjson&charset=utf-8") == studies("")


def test_external() -> None:
    """A private tag can be matched where external metadata is asked for, at study level, and nowhere else."""
    [condition] = read_query("001912fF=x", Level.SERIES, _ALL, external=True).conditions

    assert condition == Condition(Attribute("001912FF", "001912FF", "", Level.STUDY, kept=Kept.EXTERNAL), "x")
    for name, external in (("001912FF", False), ("00190010", True), ("00180010", True), ("001912FF.00100010", True)):
        with pytest.raises(InvalidRequest, match=name):
            read_query(f"{name}=x", Level.STUDY, _ALL, external=external)


def tagged(level: Level, path: str = "00101010", **fields: Any) -> dict[str, QueryTag]:
    """Return an extended query tag that is ready, by its path."""
    return {path: QueryTag(path, "AS", level, number=7, **{"status": TagStatus.READY, **fields})}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("tag_level", "like"), [(Level.STUDY, "PatientID"), (Level.SERIES, "Modality"), (Level.INSTANCE, "SOPInstanceUID")]
)
def test_tag(tag_level: Level, like: str, route: str) -> None:
    """An extended query tag is a matching key wherever the attributes of its level are (search.md)."""
    level, scope = ROUTES[route]
    [allowed] = [routes for keywords, routes in SEARCHABLE.items() if like in keywords.split()]

    for name in ("PatientAge", "00101010"):
        if route in allowed:
            found = read_query(f"{name}=045Y", level, scope, tags=tagged(tag_level)).conditions
            assert found == (Condition(Attribute(name, "00101010", "AS", tag_level, kept=Kept.TAG, number=7), "045Y"),)
        else:
            with pytest.raises(InvalidRequest, match=name):
                read_query(f"{name}=045Y", level, scope, tags=tagged(tag_level))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"status": TagStatus.ADDING}, "not ready"),
        ({"status": TagStatus.DELETING}, "not ready"),
        ({"is_enabled": False}, "disabled"),
    ],
)
def test_tag_not_in_use(fields: dict[str, Any], problem: str) -> None:
    """A tag that is not ready, or disabled, is 400."""
    with pytest.raises(InvalidRequest, match=problem):
        read_query("PatientAge=045Y", Level.STUDY, _ALL, tags=tagged(Level.STUDY, **fields))


def test_tag_twice() -> None:
    """A tag by keyword and by number is one attribute, given twice."""
    with pytest.raises(InvalidRequest, match="more than once"):
        read_query("PatientAge=045Y&00101010=046Y", Level.STUDY, _ALL, tags=tagged(Level.STUDY))


def test_tag_beside_table() -> None:
    """An attribute of the table stays one where the table has it for the resource; elsewhere its tag counts."""
    tags = tagged(Level.INSTANCE, "00100040", is_enabled=False)

    assert read_query("PatientSex=F", Level.INSTANCE, _ALL, tags=tags).conditions == (asks("PatientSex", "F"),)
    assert other_tags("PatientSex=F", Level.INSTANCE, _ALL) == []
    assert other_tags("PatientSex=F", Level.INSTANCE, _SERIES) == ["00100040"]
    with pytest.raises(InvalidRequest, match="disabled"):
        read_query("PatientSex=F", Level.INSTANCE, _SERIES, tags=tags)


def test_other_tags() -> None:
    """What has to be looked up is every attribute that the table does not have, and nothing else."""
    raw = "PatientID=x&limit=3&includefield=PatientAge&foo=1&PatientAge=045Y&00111001=3&A.B=1&Modality=CT"

    assert other_tags(raw, Level.STUDY, _ALL) == ["00101010", "00111001", "00080060"]


def test_private_and_erroneous() -> None:
    """The creators of private tags go along, and the names, as the client wrote them, of tags with errors."""
    tags = tagged(Level.STUDY, has_errors=True) | tagged(Level.STUDY, "00111001", creator="ACME")

    found = read_query("PatientAge=045Y&00111001=x", Level.STUDY, _ALL, tags=tags)

    assert found.private == (("00111001", "ACME"),)
    assert found.erroneous == ("PatientAge",)
