"""Metadata of files in any Specific Character Set is right UTF-8 (PS3.5 §6.1; issue 3, "Files as they are")."""

import io
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.e2e.client import Client
from tests.factories import new_uid, part10, with_value

_KOREAN = {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞", "Phonetic": "홍^길동"}

_CORPUS = [
    pytest.param("chrArab", {"Alphabetic": "قباني^لنزار"}, id="Arabic, ISO_IR 127"),
    pytest.param("chrFrenMulti", {"Alphabetic": "Buc^Jérôme"}, id="Latin 1, ISO_IR 100"),
    pytest.param("chrGreek", {"Alphabetic": "Διονυσιος"}, id="Greek, ISO_IR 126"),
    pytest.param(
        "chrH31",
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
        id="Japanese in three groups, ISO 2022 IR 87",
    ),
    pytest.param("chrI2", _KOREAN, id="Korean in three groups, ISO 2022 IR 149"),
    pytest.param("chrJapMulti", {"Alphabetic": "やまだ^たろう"}, id="Japanese, ISO 2022 IR 87"),
    pytest.param("chrX1", {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}, id="Chinese, ISO_IR 192"),
    pytest.param("gb18030-GH1301", {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}, id="Chinese, GB18030"),
    pytest.param("made-gbk", {"Alphabetic": "王^小东"}, id="Chinese, GBK"),
    pytest.param("made-ir13", {"Alphabetic": "ﾔﾏﾀﾞ^ﾀﾛｳ"}, id="Japanese, ISO_IR 13"),
    pytest.param("made-korean-utf8", _KOREAN, id="Korean in three groups, ISO_IR 192"),
    pytest.param("made-latin2", {"Alphabetic": "Święcicki^Łukasz"}, id="Latin 2, ISO_IR 101"),
    pytest.param("made-latin5", {"Alphabetic": "Çavuş^Ömer"}, id="Latin 5, ISO_IR 148"),
    pytest.param("made-thai", {"Alphabetic": "สมชาย^ใจดี"}, id="Thai, ISO_IR 166"),
]


@pytest.mark.parametrize(("name", "expected"), _CORPUS)
def test_corpus(v2: Client, corpus: Path, name: str, expected: dict[str, str]) -> None:
    """The names in real files are what their patients are called, and are found by it."""
    file = (corpus / "corpus" / "charset" / f"{name}.dcm").read_bytes()
    study = dcmread(io.BytesIO(file), specific_tags=["StudyInstanceUID"]).StudyInstanceUID
    v2.http.delete(f"/studies/{study}")

    v2.post(file, "application/dicom")

    [shown] = v2.metadata(f"/studies/{study}")
    assert shown["00100010"] == {"vr": "PN", "Value": [expected]}
    [found] = v2.search("/studies", StudyInstanceUID=study, PatientName=expected["Alphabetic"])
    assert found["00100010"]["Value"] == [expected]
    v2.http.delete(f"/studies/{study}")


_MADE = [
    pytest.param("ISO_IR 100", "Äneas^Rüdiger", id="Latin 1"),
    pytest.param("ISO_IR 101", "Wałęsa^Jiří", id="Latin 2"),
    pytest.param("ISO_IR 109", "Ħal^Ġorġ", id="Latin 3"),
    pytest.param("ISO_IR 110", "Bērziņš^Jānis", id="Latin 4"),
    pytest.param("ISO_IR 144", "Иван^Жданов", id="Cyrillic"),
    pytest.param("ISO_IR 138", "שרון^דבורה", id="Hebrew"),
    pytest.param("ISO_IR 126", "Διονυσιος", id="Greek"),
    pytest.param("ISO_IR 127", "قباني^لنزار", id="Arabic"),
    pytest.param("ISO_IR 148", "Çelik^Ayşe", id="Latin 5"),
    pytest.param("ISO_IR 166", "สมชาย", id="Thai"),
    pytest.param("ISO_IR 13", "ﾔﾏﾀﾞ", id="half-width katakana"),
    pytest.param("ISO_IR 192", "Ünï^河^😀", id="UTF-8"),
    pytest.param("GB18030", "王^小东", id="GB18030"),
]


@pytest.mark.parametrize(("term", "text"), _MADE)
def test_single_byte_and_utf8(v2: Client, term: str, text: str) -> None:
    """Every set that needs no code extension is decoded, in names and in other text."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, SpecificCharacterSet=term, PatientName=text, StudyDescription=text)

    answer = v2.post(file, "application/dicom")

    assert answer.status_code == 200, answer.text
    [shown] = v2.metadata(f"/studies/{study}")
    assert shown["00100010"]["Value"] == [{"Alphabetic": text}]
    assert shown["00081030"]["Value"] == [text]


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        pytest.param(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", id="Japanese"),
        pytest.param(["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", id="JIS X 0201"),
        pytest.param(["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", id="Korean"),
        pytest.param(["ISO 2022 IR 100", "ISO 2022 IR 144"], "Jérôme=Иван", id="Latin 1 and Cyrillic"),
    ],
)
def test_code_extensions(v2: Client, terms: list[str], text: str) -> None:
    """Names that change their set by escape sequences come out in their three groups (PS3.5 §6.1.2.5, §6.2.1.2)."""
    study = new_uid()

    answer = v2.post(part10(StudyInstanceUID=study, SpecificCharacterSet=terms, PatientName=text), "application/dicom")

    assert answer.status_code == 200, answer.text
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    [shown] = v2.metadata(f"/studies/{study}")
    assert shown["00100010"]["Value"] == [dict(groups)]


def test_chinese_code_extension(v2: Client) -> None:
    """Escape sequences of ISO 2022 IR 58, one in each component, are no part of the name (PS3.5 §K.2)."""
    study = new_uid()
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
    file = part10(StudyInstanceUID=study, SpecificCharacterSet=["", "ISO 2022 IR 58"])

    v2.post(with_value(file, "PatientName", "PN", name), "application/dicom")

    [shown] = v2.metadata(f"/studies/{study}")
    assert shown["00100010"]["Value"] == [{"Alphabetic": "Zhang^XiaoDong", "Ideographic": "张^小东"}]
