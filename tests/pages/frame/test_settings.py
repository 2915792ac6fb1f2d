"""The Settings page: what is saved stands in mars.toml with its comments, keys, people, and no secrets."""

from pathlib import Path

import pytest
from app_workspaces import make_workspace
from streamlit.testing.v1 import AppTest

from mars_engine.core.clock import utc_now
from mars_engine.core.review_records import ReviewEvent
from mars_engine.core.shipped import shipped
from mars_engine.service.desk import open_desk
from mars_engine.store import database, open_store
from mars_engine.workspace.workspace import find_workspace
from pages.parts.review.keys import DEFAULT_KEYS, load_keys
from pages.parts.review.settings_keys import ACTION_NAMES

APP = str(shipped("app.py"))


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    made = make_workspace(tmp_path / "workspace", "without a model")
    monkeypatch.setenv("MARS_WORKSPACE", str(made))
    return made


def open_settings(section: str = "", **query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120).run()
    app.switch_page("pages/settings.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if section:
        app.segmented_control(key="settings").set_value(section).run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def words(app: AppTest) -> str:
    shown = [*app.text, *app.subheader, *app.code]
    return "\n".join([*(str(element.value) for element in shown), *(each.proto.body for each in app.get("html"))])


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def field(app: AppTest, kind: str, ending: str):
    return next(each for each in app.get(kind) if (each.key or "").endswith(ending))


def test_what_is_saved_stands_in_the_file_and_comments_stay(root):
    config = root / "mars.toml"
    config.write_text("# Why we chose these.\n" + config.read_text())
    app = open_settings()
    field(app, "number_input", "allocation.tau").set_value(1.25)
    field(app, "selectbox", "triage.policy").set_value("keep")
    press(app, "Save")
    assert "✓ Saved to mars.toml: triage.policy = keep, allocation.tau = 1.25" in words(app)
    saved = find_workspace(root).config
    assert (saved.allocation.tau, saved.triage.policy) == (1.25, "keep")
    assert config.read_text().startswith("# Why we chose these.\n")
    assert field(app, "number_input", "allocation.tau").value == 1.25
    press(app, "Save")
    assert "Nothing was changed." in words(app)


def test_a_value_that_cannot_be_used_is_said_and_not_saved(root):
    before = (root / "mars.toml").read_text()
    app = open_settings()
    field(app, "text_input", "probe.layers").set_value("lowest")
    press(app, "Save")
    assert "probe.layers" in words(app)
    assert (root / "mars.toml").read_text() == before


def test_what_the_probe_reads_can_be_fixed_and_a_wrong_layer_is_said_in_words(root):
    app = open_settings()
    assert field(app, "selectbox", "probe.reading").options == ["auto", "response", "context", "all"]
    assert "\n\nWhat is left open is chosen at the warm-up" in words(app)
    assert field(app, "selectbox", "probe.pooling").options == ["mean", "last"]
    field(app, "text_input", "probe.layers").set_value("three")
    press(app, "Save")
    assert "probe.layers = 'three': it is not what is meant here: which hidden layers of the encoder" in words(app)
    assert find_workspace(root).config.probe.layers == "auto"
    field(app, "text_input", "probe.layers").set_value("3,5")
    field(app, "number_input", "probe.l2").set_value(0.003)
    press(app, "Save")
    saved = find_workspace(root).config.probe
    assert (saved.layers, saved.l2) == ("3,5", 0.003)


def test_the_form_shows_what_the_file_says_after_somebody_changed_it(root):
    app = open_settings()
    config = root / "mars.toml"
    config.write_text(config.read_text().replace("tau = 0.5", "tau = 0.75"))
    app.run()
    assert field(app, "number_input", "allocation.tau").value == 0.75


def test_the_seed_is_saved(root):
    app = open_settings()
    next(each for each in app.number_input if each.label == "Seed of the folds").set_value(7)
    press(app, "Save the seed")
    assert find_workspace(root).config.seed == 7


def test_people_share_the_reading_as_set_and_are_listed(root):
    store = open_store(find_workspace(root).database_url)
    pair = store.pairs.pairs("train")[0].id
    store.reviews.append([ReviewEvent("pair", pair, "drop", "ada <b>x</b>", 1, utc_now())])
    store.close()
    app = open_settings("People")
    assert "ada &lt;b&gt;x&lt;/b&gt;" in words(app)
    field(app, "number_input", "review.overlap_percent").set_value(20)
    field(app, "number_input", "review.lease_minutes").set_value(3)
    press(app, "Save")
    review = find_workspace(root).config.review
    assert (review.overlap_percent, review.lease_minutes) == (20, 3)


def test_a_key_is_changed_clashes_are_refused_and_the_defaults_come_back(root):
    app = open_settings("Keys")
    field(app, "text_input", "key-proposal-accept-0").set_value("y")
    press(app, "Save the keys of Review")
    assert "✓ The keys of Review are saved" in words(app)
    desk = open_desk(root)
    assert load_keys(desk, "proposal")["accept"] == "y"
    assert load_keys(desk, "pair") == DEFAULT_KEYS["pair"]
    field(app, "text_input", "key-proposal-accept-1").set_value("x")
    press(app, "Save the keys of Review")
    assert "have the same key 'x'" in words(app)
    assert load_keys(desk, "proposal")["accept"] == "y"
    next(
        each for each in app.button if each.label == "Back to the defaults" and "proposal" in each.form_id
    ).click().run()
    assert load_keys(desk, "proposal") == DEFAULT_KEYS["proposal"]
    desk.close()


@pytest.mark.usefixtures("root")
def test_generators_show_their_cards():
    shown = words(open_settings("Generators"))
    assert "Extractive refiner, version 1 (stand-in)" in shown
    assert "Rule paraphraser, version 1 (stand-in)" in shown


@pytest.mark.usefixtures("root")
def test_a_password_is_never_on_the_screen(monkeypatch):
    original = database._place
    monkeypatch.setattr(database, "_place", lambda _: original(database._parse(secret)))
    secret = "postgresql+psycopg://mars:hunter2@db.example/pairs"
    shown = words(open_settings("Workspace"))
    assert "pairs on db.example" in shown
    assert "hunter2" not in shown


def test_present_mode_has_no_controls_and_names_nothing_of_this_machine(root):
    app = open_settings(present="1")
    assert "How the method is set" in words(app)
    assert str(root) not in words(app)
    assert not app.button
    assert not app.number_input
    assert not app.segmented_control


@pytest.mark.usefixtures("root")
def test_keys_are_called_what_the_buttons_say_and_orders_by_their_meaning():
    script = shipped("pages/parts/card/words.js").read_text(encoding="utf-8")
    for kind, keys in DEFAULT_KEYS.items():
        for name in keys:
            assert f'["{name}", "{ACTION_NAMES[name]}"]' in script, (kind, name)
    assert "Only chosen" in {each.label for each in open_settings("Keys").text_input}
    app = open_settings("People")
    assert field(app, "selectbox", "review.order").options[0] == "As the plan spends, suspected mislabels first"
