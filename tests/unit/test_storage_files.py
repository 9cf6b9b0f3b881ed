"""How the system's errors are told, and folders made."""

import errno
from pathlib import Path

import pytest

from shared.errors import DicomwebError, NotFound, Unavailable
from shared.storage.files import Folders, NewFile, OpenFile, reading, remove, writing


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS, errno.EMFILE, errno.ELOOP])
def test_writing_fails(code: int) -> None:
    """Whatever stops a write is `Unavailable`, and the text does not tell the path."""
    with pytest.raises(Unavailable) as caught, writing():
        raise OSError(code, "reason", "/a/path")

    assert str(caught.value).startswith("The storage folder ")
    assert "/a/path" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "told"),
    [(errno.ENOENT, NotFound), (errno.ENOTDIR, NotFound), (errno.EACCES, Unavailable), (errno.EIO, Unavailable)],
)
def test_reading_fails(code: int, told: type[DicomwebError]) -> None:
    """What is not there is not found; whatever else stops a read is `Unavailable`."""
    with pytest.raises(told) as caught, reading():
        raise OSError(code, "reason", "/a/path")

    assert "/a/path" not in str(caught.value)


def test_full_disk() -> None:
    """The operator is told that the disk is full."""
    with pytest.raises(Unavailable, match="is full"), writing():
        raise OSError(errno.ENOSPC, "reason")


def test_new_file_abandoned(tmp_path: Path) -> None:
    """An abandoned file is gone, and one that it was to replace is as it was."""
    (tmp_path / "old").write_bytes(b"old")

    for name in ("new", "old"):
        file = NewFile(tmp_path / name)
        file.write(b"new")
        file.abandon()

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"old")]


def test_new_file_finished(tmp_path: Path) -> None:
    """A finished file stays, even if it is abandoned afterwards."""
    file = NewFile(tmp_path / "a")
    file.write(memoryview(b"bytes"))
    file.finish()

    file.abandon()

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"bytes")]


def test_file_cut(tmp_path: Path) -> None:
    """A file that was cut off while it was open is `Unavailable`; nothing short is taken for whole."""
    (tmp_path / "a").write_bytes(b"0123456789")
    file = OpenFile(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"012")

    with pytest.raises(Unavailable):
        file.read(0, 10)


def test_read_at_once(tmp_path: Path) -> None:
    """What was just written is in memory and is read at once; what is not, is not waited for."""
    (tmp_path / "a").write_bytes(b"0123456789" * 1000)
    file = OpenFile(tmp_path / "a")

    assert file.read_at_once(5, 10) == b"5678901234"
    assert file.read_at_once(5, 0) == b""
    assert file.read_at_once(10_000, 10) is None


def test_folders_made(tmp_path: Path) -> None:
    """Folders are made with all that lead there, also where some exist, and again when they are forgotten."""
    folders = Folders(tmp_path / "not" / "yet")
    (tmp_path / "not").mkdir()

    folders.make(tmp_path / "not" / "yet" / "a" / "b")

    assert (tmp_path / "not" / "yet" / "a" / "b").is_dir()
    (tmp_path / "not" / "yet" / "a" / "b").rmdir()
    folders.forget()
    folders.make(tmp_path / "not" / "yet" / "a" / "b")
    assert (tmp_path / "not" / "yet" / "a" / "b").is_dir()


def test_remove_missing(tmp_path: Path) -> None:
    """Removing what is not there is told."""
    with pytest.raises(NotFound):
        remove(tmp_path / "a")
