"""The People page: who did how much, agreement with what is undefined said so, and settling disputes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from app_workspaces import make_workspace
from fakes import record_review
from streamlit.testing.v1 import AppTest

from mars_engine.core.clock import utc_now
from mars_engine.core.judge_records import LabelOpinion
from mars_engine.core.review_records import ReviewAction
from mars_engine.core.shipped import shipped
from mars_engine.store import Store, open_store
from mars_engine.workspace.workspace import find_workspace

pytestmark = pytest.mark.slow

APP = str(shipped("app.py"))
SIGNED_IN = "test@example.com"
"""Whom AppTest signs in."""

ADA = "ada <script>alert(1)</script> $x$"


@pytest.fixture
def at_work(tmp_path, monkeypatch) -> Callable[[str], Store]:
    def make(kind: str) -> Store:
        root: Path = make_workspace(tmp_path / "workspace", kind)
        monkeypatch.setenv("MARS_WORKSPACE", str(root))
        return open_store(find_workspace(root).database_url)

    return make


def open_people(**query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120).run()
    app.switch_page("pages/people.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def words(app: AppTest) -> str:
    shown = [*app.text, *app.subheader, *app.metric]
    return "\n".join([*(str(element.value) for element in shown), *(each.proto.body for each in app.get("html"))])


def figure(app: AppTest, label: str) -> str:
    return next(metric.value for metric in app.metric if metric.label == label)


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def decide(store: Store, item: str, action: ReviewAction, annotator: str, **options: object) -> None:
    kind = "pair" if store.pairs.by_id([item]) else "proposal"
    record_review(store, kind, item, action, annotator=annotator, clock=utc_now, seconds=2.0, **options)


def test_without_decisions_it_says_what_to_do(at_work):
    at_work("without a model")
    assert "Nobody has decided anything yet." in words(open_people())


def test_contributions_are_listed_and_names_are_shown_as_they_are(at_work):
    store = at_work("complete")
    for pair in store.pairs.pairs("train")[:3]:
        decide(store, pair.id, "label_right", ADA)
    shown = words(open_people())
    assert "ada &lt;script&gt;alert(1)&lt;/script&gt; $x$" in shown
    assert "<script>alert" not in shown.replace("ada <script>", "")
    assert "policy" in shown


def test_agreement_that_is_undefined_says_why(at_work):
    store = at_work("complete")
    pairs = store.pairs.pairs("train")
    decide(store, pairs[0].id, "flip", ADA)
    app = open_people(**{"decided-on": "Check"})
    assert figure(app, "Krippendorff’s α") == "–"
    assert "Krippendorff’s α is undefined: no item has answers of two people." in words(app)
    assert "Overlap percent" in words(app)
    decide(store, pairs[0].id, "flip", "bob")
    app.run()
    assert figure(app, "Raw agreement") == "1.00"
    assert "Krippendorff’s α is undefined: all answers are the same" in words(app)
    assert f"Cohen’s κ of {ADA} and bob is undefined: all answers are the same" in words(app)
    assert "Nothing is disputed." in words(app)


def test_a_dispute_is_settled_and_the_settling_is_taken_back(at_work):
    store = at_work("complete")
    pairs = store.pairs.pairs("train")[:4]
    for number, pair in enumerate(pairs):
        decide(store, pair.id, "flip" if number else "drop", ADA)
        decide(store, pair.id, "flip", "bob", note="sure **so**")
    app = open_people(**{"decided-on": "Check"})
    assert "Disputes (1)" in words(app)
    assert "sure **so**" in words(app)
    assert f"You read as {SIGNED_IN}." in words(app)
    app.text_input(key=f"note-{pairs[0].id}").set_value("a clear case").run()
    press(app, "decide-drop")
    assert "✓ Settled: Drop the pair." in words(app)
    assert "Disputes (0)" in words(app)
    assert figure(app, "Settled by an adjudicator") == "1"
    settled = store.reviews.events("pair", [pairs[0].id])[pairs[0].id][-1]
    assert (settled.annotator, settled.action, settled.note) == (f"adjudicator:{SIGNED_IN}", "drop", "a clear case")
    press(app, "undo-adjudication")
    assert "✓ Taken back" in words(app)
    assert "Disputes (1)" in words(app)
    press(app, "undo-adjudication")
    assert "There is nothing to take back." in words(app)


def test_who_settles_a_dispute_of_his_own_is_warned_and_it_is_counted(at_work):
    store = at_work("complete")
    first, second = store.pairs.pairs("train")[:2]
    decide(store, first.id, "flip", SIGNED_IN)
    decide(store, first.id, "drop", "bob")
    decide(store, second.id, "flip", ADA)
    decide(store, second.id, "drop", "bob")
    app = open_people(**{"decided-on": "Check", "item": second.id})
    assert "Your decision overrules theirs" in words(app)
    assert "You answered this one yourself" not in words(app)
    press(app, "decide-drop")
    assert "✓ Settled: Drop the pair." in words(app)
    assert "had disagreed" not in words(app)
    assert "⚠ You answered this one yourself." in words(app)
    assert "Your decision overrules the answers, yours too" in words(app)
    press(app, "decide-flip")
    assert "✓ Settled, by one of those who disagreed: Flip the label." in words(app)
    assert figure(app, "Settled by an adjudicator") == "2"
    assert "1 of those settled by an adjudicator was settled by one of the people who had disagreed." in words(app)
    press(app, "undo-adjudication")
    assert "had disagreed" not in words(app)


def test_an_edit_is_taken_with_its_texts_and_one_pages_through_disputes(at_work):
    store = at_work("complete")
    proposals = store.proposals.proposals()[:2]
    for proposal in proposals:
        decide(store, proposal.id, "reject", "bob")
        decide(store, proposal.id, "edit", ADA, chosen="a better <b>answer</b>")
    app = open_people()
    assert "1 of 2" in words(app)
    assert f"The texts as {ADA} edited them:" in words(app)
    press(app, "next-dispute")
    assert "2 of 2" in words(app)
    second = app.query_params["item"]
    press(app, "take-1")
    item = second[0] if isinstance(second, list) else second
    event = store.reviews.events("proposal", [item])[item][-1]
    assert (event.action, event.edited_chosen) == ("edit", "a better <b>answer</b>")
    assert "Disputes (1)" in words(app)


def test_judges_are_compared_with_people(at_work):
    store = at_work("without proposals")
    pairs = store.pairs.pairs("train")[:4]
    for pair, verdict in zip(pairs, ("chosen", "chosen", "rejected", "rejected"), strict=True):
        opinion = LabelOpinion("recorded", pair.id, verdict, verdict, verdict, "", retryable=False, at=utc_now())
        store.opinions.keep([opinion])
    assert "Judges" in words(open_people()), "before anybody has decided"
    for pair, action in zip(pairs, ("label_right", "flip", "flip", "flip"), strict=True):
        decide(store, pair.id, action, "ada")
    said = words(open_people())
    assert "What judges said" in said
    assert "judge:recorded" in said
    assert "0.50 (" in said, "Cohen’s κ of judge and people"


def test_present_mode_has_no_controls(at_work):
    store = at_work("complete")
    for name, action in ((ADA, "drop"), ("bob", "flip")):
        decide(store, store.pairs.pairs("train")[0].id, action, name)
    app = open_people(present="1")
    assert "Who decided how much" in words(app)
    assert not app.button
    assert not app.text_input
    assert not app.segmented_control
