"""The demo on the packaged model, and the rest of the command line on the workspace it leaves."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mars_engine.cli.main import BAD_INPUT, mars

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


def test_each_step_of_the_method_did_something(demo):
    _, report = demo
    funnel = {step["name"]: step["count"] for step in report["status"]["funnel"]}
    assert funnel["pairs"] == 360
    assert funnel["composed"] == 360
    assert funnel["trained"] == 720
    assert all(count > 0 for count in funnel.values())
    assert [(card["name"], card["stand_in"]) for card in report["generators"]] == [("given", False)]


def test_all_arms_are_compared_on_the_same_pairs_with_intervals(demo):
    _, report = demo
    evaluation = report["evaluation"]
    assert [model["label"] for model in evaluation["models"]] == ["warm-up", "uniform round 1", "signed round 1"]
    assert evaluation["pairs"] == 252
    assert len(evaluation["comparisons"]) == 3
    for model in evaluation["models"]:
        assert model["accuracy"]["low"] <= model["metrics"]["accuracy"] <= model["accuracy"]["high"]
    assert 0.45 <= evaluation["longer_wins"]["estimate"] <= 0.55
    trained_on = [model["training_pairs"] for model in evaluation["models"]]
    assert trained_on == [360, 720, 720], "both augmented arms get the same number of new pairs"


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
    for part in ("evaluation", "laws", "compose", "trained", "status", "score"):
        assert again[part] == report[part]


def test_without_a_terminal_it_prints_plain_lines(demo):
    workspace, _ = demo
    result = run(workspace, "evaluate")
    assert "no difference shown" in result.stdout or "is better" in result.stdout
    assert "\x1b[" not in result.stdout + result.stderr


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_composed_is_exported_in_every_shape_and_never_with_a_margin_column(demo, shape, tmp_path):
    datasets = pytest.importorskip("datasets")
    workspace, report = demo
    path = tmp_path / "pairs.jsonl"
    arguments = ["export", str(path), "--what", "composed", "--shape", shape]
    run(workspace, *arguments)
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == report["compose"]["new_pairs"]
    assert {"chosen", "rejected", "mars_margin", "mars_source_id"} <= set(loaded.column_names)
    assert "margin" not in loaded.column_names
    assert ("prompt" in loaded.column_names) is not shape.endswith("implicit")
    manifest = json.loads(path.with_name("pairs.jsonl.manifest.json").read_text())
    assert manifest["composition"] == report["compose"]["composition"]["id"]
    run(workspace, *arguments, code=BAD_INPUT)  # it must not overwrite


def test_rounds_run_on_from_there(demo, tmp_path):
    workspace = tmp_path / "workspace"
    shutil.copytree(demo[0], workspace)
    first, second = json.loads(run(workspace, "train", "--rounds", "2", "--allocation-budget", "60", "--json").stdout)
    assert first["compose"]["new_pairs"] > 0
    assert second["compose"]["carried_over"] == first["compose"]["new_pairs"]
    assert second["model"]["label"] == "signed round 2"
