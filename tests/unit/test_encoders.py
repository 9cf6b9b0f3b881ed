"""From DICOM JSON values to the bytes of a Value Field (`shared/dicom/encoders.py`; PS3.5 §6.2, PS3.18 §F.2.3)."""

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.encoders import ENCODERS, Unwritable, binary

ACCEPTED: list[tuple[str, list[Any], bytes]] = [
    ("LO", ["a"], b"a"),
    ("LO", ["a", "b", None], b"a\\b\\"),
    ("LO", [None], b""),
    ("SH", ["Müller 山"], "Müller 山".encode()),
    ("UC", ["a", "ä"], "a\\ä".encode()),
    ("LT", ["line\r\nwith \\ back"], b"line\r\nwith \\ back"),
    ("ST", ["é"], "é".encode()),
    ("UT", [""], b""),
    ("UR", ["https://x/a\\b"], b"https://x/a\\b"),
    ("UI", ["1.2", "3.4"], b"1.2\\3.4"),
    ("CS", ["ORIGINAL", "PRIMARY"], b"ORIGINAL\\PRIMARY"),
    ("CS", ["\xe9"], b"\xe9"),
    ("DA", ["20240131"], b"20240131"),
    ("AT", ["0020000D", "7fe00010"], pack("<HHHH", 0x20, 0xD, 0x7FE0, 0x10)),
    ("US", [1, 65535], pack("<HH", 1, 65535)),
    ("US", ["7", 8.0], pack("<HH", 7, 8)),
    ("US", [None, None], b""),
    ("SS", [-5], pack("<h", -5)),
    ("UL", [2**32 - 1], pack("<L", 2**32 - 1)),
    ("SL", [-(2**31)], pack("<l", -(2**31))),
    ("UV", [2**64 - 1, str(2**64 - 1)], pack("<QQ", 2**64 - 1, 2**64 - 1)),
    ("SV", [-(2**63)], pack("<q", -(2**63))),
    ("FL", [1.5, 2], pack("<ff", 1.5, 2)),
    ("FD", [0.1, "-inf"], pack("<dd", 0.1, float("-inf"))),
    ("IS", [5, "-7", 3.0, None], b"5\\-7\\3\\"),
    ("DS", [0.5, 1, "0.10", 2.0, -0.0], b"0.5\\1\\0.10\\2\\-0"),
    ("DS", [1 / 3], b"0.33333333333333"),
    ("DS", [-1 / 3], b"-0.3333333333333"),
    ("PN", [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}], "Yamada^Tarou=山田^太郎".encode()),
    ("PN", [{"Phonetic": "p"}], b"==p"),
    ("PN", [{"Alphabetic": "A"}, None, {}, "B^C"], b"A\\\\\\B^C"),
]

REFUSED: list[tuple[str, list[Any], str]] = [
    ("LO", [5], "number found, text expected"),
    ("LO", [True], "true or false found"),
    ("LO", [{"Alphabetic": "x"}], "object found"),
    ("LO", [["x"]], "array found"),
    ("LO", ["secret\\secret"], "backslash"),
    ("LT", ["secret", "secret"], "2 values"),
    ("UI", ["secret山"], "repertoire"),
    ("PN", [{"Alphabetic": 5}], "number found"),
    ("PN", [{"alphabetic": "secret"}], "group"),
    ("PN", [{"Alphabetic": "secret\\x"}], "backslash"),
    ("US", [65536], "range"),
    ("US", [-1], "range"),
    ("US", [1.5], "fraction"),
    ("US", ["secret"], "no number"),
    ("US", [1, None], "null found, number expected"),
    ("US", [True], "true or false"),
    ("US", [{}], "object"),
    ("UL", ["9" * 5000], "no number"),
    ("FL", [1e300], "range"),
    ("FD", ["secret"], "no number"),
    ("FD", [2**2000], "range"),
    ("AT", ["secret"], "tag"),
    ("AT", ["0020000X"], "tag"),
    ("AT", ["-0200001"], "tag"),
    ("AT", [5], "number found"),
    ("DS", [True], "true or false"),
    ("IS", [{}], "object"),
]


@pytest.mark.parametrize(("vr", "values", "expected"), ACCEPTED, ids=repr)
def test_accepted(vr: str, values: list[Any], expected: bytes) -> None:
    """Each VR has its encoding; numbers may be text, and null is an empty value."""
    assert ENCODERS[vr](values) == expected


@pytest.mark.parametrize(("vr", "values", "problem"), REFUSED)
def test_refused(vr: str, values: list[Any], problem: str) -> None:
    """What a VR cannot hold is refused; the text says what was found, and no value."""
    with pytest.raises(Unwritable, match=problem) as refused:
        ENCODERS[vr](values)

    assert "secret" not in str(refused.value)


@given(st.floats(-1e300, 1e300))
def test_decimal_text(number: float) -> None:
    """A number as DS has 16 characters at the most and as much of its precision as they hold (PS3.5 §6.2)."""
    text = ENCODERS["DS"]([number])

    assert len(text) <= 16
    assert float(text) == pytest.approx(number, rel=1e-8, abs=1e-320)


@pytest.mark.parametrize("text", ["AAE=", ["AAE="]])
def test_inline_binary(text: object) -> None:
    """InlineBinary is base64, in a list too (PS3.18 §F.4)."""
    assert binary(text) == b"\0\1"


@pytest.mark.parametrize("text", [5, None, ["AAE=", "AAE="], "AAE", "A A E =", "ä===", {"x": 1}], ids=repr)
def test_no_inline_binary(text: object) -> None:
    """What is no base64 is refused: nothing of it is passed over."""
    with pytest.raises(Unwritable, match="InlineBinary"):
        binary(text)
