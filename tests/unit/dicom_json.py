"""Makes DICOM JSON objects for the tests of what reads them (PS3.18 §F.2)."""

from base64 import b64encode
from typing import Any

from pydicom.datadict import dictionary_VR

from shared.dicom.attributes import tag_of

Json = dict[str, Any]


def element(vr: str, *values: Any) -> Json:
    """Return one attribute; a bytes value is written as `InlineBinary`."""
    if len(values) == 1 and isinstance(values[0], bytes):
        return {"vr": vr, "InlineBinary": b64encode(values[0]).decode("ascii")}
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def json_of(**attributes: Any) -> Json:
    """Return a data set with *attributes* by keyword; a list or tuple is several values."""
    made = {}
    for keyword, value in attributes.items():
        tag = tag_of(keyword)
        vr = dictionary_VR(int(tag, 16)).split(" or ")[0]
        made[tag] = element(vr, *(value if isinstance(value, list | tuple) else [value]))
    return dict(sorted(made.items()))


def code(value: str, scheme: str, meaning: str) -> Json:
    """Return an item of a code sequence (PS3.3 §8)."""
    return json_of(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
