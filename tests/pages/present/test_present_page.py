"""Present: each step in words and figures, in the state that a workspace is in; the figures on their own."""

import pytest
from app_workspaces import make_workspace
from streamlit.testing.v1 import AppTest

from mars_engine.core.shipped import shipped
from mars_engine.evaluate.costs import MachineTime
from mars_engine.evaluate.heldout import Comparison
from mars_engine.evaluate.story import TITLES
from mars_engine.stats.intervals import Interval
from pages.parts.present.figures import KINDS_DRAWN, gain_figure, machine_figure


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workspaces")
    return {kind: make_workspace(folder / kind, kind) for kind in ("empty", "without a model", "complete")}


def open_story(root, monkeypatch, **query: str) -> AppTest:
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=60)
    app.run()
    app.switch_page("pages/present.py")
    for name, value in ({"present": "1"} | query).items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def words(app: AppTest) -> str:
    return "\n".join(each.value for each in app.text)


def button(app: AppTest, key: str):
    return next(each for each in app.button if each.key == key)


@pytest.mark.slow
def test_the_story_is_walked_by_its_buttons_and_the_address_says_where(workspaces, monkeypatch):
    app = open_story(workspaces["complete"], monkeypatch)
    seen = []
    for place in range(1, len(TITLES) + 1):
        assert f"{place} of {len(TITLES)}" in words(app)
        seen.append(app.title[0].value)
        if place < len(TITLES):
            button(app, "story-next").click().run()
            assert not app.exception
    assert seen == list(TITLES.values())
    assert button(app, "story-next").disabled
    button(app, "story-back").click().run()
    assert app.query_params["step"] == "people"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("map", "A map of all pairs would be here"),
        ("margins", "would be here, once a round is closed"),
        ("pairs", "Three pairs would be here whose margin moved"),
        ("gain", "no model is measured on them yet"),
        ("people", "Who decided what would be here"),
        ("cost", "No run has ended yet"),
    ],
)
def test_a_step_without_its_part_says_what_would_be_there(step, says, workspaces, monkeypatch):
    assert says in words(open_story(workspaces["without a model"], monkeypatch, step=step))


def test_an_empty_workspace_has_no_story(workspaces, monkeypatch):
    assert "There is no story yet" in words(open_story(workspaces["empty"], monkeypatch))


def test_all_steps_stand_below_each_other_to_be_printed(workspaces, monkeypatch):
    app = open_story(workspaces["complete"], monkeypatch, step="all")
    assert [each.value for each in app.subheader if each.value in TITLES.values()] == list(TITLES.values())


def test_a_step_that_is_none_begins_with_the_first(workspaces, monkeypatch):
    assert open_story(workspaces["complete"], monkeypatch, step="<b>").title[0].value == TITLES["story"]


NO_LOSS = Interval(0.0, -0.1, 0.1, 0.95)


def test_only_a_difference_that_is_shown_is_filled_and_coloured():
    def point(low: float, high: float):
        return gain_figure([Comparison("new", "old", Interval(0.03, low, high, 0.95), NO_LOSS)]).data[0]

    assert point(-0.01, 0.07).marker.symbol == "circle-open"
    assert point(-0.01, 0.07).marker.color == "gray"
    assert point(0.01, 0.05).marker.symbol == "circle"
    assert list(point(0.01, 0.05).x) == pytest.approx([3.0])


def test_zero_is_in_the_middle_of_the_gains_axis_whatever_the_intervals():
    figure = gain_figure([Comparison("new", "old", Interval(0.2, 0.1, 0.3, 0.95), NO_LOSS)])
    low, high = figure.layout.xaxis.range
    assert low == -high
    assert high > 30


def test_short_runs_are_put_together_and_no_minute_is_lost():
    kinds = [MachineTime(f"<{place}>", place + 1, 600.0 - place) for place in range(KINDS_DRAWN + 3)]
    bars = machine_figure(kinds).data[0]
    assert len(bars.x) == KINDS_DRAWN + 1
    assert sum(bars.x) == pytest.approx(sum(each.seconds for each in kinds) / 60)
    assert bars.y[0] == "&lt;0&gt;"
