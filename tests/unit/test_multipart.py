"""multipart/related, both ways (`shared/web/multipart.py`)."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from email import message_from_bytes, policy
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.model import ByteStream
from shared.web.multipart import MAX_PART_HEADER_BYTES, new_boundary, read_parts, write_parts
from tests.factories import multipart

_DICOM = {"content-type": "application/dicom"}

CASES: dict[str, tuple[bytes, list[tuple[dict[str, str], bytes]]]] = {
    "one part": (b"--b\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--b--\r\n", [(_DICOM, b"abc")]),
    "two parts": (b"--b\r\nA: 1\r\n\r\nx\r\n--b\r\nA: 2\r\n\r\ny\r\n--b--", [({"a": "1"}, b"x"), ({"a": "2"}, b"y")]),
    "no parts": (b"--b--\r\n", []),
    "no parts, after a line break": (b"\r\n--b--\r\n", []),
    "preamble": (b"not DICOM\r\nnor a --b\r\n--b\r\n\r\nx\r\n--b--", [({}, b"x")]),
    "epilogue": (b"--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\ny\r\n--b--\r\n", [({}, b"x")]),
    "padding after boundaries": (b"--b \t\r\nA: 1\r\n\r\nx\r\n--b-- \r\n", [({"a": "1"}, b"x")]),
    "empty part": (b"--b\r\nA: 1\r\n\r\n\r\n--b\r\n\r\n\r\n--b--", [({"a": "1"}, b""), ({}, b"")]),
    "header only": (b"--b\r\nA: 1\r\n\r\n--b\r\n\r\nx\r\n--b--", [({"a": "1"}, b""), ({}, b"x")]),
    "neither header nor content": (b"--b\r\n\r\n--b\r\n\r\n--b--", [({}, b""), ({}, b"")]),
    "content of line breaks": (b"--b\r\n\r\n\r\n\r\n\r\n--b--", [({}, b"\r\n\r\n")]),
    "content ends as a boundary begins": (b"--b\r\n\r\nx\r\n--\r\n--b--", [({}, b"x\r\n--")]),
    "content is almost a boundary": (
        b"--b\r\n\r\n\r\n-b\r--b\n--b--b\r\n--\r\n--a\r\r\n--b--",
        [({}, b"\r\n-b\r--b\n--b--b\r\n--\r\n--a\r")],
    ),
    "content begins with the boundary's line": (b"--b\r\n\r\n --b\r\n--b--", [({}, b" --b")]),
    "header with a folded field": (
        b'--b\r\nContent-Type: application/dicom;\r\n\ttransfer-syntax="1.2"\r\n\r\n\r\n--b--',
        [({"content-type": 'application/dicom; transfer-syntax="1.2"'}, b"")],
    ),
    "header with odd blanks and letters": (
        b"--b\r\ncOnTent-ID :  <1>  \r\n\r\n\r\n--b--",
        [({"content-id": "<1>"}, b"")],
    ),
    "all bytes": (b"--b\r\n\r\n" + bytes(range(256)) + b"\r\n--b--", [({}, bytes(range(256)))]),
}


async def chunks_of(body: bytes, cuts: Iterable[int]) -> AsyncIterator[bytes]:
    for start, end in pairwise([0, *cuts, len(body)]):
        yield body[start:end]


async def read(body: bytes, cuts: Iterable[int] = (), boundary: str = "b") -> list[tuple[dict[str, str], bytes]]:
    """Read a body that arrives cut at the given positions."""
    return [
        (part.headers, b"".join([bytes(chunk) async for chunk in part.chunks]))
        async for part in read_parts(chunks_of(body, cuts), boundary)
    ]


LF_CASES: dict[str, tuple[bytes, list[tuple[dict[str, str], bytes]]]] = {
    "one part": (b"--b\nA: 1\n\nabc\n--b--\n", [({"a": "1"}, b"abc")]),
    "no epilogue": (b"--b\nA: 1\n\nabc\n--b--", [({"a": "1"}, b"abc")]),
    "preamble and epilogue": (b"see\r\nbelow\n--b\n\nx\n--b--\nthe end\r\n", [({}, b"x")]),
    "two parts": (b"--b\nA: 1\n\nx\n--b \t\nA: 2\n\ny\n--b--\n", [({"a": "1"}, b"x"), ({"a": "2"}, b"y")]),
    "neither header nor content": (b"--b\n\n--b\n\n--b--", [({}, b""), ({}, b"")]),
    "empty part": (b"--b\nA: 1\n\n\n--b--", [({"a": "1"}, b"")]),
    "folded header": (b"--b\nA: 1\n  2\n\nx\n--b--", [({"a": "1 2"}, b"x")]),
    "content ends with CR": (b"--b\n\nx\r\n--b--\n", [({}, b"x\r")]),
    "content has CRLF": (b"--b\n\n\r\n\r\nx\r\n--\n-b\n--b--\n", [({}, b"\r\n\r\nx\r\n--\n-b")]),
}
"""Bodies of clients that end lines with LF alone."""

CASES |= {f"LF: {name}": case for name, case in LF_CASES.items()} | {
    "content has the boundary behind LF": (b"--b\r\n\r\nx\n--b\ny\n--b--\n\r\n--b--", [({}, b"x\n--b\ny\n--b--\n")]),
    "preamble ends with LF": (b"text\n--b\r\n\r\nx\n--b--\r\n--b--", [({}, b"x\n--b--")]),
    "blanks before the first line's end": (b"--b  \r\n\r\nx\r\n--b\t\r\n\r\n\r\n--b--", [({}, b"x"), ({}, b"")]),
}

MIXED = {
    "header": b"--b\nA: 1\r\n\r\nx\n\ny\n--b--\n",
    "header, no blank line": b"--b\nA: 1\r\n\nx\n--b--\n",
    "boundary": b"--b\n\nx\r\n--b\r\n\r\ny\n\n\r\n--b--\n",
    "closing boundary": b"--b\n\nx\r\n--b--\r\n",
    "closing boundary with blanks": b"--b\n\nx\r\n--b-- \t\r\n",
    "LF in a header": b"--b\r\nA: 1\n\nx\r\n\r\ny\r\n--b--\r\n",
    "LF behind a boundary": b"--b\r\n\r\nx\r\n--b\n\ny\r\n\r\n\r\n--b--\r\n",
}
"""Bodies in which it is a guess where a file begins or ends."""


@pytest.mark.parametrize("body", MIXED.values(), ids=MIXED.keys())
async def test_mixed_line_ends(body: bytes) -> None:
    """A body whose lines end partly with CRLF and partly with LF is refused: a byte of a file might get lost."""
    for size in (1, len(body)):
        with pytest.raises(InvalidRequest, match="CRLF"):
            await read(body, range(size, len(body), size))


@given(st.data())
async def test_cut_in_many_pieces(data: st.DataObject) -> None:
    """A body has the same parts in whatever pieces it arrives."""
    body, parts = data.draw(st.sampled_from(list(CASES.values())))
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=20).map(sorted))

    assert await read(body, cuts) == parts


@given(
    st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b", b"b", b"\n--", b"x"])).map(b"".join), max_size=4),
    st.integers(1, 7),
)
async def test_any_content_with_lf(contents: list[bytes], size: int) -> None:
    """Where lines end with LF, contents come back byte for byte unless they hold the boundary behind an LF."""
    contents = [content for content in contents if b"\n--bb" not in b"\n" + content]
    body = b"".join([*(b"--bb\n\n" + content + b"\n" for content in contents), b"--bb--\n"])

    assert await read(body, range(size, len(body), size), "bb") == [({}, content) for content in contents]


@pytest.mark.parametrize(("body", "parts"), CASES.values(), ids=CASES.keys())
async def test_chunks_of_one_size(body: bytes, parts: list[tuple[dict[str, str], bytes]]) -> None:
    """A body has the same parts whatever the size of the pieces that it arrives in."""
    for size in range(1, len(body) + 1):
        assert await read(body, range(size, len(body), size)) == parts


@pytest.mark.parametrize(("body", "parts"), CASES.values(), ids=CASES.keys())
async def test_cut_anywhere(body: bytes, parts: list[tuple[dict[str, str], bytes]]) -> None:
    """A body has the same parts wherever it is cut in two; an empty piece, as here at both ends, tells nothing."""
    for cut in range(len(body) + 1):
        assert await read(body, [0, cut, cut, len(body)]) == parts


@pytest.mark.parametrize(("body", "parts"), CASES.values(), ids=CASES.keys())
async def test_body_ends_early(body: bytes, parts: list[tuple[dict[str, str], bytes]]) -> None:
    """A body that ends anywhere before its closing boundary is refused, however many parts came whole."""
    line_end = b"\n" if (body, parts) in LF_CASES.values() else b"\r\n"
    closing = (line_end + body).index(line_end + b"--b--") + len(b"--b--")
    for end in range(closing):
        with pytest.raises(InvalidRequest, match="ends"):
            await read(body[:end])
    await read(body[:closing])


@pytest.mark.parametrize("body", [b"", b"DICM", b"--B--", b"--a--", b"x--b--", b"\r--b--"], ids=repr)
async def test_no_boundary(body: bytes) -> None:
    """A body without a boundary at the beginning of a line is not multipart."""
    with pytest.raises(InvalidRequest, match="before its closing boundary"):
        await read(body)


@pytest.mark.parametrize(
    "body", [b"--bc\r\n\r\nx\r\n--b--", b"--b\r\n\r\nx\r\n--bc\r\n--b--", b"--b-\r\n\r\n\r\n--b--"]
)
async def test_text_after_boundary(body: bytes) -> None:
    """A line that begins with the boundary and goes on is refused: it may be the boundary of another message."""
    with pytest.raises(InvalidRequest, match="other text"):
        await read(body + b"\r\n\r\n")


@pytest.mark.parametrize("lines", [b"Content-Type", b"A: 1\r\nnothing", b"--b"])
async def test_header_line_without_colon(lines: bytes) -> None:
    """A header line that is no field is refused, so that a boundary in a header never makes a part disappear."""
    with pytest.raises(InvalidRequest, match="header of part 1"):
        await read(b"--b\r\n" + lines + b"\r\n\r\nx\r\n--b--")


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(("length", "is_allowed"), [(MAX_PART_HEADER_BYTES, True), (MAX_PART_HEADER_BYTES + 1, False)])
async def test_header_limit(length: int, is_allowed: bool, size: int) -> None:
    """A part's header has a limit, to the byte, whatever the size of the pieces that it arrives in."""
    start = b"\r\nA: "
    body = b"--b" + start + b"x" * (length - len(start)) + b"\r\n\r\ncontent\r\n--b--"

    if is_allowed:
        assert [content for _, content in await read(body, range(size, len(body), size))] == [b"content"]
    else:
        with pytest.raises(InvalidRequest, match=f"part 1 is over {MAX_PART_HEADER_BYTES}"):
            await read(body, range(size, len(body), size))


async def test_endless_header() -> None:
    """A header that never ends is refused after the limit, not when the body ends."""
    given_out = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given_out
        yield b"--b\r\nA: "
        while True:
            given_out += 1024
            yield b"x" * 1024

    with pytest.raises(InvalidRequest):
        [part async for part in read_parts(body(), "b")]

    assert given_out <= MAX_PART_HEADER_BYTES + 2048


async def test_content_streams() -> None:
    """A part's content is given out as it arrives: nothing of it is held back but what may begin a boundary."""
    arrived = given_out = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal arrived
        yield b"--b\r\n\r\n"
        for _ in range(1000):
            assert arrived - given_out < len(b"\r\n--b")
            arrived += 1000
            yield b"\r\n" + b"-" * 998
        yield b"\r\n--b--"

    async for part in read_parts(body(), "b"):
        async for chunk in part.chunks:
            given_out += len(chunk)

    assert given_out == 1_000_000


async def test_large_chunk_is_not_copied() -> None:
    """What lies within one piece of the body is given out as a view of it."""
    piece = bytes(1_000_000)

    async def body() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\nstart"
        yield piece
        yield b"\r\n--b--"

    async for part in read_parts(body(), "b"):
        views = [chunk async for chunk in part.chunks]

    assert any(isinstance(view, memoryview) and view.obj is piece for view in views)


async def test_part_left_unread() -> None:
    """A part that nobody reads, or reads in part, is passed over."""
    body = b"--b\r\n\r\nfirst\r\n--b\r\n\r\nsecond\r\n--b\r\n\r\nthird\r\n--b--"
    found = []

    async for part in read_parts(chunks_of(body, range(2, len(body), 2)), "b"):
        async for chunk in part.chunks:
            found.append(bytes(chunk))
            break

    assert len(found) == 3
    assert b"third".startswith(found[2])


async def test_epilogue_is_read() -> None:
    """The body is read to its end, so that the client can finish sending before it gets its answer."""
    pieces = iter([b"--b--", b"\r\n", b"epilogue", b"more"])

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    assert [part async for part in read_parts(body(), "b")] == []
    assert list(pieces) == []


async def test_error_of_body() -> None:
    """What goes wrong while the body arrives is not taken for its end."""

    async def body() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\nx"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        [chunk async for part in read_parts(body(), "b") async for chunk in part.chunks]


@given(
    st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b", b"b", b"\r\n--", b"x"])).map(b"".join), max_size=4),
    st.integers(1, 7),
)
async def test_any_content(contents: list[bytes], size: int) -> None:
    """Contents come back byte for byte unless they hold the boundary at the beginning of a line."""
    boundary = "bb"
    contents = [content for content in contents if b"\r\n--bb" not in b"\r\n" + content]
    body, _ = multipart(contents, boundary=boundary)

    parts = await read(body, range(size, len(body), size), boundary)

    assert parts == [(_DICOM, content) for content in contents]


async def _written(contents: list[list[bytes]], boundary: str) -> bytes:
    async def pieces(content: list[bytes]) -> ByteStream:
        for piece in content:
            yield piece

    async def parts() -> AsyncGenerator[tuple[str, ByteStream], None]:
        for number, content in enumerate(contents):
            yield f"Content-Type: application/dicom\r\nContent-Location: /{number}", pieces(content)

    return b"".join([piece async for piece in write_parts(parts(), boundary)])


WRITTEN = [
    [],
    [[b"abc"]],
    [[b""], [], [b"a", b"b"]],
    [[b"\r\n"], [b"\r\n--"], [bytes(range(256)), bytes(range(256))]],
]


@pytest.mark.parametrize("contents", WRITTEN, ids=["none", "one", "empty", "several"])
async def test_written_read_by_us(contents: list[list[bytes]]) -> None:
    """What is written is read back: each part's header fields and its content."""
    boundary = new_boundary()

    parts = await read(await _written(contents, boundary), boundary=boundary)

    assert parts == [
        (_DICOM | {"content-location": f"/{number}"}, b"".join(content)) for number, content in enumerate(contents)
    ]


@pytest.mark.parametrize("contents", WRITTEN[1:], ids=["one", "empty", "several"])
async def test_written_read_by_others(contents: list[list[bytes]]) -> None:
    """An independent reader, that of the standard library, finds the same parts."""
    boundary = new_boundary()
    head = f'Content-Type: multipart/related; type="application/dicom"; boundary={boundary}\r\n\r\n'.encode()

    message = message_from_bytes(head + await _written(contents, boundary), policy=policy.HTTP)

    parts = list(message.iter_parts())
    assert [part["content-location"] for part in parts] == [f"/{number}" for number in range(len(contents))]
    assert [part.get_payload(decode=True) for part in parts] == [b"".join(content) for content in contents]
    assert message.defects == []


async def test_written_begins_with_boundary() -> None:
    """A body with parts has no preamble, and a part's header begins with `Content-Type:` (clients.md)."""
    assert (await _written([[b"x"]], "b")).startswith(b"--b\r\nContent-Type: ")


def test_new_boundary() -> None:
    """Boundaries differ, and are tokens that need no quotes (RFC 2046 §5.1.1)."""
    boundaries = {new_boundary() for _ in range(100)}

    assert len(boundaries) == 100
    assert all(boundary.isalnum() and len(boundary) <= 70 for boundary in boundaries)
