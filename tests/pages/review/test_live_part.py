"""The live figures as a page shows them: in plain words while there are none, with changes once there are."""

from types import SimpleNamespace

from streamlit.testing.v1 import AppTest

from mars_engine.core.errors import NotReadyError
from mars_engine.curate.live import Gain, LiveFigures, MovedMargin
from mars_engine.reward_models.curvature import Curvature
from mars_engine.service.live_watch import WatchedFigures


def figures(**changes) -> LiveFigures:
    values = {
        "kind": "pair",
        "stamp": "1",
        "decisions": 0,
        "heldout_accuracy": 0.7,
        "heldout_pairs": 1234,
        "queue_margin": -0.25,
        "queue_pairs": 34,
        "unread_margin": -0.5,
        "unread_pairs": 56,
        "curvature": Curvature(0.05, 0.01, 0.0001, 33.3),
        "moved": {},
        "gain": None,
        "base_pairs": 5000,
        "proposals": 0,
        "sample": "",
        "seconds": 0.8,
    }
    return LiveFigures(**(values | changes))


class Watch:
    """A watch that shows what it is told to."""

    def __init__(self, view: WatchedFigures) -> None:
        self.view = view

    def look(self, kind) -> WatchedFigures:  # noqa: ARG002
        return self.view


def script(desk) -> None:
    from pages.parts.review.live import draw_live

    draw_live(desk, "pair")


def open_page(view: WatchedFigures) -> tuple[AppTest, Watch]:
    watch = Watch(view)
    app = AppTest.from_function(script, kwargs={"desk": SimpleNamespace(live=watch)}, default_timeout=30).run()
    assert not app.exception
    return app, watch


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in app.text)


def test_before_the_first_figures_and_before_the_first_decision_it_waits():
    waiting, _ = open_page(WatchedFigures(None, under_way=True, error=None))
    assert words(waiting) == "The first live figures are being made."
    idle, _ = open_page(WatchedFigures(figures(), under_way=False, error=None))
    assert words(idle) == "Live figures start with the first decision."
    assert not idle.metric


def test_without_a_model_it_says_what_to_do():
    error = NotReadyError("no reward model is trained yet", remedy="train one first")
    app, _ = open_page(WatchedFigures(None, under_way=False, error=error))
    assert words(app) == "⚠ no reward model is trained yet.\nWhat to do: train one first."


def test_figures_stand_with_their_change_since_the_page_was_opened(monkeypatch):
    monkeypatch.setattr("pages.parts.review.live.annotator", lambda: "ada")
    app, watch = open_page(WatchedFigures(figures(), under_way=False, error=None))
    moved = {"ada": MovedMargin("a", -0.2, 0.3), "bert": MovedMargin("b", 1.0, 2.0)}
    newer = figures(
        stamp="2",
        decisions=3,
        heldout_accuracy=0.712,
        queue_margin=-0.3,
        moved=moved,
        gain=Gain(mislabel_rate=0.4, judged=5, open_suspects=30, accuracy=0.012),
        sample="fitted on 5,000 of 100,000 training pairs",
    )
    watch.view = WatchedFigures(newer, under_way=True, error=None)
    app.run()
    assert not app.exception
    shown = {metric.label: (metric.value, metric.delta) for metric in app.metric}
    assert shown == {
        "accuracy on 1,234 held-out pairs (%)": ("71.2", "+1.2"),
        "mean margin of 34 undecided suspects (reward units)": ("−0.300", "−0.050"),
        "curvature of the loss, trace": ("0.0500", ""),
        "margin of your last item (reward units)": ("+0.300", "+0.500"),
    }
    assert "the other 30 suspects may change the accuracy by +1.2 points" in words(app)
    assert "if they turn out as the 5 decided so far, 40% of which were flipped or dropped." in words(app)
    assert "5,000 of 100,000 training pairs" in words(app)


def test_where_all_that_is_unread_comes_up_its_margin_is_shown():
    def script(desk) -> None:
        from pages.parts.review.live import draw_live

        draw_live(desk, "proposal", of_unread=True)

    by_policy = figures(kind="proposal", decisions=3, queue_pairs=0, queue_margin=float("nan"))
    watch = Watch(WatchedFigures(by_policy, under_way=False, error=None))
    app = AppTest.from_function(script, kwargs={"desk": SimpleNamespace(live=watch)}, default_timeout=30).run()
    assert not app.exception
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["mean margin of 56 sources of proposals that no person has read (reward units)"] == "−0.500"
    assert not any("pending" in label for label in shown)


def test_without_held_out_pairs_it_says_so():
    nothing = figures(decisions=1, heldout_pairs=0, heldout_accuracy=float("nan"))
    app, _ = open_page(WatchedFigures(nothing, under_way=False, error=None))
    assert "There are no held-out pairs" in words(app)
    assert not any("accuracy" in metric.label for metric in app.metric)
