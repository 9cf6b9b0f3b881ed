"""Header fields of a Store about whole studies (`shared/web/store_terms.py`, `shared/dicom/external.py`)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from shared.dicom.external import VRS, with_external
from shared.errors import InvalidRequest
from shared.model import ExternalValue
from shared.web.store_terms import read_expiry, read_external, wants_external

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIME, OPTION, LEVEL = "msdicom-expiry-time-milliseconds", "msdicom-expiry-option", "msdicom-expiry-level"

EXPIRIES: Mapping[str, tuple[dict[str, str], timedelta | None]] = {
    "none": ({"accept": "*/*"}, None),
    "time": ({TIME: "1500"}, timedelta(seconds=1.5)),
    "all": ({TIME: "86400000", OPTION: "RelativeToNow", LEVEL: "Study"}, timedelta(days=1)),
    "other case": ({TIME: " 1 ", OPTION: "relativetonow", LEVEL: "study"}, timedelta(milliseconds=1)),
}


@pytest.mark.parametrize(("fields", "expected"), EXPIRIES.values(), ids=EXPIRIES)
def test_expiry(fields: dict[str, str], expected: timedelta | None) -> None:
    """A study expires so long after the request was received; option and level may be left out."""
    assert read_expiry(fields.items(), NOW) == (expected and NOW + expected)


BAD_EXPIRIES: Mapping[str, list[tuple[str, str]]] = {
    "0": [(TIME, "0")],
    "negative": [(TIME, "-1")],
    "fraction": [(TIME, "1.5")],
    "text": [(TIME, "soon")],
    "empty": [(TIME, "")],
    "other digits": [(TIME, "\u0661")],
    "for ever": [(TIME, "9" * 18)],
    "twice": [(TIME, "1"), (TIME, "1")],
    "option": [(TIME, "1"), (OPTION, "Absolute")],
    "level": [(TIME, "1"), (LEVEL, "Series")],
    "no time": [(OPTION, "RelativeToNow")],
}


@pytest.mark.parametrize("fields", BAD_EXPIRIES.values(), ids=BAD_EXPIRIES)
def test_bad_expiry(fields: list[tuple[str, str]]) -> None:
    """What is no expiry is refused by the name of the field, so that nothing is stored (store.md, "Expiry")."""
    with pytest.raises(InvalidRequest, match="msdicom-expiry-"):
        read_expiry(fields, NOW)


def test_external() -> None:
    """Values come by tag, names in any case, UTF-8 as servers read it."""
    fields = [
        ("accept", "*/*"),
        ("msdicom-meta-PN-001912FF", "M\u00fcller".encode().decode("latin-1")),
        ("msdicom-meta-cs-001910fe", " TRIAL "),
    ]

    assert read_external(fields) == (
        ExternalValue("001910FE", "CS", "TRIAL"),
        ExternalValue("001912FF", "PN", "Müller"),
    )


GOOD = {
    "AE": "STORE", "AS": "012Y", "CS": "A_B", "DA": "20260102", "DT": "20260102030405", "FD": "1.5e3", "FL": "-0.25",
    "IS": "12", "LO": "any text", "PN": "Doe^J=x=y", "SH": "short", "SL": "-2147483648", "SS": "-32768",
    "TM": "1234", "UI": "1.2.3", "UL": "4294967295", "US": "65535",
}  # fmt: skip


@pytest.mark.parametrize("vr", sorted(VRS))
def test_each_vr(vr: str) -> None:
    """Each VR of store.md takes a value of its own, and an empty one."""
    for text in (GOOD[vr], ""):
        assert read_external([(f"msdicom-meta-{vr}-00191001", text)]) == (ExternalValue("00191001", vr, text),)


BAD_EXTERNALS: Mapping[str, list[tuple[str, str]]] = {
    "sequence": [("msdicom-meta-SQ-00191001", "x")],
    "long text": [("msdicom-meta-LT-00191001", "x")],
    "decimal": [("msdicom-meta-DS-00191001", "1.5")],
    "no VR": [("msdicom-meta-00191001", "x")],
    "no tag": [("msdicom-meta-LO-PatientID", "x")],
    "standard tag": [("msdicom-meta-LO-00100020", "x")],
    "command group": [("msdicom-meta-LO-00031001", "x")],
    "private creator": [("msdicom-meta-LO-00190010", "x")],
    "below all blocks": [("msdicom-meta-LO-00190FFF", "x")],
    "date": [("msdicom-meta-DA-00191001", "20260231")],
    "integer": [("msdicom-meta-IS-00191001", "1.5")],
    "unsigned": [("msdicom-meta-US-00191001", "65536")],
    "signed": [("msdicom-meta-SS-00191001", "-32769")],
    "real": [("msdicom-meta-FD-00191001", "nan")],
    "UID": [("msdicom-meta-UI-00191001", "1.2.x")],
    "long": [("msdicom-meta-SH-00191001", "x" * 17)],
    "very long": [("msdicom-meta-PN-00191001", "x" * 2000)],
    "several values": [("msdicom-meta-LO-00191001", "a\\b")],
    "twice": [("msdicom-meta-LO-00191001", "a"), ("msdicom-meta-SH-00191001", "a")],
    "too many": [(f"msdicom-meta-LO-{0x00191000 + number:08X}", "a") for number in range(101)],
}


@pytest.mark.parametrize("fields", BAD_EXTERNALS.values(), ids=BAD_EXTERNALS)
def test_bad_external(fields: list[tuple[str, str]]) -> None:
    """One value that cannot be refuses the request by its tag, without its value (store.md, "External metadata")."""
    with pytest.raises(InvalidRequest) as refused:
        read_external(fields)

    assert not any(f" {value}" in str(refused.value) for _, value in fields if len(value) > 4)


def test_shown() -> None:
    """Metadata show each value at its tag with the private creator of its block, in the order of tags."""
    dataset = {"00100020": {"vr": "LO", "Value": ["P"]}, "7FE00001": {"vr": "OV"}}
    values = [
        ExternalValue("001910FF", "US", "7"),
        ExternalValue("001912FF", "PN", "a=b"),
        ExternalValue("00191301", "SH", ""),
    ]

    assert list(with_external(dataset, values).items()) == [
        ("00100020", {"vr": "LO", "Value": ["P"]}),
        ("00190010", {"vr": "LO", "Value": ["Microsoft"]}),
        ("00190012", {"vr": "LO", "Value": ["Microsoft"]}),
        ("00190013", {"vr": "LO", "Value": ["Microsoft"]}),
        ("001910FF", {"vr": "US", "Value": [7]}),
        ("001912FF", {"vr": "PN", "Value": [{"Alphabetic": "a", "Ideographic": "b"}]}),
        ("00191301", {"vr": "SH"}),
        ("7FE00001", {"vr": "OV"}),
    ]


def test_creator_of_the_file() -> None:
    """A Private Creator that the file has stays, since it speaks for other elements of the block."""
    shown = with_external({"00190010": {"vr": "LO", "Value": ["GEMS"]}}, [ExternalValue("001910FF", "US", "7")])

    assert shown["00190010"]["Value"] == ["GEMS"]
    assert shown["001910FF"]["Value"] == [7]


@pytest.mark.parametrize(("value", "expected"), [("true", True), (" TRUE", True), ("false", False), (None, False)])
def test_wish(value: str | None, expected: bool) -> None:
    """External metadata are shown to who asks for them."""
    assert wants_external([] if value is None else [("msdicom-request-meta", value)]) is expected


def test_bad_wish() -> None:
    """A wish that is neither true nor false is refused."""
    with pytest.raises(InvalidRequest, match="msdicom-request-meta"):
        wants_external([("msdicom-request-meta", "yes")])
