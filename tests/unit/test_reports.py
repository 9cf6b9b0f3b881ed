"""The response dataset of a Store (`shared/dicom/reports.py`; store.md, "Response")."""

from collections.abc import Sequence

import orjson
import pytest

from shared.dicom.reports import FailureReason, Json, WarningReason, store_report
from shared.model import FailedAttribute, InstanceKey, Outcome

_CT = "1.2.840.10008.5.1.4.1.1.2"
_KEY = InstanceKey(1, "1.2", "1.2.3", "1.2.3.4")
_OTHER = InstanceKey(1, "1.2", "1.2.3", "1.2.3.5")

STORED = Outcome(_KEY, _CT)
FAILED = Outcome(_OTHER, _CT, failure=FailureReason.ALREADY_STORED)
UNREADABLE = Outcome(failure=FailureReason.CANNOT_UNDERSTAND, attributes=(FailedAttribute("", "no DICM prefix"),))
WARNED = Outcome(
    _KEY, _CT, warning=WarningReason.ATTRIBUTES, attributes=(FailedAttribute("0020000D", "not a valid UID"),)
)


def report(*outcomes: Outcome, study_url: str | None = None, lists_failed_attributes: bool = True) -> Json:
    """Return the report as a client reads it."""
    made = store_report(
        outcomes,
        lambda key: f"/{key.instance}",
        study_url,
        lists_failed_attributes=lists_failed_attributes,
    )
    read: Json = orjson.loads(orjson.dumps(made))
    return read


def items(of: Json, tag: str) -> list[Json]:
    """Return the items of a sequence."""
    assert of[tag]["vr"] == "SQ"
    found: list[Json] = of[tag]["Value"]
    return found


def test_example() -> None:
    """A report is what the specification shows (store.md, "Response")."""
    failed = Outcome(InstanceKey(1, "", "", "9.8"), failure=45070)
    date = FailedAttribute("00080020", "not a valid date")
    stored = Outcome(_KEY, "1.2.840.10008.5.1.4.1.1.7", warning=1, attributes=(date,))

    assert report(stored, failed) == {
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
                    "00081155": {"vr": "UI", "Value": ["1.2.3.4"]},
                    "00081190": {"vr": "UR", "Value": ["/1.2.3.4"]},
                    "00081196": {"vr": "US", "Value": [1]},
                    "00741048": {
                        "vr": "SQ",
                        "Value": [
                            {"00000902": {"vr": "LO", "Value": ["DICOM100: (0008,0020) - not a valid date"]}},
                        ],
                    },
                }
            ],
        },
        "00081198": {
            "vr": "SQ",
            "Value": [{"00081155": {"vr": "UI", "Value": ["9.8"]}, "00081197": {"vr": "US", "Value": [45070]}}],
        },
    }


@pytest.mark.parametrize(
    ("outcomes", "tags"),
    [
        ([STORED], {"00081190", "00081199"}),
        ([FAILED], {"00081198"}),
        ([STORED, FAILED], {"00081190", "00081198", "00081199"}),
        ([], set()),
    ],
    ids=["stored", "failed", "both", "none"],
)
def test_elements(outcomes: Sequence[Outcome], tags: set[str]) -> None:
    """A sequence is there when it has an item, the study's URL when an instance was stored."""
    assert set(report(*outcomes, study_url="/1.2")) == tags


def test_study_url() -> None:
    """The URL of the study is given only where the path names the study."""
    assert report(STORED, study_url="/1.2")["00081190"] == {"vr": "UR", "Value": ["/1.2"]}
    assert "00081190" not in report(STORED)


def test_order() -> None:
    """Items stand in the order of the request's parts."""
    keys = [InstanceKey(1, "1", "2", str(number)) for number in (3, 1, 2)]

    found = items(report(*(Outcome(key, _CT) for key in keys)), "00081199")

    assert [item["00081155"]["Value"] for item in found] == [["3"], ["1"], ["2"]]


def test_clean_instance() -> None:
    """Where the version lists failed attributes a clean instance has an empty sequence of them, else none."""
    [listed] = items(report(STORED), "00081199")
    [plain] = items(report(STORED, lists_failed_attributes=False), "00081199")

    assert listed["00741048"] == {"vr": "SQ"}
    assert set(plain) == {"00081150", "00081155", "00081190"}


def test_warning() -> None:
    """A warning has its reason in every version; its attributes only where the version lists them."""
    [listed] = items(report(WARNED), "00081199")
    [plain] = items(report(WARNED, lists_failed_attributes=False), "00081199")

    assert listed["00081196"] == plain["00081196"] == {"vr": "US", "Value": [1]}
    assert "00741048" in listed
    assert "00741048" not in plain


def test_comment() -> None:
    """An error comment names the tag in lower-case hexadecimal digits; without a tag it is the problem alone."""
    [warned] = items(report(WARNED), "00081199")
    [unreadable] = items(report(UNREADABLE), "00081198")

    assert items(warned, "00741048") == [
        {"00000902": {"vr": "LO", "Value": ["DICOM100: (0020,000d) - not a valid UID"]}}
    ]
    assert items(unreadable, "00741048") == [{"00000902": {"vr": "LO", "Value": ["DICOM100: no DICM prefix"]}}]


def test_failed_instance() -> None:
    """A failed item has class and instance when they could be read, and no URL."""
    found = items(report(FAILED, UNREADABLE), "00081198")

    assert [set(item) for item in found] == [
        {"00081150", "00081155", "00081197"},
        {"00081197", "00741048"},
    ]


@pytest.mark.parametrize("lists_failed_attributes", [True, False])
def test_failed_attributes_of_a_failure(lists_failed_attributes: bool) -> None:
    """Every attribute for which an instance failed is named, in every version, in order."""
    attributes = tuple(FailedAttribute(tag, "wrong") for tag in ("00080018", "0020000E"))
    failed = Outcome(_KEY, _CT, failure=FailureReason.CANNOT_UNDERSTAND, attributes=attributes)

    [item] = items(report(failed, lists_failed_attributes=lists_failed_attributes), "00081198")

    assert [one["00000902"]["Value"][0][10:21] for one in items(item, "00741048")] == ["(0008,0018)", "(0020,000e)"]


def test_empty_names() -> None:
    """An identifier that the file has not is left out, never given empty."""
    [item] = items(report(Outcome(InstanceKey(1, "1.2", "", ""), "", failure=43264)), "00081198")

    assert set(item) == {"00081197"}


def test_reasons() -> None:
    """Reason codes are those of store.md."""
    assert {reason.name: int(reason) for reason in FailureReason} == {
        "PROCESSING_FAILURE": 272,
        "CANNOT_UNDERSTAND": 43264,
        "STUDY_MISMATCH": 43265,
        "ALREADY_STORED": 45070,
    }
    assert {reason.name: int(reason) for reason in WarningReason} == {"ATTRIBUTES": 1, "DATA_SET_MISMATCH": 45063}
