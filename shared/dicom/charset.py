"""Text of data elements in any Specific Character Set: the one place that knows (0008,0005) (PS3.5 §6.1).

The decoding of code extensions is pydicom's; what is added is a short way for the ordinary sets and a list of
the Python codecs that a file may name.
"""

import codecs
import logging
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from pydicom.charset import convert_encodings, decode_bytes, default_encoding, python_encoding

# pydicom's warnings and log records quote values of the file, which may be a patient's.
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_ESCAPE = b"\x1b"

_TEXT_DELIMITERS = {*b"\r\n\t\f\\"}
_NAME_DELIMITERS = _TEXT_DELIMITERS | {*b"^="}
"""Characters after which the first character set applies again (PS3.5 §6.1.2.5.3)."""

_CODECS = frozenset(
    codecs.lookup(name).name
    for name in {*python_encoding.values(), "ascii", "koi8_r", "big5", *(f"cp{page}" for page in range(1250, 1259))}
)
"""Codecs that a Specific Character Set may name by their Python name, as pydicom allows. Others are refused:
some give lone surrogates, which JSON cannot hold, or are slow by design."""


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
    encodings = [_codec(encoding) for encoding in convert_encodings([term.strip(" \0") for term in terms])]
    return Charset(_decoder(encodings, _TEXT_DELIMITERS), _decoder(encodings, _NAME_DELIMITERS))


def _codec(encoding: str) -> str:
    try:
        return encoding if codecs.lookup(encoding).name in _CODECS else default_encoding
    except LookupError:
        return default_encoding


def _decoder(encodings: list[str], delimiters: set[int]) -> Callable[[bytes], str]:
    first = encodings[0]

    def decode(value: bytes) -> str:
        if _ESCAPE in value:
            return decode_bytes(value, encodings, delimiters)
        if value.isascii():  # all first character sets agree there
            return value.decode("ascii")
        return value.decode(first, "replace")

    return decode


DEFAULT = charset_of(("",))
"""The default character repertoire (PS3.5 §6.1.2.2)."""
