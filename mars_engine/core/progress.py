"""Progress of long work: bars on a terminal, plain lines elsewhere, or nothing. And one to watch it."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

SECONDS_BETWEEN_LINES = 5.0
MINUTE, HOUR = 60.0, 3600.0


class Progress(Protocol):
    """Shows how far a piece of long work has come."""

    def task(self, name: str, total: int) -> AbstractContextManager["ProgressTask"]:
        """Open a task of `total` steps; leaving the context closes it."""
        ...


class ProgressTask(Protocol):
    """A piece of long work whose steps are counted and shown."""

    def advance(self, steps: int = 1) -> None: ...

    def resume(self, steps: int) -> None:
        """Count steps that were taken before, in earlier work: they say nothing of the pace of this one."""
        ...


def say_pace(done: int, seconds: float, left: int = 0) -> str:
    """Return how fast work goes, and how long what is left of it takes: "12/s, 40 s left"; empty where nothing is done.

    Args:
        done: steps taken in these seconds.
        seconds: since the work began.
        left: steps to come; 0 where that is not known.
    """
    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    if rate >= 10:
        pace = f"{rate:,.0f}/s"
    elif rate >= 1:
        pace = f"{rate:.1f}/s"
    elif rate * MINUTE >= 1:
        pace = f"{rate * MINUTE:.0f} a minute"
    else:
        pace = f"{1 / rate:,.0f} s each"
    return f"{pace}, {say_seconds(left / rate)} left" if left > 0 else pace


def say_seconds(seconds: float) -> str:
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


class SilentTask:
    def advance(self, steps: int = 1) -> None:
        """Show nothing."""

    def resume(self, steps: int) -> None:
        """Show nothing."""


class SilentProgress:
    """Shows nothing: for libraries and tests."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[SilentTask]:  # noqa: ARG002
        yield SilentTask()


class PlainTask:
    def __init__(self, name: str, total: int, stream: TextIO) -> None:
        self._name, self._total, self._stream = name, total, stream
        self._done = self._before = 0
        self._started = self._last_line = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            pace = say_pace(self._done - self._before, now - self._started, max(0, self._total - self._done))
            of = f" of {self._total:,}" if self._total else ""
            in_brackets = f" ({pace})" if pace else ""
            print(f"{self._name}: {self._done:,}{of}{in_brackets}", file=self._stream, flush=True)

    def resume(self, steps: int) -> None:
        self._done += steps
        self._before += steps
        self._started = time.monotonic()


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

    def resume(self, steps: int) -> None:
        self._bars.reset(self._bar_id, completed=steps)


class TerminalProgress:
    """Draws a bar with rate and time left; it goes away when the task ends."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[TerminalTask]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        class PaceColumn(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(say_pace(round(task.completed), task.elapsed or 0.0), style="progress.data.speed")

        names = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        columns = (*names, PaceColumn(), TimeRemainingColumn())
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
    before: int = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        self.inner.advance(steps)

    def resume(self, steps: int) -> None:
        self.done += steps
        self.before += steps
        self.started = time.monotonic()
        self.inner.resume(steps)


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

        `total` is 0 where it is not known. `seconds` have passed since the task began. Where it goes on from earlier
        work, "before" of the steps that are done were done then.
        """
        for task in self._open[:1]:
            seconds = round(time.monotonic() - task.started, 1)
            before = {"before": task.before} if task.before else {}
            return {"task": task.name, "done": task.done, "total": task.total, "seconds": seconds} | before
        return {}


def progress_for(stream: TextIO, *, quiet: bool = False) -> Progress:
    """Return bars where `stream` is a terminal, plain lines elsewhere, nothing where quiet."""
    if quiet:
        return SilentProgress()
    return TerminalProgress() if stream.isatty() else PlainProgress(stream)
