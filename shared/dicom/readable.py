"""Names, dates and times as people write them (PS3.5 §6.2); text that is none of them stays as it is."""

import re

_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})?(?:[.][0-9]{1,6})?")
_DATE_TIME = re.compile(r"([0-9]{8})([0-9]{4}(?:[0-9]{2})?(?:[.][0-9]{1,6})?)?([+-][0-9]{4})?")


def person(text: str) -> str:
    """Return a component group of a person's name, the family name first (PS3.5 §6.2.1)."""
    family, _, others = text.partition("^")
    return ", ".join(part for part in (family.strip(), " ".join(others.replace("^", " ").split())) if part)


def date(text: str) -> str:
    """Return a DA as in ISO 8601."""
    found = _DATE.fullmatch(text)
    return "-".join(found.groups()) if found else text


def time(text: str) -> str:
    """Return a TM in hours, minutes and, where it has them, whole seconds."""
    found = _TIME.fullmatch(text)
    return ":".join(part for part in found.groups() if part) if found else text


def date_time(text: str) -> str:
    """Return a DT as date, time and offset from UTC."""
    found = _DATE_TIME.fullmatch(text)
    return " ".join(part for part in (date(found[1]), time(found[2] or ""), found[3]) if part) if found else text
