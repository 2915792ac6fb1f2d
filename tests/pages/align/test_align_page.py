"""The Align page: empty states, what a start takes, what was trained and picked, and a blind comparison."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from app_workspaces import FAILED, make_workspace
from click.testing import CliRunner
from fakes import make_pairs
from streamlit.testing.v1 import AppTest
from tiny_policy import save_tiny_policy

from mars_engine.align.blind.comparing import AnswerSheet, begin_comparison
from mars_engine.align.blind.sheets import write_sheet
from mars_engine.align.blind.votes import take_votes
from mars_engine.align.training.facts import FACTS_FILE, PolicyFacts
from mars_engine.align.training.guards import Look
from mars_engine.align.training.looks import NEWEST_SHEET, REFERENCE_SHEET, save_looks
from mars_engine.cli.commands.align import align
from mars_engine.cli.main import mars
from mars_engine.core.clock import utc_now
from mars_engine.core.records import Run, Turn
from mars_engine.core.shipped import shipped
from mars_engine.service.aligned import trained_policies
from mars_engine.service.desk import Desk
from mars_engine.store import Store, open_store
from mars_engine.workspace.aligning import POLICIES_FOLDER
from mars_engine.workspace.workspace import create_workspace, find_workspace

pytestmark = pytest.mark.slow

PROMPTS = [(Turn("user", f"question {number}"),) for number in range(3)]
READER = "test@example.com"
"""Who is signed in under AppTest."""
OpenPage = Callable[..., tuple[AppTest, Store]]


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def open_page(root, monkeypatch) -> OpenPage:
    def open_kind(kind: str = "", **query: str) -> tuple[AppTest, Store]:
        if kind:
            make_workspace(root, kind)
        monkeypatch.setenv("MARS_WORKSPACE", str(root))
        app = AppTest.from_file(str(shipped("app.py")), default_timeout=60).run()
        app.switch_page("pages/align.py")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception[0].stack_trace
        return app, open_store(find_workspace(root).database_url)

    return open_kind


def words(app: AppTest) -> str:
    shown = [*app.text, *app.subheader, *app.metric, *app.warning]
    html = [element.proto.body for element in app.get("html")]
    return "\n".join([*(str(element.value) for element in shown), *html])


# ----------------------------------------------------------------------------------------------------- starting


def test_without_a_reward_model_it_says_to_train_one(open_page):
    app, _ = open_page("without a model")
    assert "No reward model is trained yet, so nothing tells a better answer" in words(app)
    assert not [button for button in app.button if button.key == "align-start"]


def test_what_best_of_n_takes_is_said_before_it_starts(open_page):
    app, _ = open_page("complete")
    app.selectbox(key="align-policy").set_value("a folder").run()
    assert "No policy is named" in words(app)
    assert app.button(key="align-start").disabled
    app.text_input(key="align-policy-place").set_value("/models/policy").run()
    app.number_input(key="align-most-prompts").set_value(5).run()
    app.number_input(key="align-n").set_value(4).run()
    assert "up to 20 completions of at most 128 tokens: 2,560 tokens" in words(app)
    assert "a guess for two cores" in words(app)
    assert not app.button(key="align-start").disabled


def test_a_judge_of_the_same_labels_is_said_not_to_be_independent(open_page):
    app, _ = open_page("complete")
    assert "Not independent: this judge learned from the labels" in words(app)
    app.selectbox(key="align-judge-True").set_value("another").run()
    assert "Not independent" not in words(app)


def test_an_earlier_training_tells_how_long_the_next_takes(open_page):
    _, store = open_page("complete")
    settings = {"policy": "/p", "steps": 10, "prompts_per_step": 2, "completions": 4, "max_new_tokens": 50}
    run = replace(FAILED, kind="align", state="running", error="", settings={"align": settings}, started_at=utc_now())
    store.runs.start(run)
    store.runs.finish(run.id, "finished", run.started_at + timedelta(seconds=40), summary={})
    app, _ = open_page()
    app.segmented_control(key="method").set_value("rloo").run()
    app.selectbox(key="align-policy").set_value("a folder").run()
    app.text_input(key="align-policy-place").set_value("/p").run()
    # 100 steps × 4 prompts × 4 completions and 6 looks at 10 prompts, of 64 tokens each, at 100 tokens a second.
    assert "up to 1,660 completions of at most 64 tokens: 106,240 tokens, about 18 min" in words(app)
    assert "as the newest run with this policy went" in words(app)


def test_the_button_starts_a_job_with_what_was_chosen(open_page, monkeypatch):
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(Desk, "start_job", lambda _, *command: started.append(command))
    app, store = open_page("complete")
    app.segmented_control(key="method").set_value("ppo").run()
    app.selectbox(key="align-policy").set_value("a folder").run()
    app.text_input(key="align-policy-place").set_value("/p").run()
    app.number_input(key="align-steps").set_value(7).run()
    app.button(key="align-start").click().run()
    assert not app.exception
    assert app.segmented_control(key="part").value == "follow"
    (command,) = started
    assert command[:3] == ("align", "--reward-model", store.models.all()[-1].id)
    asked = align.make_context("align", list(command[1:])).params
    assert {"7", "/p", "ppo"} <= {str(value) for value in asked.values()}, asked


@pytest.mark.model
def test_the_button_trains_a_policy_that_is_listed_afterwards(open_page, root, tmp_path):
    policy = str(save_tiny_policy(tmp_path / "tiny", steps=20))
    train_probe(root)
    app, store = open_page()
    app.segmented_control(key="method").set_value("ppo").run()
    app.selectbox(key="align-policy").set_value("a folder").run()
    app.text_input(key="align-policy-place").set_value(policy).run()
    for name, value in {"steps": 2, "prompts-a-step": 2, "completions": 2, "train-tokens": 8, "watched": 2}.items():
        app.number_input(key=f"align-{name}").set_value(value)
    app.run().button(key="align-start").click().run()
    assert not app.exception
    run = until_ended(store)
    assert (run.kind, run.state, run.error) == ("align", "finished", "")
    (trained,) = trained_policies(find_workspace(root))
    assert (trained.facts.method, trained.facts.policy, trained.facts.steps) == ("ppo", policy, 2)
    assert [look.step for look in trained.looks] == [0, 1, 2]
    app, _ = open_page(part="Runs and policies")
    said = words(app)
    assert "✓ finished: align" in said
    assert "Trained policies" in said
    assert f"{trained.facts.reward_before:.2f} → {trained.facts.reward_after:.2f}".replace("-", "−") in said
    assert any(element.value == "Distance from the training data" for element in app.text)


def train_probe(root: Path) -> None:
    """Make a workspace with a real probe, which a job can load, and six held-out prompts."""
    create_workspace(root)
    pairs = make_pairs(46)
    for split, some in (("train", pairs[:40]), ("heldout", pairs[40:])):
        rows = [{"prompt": each.prompt[0].content, "chosen": each.chosen, "rejected": each.rejected} for each in some]
        file = root.with_name(f"{split}.jsonl")
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        run_mars(root, "import", str(file), "--split", split)
    run_mars(root, "train")


def run_mars(root: Path, *command: str) -> None:
    done = CliRunner().invoke(mars, ["--workspace", str(root), "--quiet", *command], prog_name="mars")
    assert done.exit_code == 0, done.output


def until_ended(store: Store) -> Run:
    deadline = time.monotonic() + 120
    while (run := store.runs.newest(1)[0]).state in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return run


# ------------------------------------------------------------------------------------------- what was trained


def keep_policy(root: Path) -> None:
    folder = root / POLICIES_FOLDER / ("a1" * 16)
    folder.mkdir(parents=True)
    looks = [
        Look(
            step,
            tuple(f"answer {number} after {step}" for number in range(3)),
            np.arange(3.0) + step,
            np.full(3, step / 10),
            np.arange(3.0) - step,
            np.full(3, 0.5 + step / 100),
            np.full(3, 0.1 + step / 10),
        )
        for step in (0, 10, 20)
    ]
    save_looks(folder, looks)
    for file, name, look in ((REFERENCE_SHEET, "base", looks[0]), (NEWEST_SHEET, "base by rloo", looks[-1])):
        write_sheet(folder / file, name, zip(PROMPTS, look.texts, strict=True))
    facts = PolicyFacts(
        id=folder.name, method="rloo", policy="base", rewards=("warm-up",), gold=("gold",), steps=20, prompts=30,
        prompts_too_long=0, watched=3, reward_before=1.0, reward_after=21.0, gold_before=1.0, gold_after=-19.0,
        gold_peak_step=0, kl=2.0, alarms=("answers have become <b>longer</b>",), remarks=(), merged=False,
    )  # fmt: skip
    (folder / FACTS_FILE).write_text(json.dumps(asdict(facts)))


def test_a_trained_policy_is_shown_with_alarms_and_answers_beside_the_references(open_page, root):
    make_workspace(root, "complete")
    keep_policy(root)
    app, _ = open_page(part="Runs and policies")
    said = words(app)
    assert "1.00 → 21.00" in said
    assert "answers have become" in said
    assert "<b>longer" not in said
    assert "answers lie 1.40 times as far from what the reward model was trained on" in said
    assert "The gold reward peaked at 1.00 after step 0, at √KL 0.00, and −19.00 after step 20." in said
    assert "The reward models disagree by 2.10 deviations, on the reference's answers by 0.10." in said
    assert "answer 2 after 0" in said
    assert "answer 2 after 20" in said
    app.select_slider(key=f"look-{'a1' * 16}").set_value(10).run()
    assert "answer 2 after 10" in words(app)


def test_nothing_trained_yet_says_where_to_begin(open_page):
    app, _ = open_page("complete", part="Runs and policies")
    assert "Nothing was trained or picked here yet" in words(app)


# ------------------------------------------------------------------------------------------------- comparing


def test_without_answers_it_says_what_can_be_compared(open_page):
    app, _ = open_page("empty", part="Compare blind")
    assert "There are no two policies' answers to compare yet." in words(app)
    assert "one file a policy" in words(app)


def test_a_trained_policy_and_its_reference_can_be_compared(open_page, root):
    make_workspace(root, "complete")
    keep_policy(root)
    app, store = open_page(part="Compare blind")
    app.button(key="compare-begin").click().run()
    assert not app.exception
    (comparison,) = store.comparisons.all()
    assert (comparison.first, comparison.second, comparison.made_by) == ("base", "base by rloo", READER)
    assert "base by rloo" not in words(app)
    assert "Win rate" not in words(app)


def test_the_result_shows_only_to_who_has_ended_and_its_votes_become_pairs(open_page, root):
    make_workspace(root, "complete")
    store = open_store(find_workspace(root).database_url)
    sheets = [AnswerSheet(name, dict.fromkeys(PROMPTS, f"{name} says")) for name in ("one", "two")]
    comparison = begin_comparison(store, *sheets, source="a test", seed=1, made_by="ann", clock=utc_now)
    said = {"comparison": comparison.id, "annotator": READER}
    log = [
        {**said, "sequence": number + 1, "number": number, "action": action}
        for number, action in enumerate(("left", "right", "tie"))
    ]
    take_votes(store, comparison, annotator=READER, log=log, clock=utc_now)
    app, _ = open_page(part="Compare blind", comparison=comparison.id)
    assert "Win rate" not in [metric.label for metric in app.metric]
    asked = {**said, "sequence": 9, "action": "reveal"}
    assert take_votes(store, comparison, annotator=READER, log=[asked], clock=utc_now).acknowledged == (9,)
    app, _ = open_page(part="Compare blind", comparison=comparison.id)
    assert "Win rate" in [metric.label for metric in app.metric]
    assert "Too few prompts to tell the two apart" in words(app)
    before = store.pairs.count("train")
    app.button(key="add-votes").click().run()
    assert store.pairs.count("train") == before + 2
    assert "2 pairs added, to train on; 1 × a tie, or people disagree" in words(app)
