"""What the API versions do differently: the only place that knows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.errors import NotFound, UnsupportedVersion


@dataclass(frozen=True, slots=True)
class VersionRules:
    """The differences between versions, each a claim that code asks for by name (api-versioning.md).

    Parameters
    ----------
    validates_strictly
        An instance fails for an invalid value of what the reference indexes and for an empty Patient ID; nothing else
        is checked. Otherwise only required attributes make it fail, and every other invalid one is a warning.
    warning_is_accepted
        A Store that stored everything but has a warning answers 202 instead of 200.
    lists_failed_attributes
        Each stored instance has a Failed Attributes Sequence in the response, empty when it is clean.
    search_defaults
        Which of the tables in `dicom/attributes.py` a search returns when nothing is asked for.
    feed_window
        What a page of the change feed is a window of.
    feed_limit, feed_most
        The width of that window unless the client says otherwise, and at most.
    success_word
        What the status of an operation that succeeded is called.
    """

    validates_strictly: bool
    warning_is_accepted: bool
    lists_failed_attributes: bool
    search_defaults: Literal["long", "short"]
    feed_window: Literal["sequence", "time"]
    feed_limit: int
    feed_most: int
    success_word: Literal["completed", "succeeded"]


_V1 = VersionRules(
    validates_strictly=True,
    warning_is_accepted=False,
    lists_failed_attributes=False,
    search_defaults="long",
    feed_window="sequence",
    feed_limit=10,
    feed_most=100,
    success_word="completed",
)
_V2 = VersionRules(
    validates_strictly=False,
    warning_is_accepted=True,
    lists_failed_attributes=True,
    search_defaults="short",
    feed_window="time",
    feed_limit=100,
    feed_most=200,
    success_word="succeeded",
)

RULES: Mapping[str, VersionRules] = {"1.0-prerelease": _V1, "1": _V1, "1.0": _V1, "2": _V2, "2.0": _V2}
"""The rules by the text of the path after `v`."""

SUPPORTED = "1.0-prerelease, 1, 2"
"""Value of the `api-supported-versions` header of a route that every version has."""

_WELL_FORMED = re.compile(r"\d+(\.\d+)?(-[A-Za-z0-9]+)?", re.ASCII)


def rules_of(text: str) -> VersionRules:
    """Return the rules of the version written as *text* after `v` in a path.

    Raises
    ------
    UnsupportedVersion
        It reads as a version, and there is none such.
    NotFound
        It does not read as a version: the path is not one of ours.
    """
    rules = RULES.get(text.lower())
    if rules is not None:
        return rules
    if _WELL_FORMED.fullmatch(text):
        raise UnsupportedVersion(f"API version {text} does not exist; there are {SUPPORTED}.")
    raise NotFound("")
