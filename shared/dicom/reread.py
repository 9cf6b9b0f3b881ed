"""A second opinion from pydicom on a sequence whose inside does not fit its outside."""

from io import BytesIO

from shared.errors import UnreadableFile

MAX_BYTES = 256 * 1024
"""Of one file; pydicom needs a second and more for so much when it is made of short elements."""


def reread(element: bytes, *, is_implicit: bool, order: str) -> bytes:
    """Return a data element as pydicom understands it, in explicit VR little endian.

    Text passes through unchanged: it is taken for ISO 8859-1 both ways.

    Raises
    ------
    UnreadableFile
        When pydicom cannot make sense of it either.
    """
    # pydicom takes long to import, and few files need it; why it is imported like this `charset.py` says.
    from pydicom import filebase, filereader, filewriter

    try:
        dataset = filereader.read_dataset(BytesIO(element), is_implicit, order == "<")
        for _ in dataset.iterall():  # makes pydicom take raw values apart, so that it writes them anew
            pass
        clean = filebase.DicomBytesIO()
        clean.is_little_endian, clean.is_implicit_VR = True, False
        filewriter.write_dataset(clean, dataset)
    except Exception as error:  # pydicom raises whatever a broken value leads it to
        raise UnreadableFile("pydicom cannot read it either") from error
    return clean.getvalue()
