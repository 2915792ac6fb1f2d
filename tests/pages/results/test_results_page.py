"""The Results page: figures, what the address says, present mode, models without scores, downloads."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from app_workspaces import make_workspace, open_results
from streamlit.testing.v1 import AppTest

from mars_engine.core.records import ModelRecord
from mars_engine.reward_models.choice_summary import CHOICE_METRIC, Alternative, ChoiceSummary
from mars_engine.workspace.workspace import find_workspace, open_workspace_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("results") / "complete", "complete")


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.text, *app.title, *app.subheader])


def models_of(root: Path) -> list[ModelRecord]:
    with open_workspace_store(find_workspace(root)) as store:
        return store.models.all()


def test_the_warm_up_and_the_newest_are_compared_in_words_and_figures(complete, monkeypatch):
    app = open_results(complete, monkeypatch)
    shown = words(app)
    assert app.multiselect[0].value == [model.id for model in models_of(complete)]
    assert "The reward model “signed round 1” ranks" in shown
    for section in ("Held-out accuracy", "How margins moved", "Pairs that crossed zero", "Accuracy by subset"):
        assert section in shown
    for section in ("Calibration", "Where the models come from"):
        assert section in shown
    assert [button.label for button in app.get("download_button")]


def test_the_address_says_which_models_and_which_split(complete, monkeypatch):
    warm_up = models_of(complete)[0]
    app = open_results(complete, monkeypatch, models=warm_up.id)
    assert app.multiselect[0].value == [warm_up.id]
    assert "How margins moved" not in words(app)
    app = open_results(complete, monkeypatch, split="train")
    assert "training pairs: the mean margin" in words(app)
    app = open_results(complete, monkeypatch, models="no-such-model", split="no-such-split")
    assert len(app.multiselect[0].value) == 2
    assert "held-out pairs: the mean margin" in words(app)


def test_a_choice_is_put_into_the_address(complete, monkeypatch):
    app = open_results(complete, monkeypatch)
    newest = models_of(complete)[-1]
    app.multiselect[0].set_value([newest.id]).run()
    assert app.query_params["models"] in (newest.id, [newest.id])
    app.multiselect[0].set_value([]).run()
    assert "No model is chosen" in words(app)


def test_present_mode_shows_the_same_without_controls(complete, monkeypatch):
    app = open_results(complete, monkeypatch, present="1")
    assert "The reward model “signed round 1” ranks" in words(app)
    assert not app.multiselect
    assert not app.button
    assert not app.dataframe
    assert not app.get("download_button")


def test_what_the_newest_probe_reads_is_told_with_its_alternatives(complete, tmp_path, monkeypatch):
    shown = words(open_results(complete, monkeypatch))
    assert "What the probe reads" in shown
    assert "The newest probe (signed round 1) reads the sentence embedding of the response," in shown
    assert "the pairs are too few to choose" in shown
    assert 'layers = "3,5"' in shown
    root = make_workspace(tmp_path / "w", "complete")
    alternatives = (
        Alternative((3, 5), "response", 0.003, 0.625, 0.6543, 995, chosen=True),
        Alternative((), "response", 0.1, 0.6, 0.66, 995, chosen=False),
    )
    summary = ChoiceSummary((3, 5), "response", "mean", 0.003, "chosen <b>so</b>", alternatives)
    with open_workspace_store(find_workspace(root)) as store:
        newest = store.models.all()[-1]
        metrics = dict(newest.metrics) | {CHOICE_METRIC: summary.as_json}
        store.models.add(replace(newest, id="e" * 24, label="signed round 2", round=2, metrics=metrics))
    app = open_results(root, monkeypatch)
    said = (
        "The newest probe (signed round 2) reads the mean of the response's tokens at layers 3 and 5 of the encoder, "
    )
    assert f"{said}with the penalty 0.003, chosen <b>so</b>." in words(app)
    assert "The 2 ways of reading that were compared" in [each.label for each in app.expander]
    (table,) = [each.proto.body for each in app.get("html") if 'aria-label="Ways of reading"' in each.proto.body]
    assert table.index("3 and 5 (chosen)") < table.index("62.5%") < table.index(">sentence<")
    presented = open_results(root, monkeypatch, present="1")
    assert said in words(presented)
    assert "mars.toml" not in words(presented)


def test_models_that_do_not_say_what_they_read_have_no_such_section(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "without a model")
    old = ModelRecord(
        "a" * 24, "probe", "warm-up", {}, {"training_pairs": 20}, "", "", 0, datetime(2026, 1, 1, tzinfo=UTC)
    )
    with open_workspace_store(find_workspace(root)) as store:
        store.models.add(old)
    shown = words(open_results(root, monkeypatch))
    assert "warm-up is not scored yet" in shown
    assert "What the probe reads" not in shown


@pytest.mark.parametrize(
    ("kind", "says"),
    [("empty", "No reward model is trained yet"), ("without a model", "No reward model is trained yet")],
)
def test_without_a_model_it_says_what_to_do(kind, says, tmp_path, monkeypatch):
    assert says in words(open_results(make_workspace(tmp_path / "w", kind), monkeypatch))


def test_a_model_without_scores_is_said_to_wait_for_them(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "complete")
    with open_workspace_store(find_workspace(root)) as store:
        newest = store.models.all()[-1]
        store.models.add(replace(newest, id="e" * 24, label="signed round 2", round=2))
    shown = words(open_results(root, monkeypatch))
    assert "signed round 2 is not scored yet: it has scored 0 of 20 pairs." in shown
