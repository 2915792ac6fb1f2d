"""`mars best-of-n`: recorded answers and a language model from end to end, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes import BAD, GOOD, make_pairs
from tiny_causal import save_tiny_causal

from mars_engine.cli.main import BAD_INPUT, NOT_READY, UNUSABLE, mars
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

pytestmark = pytest.mark.model


def run(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), *arguments], prog_name="mars")


def best_of_n(workspace: Path, *arguments: str) -> Result:
    return run(workspace, "best-of-n", *arguments)


def write(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def as_rows(pairs):
    return [{"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs]


def make_workspace(folder: Path, *, first: int = 0) -> Path:
    """A workspace with a probe trained on pairs whose chosen answers have the good words."""
    root = create_workspace(folder).root
    for split, pairs in (("train", make_pairs(40, first=first)), ("heldout", make_pairs(3, first=first + 40))):
        path = write(folder.parent / f"{folder.name}-{split}.jsonl", as_rows(pairs))
        assert run(root, "import", path, "--split", split).exit_code == 0
    assert run(root, "train").exit_code == 0
    return root


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("best-of-n") / "w")


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> str:
    """Four answers to each of twelve prompts, three of them trained on; the better ones have more good words."""
    rows = [
        {
            "prompt": pair.prompt[0].content,
            "responses": [
                {"text": " ".join([*GOOD[:good], *BAD[good:]]), "model": f"m{good}", "preference": good}
                for good in (2, 0, 5, 3)
            ],
        }
        for pair in (*make_pairs(3), *make_pairs(9, first=100))
    ]
    return write(tmp_path_factory.mktemp("answers") / "answers.jsonl", rows)


def test_recorded_answers_are_picked_and_judged(workspace, answers):
    result = best_of_n(workspace, "--answers", answers, "--n", "4", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    report = found["report"]
    assert (report["prompts"], report["answers"], report["judge"]) == (9, 4, "recorded preferences")
    assert report["left_out"] == {"prompt that a reward model was trained on": 3}
    assert report["random"]["estimate"] == pytest.approx(2.5)
    curves = {curve["selector"]: curve for curve in report["curves"]}
    assert curves["oracle"]["points"][-1]["judged"]["estimate"] == pytest.approx(5)
    assert len(curves) == 3
    (probe,) = (curve for name, curve in curves.items() if name not in ("oracle", "longest"))
    assert probe["points"][-1]["judged"]["estimate"] == pytest.approx(5), "good words are what it was trained on"
    assert json.loads((Path(found["folder"]) / "results.json").read_text()) == report
    with (Path(found["folder"]) / "curves.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 3
    assert {row["n"] for row in rows} == {"1", "2", "4"}
    with open_workspace_store(find_workspace(workspace)) as store:
        newest = store.runs.all()[0]
    assert (newest.kind, newest.state, newest.summary["prompts"]) == ("best-of-n", "finished", 9)
    everything = best_of_n(workspace, "--answers", answers, "--n", "4", "--include-trained")
    assert "on 12 prompts, by recorded preferences" in everything.output
    assert "upper bound" in everything.output


@pytest.mark.usefixtures("one_thread")
def test_a_language_model_is_asked_the_heldout_prompts_once_and_a_gold_model_judges(workspace, tmp_path):
    policy = str(save_tiny_causal(tmp_path / "policy", ends_soon=True))
    gold = make_workspace(tmp_path / "gold", first=20)
    asked = (
        "--policy",
        policy,
        "--judge",
        str(gold),
        "--n",
        "4",
        "--max-new-tokens",
        "12",
        "--device",
        "cpu",
        "--json",
    )
    first = best_of_n(workspace, *asked)
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)["report"]
    assert report["prompts"] == 3
    assert report["judge"].endswith("of gold")
    assert any("3 of 3 prompts are among those that the judge" in remark for remark in report["remarks"])
    (kept,) = (workspace / "artifacts" / "align" / "answers").glob("*.jsonl")
    drawn = kept.read_bytes()
    assert len(drawn.splitlines()) >= 3 * 4
    second = best_of_n(workspace, *asked)
    assert json.loads(second.stdout) == json.loads(first.stdout)
    assert kept.read_bytes() == drawn, "nothing is drawn twice"


def test_what_cannot_be_done_is_said_in_words(workspace, answers, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plain = write(tmp_path / "plain.jsonl", [{"prompt": "p", "responses": ["one", "two"]}])
    seen = write(tmp_path / "seen.jsonl", as_rows(make_pairs(2)))
    for code, said, arguments in (
        (BAD_INPUT, "no policy is named", ()),
        (BAD_INPUT, "both a policy and recorded answers", ("--policy", "p", "--answers", answers)),
        (BAD_INPUT, "nobody judges the picks", ("--answers", plain, "--n", "2")),
        (BAD_INPUT, "no recorded preference", ("--answers", plain, "--n", "2", "--judge", "recorded")),
        (BAD_INPUT, "there is no file", ("--answers", str(tmp_path / "nowhere.jsonl"))),
        (BAD_INPUT, "the temperature is 0", ("--policy", "p", "--temperature", "0")),
        (UNUSABLE, "no reward model 'other'", ("--answers", answers, "--model", "other")),
        (UNUSABLE, "the judge 'owner/name' is no model", ("--answers", answers, "--judge", "owner/name")),
        (NOT_READY, "prompt with fewer answers than asked for (9)", ("--answers", answers, "--n", "5")),
        (NOT_READY, "all 2 prompts of seen", ("--answers", answers, "--prompts", seen)),
    ):
        result = best_of_n(workspace, *arguments)
        assert (result.exit_code, said in result.output) == (code, True), result.output
    empty = create_workspace(tmp_path / "empty").root
    assert "no reward model is trained yet" in best_of_n(empty, "--answers", answers).output
