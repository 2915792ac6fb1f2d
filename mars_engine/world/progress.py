"""Three ways to show progress: bars on a terminal, plain lines elsewhere, or nothing."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from mars_engine.words.protocols import Progress

SECONDS_BETWEEN_LINES = 5.0


class SilentTask:
    def advance(self, steps: int = 1) -> None:
        """Show nothing."""


class SilentProgress:
    """Shows nothing: for libraries and tests."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[SilentTask]:  # noqa: ARG002
        yield SilentTask()


class PlainTask:
    def __init__(self, name: str, total: int, stream: TextIO) -> None:
        self._name, self._total, self._stream = name, total, stream
        self._done = 0
        self._started = self._last_line = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            rate = self._done / (now - self._started)
            left = f", {max(0.0, self._total - self._done) / rate:.0f} s left" if self._total and rate else ""
            of = f" of {self._total:,}" if self._total else ""
            print(f"{self._name}: {self._done:,}{of} ({rate:,.0f}/s{left})", file=self._stream, flush=True)


class PlainProgress:
    """Prints a line every five seconds of a task; nothing for what is quicker."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[PlainTask]:
        yield PlainTask(name, total, self._stream)


class TerminalTask:
    def __init__(self, bars: Any, bar_id: int) -> None:
        self._bars, self._bar_id = bars, bar_id

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._bar_id, steps)


class TerminalProgress:
    """Draws a bar with rate and time left; it goes away when the task ends."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[TerminalTask]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            yield TerminalTask(bars, bars.add_task(name, total=total or None))


def progress_for(stream: TextIO, *, quiet: bool = False) -> Progress:
    """Return bars where `stream` is a terminal, plain lines elsewhere, nothing where quiet."""
    if quiet:
        return SilentProgress()
    return TerminalProgress() if stream.isatty() else PlainProgress(stream)
