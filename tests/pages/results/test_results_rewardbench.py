"""The Results page's RewardBench section."""

from pathlib import Path

import pytest
from app_workspaces import open_results
from fakes import TickingClock
from streamlit.testing.v1 import AppTest

from mars_engine.evaluate.rewardbench import keep_published
from mars_engine.evaluate.rewardbench_scores import PRIOR_SET_SUBSETS, PUBLISHED_ROWS, PUBLISHED_ROWS_V2
from mars_engine.workspace.workspace import create_workspace, open_workspace_store

TRICKY = "<b>mine</b> $x$ **y**"


@pytest.fixture
def root(tmp_path) -> Path:
    return create_workspace(tmp_path / "w").root


def keep(root: Path, model: str, by_subset: dict[str, float]) -> None:
    from mars_engine.workspace.workspace import find_workspace

    with open_workspace_store(find_workspace(root)) as store:
        keep_published(by_subset, store, model=model, source="s.json", content_hash=model, clock=TickingClock())


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.text, *app.subheader])


def tables(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def test_without_an_evaluation_it_says_how_to_make_one(root, monkeypatch):
    assert "mars rewardbench --file FILE" in words(open_results(root, monkeypatch))
    assert "rewardbench" not in words(open_results(root, monkeypatch, present="1"))


def test_models_stand_beside_each_other_by_section_and_by_subset(root, monkeypatch):
    keep(root, "whole", dict.fromkeys([*PUBLISHED_ROWS, *PRIOR_SET_SUBSETS], 0.875))
    keep(root, TRICKY, {"llmbar-natural": 0.625, "my subset": 0.5})
    app = open_results(root, monkeypatch)
    assert "RewardBench 1" in words(app)
    assert "RewardBench 2" not in words(app)
    shown = tables(app)
    assert "&lt;b&gt;mine&lt;/b&gt; $x$ **y**" in shown, "texts of the data are shown as they are"
    assert shown.count("87.5") >= 7, "four sections, prior sets, and both means"
    assert "62.5*" in shown
    assert "llmbar-natural" in shown
    assert "my subset" in shown
    assert f"{TRICKY}: There is no overall score: Chat, Safety, Reasoning are absent." in words(app)
    assert len(app.get("plotly_chart")) == 1


def test_version_2_has_a_section_of_its_own(root, monkeypatch):
    keep(root, "second", dict.fromkeys(PUBLISHED_ROWS_V2, 0.5))
    app = open_results(root, monkeypatch)
    assert "RewardBench 2" in words(app)
    assert "RewardBench 1" not in words(app)
    assert "Precise IF" in tables(app)
