"""API versions (`shared/versions.py`; api-versioning.md)."""

import pytest

from shared.errors import NotFound, UnsupportedVersion
from shared.versions import RULES, SUPPORTED, VersionRules, rules_of


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1.0-prerelease", "1"),
        ("1.0-PreRelease", "1"),
        ("2", "2"),
        ("2.0", "2"),
    ],
)
def test_known(text: str, same_as: str) -> None:
    """A version has one set of rules, however it is written; the prerelease behaves as version 1."""
    assert rules_of(text) is RULES[same_as]


@pytest.mark.parametrize("text", ["3", "99", "0", "1.1", "2.1", "10", "2.0-prerelease", "1-prerelease", "1.0-beta2"])
def test_unknown(text: str) -> None:
    """What reads as a version and is none is refused; the text names it and what there is."""
    with pytest.raises(UnsupportedVersion, match=f"{text} does not exist; there are 1.0-prerelease, 1, 2"):
        rules_of(text)


@pytest.mark.parametrize("text", ["foo", "", "x2", "2x", "1.", ".1", "1.0.0", "2-", "-1", "2 ", "٢", "1.0-pre-release"])
def test_malformed(text: str) -> None:
    """What does not read as a version is a path that is not ours: 404 without a word."""
    with pytest.raises(NotFound) as refused:
        rules_of(text)

    assert str(refused.value) == ""


def test_supported() -> None:
    """The header's versions exist, and every version has a name in it."""
    named = SUPPORTED.split(", ")

    assert named == ["1.0-prerelease", "1", "2"]
    assert {rules_of(text) for text in named} == set(RULES.values())


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (
            "1",
            VersionRules(
                validates_strictly=True,
                warning_is_accepted=False,
                lists_failed_attributes=False,
                search_defaults="long",
                feed_window="sequence",
                feed_limit=10,
                feed_most=100,
                success_word="completed",
            ),
        ),
        (
            "2",
            VersionRules(
                validates_strictly=False,
                warning_is_accepted=True,
                lists_failed_attributes=True,
                search_defaults="short",
                feed_window="time",
                feed_limit=100,
                feed_most=200,
                success_word="succeeded",
            ),
        ),
    ],
)
def test_differences(text: str, rules: VersionRules) -> None:
    """Only version 1 refuses invalid values; only version 2 answers 202 to warnings and lists attributes always."""
    assert rules_of(text) == rules
