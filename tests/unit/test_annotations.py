"""Text burnt into pictures (`shared/dicom/annotations.py`; PS3.18 §8.3.5.1.1)."""

import numpy as np
import pytest

from shared.dicom.annotations import Lines, annotate, lines_of, printable
from shared.dicom.items import Item
from shared.dicom.render_options import Annotation
from tests.unit.dicom_json import json_of

DATASET = json_of(
    PatientName={"Alphabetic": "Doe^John^^Dr", "Ideographic": "\u5c71"},
    PatientID="P1",
    PatientBirthDate="19700131",
    Modality="CT",
    StudyDate="20260102",
    KVP=120,
    SliceThickness=2.5,
    InstanceNumber=7,
)


def test_patient() -> None:
    """Patients are named as on paper."""
    lines = lines_of(Item(DATASET), frozenset({Annotation.PATIENT}))

    assert lines == Lines(top=("Doe, John Dr", "ID P1", "born 1970-01-31"))


def test_technique() -> None:
    """Technique says how the image was made; what is not known leaves no gap."""
    lines = lines_of(Item(DATASET), frozenset({Annotation.TECHNIQUE}))

    assert lines == Lines(bottom=("CT  2026-01-02", "image 7", "120 kV", "slice 2.5 mm"))


@pytest.mark.parametrize("annotation", [frozenset[Annotation](), frozenset({Annotation.OVERLAY})])
def test_none(annotation: frozenset[Annotation]) -> None:
    """Without being asked nothing is written."""
    assert not lines_of(Item(DATASET), annotation)


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 400), (300, 400, 3)])
def test_annotate(shape: tuple[int, ...]) -> None:
    """Any picture can be written on, dark ones in white; its size stays, and the one that was given is not changed."""
    picture = np.zeros(shape, "u1")

    written = annotate(picture, Lines(top=("Doe, John",), bottom=("CT", "image 7")))

    assert written.shape == shape
    assert not picture.any()
    if min(shape[:2]) > 100:
        assert written[:40, :200].max() > 200
        assert written[-40:, :200].max() > 200
        assert not written[100:200].any()


@pytest.mark.parametrize("text", ["\u5c71\u7530", "a\nb\0\x1b[1m", "\U0001f600", "x" * 100_000, "", "\ud800"])
def test_odd_text(text: str) -> None:
    """Text of any kind and length can be written, as well as the font has it, on one line."""
    written = annotate(np.zeros((200, 200), "u1"), Lines(top=(text,)))

    assert not written[60:].any()


def test_printable() -> None:
    """What would break a line, or is no character to be seen, becomes a blank."""
    assert printable("a\nb\0c\ud800d") == "a b c d"
    assert len(printable("x" * 100_000)) == 80
