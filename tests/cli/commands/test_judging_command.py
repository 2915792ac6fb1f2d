"""`mars judge-labels`: by a chat model, a reward model and a file; dry, decided, undone, and told with agreement."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from scripted_chat import Answer, Asked, serving

import mars_engine as mars
from mars_engine.cli.main import mars as cli
from mars_engine.core.config import ChatConfig, MarsConfig, TriageConfig
from mars_engine.core.shipped import shipped
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store, save_config

pytestmark = pytest.mark.model
PAIRS = 24


def run(root: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, ["--workspace", str(root), "--quiet", *arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def told(root: Path, *arguments: str) -> dict:
    return json.loads(run(root, *arguments, "--json"))


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("judging") / "w"
    create_workspace(root, MarsConfig(triage=TriageConfig(seeds=2, folds=3, near_zero=0.0)))
    few = root.parent / "few.jsonl"
    lines = (shipped("data") / "demo-train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    few.write_text("".join(lines[:PAIRS]), encoding="utf-8")
    for step in (["import", str(few)], ["train"], ["score"]):
        run(root, *step)
    return root


@pytest.fixture
def root(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "w"))


def shorter_is_better(asked: Asked) -> Answer:
    """Prefers the answer of fewer characters, in whichever order they stand."""
    text = asked.messages[-1]["content"]
    first, second = (text.split(f"<{name}>")[1].split(f"</{name}>")[0] for name in ("first", "second"))
    return Answer(json.dumps({"better": "first" if len(first) < len(second) else "second"}))


def with_chat(root: Path, base_url: str) -> None:
    found = find_workspace(root)
    chat = ChatConfig(base_url=base_url, model="tiny", first_wait_seconds=0.01, input_price=1.0, output_price=2.0)
    save_config(found, found.config.model_copy(update={"chat": chat}))


def test_a_chat_model_is_asked_once_in_both_orders_and_told_beforehand_what_it_costs(root):
    with serving(shorter_is_better) as server:
        with_chat(root, server.base_url)
        forecast = told(root, "judge-labels", "--judge", "chat", "--all", "--dry-run")
        assert (forecast["to_judge"], forecast["estimate"]["requests"]) == (PAIRS, 2 * PAIRS)
        assert forecast["estimate"]["cost"] > 0
        assert server.asked == []
        assert "about" in run(root, "judge-labels", "--judge", "chat", "--all", "--dry-run")
        first = told(root, "judge-labels", "--judge", "chat", "--all", "--limit", "5")["judging"]
        assert (first["judged_now"], first["left"], len(server.asked)) == (5, PAIRS - 5, 10)
        report = told(root, "judge-labels", "--judge", "chat", "--all")
        assert (report["judging"]["judged_now"], len(server.asked)) == (PAIRS - 5, 2 * PAIRS)
        again = told(root, "judge-labels", "--judge", "chat", "--all")
        assert (again["judging"]["judged_now"], len(server.asked)) == (0, 2 * PAIRS)
    verdicts = again["judging"]["verdicts"]
    assert set(verdicts) <= {"chosen", "rejected"}
    assert sum(verdicts.values()) == PAIRS
    (tally,) = again["agreement"]["judges"]
    assert tally["judge"].startswith("chat tiny ")
    assert [(each["first"], each["second"], each["items"]) for each in again["agreement"]["pairs"]] == [
        (f"judge:{tally['judge']}", "out-of-fold margin", PAIRS)
    ]
    assert "Cohen's κ" in run(root, "judge-labels", "--judge", "recorded")


def test_a_model_that_prefers_what_stands_first_is_said_to_and_decides_nothing(root):
    with serving() as server:  # it answers "first" whatever is asked
        with_chat(root, server.base_url)
        report = told(root, "judge-labels", "--judge", "chat", "--all", "--decide")
    assert report["judging"]["verdicts"] == {"inconsistent": PAIRS}
    assert report["decisions"]["undecided_judge"] == PAIRS
    with open_workspace_store(find_workspace(root)) as store:
        assert store.reviews.events("pair") == {}


def test_a_reward_model_of_the_workspace_judges_with_a_warning_decides_and_is_undone(root):
    said = run(root, "judge-labels", "--judge", "warm-up", "--all", "--decide")
    assert "It was trained on the labels of these pairs" in said
    assert "Decided by policy:judge" in said
    with open_workspace_store(find_workspace(root)) as store:
        events = [event for each in store.reviews.events("pair").values() for event in each]
        assert {event.annotator for event in events} == {"policy:judge"}
    assert f"about {len(events)} labels" in run(root, "judge-labels", "--undo")
    assert "Nothing to take back" in run(root, "judge-labels", "--undo")


def test_opinions_come_from_a_file_and_python_does_the_same(root, tmp_path):
    file = tmp_path / "opinions.jsonl"
    file.write_text("".join(f'{{"i": {place}, "label_doubt": true}}\n' for place in range(PAIRS)), encoding="utf-8")
    suspects = told(root, "judge-labels", "--judge", "warm-up", "--dry-run")["to_judge"]
    report = told(root, "judge-labels", "--opinions", str(file), "--decide")
    assert report["recorded"]["taken"] == PAIRS
    assert report["decisions"]["flipped"] == suspects > 0
    with mars.open(root, progress=False) as workspace:
        assert workspace.undo_judge() == suspects
        found = workspace.judge_labels(opinions=[file], decide=True)
        assert found.decisions.flipped == suspects
        assert workspace.judge_forecast("warm-up", every_pair=True).estimate is None
        with pytest.raises(mars.MarsError, match="no judge is named"):
            workspace.judge_labels()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 3, "no judge is named"),
        (["--judge", "recorded", "--decide"], 4, "has said nothing yet"),
        (["--judge", "no/such/folder"], 5, "no/such/folder"),
        (["--judge", "chat", "--undo", "--decide"], 2, "give it alone"),
        (["--opinions", "x.jsonl", "--all"], 2, "asks nobody"),
        (["--judge", "chat", "--dataset", "few"], 2, "give both"),
        (["--opinions", "missing.jsonl"], 3, "missing.jsonl"),
        (["--judge", "recorded", "--dry-run"], 3, "cannot be asked"),
    ],
)
def test_what_cannot_be_done_is_said(root, arguments, code, said):
    assert said in run(root, "judge-labels", *arguments, code=code)


def test_a_round_asks_the_judge_where_the_policy_for_suspects_says_so(root):
    found = find_workspace(root)
    triage = found.config.triage.model_copy(update={"policy": "judge"})
    save_config(found, found.config.model_copy(update={"triage": triage}))
    assert "no judge is named" in run(root, "open-round", code=3)
    config = find_workspace(root).config
    judge = config.judge.model_copy(update={"by": "warm-up"})
    save_config(found, config.model_copy(update={"judge": judge}))
    suspects = told(root, "judge-labels", "--judge", "warm-up", "--dry-run")["to_judge"]
    run(root, "open-round")
    with open_workspace_store(find_workspace(root)) as store:
        (judge_name,) = store.opinions.judges()
        assert len(store.opinions.of_judge(judge_name)) == suspects
