"""The demo on the packaged model, and the rest of the command line on the workspace it leaves."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mars_engine.cli.commands import app as commands
from mars_engine.cli.main import BAD_INPUT, mars
from mars_engine.core.clock import Clock
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.progress import SilentProgress, WatchedProgress
from mars_engine.curate.agreement import agreement
from mars_engine.curate.people import contributions
from mars_engine.jobs.recorded_run import recorded_run
from mars_engine.store import Store
from mars_engine.workspace.workspace import Workspace, find_workspace, open_workspace_store

pytestmark = pytest.mark.model

SHAPES = ("standard", "standard-implicit", "conversational", "conversational-implicit")


def run(workspace: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(mars, ["--workspace", str(workspace), *arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def demo(finished_demo) -> tuple[Path, dict[str, Any]]:
    """The workspace that the demo left, which no test changes; and its report."""
    return finished_demo / "workspace", json.loads((finished_demo / "report.json").read_text())


@pytest.fixture(scope="module")
def composed(demo, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """A copy of it whose open round the quality gates reviewed, and what was composed of it."""
    workspace = tmp_path_factory.mktemp("composed") / "workspace"
    shutil.copytree(demo[0], workspace)
    run(workspace, "review", "--policy", "gates")
    return workspace, json.loads(run(workspace, "compose", "--json").stdout)


def test_each_act_left_something_to_look_at(demo):
    workspace, report = demo
    counts = {step["name"]: step["count"] for step in report["status"]["counts"]}
    assert counts["pairs"] == 360
    assert counts["proposed"] >= 60, "the open round's, all of them waiting"
    assert counts["accepted"] == counts["composed"] == 0
    assert counts["suspected"] >= 15
    assert [drawn["pairs"] for drawn in report["maps"]] == [612, 612]
    with open_workspace_store(find_workspace(workspace)) as store:
        people = {each.name: each.decisions for each in contributions(store.browse.review_tallies())}
        disputed = agreement(store, "pair", config=EvaluateConfig()).disputed
        assert len(disputed) == 1, "the one over which two readings by different rules part"
        assert set(disputed[0].answers) == {"recorded reader C", "recorded reader D"}
    read = [people[f"recorded reader {name}"] for name in "ABCD"]
    assert read == [36, 36, 48, 12]
    assert sum(read) == report["readings"]
    assert people["judge"] > 100


def test_the_models_before_and_after_the_checks_are_compared_on_the_same_pairs(demo):
    _, report = demo
    evaluation = report["evaluation"]
    assert [model["label"] for model in evaluation["models"]] == ["warm-up", "warm-up, labels checked"]
    assert evaluation["pairs"] == 252
    for model in evaluation["models"]:
        assert model["accuracy"]["low"] <= model["metrics"]["accuracy"] <= model["accuracy"]["high"]
    (comparison,) = evaluation["comparisons"]
    assert comparison["log_loss"]["high"] < 0, "checked labels make it surer of the better answers"
    assert 0.45 <= evaluation["longer_wins"]["estimate"] <= 0.55


def test_what_takes_minutes_begins_when_the_app_is_first_served_and_only_then(demo, tmp_path, monkeypatch):
    workspace = tmp_path / "workspace"
    shutil.copytree(demo[0], workspace)
    begun: list[list[str]] = []

    def note(_: Workspace, store: Store, command: list[str], *, clock: Clock) -> None:
        begun.append(command)
        with recorded_run(store, command[0], {}, clock, progress=WatchedProgress(SilentProgress())):
            pass

    monkeypatch.setattr(commands, "start_job", note)
    monkeypatch.setattr(commands, "serve_app", lambda *_: None)
    assert "Going on in the background" in run(workspace, "demo").output
    assert [command[0] for command in begun[:3]] == ["experiment", "train", "score"]
    everything = len(begun)
    assert "Going on in the background" not in run(workspace, "demo").output
    assert len(begun) == everything


def test_a_second_run_gives_the_same_report_without_loading_torch(demo, quiet_environment):
    workspace, report = demo
    code = (
        "import sys; sys.argv = ['mars', '--workspace', sys.argv[1], 'demo', '--no-serve', '--json'];"
        "from mars_engine.cli.main import mars; mars(standalone_mode=False); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(workspace)]
    result = subprocess.run(command, env=quiet_environment, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    again = json.loads(result.stdout)
    assert again == report


def test_without_a_terminal_it_prints_plain_lines(demo):
    workspace, _ = demo
    result = run(workspace, "evaluate")
    assert "no difference shown" in result.stdout or "is better" in result.stdout
    assert "\x1b[" not in result.stdout + result.stderr


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_composed_is_exported_in_every_shape_and_never_with_a_margin_column(composed, shape, tmp_path):
    datasets = pytest.importorskip("datasets")
    workspace, report = composed
    path = tmp_path / "pairs.jsonl"
    arguments = ["export", str(path), "--what", "composed", "--shape", shape]
    run(workspace, *arguments)
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == report["new_pairs"]
    assert {"chosen", "rejected", "mars_margin", "mars_source_id"} <= set(loaded.column_names)
    assert "margin" not in loaded.column_names
    assert ("prompt" in loaded.column_names) is not shape.endswith("implicit")
    manifest = json.loads(path.with_name("pairs.jsonl.manifest.json").read_text())
    assert manifest["composition"] == report["composition"]["id"]
    run(workspace, *arguments, code=BAD_INPUT)  # it must not overwrite


def test_rounds_run_on_from_there(demo, tmp_path):
    workspace = tmp_path / "workspace"
    shutil.copytree(demo[0], workspace)
    first, second = json.loads(run(workspace, "train", "--rounds", "2", "--allocation-budget", "60", "--json").stdout)
    assert first["compose"]["new_pairs"] > 0
    assert second["compose"]["carried_over"] == first["compose"]["new_pairs"]
    assert second["model"]["label"] == "signed round 2"
