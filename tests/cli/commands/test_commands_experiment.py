"""`mars experiment` from the command line: a look ahead, a run, going on, and its report."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_transformers import save_tiny_backbone

from mars_engine.cli.main import BAD_INPUT, UNUSABLE, mars
from mars_engine.core.shipped import shipped
from mars_engine.experiments.plan import BASELINES
from mars_engine.experiments.record import newest_experiment
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

PLAN = """
name = "tiny <b>plan</b>"
seeds = 1
{changes}
[[datasets]]
name = "demo & co"
paths = ["{path}"]
base_pairs = 12
heldout_pairs = 16
unlabelled_pairs = 10
[encoder]
max_tokens = 32
[allocation]
budget_per_pair = 2
[propose]
variants = 2
[baselines]
dropout_views = 2
[evaluate]
resamples = 200
"""


def experiment(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "experiment", *arguments], prog_name="mars")


def write_plan(folder: Path, changes: str = "") -> str:
    path = folder / "plan.toml"
    path.write_text(PLAN.format(path=shipped("data") / "demo-train.jsonl", changes=changes), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("experiments") / "w"
    create_workspace(root)
    return root


def test_a_dry_run_counts_and_stores_nothing(tmp_path):
    create_workspace(tmp_path / "w")
    result = experiment(tmp_path / "w", write_plan(tmp_path), "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["forecast"]["cells"] == 45
    assert not list((tmp_path / "w" / "artifacts").iterdir())
    with open_workspace_store(find_workspace(tmp_path / "w")) as store:
        assert store.runs.all() == []
    said = experiment(tmp_path / "w", write_plan(tmp_path), "--dry-run").output
    assert "15 methods × 1 seeds × 1 datasets × 3 matchings = 45" in " ".join(said.split())


@pytest.mark.parametrize(("asked", "held_out"), [(16, 16), (0, 252)])
def test_a_dry_run_says_how_many_pairs_of_a_held_out_file_are_taken(tmp_path, asked, held_out):
    create_workspace(tmp_path / "w")
    plan = Path(write_plan(tmp_path))
    text = plan.read_text(encoding="utf-8")
    own = f'heldout_paths = ["{shipped("data") / "demo-test.jsonl"}"]\nheldout_pairs = {asked}'
    plan.write_text(text.replace("heldout_pairs = 16", own), encoding="utf-8")
    said = experiment(tmp_path / "w", str(plan), "--dry-run").output
    assert f"under each seed 12 base and {held_out} held-out pairs" in " ".join(said.split())


@pytest.mark.model
def test_it_runs_reports_goes_on_and_is_on_record(workspace, tmp_path):
    first = experiment(workspace, write_plan(tmp_path, 'methods = ["none", "uniform"]'), "--json")
    assert first.exit_code == 0, first.output
    early = json.loads(first.stdout)
    result = experiment(workspace, write_plan(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["id"] == early["id"], "methods that are added belong to the same experiment"
    folder = Path(report["folder"])
    keys = [json.loads(line)["key"] for line in (folder / "cells.jsonl").read_text().splitlines()]
    assert len(keys) == 45
    assert [key["method"] for key in keys[:6]] == ["none"] * 3 + ["uniform"] * 3
    intervals = [
        each["interval"]
        for comparison in report["results"]["comparisons"]
        for result in comparison["methods"]
        for each in result["differences"]
        if (result["method"], each["baseline"]) != BASELINES
    ]
    assert len(intervals) == 3 * 27
    told_apart = [each for each in intervals if (each["low"], each["high"]) != (0, 0)]
    assert 0 < report["results"]["differences"] == len(told_apart)
    steps = {
        result["steps"]
        for comparison in report["results"]["comparisons"]
        if comparison["matching"] == "steps"
        for result in comparison["methods"]
    }
    assert len(steps) == 1

    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "tiny &lt;b&gt;plan&lt;/b&gt;" in html
    assert "demo &amp; co" in html
    assert "<svg" in html
    assert not any(outside in html for outside in ("http://", "https://", "<script", "<link"))
    with (folder / "results.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 45

    with open_workspace_store(find_workspace(workspace)) as store:
        stored = newest_experiment(store)
        assert stored.record.id == report["id"]
        assert stored.results.finished == 45
        assert stored.file(workspace, "report.html") == html.encode()
        (newest, _) = store.runs.all()
        assert (newest.kind, newest.state, newest.summary["cells"]) == ("experiment", "finished", 45)
        metrics = store.runs.points(newest.id)
        assert len(metrics) == 39
        assert "demo & co, steps: mars_signed" in metrics

    cells_before = (folder / "cells.jsonl").read_bytes()
    (folder / "report.html").unlink()
    again = experiment(workspace, write_plan(tmp_path), "--report-only")
    assert again.exit_code == 0, again.output
    assert "no difference shown" in again.output
    assert f"{len(told_apart)} comparisons were made" in again.output
    assert "tokens written (k)" in " ".join(again.output.split())
    assert (folder / "report.html").is_file()
    assert (folder / "cells.jsonl").read_bytes() == cells_before


def test_a_report_before_the_first_cell_says_what_to_do(tmp_path):
    create_workspace(tmp_path / "w")
    result = experiment(tmp_path / "w", write_plan(tmp_path), "--report-only")
    assert result.exit_code == BAD_INPUT
    assert "nothing to compare yet" in result.output


def test_a_plan_that_cannot_be_used_is_refused_in_plain_words(tmp_path):
    create_workspace(tmp_path / "w")
    refused = experiment(tmp_path / "w", write_plan(tmp_path, "colour = 3"), "--dry-run")
    assert refused.exit_code == BAD_INPUT
    assert "colour = 3" in refused.output
    assert "Traceback" not in refused.output
    missing = tmp_path / "plan.toml"
    missing.write_text(PLAN.format(path="no-such-file.jsonl", changes=""), encoding="utf-8")
    assert "there is no file no-such-file.jsonl" in experiment(tmp_path / "w", str(missing), "--dry-run").output
    assert experiment(tmp_path / "nowhere", str(missing)).exit_code == UNUSABLE


LORA = """train = "fine-tuned"
matchings = ["steps"]
methods = ["none", "uniform"]
[training]
epochs = 1
batch_size = 6
learning_rate = 1e-3
frozen_layers = 1
backbone = "{backbone}"
"""


@pytest.mark.model
def test_a_backbone_beside_the_plan_is_trained_through_lora_and_named(workspace, tmp_path):
    lines = (shipped("data") / "demo-train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["chosen"][0]["content"] for line in lines]
    save_tiny_backbone(tmp_path / "tiny", "llama", texts)
    plan = write_plan(tmp_path, LORA.format(backbone="tiny"))
    ahead = " ".join(experiment(workspace, plan, "--dry-run").output.split())
    note = "tiny through LoRA (rank 16, α 32, above layer 1), texts of up to 32 tokens"
    assert f"trained: {note}" in ahead
    assert "the 2 missing cells each train a transformer" in ahead
    result = experiment(workspace, plan, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["results"]["trained"] == note
    folder = Path(report["folder"])
    (none, uniform) = map(json.loads, (folder / "cells.jsonl").read_text().splitlines())
    assert none["steps"] == uniform["steps"] > 2
    assert uniform["training_pairs"] > none["training_pairs"] == 12
    assert none["log_loss"] != uniform["log_loss"]
    assert f"{note}, is trained on it and measured on" in (folder / "report.html").read_text("utf-8")
    assert f"Trained: {note}." in " ".join(experiment(workspace, plan, "--report-only").output.split())
    assert "take under a minute" in " ".join(experiment(workspace, plan, "--dry-run").output.split())

    save_tiny_backbone(tmp_path / "tiny", "gpt2", texts)
    other = json.loads(experiment(workspace, plan, "--dry-run", "--json").stdout)
    assert other["id"] != report["id"], "another model in the same folder"
    assert other["forecast"]["finished"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["no/such-backbone", "../nowhere"])
def test_a_backbone_that_is_nowhere_is_refused_and_a_look_ahead_downloads_none(tmp_path, monkeypatch, backbone):
    asked = []

    def refuse(name, *, local_files_only):
        asked.append(local_files_only)
        raise ValueError(f"nothing is called {name}")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    create_workspace(tmp_path / "w")
    plan = write_plan(tmp_path, LORA.format(backbone=backbone))
    for arguments in (["--dry-run"], ["--report-only"], []):
        result = experiment(tmp_path / "w", plan, *arguments)
        said = " ".join(result.output.split())
        assert result.exit_code == UNUSABLE, result.output
        assert f"backbone '{backbone}' is neither a folder nor a model that the hub" in said
        assert "'backbone' under [training] of" in said
        assert "Traceback" not in said
    assert asked == [True, True, False]
