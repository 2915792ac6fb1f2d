"""The choice of the queue's order, and what the card is told of it, without a browser and without the worker."""

import time
from pathlib import Path

import numpy as np
import pytest
from app_workspaces import make_workspace
from fakes import ListSource, make_bench, make_pairs
from streamlit.testing.v1 import AppTest
from test_card import told

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.core.clock import utc_now
from mars_engine.core.errors import NotReadyError, WorkerError
from mars_engine.core.records import PairSet
from mars_engine.core.shipped import shipped
from mars_engine.curate.gain_order import Chance, GainOrder
from mars_engine.curate.live import gain_stamp
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.service.serving import TOKEN_VARIABLE
from mars_engine.service.worker import WorkerClient
from mars_engine.store import open_store
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store, save_config
from pages.parts.frame.sign_in import offered_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proposed(tmp_path_factory) -> Path:
    """A workspace with proposals that nobody has decided."""
    workspace = create_workspace(tmp_path_factory.mktemp("queue") / "workspace")
    bench = make_bench(url=workspace.database_url)
    import_pairs(ListSource(make_pairs(24)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    bench.store.close()
    return workspace.root


@pytest.fixture(autouse=True)
def no_live_figures(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise NotReadyError("no live figures in this test")

    monkeypatch.setattr(WorkerClient, "live", refuse)


def open_review(workspace: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("MARS_WORKSPACE", str(workspace))
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=120).run()
    app.switch_page("pages/review.py")
    for name, value in {"who": "ann", **query}.items():
        if value:
            app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    return "\n".join(each.value for each in app.text)


def asked_for(app: AppTest) -> str:
    """The order in the address; "" where it says none."""
    said = app.query_params.get("order", "")
    return said if isinstance(said, str) else said[0]


def test_the_order_is_chosen_on_the_page_and_stands_in_the_address(proposed, monkeypatch):
    app = open_review(proposed, monkeypatch)
    choice = app.selectbox(key="review-order")
    assert choice.value == "plan"
    assert len(choice.options) == 5
    assert asked_for(app) == ""
    planned = told(app)
    choice.set_value("random").run()
    assert asked_for(app) == "random"
    by_chance = told(app)
    assert by_chance["deck"] != planned["deck"]
    assert by_chance["queue"][:9] != planned["queue"][:9]
    assert told(open_review(proposed, monkeypatch, order="random"))["queue"][:9] == by_chance["queue"][:9]
    app.selectbox(key="review-order").set_value("plan").run()
    assert asked_for(app) == ""
    assert told(app)["queue"][:9] == planned["queue"][:9]


def test_this_machine_s_user_is_offered_as_a_name_and_may_write_another(proposed, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "mira")
    monkeypatch.setattr("streamlit.user_info._get_user_info", dict)  # AppTest signs somebody in
    app = open_review(proposed, monkeypatch, who="")
    assert app.text_input(key="who").value == "mira"
    assert "Say who you are." not in texts(app)
    assert told(app)["queue"], "the first proposal is there at once"
    app.text_input(key="who").set_value("").run()
    assert "Say who you are." in texts(app)
    app.text_input(key="who").set_value("ben").run()
    assert "Say who you are." not in texts(app)


@pytest.mark.parametrize("known", [True, False])
def test_nobody_is_offered_where_a_token_lets_others_in_or_the_user_has_no_name(known, monkeypatch):
    def unknown() -> str:
        raise KeyError("no name for this id")

    monkeypatch.setattr("getpass.getuser", (lambda: "mira") if known else unknown)
    if known:
        assert offered_name() == "mira"
        monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    assert offered_name() == ""


def test_an_order_that_there_is_not_counts_as_none(proposed, monkeypatch):
    app = open_review(proposed, monkeypatch, order="<b>best</b>")
    assert app.selectbox(key="review-order").value == "plan"
    assert asked_for(app) == ""


def test_the_settings_say_which_order_comes_by_itself(proposed, monkeypatch):
    workspace = find_workspace(proposed)
    review = workspace.config.review.model_copy(update={"order": "distance"})
    try:
        save_config(workspace, workspace.config.model_copy(update={"review": review}))
        app = open_review(proposed, monkeypatch)
        assert app.selectbox(key="review-order").value == "distance"
        assert asked_for(app) == ""
        app.selectbox(key="review-order").set_value("plan").run()
        assert asked_for(app) == "plan"
    finally:
        save_config(find_workspace(proposed), workspace.config)


def test_each_card_is_told_what_it_adds_to_its_source(proposed, monkeypatch):
    data = told(open_review(proposed, monkeypatch))
    assert set(data["grids"]) == set(data["queue"])
    assert {tuple(sorted(each)) for each in data["grids"].values()} == {("accepted", "pairs", "pairs_with_it")}
    assert {each["accepted"] for each in data["grids"].values()} == {0}
    assert all(1 <= each["pairs_with_it"] <= 3 for each in data["grids"].values())
    assert data["gains"] == {}


def test_by_gain_cards_come_as_they_were_ranked_once_that_is_made(proposed, monkeypatch):
    store = open_store(find_workspace(proposed).database_url)
    wanted = told(open_review(proposed, monkeypatch))["queue"][::-1][:4]
    stamp = gain_stamp(store)
    chances = (Chance("refined", True, 3, 4, 0.75), Chance("paraphrase", False, 0, 0, 0.5))

    def answer(*_: object, **__: object) -> GainOrder:
        gains = np.array([0.4, 0.3, 0.2, 0.1], dtype=np.float32)
        return GainOrder(stamp, np.array(wanted, dtype="S24"), gains, 2, 40, chances, 0.1)

    monkeypatch.setattr(WorkerClient, "gain_order", answer)
    app = open_review(proposed, monkeypatch, order="gain")
    deadline = time.monotonic() + 60
    while "one after another" not in texts(app) and time.monotonic() < deadline:
        time.sleep(0.1)
        app.run()
    data = told(app.run())
    assert data["queue"][:4] == wanted
    assert list(data["gains"].values()) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert "Order: 2 of 40 waiting proposals were chosen one after another" in texts(app)
    assert "the others come by what each adds alone" in texts(app)
    assert "refined, every gate passed: 75% (3 of 4 so far)" in texts(app)
    store.close()


def test_where_the_order_cannot_be_made_the_page_says_why_and_deals_all_the_same(proposed, monkeypatch, tmp_path):
    def fail(*_: object, **__: object) -> GainOrder:
        raise WorkerError("the worker is out of order", remedy="look at its log")

    monkeypatch.setattr(WorkerClient, "gain_order", fail)
    copied = tmp_path / "copy"
    copied.mkdir()
    for name in ("mars.toml", "mars.sqlite"):
        (copied / name).write_bytes((proposed / name).read_bytes())
    app = open_review(copied, monkeypatch, order="gain")
    deadline = time.monotonic() + 60
    said = ""
    while "out of order" not in said and time.monotonic() < deadline:
        time.sleep(0.1)
        app.run()
        said = texts(app) + "\n".join(each.value for each in [*app.error, *app.warning, *app.markdown])
    assert "out of order" in said
    assert told(app)["queue"]


def test_the_page_pair_shows_each_try_word_for_word(proposed, monkeypatch):
    store = open_store(find_workspace(proposed).database_url)
    trail = next(
        found
        for pair in store.pairs.pairs("train")
        if (found := store.proposals.refine_tries([pair.id])) and found[-1].verdict == "kept"
    )
    store.close()
    monkeypatch.setenv("MARS_WORKSPACE", str(proposed))
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=120).run()
    app.switch_page("pages/pair.py")
    app.query_params["id"] = trail[0].source_id
    app.run()
    assert not app.exception
    assert f"{len(trail)} tries: the {trail[-1].side} side was rewritten" in [each.label for each in app.expander]
    shown = [each.value for each in app.text]
    for each in trail:
        assert each.text in shown
        assert any(each.verdict in line and each.generator in line for line in shown)


# ------------------------------------------------------------------------------------ where a policy decided all


@pytest.fixture
def decided_by_gates(tmp_path) -> Path:
    return make_workspace(tmp_path / "workspace", "complete")


def test_where_a_policy_decided_all_one_button_opens_what_nobody_has_read(decided_by_gates, monkeypatch):
    app = open_review(decided_by_gates, monkeypatch)
    (decided,) = [each.value for each in app.text if "A policy decided" in each.value]
    assert told(app)["queue"] == []
    (button,) = [each for each in app.button if each.key == "read-unread"]
    assert "primary" in str(button.proto)
    button.click().run()
    assert not app.exception
    assert app.query_params["set"] in ("unread", ["unread"])
    waiting = told(app)["progress"]["waiting"]
    assert waiting > 0
    assert f"A policy decided {waiting:,} of them alone" in decided
    assert "A policy decided" not in texts(app)


def test_an_audience_is_shown_the_set_and_the_order_of_the_address(decided_by_gates, monkeypatch):
    shown = told(open_review(decided_by_gates, monkeypatch, set="unread", order="margin", present="1"))
    assert shown["read_only"]
    assert shown["queue"] == told(open_review(decided_by_gates, monkeypatch, set="unread", order="margin"))["queue"]
    app = open_review(decided_by_gates, monkeypatch, set="gone", present="1")
    assert "There is no set 'gone'" in texts(app)
    assert not app.button


def test_an_audience_of_check_is_shown_the_pairs_of_a_set(decided_by_gates, monkeypatch):
    with open_workspace_store(find_workspace(decided_by_gates)) as store:
        wanted = [pair.id for pair in store.pairs.pairs("train")[3:5]]
        store.pair_sets.add(PairSet("a" * 24, "two", "ann", utc_now(), 2), wanted)
    app = open_review(decided_by_gates, monkeypatch, set="a" * 24, present="1")
    app.switch_page("pages/check.py").run()
    assert set(told(app)["queue"]) == set(wanted)
