"""Progress: bars on a terminal, lines elsewhere, nothing where quiet."""

import io
from contextlib import contextmanager

import pytest

from mars_engine.core import progress as module
from mars_engine.core.progress import PlainProgress, SilentProgress, TerminalProgress, WatchedProgress, progress_for


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time as progress sees it; the test moves it by assigning to its one item."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_quick_work_prints_nothing(clock):
    stream = io.StringIO()
    with PlainProgress(stream).task("encode texts", 100) as task:
        for _ in range(100):
            clock[0] += 0.04
            task.advance()
    assert stream.getvalue() == ""


def test_long_work_prints_a_line_every_five_seconds_with_rate_and_time_left(clock):
    stream = io.StringIO()
    with PlainProgress(stream).task("encode texts", 4000) as task:
        for _ in range(12):
            clock[0] += 1.0
            task.advance(200)
    assert stream.getvalue().splitlines() == [
        "encode texts: 1,000 of 4,000 (200/s, 15 s left)",
        "encode texts: 2,000 of 4,000 (200/s, 10 s left)",
    ]


def test_work_of_unknown_length_shows_no_time_left(clock):
    stream = io.StringIO()
    with PlainProgress(stream).task("read rows", 0) as task:
        clock[0] += 10.0
        task.advance(12_345)
    assert stream.getvalue() == "read rows: 12,345 (1,234/s)\n"


def test_a_first_report_of_no_steps_does_not_fail(clock):
    stream = io.StringIO()
    with PlainProgress(stream).task("propose", 10) as task:
        clock[0] += 6.0
        task.advance(0)
    assert stream.getvalue().startswith("propose: 0 of 10")


def test_slow_work_says_how_many_a_minute_or_how_long_each_takes(clock):
    stream = io.StringIO()
    with PlainProgress(stream).task("train", 10) as task:
        for seconds in (20.0, 170.0, 400.0):
            clock[0] += seconds
            task.advance()
    assert stream.getvalue().splitlines() == [
        "train: 1 of 10 (3 a minute, 3 min left)",
        "train: 2 of 10 (95 s each, 13 min left)",
        "train: 3 of 10 (197 s each, 23 min left)",
    ]


def test_steps_of_earlier_work_count_as_done_and_not_for_the_pace(clock):
    stream = io.StringIO()
    watched = WatchedProgress(PlainProgress(stream))
    with watched.task("train", 100) as task:
        clock[0] += 30.0  # what is loaded before it goes on is no pace either
        task.resume(80)
        clock[0] += 6.0
        task.advance(3)
        assert watched.current() == {"task": "train", "done": 83, "total": 100, "seconds": 6.0, "before": 80}
    assert stream.getvalue() == "train: 83 of 100 (30 a minute, 34 s left)\n"


def test_silence(capsys):
    with SilentProgress().task("anything", 3) as task:
        task.advance()
        task.advance(2)
    assert capsys.readouterr() == ("", "")


def test_bars_go_away_and_leave_standard_output_alone(capsys):
    with TerminalProgress().task("encode texts", 3) as task:
        task.advance(3)
    assert capsys.readouterr().out == ""


def test_the_kind_of_progress_follows_the_stream():
    assert isinstance(progress_for(Terminal()), TerminalProgress)
    assert isinstance(progress_for(io.StringIO()), PlainProgress)
    assert isinstance(progress_for(Terminal(), quiet=True), SilentProgress)


def test_watched_progress_passes_on_and_tells_how_far_the_outermost_task_has_come():
    told: list[tuple[str, int]] = []

    class Telling(SilentProgress):
        @contextmanager
        def task(self, name, total):
            class Task:
                def advance(self, steps=1):
                    told.append((name, steps))

            told.append((name, -total))
            yield Task()

    progress = WatchedProgress(Telling())
    assert progress.current() == {}
    with progress.task("propose", 4) as outer:
        outer.advance()
        with progress.task("encode", 9) as inner:
            inner.advance(5)
            now = progress.current()
        assert (now["task"], now["done"], now["total"]) == ("propose", 1, 4)
        assert now["seconds"] >= 0
    assert progress.current() == {}
    assert told == [("propose", -4), ("propose", 1), ("encode", -9), ("encode", 5)]


def test_a_watched_task_that_fails_is_closed():
    progress = WatchedProgress(SilentProgress())
    with pytest.raises(KeyError), progress.task("read", 1):
        raise KeyError
    assert progress.current() == {}
