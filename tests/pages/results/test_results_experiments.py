"""The Results page's section on experiments: the newest, for readers and for an audience, and where there is none."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from app_workspaces import make_workspace, open_results
from experiment_fakes import make_plan, make_tools
from fakes import make_pairs
from streamlit.testing.v1 import AppTest

from mars_engine.cli.frame import as_plain
from mars_engine.core.clock import utc_now
from mars_engine.core.records import EvaluationRecord, Run, RunState
from mars_engine.experiments.draws import DatasetPairs
from mars_engine.experiments.experiment import run_experiment
from mars_engine.experiments.results import ExperimentResults, summarize_experiment
from mars_engine.workspace.workspace import find_workspace, open_workspace_store


@pytest.fixture(scope="module")
def results() -> ExperimentResults:
    plan = make_plan(name="a <b>bold</b> plan", methods=("none", "uniform", "mars_signed"))
    cells = run_experiment(plan, {"fake": DatasetPairs(make_pairs(60))}, make_tools(plan))
    return summarize_experiment(plan, cells)


@pytest.fixture
def workspace(results, tmp_path) -> Path:
    return keep(results, tmp_path / "w")


def keep(results: ExperimentResults, root: Path) -> Path:
    """Make a workspace with an experiment's results."""
    make_workspace(root, "without a model")
    artifact = "artifacts/experiments/one"
    (root / artifact).mkdir(parents=True)
    for name in ("report.html", "results.csv"):
        (root / artifact / name).write_text("x", encoding="utf-8")
    record = EvaluationRecord(
        "one", "experiment", "", results.name, {}, as_plain(results), artifact, datetime(2026, 1, 2, tzinfo=UTC)
    )
    with open_workspace_store(find_workspace(root)) as store:
        store.evaluations.add(record)
    return root


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.text, *app.subheader])


@pytest.mark.slow
def test_the_newest_experiment_is_shown_with_its_table_and_files(results, workspace, monkeypatch):
    app = open_results(workspace, monkeypatch)
    shown = words(app)
    assert "a <b>bold</b> plan, 2026-01-02: 18 of 18 cells are finished." in shown
    assert f"{results.differences} comparisons were made" in shown
    assert "Trained:" not in shown
    (choice,) = [each for each in app.selectbox if each.key == "experiment-comparison"]
    assert choice.options == ["fake, equal epochs", "fake, equal steps", "fake, exact fit"]
    tables = "".join(element.body for element in app.get("html"))
    assert "verdict against uniform" in tables
    assert "no difference shown" in tables
    labels = [button.label for button in app.get("download_button")]
    assert labels == ["Experiment (one HTML file)", "Experiment (CSV)"]
    choice.select("fake, exact fit").run()
    assert not app.exception
    assert "the exact fit: each method's convex problem" in words(app)


def test_a_backbone_of_the_plans_own_is_named(results, tmp_path, monkeypatch):
    root = keep(replace(results, trained="owner/name through LoRA"), tmp_path / "w")
    assert "Trained: owner/name through LoRA." in words(open_results(root, monkeypatch))


def test_an_audience_sees_equal_steps_and_no_controls(workspace, monkeypatch):
    app = open_results(workspace, monkeypatch, present="1")
    assert "equal optimizer steps" in words(app)
    assert "equal epochs: each" not in words(app)
    assert not app.selectbox
    assert not app.get("download_button")


def test_files_that_are_gone_are_said_to_be(workspace, monkeypatch):
    (workspace / "artifacts" / "experiments" / "one" / "report.html").unlink()
    app = open_results(workspace, monkeypatch)
    assert "report.html is not in artifacts/experiments/one any more" in words(app)
    assert [button.label for button in app.get("download_button")] == ["Experiment (CSV)"]


def test_without_an_experiment_it_says_how_to_run_one(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "without a model")
    shown = words(open_results(root, monkeypatch))
    assert "No experiment has been run yet." in shown
    assert "Run mars experiment PLAN in a terminal" in shown
    assert "xperiment" not in words(open_results(root, monkeypatch, present="1"))


def a_run(state: RunState) -> Run:
    """An experiment's run of this process, half done."""
    now, mine = utc_now(), psutil.Process()
    progress = {"task": "train cells", "done": 6, "total": 12, "seconds": 30.0}
    begun = mine.create_time()
    return Run("e" * 32, "experiment", state, {}, {}, "", mine.pid, begun, now, now, None, progress=progress)


def test_an_experiment_that_runs_is_said_to_run_with_how_far_it_is(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "without a model")
    with open_workspace_store(find_workspace(root)) as store:
        store.runs.start(a_run("running"))
    app = open_results(root, monkeypatch)
    shown = words(app)
    assert "No experiment has been run yet." not in shown
    assert "An experiment is at work" in shown
    assert "train cells: 6 of 12" in shown
    assert "fills by itself" in shown
    with open_workspace_store(find_workspace(root)) as store:
        store.runs.finish("e" * 32, "finished", utc_now(), summary={})
    app.run()
    assert "An experiment is at work" not in words(app)


@pytest.mark.slow
def test_wrong_labels_are_drawn_where_some_are_known(tmp_path, monkeypatch):
    plan = make_plan(methods=("none", "uniform", "leave_out"), matchings=("convex",), flipped=(0.25,))
    cells = run_experiment(plan, {"fake": DatasetPairs(make_pairs(60))}, make_tools(plan))
    found = summarize_experiment(plan, cells)
    root = make_workspace(tmp_path / "w", "without a model")
    record = EvaluationRecord(
        "one", "experiment", "", found.name, {}, as_plain(found), "artifacts/x", datetime(2026, 1, 2, tzinfo=UTC)
    )
    with open_workspace_store(find_workspace(root)) as store:
        store.evaluations.add(record)
    app = open_results(root, monkeypatch)
    assert "What wrong labels have of each method's training loss" in words(app)
    assert "fake, 25% of the labels flipped: 2 seeds" in words(app)
    tables = "".join(element.body for element in app.get("html"))
    assert f"{found.comparisons[0].methods[0].wrong_loss:.1%}" in tables
