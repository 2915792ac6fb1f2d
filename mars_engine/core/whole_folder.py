"""Writing a folder whole or not at all: what is there under its name is complete, whenever the writer was killed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mars_engine.core.errors import ModelError
from mars_engine.core.whole_file import completed_file, put_in_place


def write_whole_folder(target: Path, write: Callable[[Path], None], *, is_whole: Callable[[Path], bool]) -> None:
    """Write a folder's files beside it and rename them into place.

    A whole folder that is there already is left as it is, a damaged one replaced. What others saved is not touched.

    Args:
        target: the folder.
        write: writes the files into a folder that it is given.
        is_whole: tells whether a folder that is there is complete.

    Raises:
        ModelError: the files cannot be written, for example because the disk is full; nothing of them is left.
    """
    if target.is_dir() and not is_whole(target):
        shutil.rmtree(target)
    if target.is_dir():
        return
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with plain_write_errors(target):
            write(unfinished)
        put_in_place(unfinished, target)
    except OSError as error:
        if not target.is_dir():  # else another process put the same there first
            raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file into a folder that is there, in the place of an earlier one.

    Raises:
        ModelError: it cannot be written, for example because the disk is full; an earlier one stays as it was.
    """
    try:
        with completed_file(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error


WRITER_WORDS = ("PytorchStreamWriter", "inline_container", "iostream error")
"""What torch's own errors of a file that cannot be written have in them; none says that the disk is full."""

FULL = 1_000_000
"""Bytes: with less than this free, what torch could not write is put down to that."""


class plain_write_errors:  # noqa: N801 - a context manager that reads as a clause
    """Turn what safetensors and torch raise when a file cannot be written into a ModelError that says so."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        from safetensors import SafetensorError

        # torch raises a RuntimeError of its writer, safetensors an error of its own, the rest an OSError
        is_torch = isinstance(error, RuntimeError) and any(words in str(error) for words in WRITER_WORDS)
        if isinstance(error, (OSError, SafetensorError)) or is_torch:
            raise cannot_write(self._target, error) from error


def cannot_write(target: Path, error: BaseException | None) -> ModelError:
    """Return the error that says why a folder cannot be written, and how much space its disk has."""
    parent = next(folder for folder in target.parents if folder.is_dir())
    free = shutil.disk_usage(parent).free
    reason = "no space left on its disk" if isinstance(error, RuntimeError) and free < FULL else str(error)
    return ModelError(
        f"{target} cannot be written: {reason} ({free / 1e6:,.0f} MB free on its disk)",
        remedy="make room on the disk and run the same command again; what was saved before is whole, and it goes on "
        "from there",
    )
