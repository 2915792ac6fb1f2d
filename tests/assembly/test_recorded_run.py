import subprocess
import sys

import pytest
from fakes import TickingClock

from mars_engine.assembly.recorded_run import mark_lost_runs, recorded_run
from mars_engine.words.records import Run
from mars_engine.world.store import open_store


def test_states_of_runs_that_end():
    store, clock = open_store("sqlite://"), TickingClock()
    with recorded_run(store, "score", {"a": 1}, clock) as notes:
        assert store.runs.all()[0].state == "running"
        notes.summary["pairs"] = 3
    with pytest.raises(KeyboardInterrupt), recorded_run(store, "train", {}, clock):
        raise KeyboardInterrupt
    cancelled, finished = store.runs.all()
    assert (finished.state, finished.summary) == ("finished", {"pairs": 3})
    assert cancelled.state == "cancelled"
    assert finished.ended_at > finished.started_at


def test_a_run_whose_process_is_gone_is_lost_and_one_that_lives_is_not():
    store, clock = open_store("sqlite://"), TickingClock()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    def start(name: str, process_id: int) -> None:
        now = clock()
        store.runs.start(Run(name, "train", "running", {}, {}, "", process_id, 0.0, now, now, None))

    start("dead", gone.pid)
    with recorded_run(store, "score", {}, clock):
        states = {run.id: run.state for run in store.runs.all()}
        assert states["dead"] == "lost"
        assert mark_lost_runs(store, clock) == 0
        assert sorted(run.state for run in store.runs.all()) == ["lost", "running"]
