"""Three ways to show progress: bars on a terminal, plain lines elsewhere, or nothing. And one to watch it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from mars_engine.words.protocols import Progress, ProgressTask

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


@dataclass
class WatchedTask:
    """Counts the steps that it passes on."""

    inner: ProgressTask
    name: str
    total: int
    started: float = field(default_factory=time.monotonic)
    done: int = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        self.inner.advance(steps)


@dataclass
class WatchedProgress:
    """Passes on to another progress, and can be asked at any moment, from any thread, how far the work has come."""

    inner: Progress
    _open: list[WatchedTask] = field(default_factory=list)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[WatchedTask]:
        with self.inner.task(name, total) as inner:
            task = WatchedTask(inner, name, total)
            self._open.append(task)
            try:
                yield task
            finally:
                self._open.remove(task)

    def current(self) -> dict[str, Any]:
        """Return {"task", "done", "total", "seconds"} of the outermost open task; empty where none is open.

        `total` is 0 where it is not known. `seconds` have passed since the task began.
        """
        for task in self._open[:1]:
            seconds = round(time.monotonic() - task.started, 1)
            return {"task": task.name, "done": task.done, "total": task.total, "seconds": seconds}
        return {}


def progress_for(stream: TextIO, *, quiet: bool = False) -> Progress:
    """Return bars where `stream` is a terminal, plain lines elsewhere, nothing where quiet."""
    if quiet:
        return SilentProgress()
    return TerminalProgress() if stream.isatty() else PlainProgress(stream)
