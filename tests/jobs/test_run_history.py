from datetime import UTC, datetime, timedelta

import pytest

from mars_engine.core.records import Run
from mars_engine.jobs.run_history import Pace, curves, durations, pace, run_seconds
from mars_engine.store import open_store

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(name: str, kind: str = "open-round", *, seconds: float = 10, state="finished", begun: float = 0) -> Run:
    started = START + timedelta(seconds=begun)
    ended = started + timedelta(seconds=seconds) if state != "running" else None
    return Run(name, kind, state, {}, {}, "", 1, 0.0, started, started, ended)


def test_durations_count_the_finished_runs_of_the_kind_alone():
    runs = [
        run("a", seconds=10),
        run("b", seconds=40),
        run("c", seconds=20),
        run("failed", seconds=1, state="failed"),
        run("other", "rounds", seconds=900),
    ]
    found = durations(runs, "open-round")
    assert (found.runs, found.shortest, found.median, found.longest) == (3, 10, 20, 40)
    assert durations(runs, "close-round") is None
    assert durations([run("cancelled", state="cancelled")], "open-round") is None


def test_a_run_at_work_has_lasted_until_now():
    assert run_seconds(run("a", seconds=7), None) == 7
    assert run_seconds(run("a", state="running"), START + timedelta(seconds=3)) == 3


def test_the_pace_tells_the_time_left_where_the_total_is_known():
    assert pace({}) is None
    assert pace({"task": "read", "done": 20, "total": 0, "seconds": 4.0}) == Pace("read", 20, 0, 5.0, None)
    known = pace({"task": "encode", "done": 20, "total": 60, "seconds": 4.0})
    assert known.seconds_left == pytest.approx(8)
    assert pace({"task": "encode", "done": 0, "total": 60, "seconds": 0.0}).seconds_left is None


def test_curves_are_continued_from_the_newest_earlier_runs():
    store = open_store("sqlite://")
    old, opened, closed, second = (
        run(name, begun=begun) for name, begun in [("old", 0), ("opened", 20), ("closed", 40), ("second", 60)]
    )
    for each in (old, opened, closed, second):
        store.runs.start(each)
    for name, step, value in [("old", 0, 0.1), ("old", 1, 0.2), ("opened", 0, 0.5), ("closed", 1, 0.6)]:
        store.runs.add_point(name, "held-out accuracy", step, value)
    store.runs.add_point("second", "held-out accuracy", 2, 0.7)
    for step in (1, 2, 3):
        store.runs.add_point("second", "training loss", step, 0.7 / step)
        store.runs.add_point("opened", "training loss", step, 0.7 / step)
    found = curves(store.runs, second)
    assert found.by_step == {"training loss": [(1, 0.7), (2, 0.35), (3, 0.7 / 3)]}
    assert found.own == {"held-out accuracy": [(2, 0.7)]}
    assert found.before == {"held-out accuracy": [(0, 0.5), (1, 0.6)]}, "nothing of before the newest warm-up"
    assert curves(store.runs, opened).before == {}
