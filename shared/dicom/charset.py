"""Text of data elements in any Specific Character Set: the one place that knows (0008,0005) (PS3.5 §6.1).

The decoding of code extensions is pydicom's; what is added is a short way for the ordinary sets and a list of the
names that a file may use.
"""

import codecs
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import NamedTuple

# pydicom's warnings and log records quote values of the file, which may be a patient's.
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

ESCAPE = b"\x1b"
"""Begins what designates another character set (PS3.5 §6.1.2.5)."""

_CHINESE = "\x1b$)A"
"""Designates ISO 2022 IR 58. pydicom leaves it to the codec to take it away, and Python's does not."""

_TEXT_DELIMITERS = {*b"\r\n\t\f\\"}
_NAME_DELIMITERS = _TEXT_DELIMITERS | {*b"^="}
"""Characters after which the first character set applies again (PS3.5 §6.1.2.5.3)."""

_MISSPELT = re.compile(r"ISO[^_]IR|(?!ISO 2022 IR )ISO.2022.IR.")
"""Terms that pydicom knows how to correct."""

_ORDINARY: Mapping[tuple[str, ...], str] = {
    ("",): "iso8859",
    ("ISO_IR 6",): "iso8859",
    ("ISO_IR 13",): "shift_jis",
    ("ISO_IR 100",): "latin_1",
    ("ISO_IR 101",): "iso8859_2",
    ("ISO_IR 109",): "iso8859_3",
    ("ISO_IR 110",): "iso8859_4",
    **{(f"ISO_IR {number}",): f"iso_ir_{number}" for number in (126, 127, 138, 144, 148, 166)},
    ("ISO_IR 192",): "UTF8",
    ("GB18030",): "GB18030",
    ("GBK",): "GBK",
}
"""What pydicom calls the sets without code extensions: for these it need not be imported, which takes long.

Where it is, `from pydicom import` comes first: threads that begin with different ones of its modules, which import each
other in a circle, get them half made.
"""


class Charset(NamedTuple):
    """How the text of one data set is decoded. Both give U+FFFD for what cannot be decoded, and never raise."""

    text: Callable[[bytes], str]
    """For LO, LT, SH, ST, UC and UT."""
    name: Callable[[bytes], str]
    """For PN, whose component groups and components reset code extensions."""


@lru_cache(maxsize=256)
def charset_of(terms: tuple[str, ...]) -> Charset:
    """Return the character set for the values of Specific Character Set (PS3.3 §C.12.1.1.2).

    Unknown terms count as the default repertoire, which is read as ISO 8859-1, so that nothing is lost.
    """
    stripped = tuple(term.strip(" \0") for term in terms)
    encodings = [_ORDINARY[stripped]] if stripped in _ORDINARY else _encodings(stripped)
    return Charset(_decoder(encodings, _TEXT_DELIMITERS), _decoder(encodings, _NAME_DELIMITERS))


def _encodings(terms: tuple[str, ...]) -> list[str]:
    from pydicom import charset

    return charset.convert_encodings([_known(term) for term in terms])


def _known(term: str) -> str:
    from pydicom import charset

    if term in charset.python_encoding or _MISSPELT.match(term) or term.lower() in _python_names():
        return term
    return ""


@cache
def _python_names() -> frozenset[str]:
    """Return the codecs that a file may name as Python does.

    pydicom asks Python for any name, but some codecs give lone surrogates, which JSON cannot hold, or are slow by
    design, and Python remembers each name it was asked for.
    """
    from pydicom import charset

    names = {*charset.python_encoding.values(), *(f"cp{page}" for page in range(1250, 1259))}
    return frozenset(
        {codecs.lookup(name).name for name in names} | {"ascii", "utf8", "latin1", "latin-1", "iso-8859-1"}
    )


def _decoder(encodings: list[str], delimiters: set[int]) -> Callable[[bytes], str]:
    first = encodings[0]

    def decode(value: bytes) -> str:
        if ESCAPE in value:
            from pydicom import charset

            return charset.decode_bytes(value, encodings, delimiters).replace(_CHINESE, "")
        if value.isascii():  # all first character sets agree there
            return value.decode("ascii")
        return value.decode(first, "replace")

    return decode


DEFAULT = charset_of(("",))
"""The default character repertoire (PS3.5 §6.1.2.2)."""
