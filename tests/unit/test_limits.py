"""What a request may ask of the service (`shared/web/limits.py`, `shared/turns.py`)."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from starlette.requests import Request

from shared.errors import Busy, DicomwebError, HeaderTooLarge, InvalidRequest, TooManyRequests, UrlTooLong
from shared.settings import Settings
from shared.turns import LARGE_BYTES, Admission, Decoding, Turns, admit
from shared.web.limits import Budgets, check_frames, check_head, check_query

_SETTINGS = Settings(
    dicom_sql_url="sqlite:///x",
    dicom_storage_folder="x",
    max_url_characters=100,
    max_header_fields=3,
    max_header_bytes=50,
    max_query_parameters=3,
    max_include_fields=4,
    max_frames=3,
)


def request(path: str = "/v2", query: str = "", **headers: str) -> Request:
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": fields,
        }
    )


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (request("/" + 99 * "a"), None),
        (request("/" + 100 * "a"), UrlTooLong),
        (request("/" + 49 * "a", 49 * "b"), None),
        (request("/" + 49 * "a", 50 * "b"), UrlTooLong),
        (request(a="1", b="2", c="3"), None),
        (request(a="1", b="2", c="3", d="4"), HeaderTooLarge),
        (request(a=45 * "x"), None),
        (request(a=46 * "x"), HeaderTooLarge),
    ],
)
def test_head(sent: Request, error: type[DicomwebError] | None) -> None:
    """Path with query, fields and their bytes are refused above their limits, not at them."""
    if error is None:
        check_head(sent, _SETTINGS)
        return
    with pytest.raises(error):
        check_head(sent, _SETTINGS)


@pytest.mark.parametrize(
    ("query", "is_refused"),
    [
        ([("a", "")] * 3, False),
        ([("a", "")] * 4, True),
        ([("includefield", "a,b"), ("includefield", "c,d")], False),
        ([("includefield", "a,b"), ("includefield", "c,d,e")], True),
        ([("patientname", "a,b,c,d,e,f")], False),
    ],
)
def test_query(query: list[tuple[str, str]], is_refused: bool) -> None:
    """Parameters and attributes asked for are counted together, however they are spread."""
    if not is_refused:
        check_query(query, _SETTINGS)
        return
    with pytest.raises(InvalidRequest):
        check_query(query, _SETTINGS)


@pytest.mark.parametrize("frames", ["1,2,3,4", "1%2C2%2c3,4", ",,,"])
def test_frames(frames: str) -> None:
    """A list of too many frames is refused before anything is looked up."""
    check_frames("1,2,3", _SETTINGS)
    check_frames("", _SETTINGS)
    with pytest.raises(InvalidRequest):
        check_frames(frames, _SETTINGS)


def test_budget() -> None:
    """A caller may send a burst, then as many a second as the setting says, and is told when to come again."""
    now = [0.0]
    budgets = Budgets(2, 3, lambda: now[0])
    for _ in range(3):
        budgets.spend("ada")

    with pytest.raises(TooManyRequests) as refused:
        budgets.spend("ada")
    budgets.spend("bob")
    now[0] += 0.5
    budgets.spend("ada")
    with pytest.raises(TooManyRequests):
        budgets.spend("ada")
    now[0] += 100
    for _ in range(3):
        budgets.spend("ada")
    with pytest.raises(TooManyRequests):
        budgets.spend("ada")

    assert refused.value.retry_after_s == 1


def test_no_budget() -> None:
    """Without a number of requests a second nobody is refused."""
    budgets = Budgets(0, 1)
    for _ in range(100):
        budgets.spend("ada")


def test_budgets_are_bounded() -> None:
    """Callers whom nobody has heard of for long are forgotten: names alone fill no memory."""
    budgets = Budgets(1, 1)
    for number in range(20_000):
        budgets.spend(number)

    assert len(budgets._buckets) == 10_000


async def test_turns() -> None:
    """When so many wait already a request is told to come again; those that wait get their turn, in order."""
    turns, served = Turns(at_once=1, queue=2), list[int]()

    async def work(number: int) -> None:
        admit(Admission())
        async with turns:
            served.append(number)

    async with turns:
        waiting = [asyncio.create_task(work(number)) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await asyncio.create_task(work(2))
    await asyncio.gather(*waiting)

    assert served == [0, 1]
    await work(3)


async def test_turns_go_on() -> None:
    """Who has had a turn, and whose answer may be begun, is not sent away any more; nor is work of no request."""
    turns = Turns(at_once=1, queue=0)
    admit(one := Admission())
    async with turns:
        pass
    assert one.has_begun

    async with AsyncExitStack() as held:
        await held.enter_async_context(turns)
        later = asyncio.create_task(turns.__aenter__())
        admit(None)
        background = asyncio.create_task(turns.__aenter__())
        await asyncio.sleep(0)
        assert not later.done()
        assert not background.done()
    await later
    await turns.__aexit__(None, None, None)
    await background


async def test_turns_cancelled() -> None:
    """Who gives up waiting leaves a place for others."""
    turns = Turns(at_once=1, queue=1)
    admit(Admission())
    async with turns:
        admit(Admission())
        gone = asyncio.create_task(turns.__aenter__())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        waits = asyncio.create_task(turns.__aenter__())
        await asyncio.sleep(0)
        assert not waits.done()
    await waits


async def test_large_frames() -> None:
    """Of large frames one is decoded at a time, and small ones beside it."""
    decoding, begun = Decoding(at_once=2, queue=2), list[str]()
    may_end = asyncio.Event()

    async def decode(name: str, frame_bytes: int) -> None:
        async with decoding.turn(frame_bytes):
            begun.append(name)
            await may_end.wait()

    sizes = {"large": LARGE_BYTES + 1, "second large": LARGE_BYTES + 1, "small": LARGE_BYTES}
    tasks = [asyncio.create_task(decode(name, size)) for name, size in sizes.items()]
    await asyncio.sleep(0.01)
    assert begun == ["large", "small"]

    may_end.set()
    await asyncio.gather(*tasks)
    assert begun[2:] == ["second large"]
