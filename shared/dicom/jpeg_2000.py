"""The headers of a JPEG 2000 or HTJ2K codestream (ISO/IEC 15444-1 §A, §B)."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812 - as walk.py names it
from struct import unpack_from

from shared.dicom.codestreams import MAX_SEGMENTS, Codestream, boxes
from shared.errors import NotDecodable

MAX_BLOCKS = 2**20
"""Code-blocks and precincts of an image: each takes some hundred bytes. The largest slides have 200,000."""
MAX_PACKETS = 2**23
"""Layers of all precincts of an image."""
MAX_TILES = 4096
"""Of an image: each one takes some kilobytes."""

_FILE_BEGIN = b"\0\0\0\x0cjP  \r\n\x87\n"
_START, _SIZ, _COD, _COC, _TILE, _DATA = 0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93
_LEAST_MARKER = 0xFF00
_MARKER_BYTES, _LENGTH_BYTES = 2, 2
_MAX_COMPONENTS, _MAX_DECOMPOSITIONS = 4, 32
_SIGN, _DEPTH = 0x80, 0x7F
_TILE_HEAD = 14


def jpeg_2000_codestream(frame: bytes) -> bytes:
    """Return the codestream of a frame, also of one that is a whole JP2 file, which PS3.5 §A.4.4 does not want.

    Raises
    ------
    NotDecodable
        There is none.
    """
    if not frame.startswith(_FILE_BEGIN):
        return frame
    for kind, start, stop in boxes(memoryview(frame)):
        if kind == b"jp2c":
            return frame[start:stop]
    raise NotDecodable("JPEG 2000: a file without a codestream")


def read_jpeg_2000(codestream: bytes) -> Codestream:
    """Read the headers of a JPEG 2000 or HTJ2K codestream, those of its tiles too.

    Raises
    ------
    NotDecodable
        It is none, is cut short or would take unreasonable time or memory.
    """
    try:
        if unpack_from(">HH", codestream) != (_START, _SIZ):
            raise NotDecodable("JPEG 2000: no start of codestream")
        length, _, right, bottom, left, top, *tiles = unpack_from(">HHLLLLLLLL", codestream, 4)
        (samples,) = unpack_from(">H", codestream, 40)
        if length < 38 + 3 * samples or not 1 <= samples <= _MAX_COMPONENTS:
            raise NotDecodable(f"JPEG 2000: {samples} components found, 1 to {_MAX_COMPONENTS} expected")
        components = [unpack_from(">BBB", codestream, 42 + 3 * at) for at in range(samples)]
        grid = _Grid((left, top), (right, bottom), (tiles[0], tiles[1]), (tiles[2], tiles[3]), samples)
        grid.check()
        present: set[int] = set()
        for style in _coding_styles(codestream, 4 + length, present):
            grid.check_style(*style)
        if len(present) != grid.tiles:
            raise NotDecodable(f"JPEG 2000: {len(present)} tiles found, {grid.tiles} expected")
    except StructError as error:
        raise NotDecodable("JPEG 2000: cut short within its header") from error
    depths = {depth for depth, _, _ in components}
    if len(depths) > 1 or any((across, down) != (1, 1) for _, across, down in components):
        raise NotDecodable("JPEG 2000: components that differ in depth or size")
    (depth,) = depths
    return Codestream(bottom - top, right - left, samples, (depth & _DEPTH) + 1, bool(depth & _SIGN))


@dataclass(frozen=True, slots=True)
class _Grid:
    """The reference grid of a JPEG 2000 image; pairs are (columns, rows)."""

    first: tuple[int, int]
    last: tuple[int, int]
    tile: tuple[int, int]
    tile_first: tuple[int, int]
    samples: int

    @property
    def tiles(self) -> int:
        across, down = (
            -(-(last - begin) // size) for last, begin, size in zip(self.last, self.tile_first, self.tile, strict=True)
        )
        return across * down

    def check(self) -> None:
        pairs = list(zip(self.first, self.last, self.tile, self.tile_first, strict=True))
        if not all(begin <= first < last and size and first < begin + size for first, last, size, begin in pairs):
            raise NotDecodable("JPEG 2000: image and tiles do not fit together")
        if self.tiles > MAX_TILES:
            raise NotDecodable(f"JPEG 2000: {self.tiles} tiles; at most {MAX_TILES} are decoded")

    def check_style(self, layers: int, block: tuple[int, int], precincts: list[tuple[int, int]]) -> None:
        """Count precincts and code-blocks (15444-1 §B.6, §B.7) as if every tile had this coding style."""
        width, height = (
            min(size, last - first) for size, last, first in zip(self.tile, self.last, self.first, strict=True)
        )
        levels = len(precincts) - 1
        count = blocks = 0
        for level, (across, down) in enumerate(precincts):
            shift = levels - level
            columns, rows = (width >> shift) + 1, (height >> shift) + 1
            count += _pieces(columns, across) * _pieces(rows, down)
            # All sub-bands of a resolution together are no larger than it.
            less = 1 if level else 0
            blocks += _pieces(columns, min(block[0] + less, across)) * _pieces(rows, min(block[1] + less, down))
        total = self.tiles * self.samples
        if total * (count + blocks) > MAX_BLOCKS:
            raise NotDecodable(f"JPEG 2000: more than {MAX_BLOCKS} code-blocks and precincts")
        if total * count * layers > MAX_PACKETS:
            raise NotDecodable(f"JPEG 2000: more than {MAX_PACKETS} packets")


def _pieces(length: int, exponent: int) -> int:
    return (length >> exponent) + 1


def _coding_styles(
    codestream: bytes, position: int, tiles: set[int]
) -> Iterator[tuple[int, tuple[int, int], list[tuple[int, int]]]]:
    """Yield layers, code-block exponents and precinct exponents by resolution, of all COD and COC (15444-1 §A.6).

    The numbers of the tiles that are there go into *tiles*.
    """
    size, layers, tile_end = len(codestream), 1, 0
    for _ in range(MAX_SEGMENTS):
        is_between_tiles = position == tile_end
        if is_between_tiles and size - position < _MARKER_BYTES:
            return
        (marker,) = unpack_from(">H", codestream, position)
        if is_between_tiles and marker != _TILE:  # the end, or padding where that is missing
            return
        if marker == _DATA:
            position = tile_end
            continue
        (length,) = unpack_from(">H", codestream, position + 2)
        if marker == _TILE:
            tile, part = unpack_from(">HL", codestream, position + 4)
            tiles.add(tile)
            tile_end = position + part if part else size
            if not position + _TILE_HEAD <= tile_end <= size:
                raise NotDecodable("JPEG 2000: cut short within a tile")
        elif marker == _COD:
            style, _, layers, _ = unpack_from(">BBHB", codestream, position + 4)
            yield layers, *_blocks(codestream, position + 9, style)
        elif marker == _COC:
            yield layers, *_blocks(codestream, position + 6, codestream[position + 5])
        elif marker < _LEAST_MARKER or length < _LENGTH_BYTES:
            raise NotDecodable(f"JPEG 2000: no marker at byte {position}")
        position += 2 + length
    raise NotDecodable(f"JPEG 2000: more than {MAX_SEGMENTS} segments")


def _blocks(codestream: bytes, position: int, style: int) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    levels, width, height = unpack_from(">BBB", codestream, position)
    if levels > _MAX_DECOMPOSITIONS:
        raise NotDecodable(f"JPEG 2000: {levels} decompositions found, at most {_MAX_DECOMPOSITIONS} expected")
    sizes = unpack_from(f">{levels + 1}B", codestream, position + 5) if style & 1 else (0xFF,) * (levels + 1)
    return (width % 16 + 2, height % 16 + 2), [(one & 15, one >> 4) for one in sizes]
