"""Files that appear when they are complete, or not at all."""

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mars_engine.core.errors import MarsError, WorkspaceError
from mars_engine.core.file_names import fault_of_name


@contextmanager
def completed_file(path: Path) -> Iterator[Path]:
    """Hand out a hidden path beside `path`, which takes its place once what was written there is safe on the disk."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def completed_text(path: Path, *, endings: Collection[str], overwrite: bool) -> Iterator[TextIO]:
    """Open a text file that a person named, which appears there when all was written; lines end as they are written.

    Raises:
        MarsError: its ending is none of `endings`, or it exists and is not to be overwritten.
        WorkspaceError: it cannot be written.
    """
    if path.suffix.lower() not in endings:
        raise MarsError(f"{path} has no ending that is known", expected=f"one of {', '.join(endings)}")
    if fault := fault_of_name(path):
        raise MarsError(fault, remedy="choose another name")
    try:
        if path.exists() and not overwrite:
            raise MarsError(f"{path} exists already", remedy="name another file, or ask to overwrite it")
        with completed_file(path) as part, part.open("x", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be written: {error}", remedy="check its folder and the space on the disk"
        ) from error
