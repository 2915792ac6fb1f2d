"""The Overview's panel on the next hour: asked for, kept, out of date, and whether it was right."""

import pytest
from app_workspaces import make_workspace
from fakes import ListSource, make_bench, make_pairs, record_review
from streamlit.testing.v1 import AppTest

from mars_engine.advise.advisor import advise
from mars_engine.advise.kept import kept_advice
from mars_engine.core.clock import utc_now
from mars_engine.core.shipped import shipped
from mars_engine.data.import_pairs import import_pairs
from mars_engine.workspace.workspace import find_workspace, open_workspace_store

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "complete")
    bench = make_bench(url=find_workspace(root).database_url)
    more = ListSource(make_pairs(60, first=5_000, seed=7))
    import_pairs(more, bench.store, split="train", clock=utc_now, progress=bench.progress)
    bench.store.close()
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    return root


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in app.text)


def test_nothing_is_computed_before_the_button_is_pressed(root):
    app = opened()
    assert "ask-advisor" in [button.key for button in app.button]
    assert "in seconds; held-out pairs are not looked at" in texts(app)
    assert "ask-advisor" not in [button.key for button in opened(present="1").button]
    with open_workspace_store(find_workspace(root)) as store:
        assert not kept_advice(store)


def test_kept_advice_is_shown_until_a_decision_puts_it_out_of_date(root):
    bench = make_bench(url=find_workspace(root).database_url)
    advice = advise(bench)
    app = opened()
    assert f"First choice: {advice.first.name}." in texts(app)
    assert advice.first.sentence in texts(app)
    assert "ask-advisor" not in [button.key for button in app.button]
    steps = next(each.value for each in app.dataframe if "known by" in each.value)
    assert list(steps["step"]) == [step.name for step in advice.steps]
    pair = bench.store.pairs.pairs("train")[0].id
    record_review(bench.store, "pair", pair, "label_right", annotator="ada", clock=utc_now)
    bench.store.close()
    later = opened()
    assert "⚠ This is out of date: 1 more labels were decided" in texts(later)
    assert "ask-advisor" in [button.key for button in later.button]
    past = next(each.value for each in later.dataframe if "so it was" in each.value)
    assert list(past["done since"]) == ["1 more labels were decided"]
    assert list(past["so it was"]) == ["not known yet"]
