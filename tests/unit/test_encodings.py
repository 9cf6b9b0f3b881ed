"""`Content-Encoding` of requests (`shared/web/encodings.py`; RFC 9110 §8.4)."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from shared.web.encodings import decoded

CONTENT = b"".join(sha256(bytes([n])).digest() for n in range(200)) + bytes(900_000) + b"DICM" * 1000


def raw_deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


ENCODED: dict[str, tuple[list[str], bytes]] = {
    "gzip": (["gzip"], gzip.compress(CONTENT)),
    "x-gzip": (["X-GZip"], gzip.compress(CONTENT)),
    "gzip of members": (["gzip"], gzip.compress(CONTENT[:9]) + gzip.compress(b"") + gzip.compress(CONTENT[9:])),
    "deflate": (["deflate"], zlib.compress(CONTENT)),
    "deflate without zlib": (["deflate"], raw_deflate(CONTENT)),
    "twice gzip": (["gzip, gzip"], gzip.compress(gzip.compress(CONTENT))),
    "two in order": (["deflate,gzip"], gzip.compress(zlib.compress(CONTENT))),
    "two header fields": (["deflate", "gzip"], gzip.compress(zlib.compress(CONTENT))),
    "identity between": (["gzip, identity", "", "identity"], gzip.compress(CONTENT)),
}


async def read(body: bytes, codings: list[str], cuts: Iterable[int] = (), limit: int = 10**6) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for start, end in pairwise([0, *cuts, len(body)]):
            yield body[start:end]

    return b"".join([piece async for piece in decoded(chunks(), codings, limit)])


@pytest.mark.parametrize("size", [7, 10**6])
@pytest.mark.parametrize(("codings", "body"), ENCODED.values(), ids=ENCODED.keys())
async def test_decoded(codings: list[str], body: bytes, size: int) -> None:
    """Codings are undone, the last one first; names ignore case and may come in one header field or in several."""
    assert await read(body, codings, range(size, len(body), size)) == CONTENT


@given(st.sampled_from(sorted(ENCODED)), st.lists(st.floats(0, 1)))
async def test_cut_anywhere(name: str, cuts: list[float]) -> None:
    """A body inflates to the same bytes in whatever pieces it arrives."""
    codings, body = ENCODED[name]

    assert await read(body, codings, sorted(int(cut * len(body)) for cut in cuts)) == CONTENT


@pytest.mark.parametrize("codings", [[], [""], ["identity"], ["Identity , ", ""]], ids=repr)
async def test_identity(codings: list[str]) -> None:
    """A body that is sent as it is passes untouched."""
    assert await read(b"gzip?", codings) == b"gzip?"


@pytest.mark.parametrize("codings", [["br"], ["zstd"], ["compress"], ["gzip, x"], ["gzip", "gzip", "gzip"]], ids=repr)
def test_unsupported(codings: list[str]) -> None:
    """Another coding, and more than two, are 415, before anything is read."""

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    with pytest.raises(UnsupportedMediaType):
        decoded(never(), codings, 10)


@pytest.mark.parametrize(("codings", "body"), ENCODED.values(), ids=ENCODED.keys())
async def test_truncated(codings: list[str], body: bytes) -> None:
    """A body that ends within its compressed data is refused, wherever; so is an empty one."""
    for end in [*range(12), len(body) // 2, len(body) - 5, len(body) - 1]:
        with pytest.raises(InvalidRequest):
            await read(body[:end], codings)


@pytest.mark.parametrize("name", sorted(set(ENCODED) - {"deflate without zlib"}))
async def test_damaged(name: str) -> None:
    """Flipped bits are found by the checksums of the formats; bare deflate data has none."""
    codings, body = ENCODED[name]
    for at in (0, len(body) // 2, len(body) - 6):
        with pytest.raises(InvalidRequest):
            await read(body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :], codings)


@pytest.mark.parametrize(("codings", "body"), ENCODED.values(), ids=ENCODED.keys())
@pytest.mark.parametrize("more", [b"\0", b"more", b"\x1f\x8b"], ids=repr)
async def test_text_behind(codings: list[str], body: bytes, more: bytes) -> None:
    """What follows the end of the compressed data, in the same piece or the next, is refused."""
    for cut in ([], [len(body)]):
        with pytest.raises(InvalidRequest):
            await read(body + more, codings, cut)


@pytest.mark.parametrize(("codings", "body"), ENCODED.values(), ids=ENCODED.keys())
async def test_limit(codings: list[str], body: bytes) -> None:
    """A body may inflate up to the limit, to the byte."""
    assert len(await read(body, codings, limit=len(CONTENT))) == len(CONTENT)
    with pytest.raises(PayloadTooLarge, match=str(len(CONTENT) - 1)):
        await read(body, codings, limit=len(CONTENT) - 1)


async def test_bomb() -> None:
    """A small body that inflates to much takes little memory, in one coding or in two."""
    inner = gzip.compress(bytes(30_000_000))
    for codings, body in ((["gzip"], inner), (["gzip, gzip"], gzip.compress(inner))):
        tracemalloc.start()
        with pytest.raises(PayloadTooLarge):
            await _pass(body, codings, 20_000_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * 2**20


async def _pass(body: bytes, codings: list[str], limit: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async for _ in decoded(chunks(), codings, limit):
        pass


async def test_event_loop_stays_free() -> None:
    """While one piece inflates to much, others have their turn: only the first step does not wait for a thread."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def chunks() -> AsyncIterator[bytes]:
        yield gzip.compress(bytes(20 * 256 * 1024))

    task = asyncio.create_task(others())
    lengths = [len(piece) async for piece in decoded(chunks(), ["gzip"], 10**7)]
    task.cancel()

    assert lengths == 20 * [256 * 1024]
    assert turns >= len(lengths) - 1
