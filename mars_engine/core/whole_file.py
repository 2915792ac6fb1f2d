"""Files and folders that appear when they are complete, or not at all, and that stay when the machine loses power."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

from mars_engine.core.errors import MarsError, StoreError, WorkspaceError
from mars_engine.core.file_names import fault_of_name


@contextmanager
def completed_file(path: Path) -> Iterator[Path]:
    """Hand out a hidden path beside `path`; the file that is written there replaces the one at `path`.

    Until then the earlier file stays as it was, however the writer ends. The new one keeps its permissions.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
        if path.exists():
            shutil.copymode(path, part)
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def put_in_place(unfinished: Path, target: Path) -> None:
    """Give a file or a folder its name, once all of it is safe on the disk; on return the name is safe too.

    Raises:
        OSError: the disk is full, or a folder that is not empty has the name.
    """
    for path in [*unfinished.rglob("*"), unfinished]:
        _sync(path)
    unfinished.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):  # some file systems sync no folder
            raise
    finally:
        os.close(number)


def validate_new_file(path: Path, *, endings: Collection[str], overwrite: bool) -> None:
    """Refuse a text file's name before the work that fills it.

    Raises:
        MarsError: its ending is none of `endings`, or it exists and is not to be overwritten.
        WorkspaceError: its folder cannot be read.
    """
    if path.suffix.lower() not in endings:
        raise MarsError(f"{path} has no ending that is known", expected=f"one of {', '.join(endings)}")
    if fault := fault_of_name(path):
        raise MarsError(fault, remedy="choose another name")
    try:
        if path.exists() and not overwrite:
            raise MarsError(f"{path} exists already", remedy="name another file, or ask to overwrite it")
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def completed_text(path: Path, *, endings: Collection[str], overwrite: bool) -> Iterator[TextIO]:
    """Open a text file that a person named, which appears there when all was written; lines end as they are written.

    Raises:
        MarsError: its ending is none of `endings`, or it exists and is not to be overwritten.
        WorkspaceError: it cannot be written.
    """
    validate_new_file(path, endings=endings, overwrite=overwrite)
    try:
        with completed_file(path) as part, part.open("x", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(f"{path} cannot be written: {error}", remedy="check its folder and the space on the disk")


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that only grows, without a last one that a kill tore; none where there is no file.

    Raises:
        StoreError: it cannot be read.
    """
    content = _grown(path)
    return content[: _whole_bytes(content)].splitlines()


def append_lines(path: Path, lines: bytes) -> None:
    """Write whole lines in the place of a torn last one; when this returns, a kill does not lose them.

    The folder is made where it is not there.

    Raises:
        StoreError: what is there cannot be read.
        OSError: the lines cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.truncate(_whole_bytes(_grown(path)))
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def _whole_bytes(content: bytes) -> int:
    return content.rfind(b"\n") + 1


def _grown(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}", remedy="check its permissions") from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file; one of gigabytes that has not changed is read once a process."""
    found = path.stat()
    return _sha256_of(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@cache
def _sha256_of(path: Path, *_as_it_was: int) -> str:
    return read_sha256(path)


def read_sha256(path: Path) -> str:
    """Read a file now, whatever was read of it before, and return its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
