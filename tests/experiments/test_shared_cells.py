"""Processes that share an experiment's cells: none is lost and none computed twice, whoever is killed when."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from experiment_fakes import make_plan, make_tools
from fakes import make_pairs

from mars_engine.experiments.cell_journal import CellJournal, DrawLocks
from mars_engine.experiments.cells import ExperimentCell, wanted_cells
from mars_engine.experiments.draws import DatasetPairs
from mars_engine.experiments.experiment import run_experiment
from mars_engine.experiments.plan import ExperimentPlan

DATA = {"fake": DatasetPairs(make_pairs(70, pairs_a_prompt=2))}
TESTS = Path(__file__).parents[1]
WORKER = "import sys; from experiments.test_shared_cells import work; work(sys.argv[1])"


def shared_plan() -> ExperimentPlan:
    return make_plan(methods=("none", "uniform"), seeds=tuple(range(8)), flipped=(0.0, 0.25))


def work(folder: str) -> None:
    """Run the plan as one of several processes."""
    plan, root = shared_plan(), Path(folder)
    tools = make_tools(plan)
    run_experiment(
        plan, DATA, replace(tools, cells=CellJournal(root / "cells.jsonl"), claim=DrawLocks(root / "locks").claim)
    )


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder)], env=environment)


def lines(folder: Path) -> int:
    path = folder / "cells.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(holds) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in two minutes"
        time.sleep(0.005)


def without_seconds(cells: list[ExperimentCell]) -> list[ExperimentCell]:
    return [replace(cell, preparation_seconds=0.0, training_seconds=0.0) for cell in cells]


@pytest.mark.slow
def test_two_processes_that_are_killed_lose_no_cell_and_take_none_twice(tmp_path):
    plan = shared_plan()
    everything = len(wanted_cells(plan))
    processes = [start(tmp_path) for _ in range(2)]
    try:
        for reached in (6, 20):
            until(lambda reached=reached: lines(tmp_path) >= reached)
            for process in processes:
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
            assert lines(tmp_path) < everything, "they were killed in the middle of it"
            processes = [start(tmp_path) for _ in range(2)]
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
    written = [json.loads(line)["key"] for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    assert len(written) == len({json.dumps(key) for key in written}) == everything
    cells = {cell.key: cell for cell in CellJournal(tmp_path / "cells.jsonl").load()}
    alone = run_experiment(plan, DATA, make_tools(plan))
    assert without_seconds([cells[key] for key in wanted_cells(plan)]) == without_seconds(alone)


def test_a_draw_that_another_has_is_left_until_it_is_free(tmp_path):
    plan = make_plan(methods=("none",), matchings=("convex",))
    tools = make_tools(plan)
    held, waited = DrawLocks(tmp_path), []

    class Watching:
        def claim(self, name: str, wait: bool):
            waited.append((name, wait))
            return DrawLocks(tmp_path).claim(name, wait)

    with held.claim("fake 0", False) as is_ours:
        assert is_ours
        with DrawLocks(tmp_path).claim("fake 0", False) as also:
            assert not also
    cells = run_experiment(plan, DATA, replace(tools, claim=Watching().claim))
    assert [cell.key.seed for cell in cells] == [0, 1]
    assert waited == [("fake 0", False), ("fake 1", False)]
