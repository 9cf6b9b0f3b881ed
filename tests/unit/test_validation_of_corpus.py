"""What the complete check says of real files (`shared/dicom/validation.py`): each warning was judged by PS3.5."""

from pathlib import Path

import pytest

from shared.dicom.header import read_header
from shared.dicom.validation import examine
from shared.errors import UnreadableFile

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

_FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "corpus"

_EMPTY_ID = ["00100020"]
_OLD_DATES = "dates and times in the form of ACR-NEMA"

WARNED: dict[str, tuple[list[str], str]] = {
    "charset/gb18030-GH1301.dcm": (["00100040"], "a CS in Chinese"),
    "cr/CR-ModalitySequenceLUT.dcm": (["00080018"], "a UID component 01"),
    **{
        f"ct-series/ct-abdomen-0{number}.dcm": (["00080102"], "an SH of 21 characters in a sequence")
        for number in range(1, 7)
    },
    "deflated/image_dfl.dcm": (_EMPTY_ID, "empty"),
    "deflated/report_dfl.dcm": (_EMPTY_ID, "empty"),
    "enhanced/emri_small.dcm": (_EMPTY_ID, "empty"),
    "hostile/uid-leading-zero.dcm": (["00080018"], "a UID component 003"),
    "invalid/badVR.dcm": (["00280008", "00081155"], "an IS 1A; a UID component with a leading zero in a sequence"),
    "invalid/no-pixel-data-sr.dcm": (_EMPTY_ID, "empty"),
    "mg/mg-GH133.dcm": (["00100030", "07A11070"], "a date of zeros; a private SH of 38 characters"),
    "mg/mg-example.dcm": (_EMPTY_ID, "empty"),
    "pet/pt-GH184.dcm": (["00331004"], "a private CS with small letters, 31 characters"),
    "presentation/pr-issue168.dcm": (["00100030"], "a word for a date"),
    "private/elscint-raw.dcm": (_EMPTY_ID, "empty"),
    "rf-nm/nm-heart-13f.dcm": (["00080022", "00080023", "00080032", "00080033"], _OLD_DATES),
    "rf-nm/rf-hilbert.dcm": (["00100040"], "a CS ?"),
    "rt/rtdose.dcm": (["00081155"], "a UID component with a leading zero in a sequence"),
    "sr/reportsi.dcm": (_EMPTY_ID, "empty"),
    "sr/test-SR.dcm": (_EMPTY_ID, "empty"),
    "us/us-rgb-esopecho.dcm": (["00080020", "00080023", "00080030"], _OLD_DATES),
    "us/us-ybr422.dcm": (["00080018"], "a UID component with a leading zero"),
    "us-multiframe/us-8f-implicit.dcm": (["00080005", "00100020"], "ISO-IR 100 for ISO_IR 100; empty"),
    "us-multiframe/us-pal-rle-10f.dcm": (["00080020", "00080030"], _OLD_DATES),
    "wsi/sm-140f.dcm": (_EMPTY_ID, "empty"),
}
"""Tags that version 2 warns of, and why."""

_ALL_UIDS_AND_ID = ["00080016", "00080018", "00100020", "0020000D", "0020000E"]

FAILED: dict[str, list[str]] = {
    "big-endian/ExplVR_BigEnd.dcm": ["00100020"],
    "charset/chrSQEncoding1.dcm": _ALL_UIDS_AND_ID,
    "damaged/no-sop-instance.dcm": ["00080018"],
    "damaged/no-study.dcm": ["0020000D"],
    "dicomdir/DICOMDIR.dcm": _ALL_UIDS_AND_ID,
    "fuzz/flipped-00.dcm": ["0020000E"],
    "fuzz/flipped-07.dcm": ["00080018"],
    "hostile/uid-65.dcm": ["00080018"],
    "hostile/uid-dots.dcm": ["00080018"],
    "hostile/uid-empty.dcm": ["00080018"],
    "hostile/uid-traversal.dcm": ["00080018"],
    "invalid/GH223.dcm": ["00100020", "0020000D", "0020000E"],
    "invalid/bulk-3gb-truncated.dcm": ["00080018", "0020000D", "0020000E"],
    "new-syntaxes/jpegxl-recompression.dcm": ["00100020"],
    "parametric/palette-hotiron.dcm": ["00100020", "0020000D", "0020000E"],
    "pixel-formats/color-pl.dcm": ["00100020"],
}
"""Required attributes that are missing or invalid: tags for which no version stores the file."""

FAILED_STRICTLY: dict[str, list[str]] = {
    "big-endian/ExplVR_BigEnd.dcm": ["00080020"],
    "mg/mg-GH133.dcm": ["00100030"],
    "pixel-formats/color-pl.dcm": ["00080020"],
    "presentation/pr-issue168.dcm": ["00100030"],
    "us/us-rgb-esopecho.dcm": ["00080020"],
    "us-multiframe/us-pal-rle-10f.dcm": ["00080020"],
    **{file: _EMPTY_ID for file, (tags, _) in WARNED.items() if "00100020" in tags},
}
"""Tags for which version 1 does not store it, beside those."""


def found(file: Path, *, is_strict: bool) -> tuple[list[str], list[str]]:
    """Return the tags that fail and those that are warned of."""
    findings = examine(read_header(file.read_bytes()), is_strict=is_strict)
    return [one.tag for one in findings.failed], [one.tag for one in findings.warned]


@pytest.mark.parametrize("name", sorted({*WARNED, *FAILED, *FAILED_STRICTLY}))
def test_file(name: str) -> None:
    """Each of these files has what the tables say, in each version."""
    file = _FOLDER / name
    if not file.is_file():
        pytest.skip(f"the real DICOM file is not there: {file.name}")

    tags, _ = WARNED.get(name, ([], ""))
    failed = FAILED.get(name, [])

    assert found(file, is_strict=False) == (failed, tags)
    assert found(file, is_strict=True) == (sorted(failed + FAILED_STRICTLY.get(name, [])), [])


def test_other_files(corpus: Path) -> None:
    """All other files that can be read keep every rule, in each version."""
    faults: dict[str, tuple[list[str], list[str]]] = {}
    count = 0
    for file in sorted((corpus / "corpus").rglob("*.dcm")):
        name = file.relative_to(corpus / "corpus").as_posix()
        if name in {*WARNED, *FAILED} or "bomb" in name:
            continue
        try:
            faults |= {f"{name} {is_strict}": found(file, is_strict=is_strict) for is_strict in (True, False)}
        except UnreadableFile:
            continue
        count += 1

    assert {name: tags for name, tags in faults.items() if tags != ([], [])} == {}
    assert count > 100
