"""The same storage used raw, in a process of its own: what the hardware and Azurite can do at most in the same run.

A folder: write and sync files, read them back. Azurite: put and get blobs with the SDK. Neither checks, indexes nor
serves anything.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.instances import Template
from bench.names import Kind, names

_READ_BYTES = 2**20
_CONTAINER = "bench-raw"


@dataclass(frozen=True, slots=True)
class RawJob:
    """How many files to write and read, and where: a folder, or with a connection string the blob service."""

    concurrency: int
    files: int
    folder: str
    connection_string: str = ""
    kind: str = Kind.IMAGE.value


@dataclass(frozen=True, slots=True)
class RawRates:
    """Files a second."""

    write: float
    read: float


def measure(job: RawJob) -> RawRates:
    """Write, then read, the job's files."""
    header, pixels = Template(Kind(job.kind)).file(names(0, 0, 0, 1))
    content = header + bytes(pixels)
    if job.connection_string:
        return asyncio.run(_measure_blobs(job, content))
    return _measure_folder(job, content)


def _measure_folder(job: RawJob, content: bytes) -> RawRates:
    folder = Path(job.folder)
    folder.mkdir(parents=True)

    def write(number: int) -> None:
        with (folder / str(number)).open("wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())

    def read(number: int) -> None:
        buffer = bytearray(_READ_BYTES)
        with (folder / str(number)).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    # They stay until the benchmark ends: for minutes after files were removed, ext4 looks at the place of each of them
    # whenever a file is made, and the rows that follow would pay for it.
    with ThreadPoolExecutor(job.concurrency) as threads:
        return RawRates(*(_rate(threads, work, job.files) for work in (write, read)))


def _rate(threads: ThreadPoolExecutor, work: Callable[[int], None], files: int) -> float:
    began = time.perf_counter()
    for _ in threads.map(work, range(files)):
        pass
    return files / (time.perf_counter() - began)


async def _measure_blobs(job: RawJob, content: bytes) -> RawRates:
    async with _container(job.connection_string) as (put, get):

        async def write(number: int) -> None:
            await put(str(number), content)

        return RawRates(await _rate_of(write, job), await _rate_of(lambda number: get(str(number)), job))


async def _rate_of(work: Callable[[int], Awaitable[None]], job: RawJob) -> float:
    numbers = iter(range(job.files))

    async def some() -> None:
        for number in numbers:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(job.concurrency)))
    return job.files / (time.perf_counter() - began)


_Put = Callable[[str, bytes], Awaitable[None]]
_Get = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def _container(connection_string: str) -> AsyncIterator[tuple[_Put, _Get]]:
    """Give what puts and gets a blob of a container that is gone afterwards."""
    from azure.storage.blob.aio import BlobServiceClient

    async with BlobServiceClient.from_connection_string(connection_string) as service:
        container = service.get_container_client(_CONTAINER)

        async def put(name: str, content: bytes) -> None:
            await container.upload_blob(name, content, overwrite=True)

        async def get(name: str) -> None:
            async for _ in (await container.download_blob(name)).chunks():
                pass

        if not await container.exists():
            await container.create_container()
        try:
            yield put, get
        finally:
            await container.delete_container()


def _main() -> None:
    job = RawJob(**json.loads(sys.stdin.readline()))
    print(json.dumps(asdict(measure(job))), flush=True)


if __name__ == "__main__":
    _main()
