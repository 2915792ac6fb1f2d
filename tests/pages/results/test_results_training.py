"""Training dynamics on the Results page: the map, its lists and links, present mode, and where no margins were kept."""

from dataclasses import replace
from pathlib import Path

import pytest
from app_workspaces import keep_trajectories, make_workspace, open_results
from streamlit.testing.v1 import AppTest

from mars_engine.reward_models import training_map
from mars_engine.workspace.workspace import find_workspace, open_workspace_store
from pages.parts.results.training import _map

pytestmark = pytest.mark.slow

TITLE = "Training dynamics"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("dynamics") / "complete", "complete")
    keep_trajectories(root)
    return root


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.text, *app.subheader, *app.markdown])


def pairs_listed(app: AppTest) -> list[str]:
    (table,) = [each.value for each in app.dataframe if "variability" in each.value]
    return [link.removeprefix("/pair?id=") for link in table["pair"]]


def test_it_has_headline_counts_the_map_and_the_pairs_that_were_never_learned_first(workspace, monkeypatch):
    app = open_results(workspace, monkeypatch)
    assert "signed round 1: its 20 base pairs by their margins after each of 4 epochs" in words(app)
    counts = {metric.label: metric.value for metric in app.metric}
    assert counts == {"Never learned": "4", "Forgotten at least once": "4", "Ambiguous": "4"}
    with open_workspace_store(find_workspace(workspace)) as store:
        ids = [pair.id for pair in store.pairs.pairs("train")]
    assert sorted(pairs_listed(app)) == sorted(ids[::5])
    labels = [button.label for button in app.get("download_button")]
    assert "All pairs of the training (CSV)" in labels
    assert len(app.get("button_group")) == 2  # the split and the list; with one such model there is nothing to choose


def test_a_list_is_chosen_and_the_address_says_which(workspace, monkeypatch):
    app = open_results(workspace, monkeypatch, list="most forgotten")
    with open_workspace_store(find_workspace(workspace)) as store:
        ids = [pair.id for pair in store.pairs.pairs("train")]
    assert sorted(pairs_listed(app)) == sorted(ids[1::5])
    app.session_state["results-list"] = "most variable"
    app.run()
    assert app.query_params["list"] in ("most variable", ["most variable"])
    assert sorted(pairs_listed(app)[:4]) == sorted(ids[1::5])  # those that went up and down
    assert len(pairs_listed(app)) == 20


def test_an_audience_sees_the_same_without_controls(workspace, monkeypatch):
    app = open_results(workspace, monkeypatch, present="1", list="most forgotten")
    assert TITLE in words(app)
    assert not app.dataframe
    assert not app.get("download_button")
    assert not app.get("segmented_control")
    assert "Pairs of the training: most forgotten (4)" in words(app)
    assert any('aria-label="Pairs of the training: most forgotten"' in each.proto.body for each in app.get("html"))


def test_with_several_trainings_the_newest_is_shown_and_the_address_may_name_another(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "complete")
    older = keep_trajectories(root)
    with open_workspace_store(find_workspace(root)) as store:
        newer = replace(older, id="e" * 24)
        store.models.add(newer)
        store.models.save_epoch(newer.id, 1, dict.fromkeys(store.models.trajectories(older.id), 1.0))
    assert "by their margins after 1 epoch." in words(open_results(root, monkeypatch))
    app = open_results(root, monkeypatch, trained=older.id)
    assert "after each of 4 epochs" in words(app)
    # Of one epoch no list has a pair: all were right after it, and nothing varied.
    assert "There is no such pair." in words(open_results(root, monkeypatch))


def test_of_many_pairs_a_part_is_drawn_and_it_says_so(workspace, monkeypatch):
    monkeypatch.setattr(training_map.TrainingMap.to_draw, "__defaults__", (10,))
    _map.clear()
    assert "10 of 20 pairs are drawn: the most telling" in words(open_results(workspace, monkeypatch))


def test_without_margins_it_says_how_to_have_them_kept_but_not_to_an_audience(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "complete")
    shown = words(open_results(root, monkeypatch))
    assert TITLE in shown
    assert "--reward-model-trajectory" in shown
    assert TITLE not in words(open_results(root, monkeypatch, present="1"))


def test_before_any_training_it_says_nothing(tmp_path, monkeypatch):
    assert TITLE not in words(open_results(make_workspace(tmp_path / "w", "without a model"), monkeypatch))


def test_it_needs_no_held_out_pairs(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "complete")
    keep_trajectories(root)
    with open_workspace_store(find_workspace(root)) as store:
        (heldout,) = [each for each in store.pairs.datasets() if each.split == "heldout"]
        store.removal.remove_dataset(heldout.id)
    shown = words(open_results(root, monkeypatch))
    assert "There are no held-out pairs" in shown
    assert TITLE in shown
