"""The finished cells of an experiment in a file, a line of JSON each, safe on the disk line by line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mars_engine.core.errors import StoreError
from mars_engine.core.records import content_id
from mars_engine.core.whole_file import append_lines, whole_lines
from mars_engine.experiments.cells import CellKey, ExperimentCell


@dataclass(frozen=True, slots=True)
class CellJournal:
    """A CellStore in a file; its folder is made when it is needed.

    A last line that a kill tore is left out, and overwritten by the next cell. Several processes may append at once.
    """

    path: Path

    def load(self) -> list[ExperimentCell]:
        """All cells that are there whole; of two with one key the first.

        Raises:
            StoreError: the file cannot be read, or has a line that is no cell.
        """
        cells: dict[CellKey, ExperimentCell] = {}
        for number, line in enumerate(whole_lines(self.path), start=1):
            try:
                cell = _as_cell(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise StoreError(
                    f"line {number} of {self.path} is no cell of an experiment: {error}",
                    remedy="delete that line; its cell is then computed again",
                ) from error
            cells.setdefault(cell.key, cell)
        return list(cells.values())

    def append(self, cell: ExperimentCell) -> None:
        """Write a cell.

        Raises:
            StoreError: it cannot be written.
        """
        line = json.dumps(asdict(cell), separators=(",", ":")).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), fallback_to_soft=False):
                append_lines(self.path, line)
        except OSError as error:
            raise StoreError(
                f"a finished cell cannot be written to {self.path}: {error}",
                remedy="make room on the disk and run the same command again; the cells before are kept",
            ) from error


@dataclass(frozen=True, slots=True)
class DrawLocks:
    """Shares an experiment's draws out between processes, by a lock of the operating system's on a file for each.

    However the process that holds a lock ends, it holds it no more.
    """

    folder: Path

    @contextmanager
    def claim(self, name: str, wait: bool) -> Iterator[bool]:
        """Keep other processes of the experiment from a draw meanwhile; false where another has it and `wait` is false.

        Raises:
            StoreError: the lock cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f"{content_id(name)}.lock", fallback_to_soft=False)
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise StoreError(
                f"the lock of a draw cannot be made in {self.folder}: {error}",
                remedy="check its permissions and the space on its disk",
            ) from error
        try:
            yield True
        finally:
            lock.release()


def _as_cell(row: dict[str, Any]) -> ExperimentCell:
    lists = {name: tuple(row[name]) for name in ("prompts", "correct")}
    return ExperimentCell(**{**row, **lists, "key": CellKey(**row["key"])})
