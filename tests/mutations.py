"""Store requests that are wrong in every way we could think of, from a seed: the same number, the same bytes.

A request is raw HTTP, so that also its framing can be wrong.
"""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from struct import pack
from typing import TypeAlias

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.factories import multipart, part10

_Random: TypeAlias = random.Random
_MIB = 2**20
_SMALLEST_BASE, _LARGEST_BASE = 300, 64 * 1024
"""Of a real file that is mutated."""
_UID = "2.25.{:032d}"
_PLACES = {name: _UID.format(number) for number, name in enumerate(("study", "series", "instance"), 7)}
_BOUNDARY = "a-boundary"
_MULTIPART = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
_ODD_LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000, 0x00010000, 0x0000FFFF, 1, 0)
_ODD_BYTES = (0, 0xFF, 0x7F, 0x80, 0x0A, 0x0D, 0x5C, 0x1B)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One request: how it was made, its bytes, and whether its framing is right, so that it must be answered."""

    kind: str
    raw: bytes
    is_framed: bool = True


def mutation(seed: int, number: int, corpus: Path | None = None) -> Mutation:
    """Return request *number* of *seed*; files of *corpus* are mutated too where it is there."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 - the same again is the point
    kind, make = chance.choices(_KINDS, _WEIGHTS)[0]
    made = make(chance, [_fresh(chance), *_real_files(corpus)])
    return Mutation(kind, made) if isinstance(made, bytes) else Mutation(kind, made[0], is_framed=False)


_Made: TypeAlias = bytes | tuple[bytes]
"""A request; in a tuple when its framing may be wrong."""
_Files: TypeAlias = Sequence[bytes]


def _request(body: bytes, content_type: str | None = _MULTIPART, *fields: str, method: str = "POST") -> bytes:
    lines = [f"{method} /v2/studies HTTP/1.1", "Host: localhost", "Accept: application/dicom+json", *fields]
    lines += [] if content_type is None else [f"Content-Type: {content_type}"]
    return _framed(lines, body)


def _framed(lines: Sequence[str], body: bytes) -> bytes:
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1", "replace") + body


def _with_files(*files: bytes) -> bytes:
    return _request(multipart(files, boundary=_BOUNDARY)[0])


# Files --------------------------------------------------------------------------------------------------------------


@cache
def _templates() -> list[bytes]:
    uids = {
        "StudyInstanceUID": _PLACES["study"],
        "SeriesInstanceUID": _PLACES["series"],
        "SOPInstanceUID": _PLACES["instance"],
    }
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit)
    more = {"InstanceNumber": 3, "StudyDate": "20240131", "StudyTime": "101500.5", "ImageType": ["ORIGINAL", "PRIMARY"]}
    found = [part10(transfer_syntax=one, pixel_bytes=size, **uids, **more) for one in syntaxes for size in (0, 500)]
    return [*found, part10(pixel_bytes=200_000, **uids)]


def _fresh(chance: _Random) -> bytes:
    """Return a good file with UIDs that no other has."""
    file = chance.choice(_templates())
    for place in _PLACES.values():
        file = file.replace(place.encode(), _UID.format(chance.randrange(10**31, 10**32)).encode())
    return file


@cache
def _real_files(corpus: Path | None) -> tuple[bytes, ...]:
    paths = sorted(corpus.rglob("*.dcm")) if corpus else []
    return tuple(path.read_bytes() for path in paths if _SMALLEST_BASE <= path.stat().st_size <= _LARGEST_BASE)


def _flipped(chance: _Random, content: bytes, start: int = 0, end: int | None = None) -> bytes:
    """Return *content* with some bits or bytes between *start* and *end* changed."""
    changed = bytearray(content)
    end = len(content) if end is None else min(end, len(content))
    if start < end:
        for _ in range(chance.choice((1, 1, 1, 2, 4, 30))):
            at = chance.randrange(start, end)
            changed[at] = chance.choice((changed[at] ^ 1 << chance.randrange(8), chance.choice(_ODD_BYTES)))
    return bytes(changed)


def _explicit(group: int, element: int, vr: bytes, value: bytes) -> bytes:
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC"}:
        return pack("<HH2sHL", group, element, vr, 0, len(value)) + value
    return pack("<HH2sH", group, element, vr, len(value)) + value


def _file_of(dataset: bytes, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    syntax = _explicit(2, 0x10, b"UI", transfer_syntax.encode() + b"\0" * (len(transfer_syntax) % 2))
    return bytes(128) + b"DICM" + syntax + dataset


def _begin(chance: _Random) -> bytes:
    """Return the elements that every instance needs, up to group 0020."""
    uids = [_UID.format(chance.randrange(10**31, 10**32)).encode() + b"\0" for _ in range(3)]
    return b"".join(
        [
            _explicit(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
            _explicit(8, 0x18, b"UI", uids[0]),
            _explicit(0x10, 0x20, b"LO", b"P1"),
            _explicit(0x20, 0x0D, b"UI", uids[1]),
            _explicit(0x20, 0x0E, b"UI", uids[2]),
        ]
    )


def _bits(chance: _Random, files: _Files) -> _Made:
    return _with_files(*(_flipped(chance, chance.choice(files), 128, 2048) for _ in range(chance.randint(1, 3))))


def _anywhere(chance: _Random, files: _Files) -> _Made:
    return _request(_flipped(chance, multipart([files[0], chance.choice(files)], boundary=_BOUNDARY)[0]))


def _file_cut(chance: _Random, files: _Files) -> _Made:
    file = chance.choice(files)
    return _with_files(file[: chance.randrange(len(file))], files[0])


def _pieces_moved(chance: _Random, files: _Files) -> _Made:
    file, other = chance.choice(files), chance.choice(files)
    a, b = sorted((chance.randrange(len(file)), chance.randrange(len(file))))
    at = chance.randrange(len(other))
    return _with_files(chance.choice((file[:a] + file[b:], file[:b] + file[a:], file[:a] + other[at:])))


def _lengths(chance: _Random, files: _Files) -> _Made:
    """Write absurd lengths where lengths are."""
    file = bytearray(chance.choice(files))
    vrs = [at for at in range(132, min(len(file) - 12, 4096)) if file[at : at + 2].isupper() and not at % 2]
    for _ in range(chance.choice((1, 1, 3))):
        at = chance.choice(vrs) if vrs and chance.random() < 0.8 else chance.randrange(132, max(len(file) - 12, 133))
        if chance.random() < 0.5:
            file[at + 2 : at + 4] = pack("<H", chance.choice((0xFFFF, 0xFFFE, 0x8000, 1, chance.randrange(65536))))
        else:
            file[at + 4 : at + 8] = pack("<L", chance.choice((*_ODD_LENGTHS, chance.getrandbits(32))))
    return _with_files(bytes(file))


def _nested(chance: _Random, _: _Files) -> _Made:
    """Nest sequences up to 10,000 deep, with and without lengths, with and without an end."""
    depth = chance.choice((10, 63, 64, 65, 200, 1000, 10_000))
    tag = chance.choice(((0x40, 0xA730), (0x20, 0x9222), (0x19, 0x1010)))
    if chance.random() < 0.6:
        inside = (pack("<HH2sHL", *tag, b"SQ", 0, 0xFFFFFFFF) + pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth
        end = (pack("<HHL", 0xFFFE, 0xE00D, 0) + pack("<HHL", 0xFFFE, 0xE0DD, 0)) * depth
        inside += chance.choice((end, end[: len(end) // 2], b""))
    else:
        heads = []
        for level in range(depth, 0, -1):
            length = 20 * level
            heads.append(pack("<HH2sHL", *tag, b"SQ", 0, length - 12) + pack("<HHL", 0xFFFE, 0xE000, length - 20))
        inside = b"".join(heads)
    if chance.random() < 0.2:
        begin = _begin(chance)
        return _with_files(_file_of(zlib.compress(begin + inside, wbits=-15), DeflatedExplicitVRLittleEndian))
    return _with_files(_file_of(_begin(chance) + inside))


def _many_elements(chance: _Random, _: _Files) -> _Made:
    """Send tens of thousands of elements, items or values."""
    kind, count = chance.randrange(4), chance.choice((1000, 20_000))
    if kind == 0:
        more = b"".join(_explicit(0x21 + 2 * (at >> 16), at & 0xFFFF, b"LO", b"x ") for at in range(count))
    elif kind == 1:
        more = _explicit(0x40, 0xA730, b"SQ", pack("<HHL", 0xFFFE, 0xE000, 0) * count)
    elif kind == 2:
        more = _explicit(0x40, 0xA160, b"UT", b"\\" * count)
    else:
        more = _explicit(0x28, 0x3010, b"UN", pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) * count)
    return _with_files(_file_of(_begin(chance) + more))


@cache
def _swollen() -> list[bytes]:
    """Return elements of a few megabytes that are many times as much when each of them is an object."""
    count = 4 * _MIB // 8
    empty = b"".join(pack("<HH2sH", 0x29 + 2 * (at >> 16), at & 0xFFFF, b"LO", 0) for at in range(count))
    items = pack("<HH2sHL", 0x40, 0xA730, b"SQ", 0, 8 * count) + pack("<HHL", 0xFFFE, 0xE000, 0) * count
    values = pack("<HH2sHL", 0x40, 0xA160, b"UC", 0, 4 * _MIB) + b"\\" * (4 * _MIB)
    return [empty, empty[: len(empty) // 8], items, values]


def _swelling(chance: _Random, _: _Files) -> _Made:
    dataset = _begin(chance) + chance.choice(_swollen())
    if chance.random() < 0.5:
        return _with_files(_file_of(dataset))
    return _with_files(_file_of(zlib.compress(dataset, 1, -15), DeflatedExplicitVRLittleEndian))


@cache
def _deflated_bombs() -> list[bytes]:
    """Return deflated data that is hundreds of megabytes of zeros, of small elements, of a text."""
    begin = _begin(random.Random(0))  # noqa: S311 - as above
    zeros = pack("<HH2sHL", 0x29, 0x1010, b"OB", 0, 0xFFFFFFF0)
    element = _explicit(0x29, 0x1011, b"LO", b"value ") * 70_000
    text = pack("<HH2sHL", 0x40, 0xA160, b"UT", 0, 0xFFFFFFF0)
    return [
        _bomb(begin + zeros, bytes(_MIB), 500),
        _bomb(begin, element, 300),
        _bomb(begin + text, b"A" * _MIB, 300),
        _bomb(b"", bytes(_MIB), 300),
    ]


def _bomb(first: bytes, again: bytes, times: int) -> bytes:
    """Return raw deflate of *first* and then *again* so many times, made with little effort."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = deflater.compress(first) + deflater.flush(zlib.Z_FULL_FLUSH)
    body = deflater.compress(again) + deflater.flush(zlib.Z_FULL_FLUSH)
    return head + body * times + deflater.flush()


def _deflate_bomb(chance: _Random, files: _Files) -> _Made:
    return _with_files(files[0], _file_of(chance.choice(_deflated_bombs()), DeflatedExplicitVRLittleEndian))


def _deflated(chance: _Random, _: _Files) -> _Made:
    deflated = zlib.compress(_begin(chance) + _explicit(0x28, 0x10, b"US", b"\1\0"), wbits=-15)
    return _with_files(_file_of(_flipped(chance, deflated), DeflatedExplicitVRLittleEndian))


# Bodies -------------------------------------------------------------------------------------------------------------


def _good(chance: _Random, files: _Files) -> _Made:
    """Change nothing: that it is stored shows that the others are refused for what they are."""
    del chance
    return _with_files(files[0])


def _body_cut(chance: _Random, files: _Files) -> _Made:
    body = multipart([files[0], chance.choice(files)], boundary=_BOUNDARY)[0]
    return _request(body[: chance.randrange(len(body))])


def _boundaries(chance: _Random, files: _Files) -> _Made:
    body = multipart([files[0], chance.choice(files)], boundary=_BOUNDARY)[0]
    line = f"--{_BOUNDARY}".encode()
    other = chance.choice(
        (
            line[:-1],
            line + b"x",
            line + b" \t",
            line + b"--",
            b"\r\n" + line,
            line + b"\n",
            line + b"\r",
            b"--" * 40,
            b"",
            b"\0" + line,
        )
    )
    return _request(body.replace(line, other, chance.choice((1, 2, -1))))


def _line_breaks(chance: _Random, files: _Files) -> _Made:
    body, other = multipart([files[0]], boundary=_BOUNDARY)[0], chance.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b""))
    if chance.random() < 0.5:
        return _request(body.replace(b"\r\n", other))
    head, end, rest = body.partition(b"\r\n\r\n")
    return _request(head.replace(b"\r\n", other) + chance.choice((end, other + other)) + rest)


def _part_headers(chance: _Random, files: _Files) -> _Made:
    lines: Sequence[str] = chance.choice(
        (
            (),
            ("Content-Type: application/dicom", "Content-Type: text/plain"),
            ("no colon at all",),
            (": nothing before the colon",),
            ("Content-Type: application/dicom; transfer-syntax=*; transfer-syntax=1.2",),
            (f"Content-Type: application/dicom; x={'y' * chance.choice((100, 9000, 70_000))}",),
            ("Content-Type: application/dicom", "Content-Length: 12"),
            ("Content-Type: application/dicom", "Content-Encoding: gzip"),
            ("Content-Type: application/dicom", "Content-Transfer-Encoding: base64"),
            ("Content-Type: \0\1\2",),
            ("Content-Type: application/dicom", " folded: yes", "\tand again"),
            tuple(f"X-{number}: {number}" for number in range(chance.choice((100, 2000)))),
            ("Content-Type: multipart/mixed; boundary=inner",),
        )
    )
    return _request(multipart([files[0]], boundary=_BOUNDARY, part_headers=lines)[0])


def _part_counts(chance: _Random, files: _Files) -> _Made:
    empty = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n\r\n".encode()
    bare = f"--{_BOUNDARY}\r\n\r\n".encode()
    good = multipart([files[0]], boundary=_BOUNDARY)[0]
    count = chance.choice((0, 1, 100, 1000))
    return _request(chance.choice((empty, bare)) * count + chance.choice((good, f"--{_BOUNDARY}--".encode(), b"")))


def _noise(chance: _Random, _: _Files) -> _Made:
    types = ("application/dicom", _MULTIPART, "application/dicom+json", "application/dicom+xml", None)
    start = chance.choice((b"", bytes(128) + b"DICM", b"--a-boundary\r\n", b"[{", b"<?xml "))
    return _request(start + chance.randbytes(chance.choice((0, 1, 100, 5000))), chance.choice(types))


def _encoded(chance: _Random, files: _Files) -> _Made:
    """Encode the body, rightly or wrongly."""
    body = multipart([files[0]], boundary=_BOUNDARY)[0]
    coding = chance.choice(("gzip", "deflate", "GZIP", "br", "gzip, gzip", "gzip, deflate", "identity", "x" * 200, ""))
    encoded = chance.choice((body, gzip.compress(body), zlib.compress(body), gzip.compress(gzip.compress(body))))
    damaged = chance.choice((encoded, _flipped(chance, encoded), encoded[: len(encoded) // 2], encoded + b"more"))
    return _request(damaged, _MULTIPART, f"Content-Encoding: {coding}")


@cache
def _gzip_bomb() -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + _bomb(head, bytes(_MIB), 1000)


def _encoded_bomb(chance: _Random, _: _Files) -> _Made:
    bomb = _gzip_bomb()
    if chance.random() < 0.3:
        return _request(gzip.compress(bomb, 9), _MULTIPART, "Content-Encoding: gzip, gzip")
    return _request(bomb, chance.choice((_MULTIPART, "application/dicom")), "Content-Encoding: gzip")


def _json(chance: _Random, _: _Files) -> _Made:
    """Damage a payload in the DICOM JSON model (PS3.18 Annex F), or nest it deep."""
    uid = partial(chance.randrange, 10**31, 10**32)
    dataset: dict[str, object] = {
        tag: {"vr": "UI", "Value": [_UID.format(uid())]} for tag in ("00080018", "0020000D", "0020000E")
    }
    dataset |= {"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}, "00100020": {"vr": "LO"}}
    dataset |= {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]}, "00280010": {"vr": "US", "Value": [1]}}
    odd: Sequence[object] = (None, [], {}, "x", -1, 1e400, 2**70, True, [[[]]], {"vr": "SQ", "Value": [1]}, "\ud800")
    if chance.random() < 0.5:
        tag = chance.choice([*dataset, "7FE00010", "ZZZZZZZZ", "", "00020010"])
        vr, value = chance.choice(("UI", "SQ", "OW", "XX", "IS", "PN", "AT", "")), chance.choice(odd)
        whole: Sequence[object] = (
            value,
            {"vr": vr, "Value": value},
            {"vr": vr, "Value": [value]},
            {"vr": vr, "InlineBinary": chance.choice(("A", "====", "AAAA", 5))},
            {"vr": vr, "BulkDataURI": chance.choice(("", "cid:x", "file:///etc/passwd", "http://127.0.0.1:1/", 5))},
        )
        dataset[tag] = chance.choice(whole)
    text = json.dumps([dataset]).encode()
    if chance.random() < 0.2:
        depth = chance.choice((10, 100, 10_000))
        text = b'[{"0040A730":{"vr":"SQ","Value":' * depth + b"]}}" * chance.choice((0, depth))
    if chance.random() < 0.5:
        text = _flipped(chance, text)
    return _composed(chance, text, "application/dicom+json")


def _xml(chance: _Random, _: _Files) -> _Made:
    """Damage a payload in the Native DICOM Model (PS3.19 Annex A), or nest it deep, or make it expand."""
    uids = ("00080018", "0020000D", "0020000E")
    elements = "".join(
        f'<DicomAttribute tag="{tag}" vr="UI"><Value number="1">{_UID.format(chance.randrange(10**31, 10**32))}</Value>'
        "</DicomAttribute>"
        for tag in uids
    )
    lols = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9)
    )
    text = chance.choice(
        (
            f"<NativeDicomModel>{elements}</NativeDicomModel>",
            f'<?xml version="1.0" encoding="UTF-16"?><NativeDicomModel>{elements}</NativeDicomModel>',
            f'<!DOCTYPE x SYSTEM "file:///etc/passwd"><NativeDicomModel>{elements}</NativeDicomModel>',
            f"{lols}]><NativeDicomModel>&j;</NativeDicomModel>",
            "<NativeDicomModel>" + '<DicomAttribute tag="0040A730" vr="SQ"><Item number="1">' * 10_000,
            "<a>" * 10_000 + "</a>" * 10_000,
        )
    ).encode()
    return _composed(chance, _flipped(chance, text) if chance.random() < 0.6 else text, "application/dicom+xml")


def _composed(chance: _Random, text: bytes, kind: str) -> bytes:
    if chance.random() < 0.5:
        return _request(text, kind)
    part = f"--{_BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode() + text + b"\r\n"
    bulk = f"--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Location: x\r\n\r\nab\r\n".encode()
    body = part + bulk * chance.choice((0, 0, 1, 3)) + f"--{_BOUNDARY}--".encode()
    return _request(body, f'multipart/related; type="{kind}"; boundary={_BOUNDARY}')


# HTTP ---------------------------------------------------------------------------------------------------------------


def _content_type(chance: _Random, files: _Files) -> _Made:
    kinds = (
        None,
        "",
        ";",
        "multipart/related",
        "multipart/related; boundary=",
        f"multipart/related; boundary={'x' * 71}",
        f'multipart/related; boundary="{_BOUNDARY}',
        f"multipart/related; boundary={_BOUNDARY}; boundary=other",
        f"multipart/related; boundary={_BOUNDARY}; type=application/dicom; type=text/plain",
        f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}; start=a',
        f"multipart/related; TYPE=application/dicom; BOUNDARY={_BOUNDARY}",
        f"multipart/related; boundary*=utf-8''{_BOUNDARY}; boundary*0=a-",
        f"multipart/form-data; boundary={_BOUNDARY}",
        "application/dicom; transfer-syntax=*" + "; a=b" * 2000,
        "application/dicom, text/plain",
        "*/*",
        "\xff\xfe/\xe9",
        f'multipart/related; boundary="{chr(92)}"; type="{chr(92) * 3}"',
        _MULTIPART + '; =; ==; a; "',
    )
    body = multipart([files[0]], boundary=_BOUNDARY)[0]
    return _request(body, chance.choice(kinds))


def _fields(chance: _Random, files: _Files) -> _Made:
    fields = (
        "Accept: text/html",
        "Accept: " + ",".join(["application/dicom+json;q=0.1"] * 500),
        "Accept: ;;;,,,=\xff",
        "Accept: application/dicom+xml",
        'If-None-Match: "',
        "Content-Encoding: identity, identity",
        'X-Forwarded-Host: "<script>"',
        "X-Forwarded-Proto: \xe9",
        "msdicom-expiry-time-milliseconds: " + chance.choice(("-1", "1e9", "9" * 40, "", "\xb2", "0x10")),
        "msdicom-expiry-option: Never",
        "msdicom-meta-LO-00190010: x",
        "msdicom-meta-XX-zzzz: \xff",
        "Cookie: " + "a" * 7000,
        "Range: bytes=0-1",
        "Expect: 100-continue",
        "Expect: something",
        "Upgrade: h2c",
        "Transfer-Encoding: identity",
    )
    method = chance.choice(("POST", "POST", "PUT"))
    return (
        _request(multipart([files[0]])[0], _MULTIPART, *chance.sample(fields, chance.randint(1, 3)), method=method),
    )


def _paths(chance: _Random, files: _Files) -> _Made:
    paths = (
        "/v2/studies/1.2.3",
        "/v1/studies",
        "/v3/studies",
        "/v2/studies/%00",
        "/v2/studies/" + "1." * 2000,
        "/v2/studies?" + "a=b&" * 500,
        "/v2/studies/%ff%fe",
        "/v2//studies",
        "/v2/studies/1.2/../../x",
        "/v2/partitions/x/studies",
        "*",
    )
    raw = _with_files(files[0])
    return (raw.replace(b"/v2/studies", chance.choice(paths).encode(), 1),)


def _framing(chance: _Random, files: _Files) -> _Made:
    """Tell a wrong length, two, none, or both kinds of length (RFC 9112 §6)."""
    body = multipart([files[0]], boundary=_BOUNDARY)[0]
    right = len(body)
    lengths: Sequence[Sequence[str]] = (
        [f"Content-Length: {right + chance.choice((1, 10, 4 * 2**30 - right))}"],
        [f"Content-Length: {max(right - chance.choice((1, 10, 500)), 0)}"],
        ["Content-Length: -1"],
        ["Content-Length: x"],
        [f"Content-Length: {right}", f"Content-Length: {right + 1}"],
        [f"Content-Length: {right}", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, gzip"],
        [f"Content-Length: +{right}"],
        [f"Content-Length: {'9' * 30}x"],
        [],
        ["Content-Length: 0"],
    )
    lines = ["POST /v2/studies HTTP/1.1", "Host: localhost", f"Content-Type: {_MULTIPART}", *chance.choice(lengths)]
    return ("\r\n".join([*lines, "", ""]).encode() + body,)


def _chunked(chance: _Random, files: _Files) -> _Made:
    """Send the body in chunks, some of which are not what they say."""
    body = multipart([files[0]], boundary=_BOUNDARY)[0]
    pieces, at = [], 0
    while at < len(body):
        some = body[at : at + chance.choice((1, 7, 300, 65_536))] if at < 300 else body[at:]
        pieces.append(f"{len(some):x}".encode() + b"\r\n" + some + b"\r\n")
        at += len(some)
    pieces.append(b"0\r\n\r\n")
    is_wrong = chance.random() < 0.6
    if is_wrong:
        wrong = (
            b"zz\r\n",
            b"-1\r\n",
            b"ffffffffffffffff\r\n",
            b"5;" + b"x" * 5000 + b"\r\n",
            b"\r\n",
            b"7fffffff\r\n",
            b"",
        )
        pieces[chance.randrange(len(pieces))] = chance.choice(wrong)
    fields = ["POST /v2/studies HTTP/1.1", "Host: localhost", f"Content-Type: {_MULTIPART}"]
    raw = "\r\n".join([*fields, "Transfer-Encoding: chunked", "", ""]).encode() + b"".join(pieces)
    return (raw,) if is_wrong else raw


def _head(chance: _Random, files: _Files) -> _Made:
    """Damage the header of the request itself."""
    raw = _with_files(files[0])
    end = raw.index(b"\r\n\r\n")
    damaged = _flipped(chance, raw[:end], 0, end)
    return (chance.choice((damaged, damaged.replace(b"\r\n", b"\n"), damaged[: end // 2])) + raw[end:],)


_MAKERS: Sequence[tuple[str, float, Callable[[_Random, _Files], _Made]]] = (
    ("good", 4, _good),
    ("bits", 24, _bits),
    ("anywhere", 6, _anywhere),
    ("file cut", 5, _file_cut),
    ("pieces moved", 6, _pieces_moved),
    ("lengths", 14, _lengths),
    ("nested", 3, _nested),
    ("many elements", 2, _many_elements),
    ("swelling", 0.2, _swelling),
    ("deflated", 3, _deflated),
    ("deflate bomb", 0.3, _deflate_bomb),
    ("body cut", 4, _body_cut),
    ("boundaries", 5, _boundaries),
    ("line breaks", 3, _line_breaks),
    ("part headers", 4, _part_headers),
    ("part counts", 1, _part_counts),
    ("noise", 2, _noise),
    ("encoded", 3, _encoded),
    ("encoded bomb", 0.2, _encoded_bomb),
    ("JSON", 5, _json),
    ("XML", 3, _xml),
    ("content type", 3, _content_type),
    ("fields", 2, _fields),
    ("paths", 1, _paths),
    ("framing", 2, _framing),
    ("chunked", 3, _chunked),
    ("head", 2, _head),
)
"""What is made, how often, and how."""

_KINDS = [(name, make) for name, _, make in _MAKERS]
_WEIGHTS = [weight for _, weight, _ in _MAKERS]
