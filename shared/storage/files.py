"""Files and folders of a local disk, synced, with the system's errors told as ours; threads to use them in."""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import ParamSpec, TypeAlias, TypeVar

from shared.errors import NotFound, Unavailable
from shared.model import Buffer
from shared.threads import result_of

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC

_ASKS_MEMORY = hasattr(os, "RWF_NOWAIT")  # Linux

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_REASONS = {
    errno.EACCES: "may not be used by this process",
    errno.EDQUOT: "is over its quota",
    errno.EIO: "has a fault",
    errno.EMFILE: "has too many open files",
    errno.ENFILE: "has too many open files",
    errno.ENOSPC: "is full",
    errno.EPERM: "may not be used by this process",
    errno.EROFS: "is read-only",
}

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


Found: TypeAlias = tuple[str, int, datetime]
"""A file below a folder: its name there, its length in bytes, and when it was written."""


class Workers:
    """A bounded number of threads, started when first needed."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[_Given, _Result], /, *args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        """Return what *work* returns; work that has begun is done even if the caller is cancelled."""
        return await result_of(self._pool.submit(work, *args, **kwargs))

    def close(self) -> None:
        """End the threads; what was submitted is still done."""
        self._pool.shutdown(wait=False)


class Folders:
    """Makes folders at and below *root* so that they outlast a power failure."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: set[Path] = set()

    def make(self, folder: Path) -> None:
        """Return when *folder* exists and its entry is on the disk, whoever made it."""
        if folder in self._durable:
            return
        is_above = folder == self._root or folder in self._root.parents
        if is_above and folder.is_dir():
            # Whoever made it may not have waited for the disk; one that may not be opened here is older than we are.
            with suppress(Unavailable):
                sync_folder(folder.parent)
        else:
            self.make(folder.parent)
            with writing():
                folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)
        self._durable.add(folder)

    def forget(self) -> None:
        """Take nothing for granted: a folder has been removed."""
        self._durable.clear()


class NewFile:
    """A file being written; its name is taken at once, or, if a file has it already, when it is complete.

    Parameters
    ----------
    path
        Where it will be.

    Raises
    ------
    FileNotFoundError
        Its folder does not exist.
    Unavailable
        It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()  # a cancelled caller abandons it while a thread still writes
        self._at = path
        self._descriptor = -1
        with writing(but=FileNotFoundError):
            try:
                self._descriptor = os.open(path, _CREATE, 0o666)
            except FileExistsError:
                self._at = path.with_name(f".{path.name[:128]}.{secrets.token_hex(8)}")
                self._descriptor = os.open(self._at, _CREATE, 0o666)

    def write(self, content: Buffer) -> None:
        """Append *content*."""
        rest = memoryview(content).cast("B")
        with self._lock, writing():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def finish(self) -> None:
        """Return when the bytes are on the disk and the file has its name; `sync_folder` is left to the caller."""
        with self._lock, writing():
            os.fsync(self._descriptor)
            if self._at != self.path:
                self._at.replace(self.path)
            self._close()

    def abandon(self) -> None:
        """Remove it unless it is finished."""
        with self._lock:
            if self._descriptor >= 0:
                self._close()
                with suppress(OSError):
                    self._at.unlink()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            self._close()


class OpenFile:
    """A file that is read; closed when no one refers to it, so never under a thread that still reads.

    Raises
    ------
    NotFound
        There is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        with reading():
            self._descriptor = os.open(path, _READ)
            status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotFound("Nothing is stored under this name.")
        self.length = status.st_size

    def read(self, start: int, length: int) -> bytes:
        """Return exactly *length* bytes from *start*, which lie within the file."""
        with reading():
            content = os.pread(self._descriptor, length, start)
        if len(content) < length:
            raise Unavailable("A stored file has become shorter than it was.")
        return content

    def read_at_once(self, start: int, length: int) -> bytes | None:
        """Return what `read` does, or None where the disk would have to be waited for.

        The last byte is asked for: whoever has it in memory has what is before it, but for the rarest case.
        """
        if not _ASKS_MEMORY:
            return None
        try:
            if length and not os.preadv(self._descriptor, [bytearray(1)], start + length - 1, os.RWF_NOWAIT):
                return None
        except OSError:  # not in memory, or a file system that does not say
            return None
        return self.read(start, length)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def walk(root: Path, prefix: str, after: str, is_name: Callable[[str], bool]) -> Iterator[Found]:
    """Yield the files below *root* whose names begin with *prefix* and sort behind *after*, by name.

    *is_name* tells whether a file can be called this; others, and folders that could hold none, are passed over.
    """
    folder, _, _ = prefix.rpartition("/")
    if not folder or is_name(folder):
        yield from _walk(root, f"{folder}/" if folder else "", (prefix, after), is_name)


def _walk(root: Path, folder: str, bounds: tuple[str, str], is_name: Callable[[str], bool]) -> Iterator[Found]:
    prefix, after = bounds
    try:
        with reading(), os.scandir(root / folder) as entries:
            # A folder sorts where the names of what is in it do.
            names = sorted(folder + one.name + "/" * one.is_dir() for one in entries if is_name(folder + one.name))
    except NotFound:
        return
    for name in names:
        if name.endswith("/"):
            if (name.startswith(prefix) or prefix.startswith(name)) and (name > after or after.startswith(name)):
                yield from _walk(root, name, bounds, is_name)
        elif name.startswith(prefix) and name > after:
            with suppress(NotFound):  # it may be gone by now
                yield name, *_length_and_time(root / name)


def _length_and_time(path: Path) -> tuple[int, datetime]:
    with reading():
        status = path.stat()
    return status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)


def sync_folder(folder: Path) -> None:
    """Return when the entries of *folder* are on the disk."""
    with writing():
        descriptor = os.open(folder, _READ)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Write a whole file and sync it; readers see the old or the new one. Its folder must be `locked`."""
    new = path.with_name(f".{path.name}.new")
    with writing():
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file; `sync_folder` is left to the caller.

    Raises
    ------
    NotFound
        There is no such file.
    """
    with reading():
        path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep out everyone else, in this process and others, who locks *folder*; `NotFound` if it does not exist."""
    with reading():
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with writing():
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def reading() -> Iterator[None]:
    """Tell the system's errors as ours; what is not there is `NotFound`."""
    try:
        yield
    except OSError as error:
        if error.errno in _ABSENT:
            raise NotFound("Nothing is stored under this name.") from error
        raise _unavailable(error) from error


@contextmanager
def writing(*, but: type[OSError] | tuple[()] = ()) -> Iterator[None]:
    """Tell the system's errors as `Unavailable`, *but* the ones that the caller handles."""
    try:
        yield
    except but:
        raise
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> Unavailable:
    code = error.errno or 0
    reason = _REASONS.get(code) or f"cannot be used ({errno.errorcode.get(code, 'no code')})"
    return Unavailable(f"The storage folder {reason}.")
