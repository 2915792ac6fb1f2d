"""Below the cards of Check: a judge is asked by a job where one is configured, and else the page says what to do."""

from pathlib import Path

import pytest
from reading_workspaces import make_reading
from streamlit.testing.v1 import AppTest

from mars_engine.core.clock import utc_now
from mars_engine.core.config import JudgeConfig, MarsConfig
from mars_engine.core.judge_records import LabelOpinion
from mars_engine.core.shipped import shipped
from mars_engine.service.desk import Desk
from mars_engine.workspace.workspace import find_workspace, open_workspace_store, save_config
from pages.parts.review.second_opinion import what_to_do

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    root = make_reading(tmp_path / "w", pairs=40)
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    return root


def judged_by(root: Path, **judge: str) -> None:
    workspace = find_workspace(root)
    save_config(workspace, workspace.config.model_copy(update={"judge": JudgeConfig.model_validate(judge)}))


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=60)
    app.switch_page("pages/check.py")
    for name, value in {"who": "ada", **query}.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in app.text)


def keys(app: AppTest) -> list[str]:
    return [button.key for button in app.button]


@pytest.mark.usefixtures("root")
def test_where_nobody_judges_the_page_says_what_to_do():
    app = opened()
    assert "No judge is set that could be asked. Set 'by' under judge" in texts(app)
    assert "ask-judge" not in keys(app)


@pytest.mark.parametrize(
    ("by", "words"),
    [("", "No judge is set"), ("recorded", "--opinions FILE"), ("chat", "none is named"), ("causal", ""), ("a", "")],
)
def test_what_stands_in_the_way_of_asking_is_told(by, words):
    said = what_to_do(MarsConfig(judge=JudgeConfig(by=by)))
    assert words in said
    assert bool(said) == bool(words)


def test_the_button_starts_the_command_with_what_was_chosen(root, monkeypatch):
    judged_by(root, by="causal")
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(Desk, "start_job", lambda _desk, *command: started.append(command))
    app = opened()
    assert "The language model packaged says which answer is better. Its opinion stands on a card once" in texts(app)
    app.number_input(key="judge-limit").set_value(7)
    app.checkbox(key="judge-all").check()
    app.button(key="ask-judge").click().run()
    assert started == [("judge-labels", "--limit", "7", "--all")]
    assert "ask-judge" not in keys(opened(present="1"))


def test_what_judges_said_stands_there_with_its_agreement(root):
    with open_workspace_store(find_workspace(root)) as store:
        said = ("rejected", "rejected", "rejected", "")
        pairs = store.pairs.pairs("train")
        store.opinions.keep([LabelOpinion("ruth", each.id, *said, retryable=False, at=utc_now()) for each in pairs])
    shown = "\n".join(element.value for element in opened().markdown) + "\n".join(
        each.value for each in opened().get("html")
    )
    assert "ruth" in shown
    assert "Cohen" in shown
