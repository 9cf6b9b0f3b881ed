"""The header of a JPEG XL codestream (ISO/IEC 18181-1 §D), also of one in a file (18181-2)."""

from shared.dicom.codestreams import Codestream, boxes
from shared.errors import NotDecodable

_FILE_BEGIN = b"\0\0\0\x0cJXL \r\n\x87\n"
_START = 0x0AFF
_HEADER_BYTES = 64
"""More than what is read of one."""


def read_jpeg_xl(frame: bytes) -> Codestream:
    """Read the header of a JPEG XL codestream or file (18181-1 §D.2, §D.3).

    Raises
    ------
    NotDecodable
        It is none, is cut short or holds what a DICOM frame does not: animation, a preview, extra channels.
    """
    bits = _Bits(_beginning(frame))
    if bits.read(16) != _START:
        raise NotDecodable("JPEG XL: no start of codestream")
    rows, columns = bits.size()
    precision, samples = 8, 3
    if not bits.read(1):  # all_default
        if bits.read(1):  # extra_fields
            bits.read(3)  # orientation
            if bits.read(1):
                bits.size()  # intrinsic
            if bits.read(2):
                raise NotDecodable("JPEG XL: a preview or an animation")
        if bits.read(1):
            raise NotDecodable("JPEG XL: floating point samples")
        precision = bits.choose((0, 8), (0, 10), (0, 12), (6, 1))
        bits.read(1)  # modular_16bit_buffers
        if bits.choose((0, 0), (0, 1), (4, 2), (12, 1)):
            raise NotDecodable("JPEG XL: extra channels")
        bits.read(1)  # xyb_encoded
        if not bits.read(1):  # colour encoding is not the default
            bits.read(1)  # want_icc
            samples = 1 if bits.choose((0, 0), (0, 1), (4, 2), (6, 18)) == 1 else 3
    return Codestream(rows, columns, samples, precision, is_signed=False)


def _beginning(frame: bytes) -> bytes:
    if not frame.startswith(_FILE_BEGIN):
        return frame[:_HEADER_BYTES]
    for kind, start, stop in boxes(memoryview(frame)):
        if kind == b"jxlc":
            return frame[start : min(stop, start + _HEADER_BYTES)]
        if kind == b"jxlp":  # the first part, behind its number
            return frame[start + 4 : min(stop, start + _HEADER_BYTES)]
    raise NotDecodable("JPEG XL: a file without a codestream")


_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class _Bits:
    """Bits, the least significant of each byte first."""

    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content, "little")
        self._left = 8 * len(content)

    def read(self, count: int) -> int:
        if count > self._left:
            raise NotDecodable("JPEG XL: cut short within its header")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return value

    def choose(self, *forms: tuple[int, int]) -> int:
        """Return a number in the form that the next two bits choose: bits to read, and what to add."""
        count, more = forms[self.read(2)]
        return self.read(count) + more

    def size(self) -> tuple[int, int]:
        """Return rows and columns (18181-1 §D.2)."""
        is_small = self.read(1)
        rows = self._length(is_small)
        ratio = self.read(3)
        if ratio:
            across, down = _RATIOS[ratio]
            return rows, rows * across // down
        return rows, self._length(is_small)

    def _length(self, is_small: int) -> int:
        return (self.read(5) + 1) * 8 if is_small else self.choose((9, 1), (13, 1), (18, 1), (30, 1))
