"""`mars alpaca-eval` and `mars.alpaca_eval`: what they show, record and refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from scripted_chat import Answer, serving
from tiny_chat_models import save_tiny_chat_model

import mars_engine as mars_api
from mars_engine.cli.main import BAD_INPUT, UNUSABLE, mars
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

PROMPTS = 20
MANY = "resamples = 10000"


def alpaca_eval(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "alpaca-eval", *arguments], prog_name="mars")


def saved(folder: Path, name: str, *, prompts: int = PROMPTS, length: int = 3) -> str:
    """A file of outputs of a model of that name."""
    rows = [
        {"instruction": f"Task {n}?", "output": " ".join([name] * (length + n % 4)), "generator": name}
        for n in range(prompts)
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(rows))
    return str(path)


@pytest.fixture
def workspace(tmp_path) -> Path:
    """A workspace whose intervals take few resamples."""
    root = create_workspace(tmp_path / "w").root
    settings = (root / "mars.toml").read_text()
    assert MANY in settings
    (root / "mars.toml").write_text(settings.replace(MANY, "resamples = 100"))
    return root


def always_the_first(_asked: Any) -> Answer:
    return Answer('{"better": "first"}')


@pytest.mark.slow
def test_a_chat_model_judges_and_its_bias_is_told(workspace, tmp_path):
    arguments = [saved(tmp_path, "one"), saved(tmp_path, "two", length=6), "--reference", saved(tmp_path, "base")]
    with serving(always_the_first) as server:
        chat = ["--chat-base-url", server.base_url, "--chat-model", "tiny-judge"]
        result = alpaca_eval(workspace, *arguments, *chat, "--matrix")
        asked = len(server.asked)
        again = alpaca_eval(workspace, *arguments, *chat, "--matrix", "--json")
        assert len(server.asked) == asked == 3 * 2 * PROMPTS

    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "baseline: base; judge: tiny-judge; prompts: 20 prompts of base.json" in said
    assert "50.00 (50.0 to 50.0)" in said
    assert "two: The judge has a position bias: it prefers the answer shown first in 100% of 40 verdicts" in said
    assert "How often the row beats the column, in %" in said
    report = json.loads(again.stdout)
    assert [each["figures"]["wins"]["win_rate"] for each in report["policies"]] == [50, 50]
    assert len(report["matrix"]) == 6
    with open_workspace_store(find_workspace(workspace)) as store:
        run = store.runs.all()[-1]
        labels = [each.label for each in store.evaluations.all("alpaca_eval")]
    assert (run.kind, run.state, run.summary["two, win rate in %"]) == ("alpaca-eval", "finished", 50)
    assert sorted(labels) == ["one", "two"]


@pytest.mark.slow
def test_annotations_show_their_figures_without_a_workspace(workspace, tmp_path):
    with serving(always_the_first) as server:
        chat = ["--chat-base-url", server.base_url, "--chat-model", "tiny-judge"]
        made = alpaca_eval(
            workspace, saved(tmp_path, "one"), "--reference", saved(tmp_path, "base"), *chat, "--name", "mine", "--json"
        )
    (policy,) = json.loads(made.stdout)["policies"]
    annotations = str(Path(policy["folder"]) / "annotations.json")

    shown = alpaca_eval(tmp_path / "nowhere", "--annotations", annotations, "--json")
    by_python = mars_api.alpaca_figures(annotations)

    figures = json.loads(shown.stdout)
    same = ("policy", "baseline", "judge", "n_prompts", "position_bias", "length_bias", "failures", "warnings")
    assert {name: figures[name] for name in same} == {name: policy["figures"][name] for name in same}
    assert figures["length_controlled"]["win_rate"] == policy["figures"]["length_controlled"]["win_rate"]
    assert by_python.policy == figures["policy"] == "mine"
    assert by_python.wins.n_draws == PROMPTS


def test_what_cannot_be_done_is_said_in_words(workspace, tmp_path):
    one, base = saved(tmp_path, "one"), saved(tmp_path, "base")
    cases = {
        2: (["--reference", base], "name the policies' files and --reference"),
        BAD_INPUT: ([one, "--reference", base, "--name", "a", "--name", "b"], "2 names are given for 1 files"),
        UNUSABLE: ([one, "--reference", base, "--judge", "no/such-model"], "the judge 'no/such-model' is no model"),
    }
    for code, (arguments, said) in cases.items():
        result = alpaca_eval(workspace, *arguments)
        assert result.exit_code == code, result.output
        assert said in " ".join(result.output.split())
    both = alpaca_eval(workspace, one, "--annotations", base)
    assert "--annotations takes no outputs" in both.output
    unnamed = alpaca_eval(workspace, one, "--reference", base)
    assert unnamed.exit_code == BAD_INPUT
    assert "none is named" in unnamed.output
    elsewhere = alpaca_eval(workspace, one, "--reference", base, "--tables", str(tmp_path), "--chat-model", "x")
    assert "has no table for length control" in " ".join(elsewhere.output.split())


@pytest.mark.model
def test_a_reward_model_judges_without_a_position_and_in_python(workspace, tmp_path):
    model = save_tiny_chat_model(tmp_path / "tiny", "decoder", seed=0)
    with mars_api.open(workspace, progress=False) as opened:
        report = mars_api.alpaca_eval(
            opened,
            {"mine": saved(tmp_path, "one", length=9)},
            reference=saved(tmp_path, "base"),
            judge=str(model),
        )

    (policy,) = report.policies
    assert (report.judge, policy.figures.policy) == ("tiny", "mine")
    assert policy.figures.wins.n_total == PROMPTS
    assert 0 < policy.figures.wins.win_rate < 100
    assert policy.figures.position_bias is None
    assert not any("position bias" in each for each in policy.figures.warnings)
