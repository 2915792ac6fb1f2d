"""`mars rewardbench`: whose figures it keeps, what it refuses, and a foreign checkpoint from end to end."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_chat_models import save_tiny_chat_model

from mars_engine.cli.main import BAD_INPUT, NOT_READY, UNUSABLE, mars
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

ROWS = [
    {"id": number, "subset": "llmbar-natural", "prompt": "how?", "chosen": "a" * number, "rejected": "b"}
    for number in range(1, 5)
]


def rewardbench(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "rewardbench", *arguments], prog_name="mars")


@pytest.fixture
def workspace(tmp_path) -> Path:
    return create_workspace(tmp_path / "w").root


@pytest.fixture
def rows(tmp_path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def test_others_figures_are_kept_beside_ours(workspace, tmp_path):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"model": "m", "extra_results": {"llmbar-natural": 0.75}}))
    result = rewardbench(workspace, "--scores", str(scores))
    assert result.exit_code == 0, result.output
    assert "RewardBench 1: m" in result.output
    assert "75.0" in result.output
    assert "There is no overall score" in result.output
    with open_workspace_store(find_workspace(workspace)) as store:
        (kept,) = store.evaluations.all("rewardbench")
        (run,) = store.runs.all()
    assert (kept.label, kept.model_id) == ("m", "")
    assert (run.kind, run.state, run.summary["Chat Hard"]) == ("rewardbench", "finished", 0.75)


def test_what_cannot_be_done_is_said_in_words(workspace, rows):
    both = rewardbench(workspace, "--file", rows, "--hub", "owner/name")
    assert both.exit_code == 2
    assert "exclude each other" in both.output
    other = rewardbench(workspace, "--file", rows, "--version", "2")
    assert other.exit_code == BAD_INPUT
    assert "form of RewardBench 1" in other.output
    without = rewardbench(workspace, "--file", rows)
    assert without.exit_code == NOT_READY
    assert "no reward model is trained yet" in without.output


@pytest.mark.model
def test_a_foreign_checkpoint_is_scored_and_its_files_are_written(workspace, rows, tmp_path):
    model = save_tiny_chat_model(tmp_path / "tiny", "decoder", seed=0)
    result = rewardbench(workspace, "--file", rows, "--model", str(model), "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["label"], record["settings"]["input_format"]) == ("tiny", "chat")
    assert record["settings"]["max_tokens"] == 2048
    folder = workspace / record["artifact"]
    assert {path.name for path in folder.iterdir()} == {"tiny_outputs.jsonl", "tiny.json"}
    outputs = [json.loads(line) for line in (folder / "tiny_outputs.jsonl").read_text().splitlines()]
    assert outputs[0]["text_chosen"] == "<s>[user] how?</s>[assistant] a</s>"
    other = json.loads(
        rewardbench(workspace, "--file", rows, "--model", str(model), "--format", "pair", "--json").stdout
    )
    assert other["id"] != record["id"], "read otherwise, it is another model"


@pytest.mark.model
def test_a_checkpoint_that_is_no_reward_model_is_refused(workspace, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = save_tiny_chat_model(tmp_path / "tiny", "decoder", seed=0)
    from transformers import AutoModel

    AutoModel.from_pretrained(model).save_pretrained(model)  # without its head
    headless = rewardbench(workspace, "--file", rows, "--model", str(model))
    assert headless.exit_code == UNUSABLE
    assert "no weights of score" in headless.output
    for name in (str(tmp_path / "nowhere"), "owner/name"):
        missing = rewardbench(workspace, "--file", rows, "--model", name)
        assert missing.exit_code == UNUSABLE
        assert "neither a folder nor a model that the hub would give" in missing.output
