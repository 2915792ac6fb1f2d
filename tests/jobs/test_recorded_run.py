import json
import math
import subprocess
import sys
import time

import pytest
from fakes import TickingClock

from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import SilentProgress, WatchedProgress
from mars_engine.core.records import Run
from mars_engine.jobs.job_ticket import JOB_VARIABLE, JobTicket
from mars_engine.jobs.recorded_run import mark_lost_runs, recorded_run
from mars_engine.store import open_store


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


def wait_until(holds) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_progress_and_heartbeats_are_stored_while_it_works():
    store, clock = open_store("sqlite://"), TickingClock()
    progress = WatchedProgress(SilentProgress())
    with recorded_run(store, "score", {}, clock, progress=progress) as notes:
        (begun,) = store.runs.all()
        with progress.task("read", 10) as task:
            task.advance(3)
            wait_until(lambda: store.runs.get(notes.run_id).progress.get("done") == 3)
            progressed = store.runs.get(notes.run_id)
            assert (progressed.progress["task"], progressed.progress["total"]) == ("read", 10)
            assert progressed.heartbeat_at > begun.heartbeat_at
            wait_until(lambda: store.runs.get(notes.run_id).heartbeat_at > progressed.heartbeat_at)
        wait_until(lambda: store.runs.get(notes.run_id).progress == {})


def test_points_are_stored_at_once_and_what_is_not_a_number_is_left_out():
    store = open_store("sqlite://")
    with recorded_run(store, "rounds", {}, TickingClock()) as notes:
        notes.add_point("held-out accuracy", 0, 0.5)
        notes.add_point("held-out accuracy", 1, math.nan)
        notes.add_point("held-out accuracy", 2, 0.75)
        assert store.runs.points(notes.run_id) == {"held-out accuracy": [(0, 0.5), (2, 0.75)]}


def test_an_error_for_people_is_kept_in_its_own_words_and_another_with_its_type():
    store, clock = open_store("sqlite://"), TickingClock()
    with pytest.raises(NotReadyError), recorded_run(store, "train", {}, clock):
        raise NotReadyError("there are no pairs", remedy="import some")
    with pytest.raises(ZeroDivisionError), recorded_run(store, "train", {}, clock):
        raise ZeroDivisionError("division by zero")
    unforeseen, foreseen = store.runs.all()
    assert foreseen.error == "there are no pairs. What to do: import some."
    assert unforeseen.error == "ZeroDivisionError: division by zero"


def test_a_job_is_recorded_under_its_ticket_and_only_once(monkeypatch):
    store, clock = open_store("sqlite://"), TickingClock()
    ticket = JobTicket("r" * 32, ("train", "--rounds", "2"), "artifacts/logs/r.log")
    monkeypatch.setenv(JOB_VARIABLE, ticket.as_variable()[JOB_VARIABLE])
    for _ in range(2):
        with recorded_run(store, "train", {}, clock):
            pass
    second, first = store.runs.all()
    assert (first.id, first.command, first.log) == (ticket.run_id, ticket.command, ticket.log)
    assert (second.command, second.log) == ((), "")
    assert json.loads(ticket.as_variable()[JOB_VARIABLE])["command"] == ["train", "--rounds", "2"]
