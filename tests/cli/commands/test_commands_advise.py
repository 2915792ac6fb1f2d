"""Where the next hour pays, on the command line and in a script."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import mars_engine as mars
from mars_engine.cli.main import mars as command

ROOT = Path(__file__).parents[3]


def run(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--workspace", str(workspace), *arguments], prog_name="mars")


def demo_pairs(folder: Path, count: int) -> Path:
    rows = (ROOT / "data" / "demo-train.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    path = folder / "some.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_too_few_pairs_are_refused_with_what_is_needed(tmp_path):
    assert run(tmp_path / "w", "init").exit_code == 0
    path = tmp_path / "few.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{n}", "chosen": "a", "rejected": "b"}) + "\n" for n in range(5)))
    assert run(tmp_path / "w", "import", str(path)).exit_code == 0
    result = run(tmp_path / "w", "advise")
    assert result.exit_code == 4
    assert "5 training pairs of 5 prompts" in result.output
    assert "at least 40 pairs" in result.output


@pytest.mark.model
def test_the_demo_pairs_get_advice_that_is_kept_and_said_to_be_out_of_date(tmp_path):
    with mars.create(tmp_path / "w", progress=False) as workspace:
        workspace.import_pairs(demo_pairs(tmp_path, 90))
        with pytest.raises(mars.MarsError, match="no advice"):
            workspace.advised()
        workspace.train()
        workspace.score()
        found = workspace.advise()
        assert not found.out_of_date
        assert workspace.advised().advice.steps == found.advice.steps
        frame = found.frame
        assert list(frame["name"]) == [each.name for each in found.advice.steps]
        known = frame[frame["gain"].notna()]
        assert known["gain"].is_monotonic_decreasing
        assert (known["low"] <= known["gain"]).all()
        assert {"check", "label", "leave out", "augment", "features", "fine-tune", "stop"} == set(frame["kind"])
        assert found.advice.seconds < 30
        pair = workspace.pairs()["id"].iloc[0]
        workspace.check({pair: "label_right"}, reviewer="ada")
        assert workspace.advised().out_of_date == "1 more labels were decided"
    result = run(tmp_path / "w", "advise", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["advice"]["steps"][0]["name"]
    assert report["outcomes"][1]["done"] == "1 more labels were decided"
    assert "Where the next hour pays" in run(tmp_path / "w", "advise").output


@pytest.mark.model
def test_fine_tuning_is_measured_where_it_is_asked_for(tmp_path):
    path = demo_pairs(tmp_path, 60)
    with mars.create(tmp_path / "w", progress=False) as workspace:
        workspace.import_pairs(path)
        quick = {"reward_model": {"epochs": 1, "max_tokens": 32}}
        step = workspace.advise(fine_tuning=True, settings=quick).advice["fine-tune the encoder"]
        assert step.is_known
        assert step.low < step.gain < step.high
        assert step.minutes > 0
        assert "pairs of the fifth" in step.how_known
        assert not list((tmp_path / "w" / "artifacts").glob("checkpoints/*"))
