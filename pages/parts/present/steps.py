"""The steps of Present: what each says in large type, what it shows beside it, and the details on demand."""

from collections.abc import Callable

import streamlit as st

from mars_engine.core.review_state import POLICY_PREFIX
from mars_engine.evaluate.report import ExamplePair, ReportContent
from mars_engine.evaluate.results import ModelResult
from mars_engine.evaluate.story import StepKey, StoryStep, parted, say_time
from mars_engine.explore.excerpts import excerpt, last_question
from mars_engine.explore.figures import draw_cloud
from mars_engine.explore.view import View
from mars_engine.service.desk import Desk
from pages.parts.drawing import charts
from pages.parts.drawing.difference import show_pair
from pages.parts.drawing.numbers import interval_text, true_minus
from pages.parts.drawing.tables import draw_table
from pages.parts.explore.figures import show_map
from pages.parts.frame.page import PRESENTED
from pages.parts.overview.steps import draw_counts
from pages.parts.present.figures import gain_figure, machine_figure
from pages.parts.results.movement import movement_figure

QUESTION_CHARACTERS = 160


def draw_step(desk: Desk, step: StoryStep, content: ReportContent) -> None:
    """Draw one step: words on the left, what shows it on the right, details below."""
    says, shows = st.columns((2, 3), gap="large") if step.key in _BESIDE and not step.missing else (st.container(),) * 2
    with says:
        _say(step)
    if step.missing and step.key != "gain":
        return
    with shows:
        _SHOWN[step.key](desk, content)


def _say(step: StoryStep) -> None:
    with st.container(key=f"says-{step.key}"):
        for sentence in step.says:
            st.text(sentence)
        if step.missing:
            with st.container(border=True):
                st.text(step.missing)


def _show_story(_desk: Desk, content: ReportContent) -> None:
    draw_counts(content.status)


def _show_map(desk: Desk, content: ReportContent) -> None:
    assert content.map is not None  # noqa: S101 (the step is not missing)
    scene = desk.explorer.look(View(map=content.map.kind))
    if scene.places is None or (cloud := draw_cloud(scene.places.x, scene.places.y, scene)) is None:
        return
    show_map(scene, cloud)
    with st.expander("Details"):
        draw_table(
            "Regions of the map",
            ("around", "pairs", "ranked wrong"),
            [(", ".join(each.words), f"{each.pairs:,}", f"{each.wrong:,}") for each in content.map.regions],
            numbers=("pairs", "ranked wrong"),
        )
        st.page_link("pages/explore.py", label="All pairs on Explore", query_params=PRESENTED)


def _show_margins(_desk: Desk, content: ReportContent) -> None:
    moved, results = content.movement, content.results
    assert moved is not None and results is not None  # noqa: S101, PT018 (the step is not missing)
    charts.draw(movement_figure(moved, models=len(results.models)), key="story margins")
    with st.expander("Details"):
        st.text(
            true_minus(
                f"{moved.pairs:,} held-out pairs. Mean margin {moved.mean_before:+.3f} before ({moved.before}), "
                f"{moved.mean_after:+.3f} after ({moved.after}), in reward units."
            )
        )
        st.page_link("pages/results.py", label="The pairs that crossed zero on Results", query_params=PRESENTED)


def _show_pairs(_desk: Desk, content: ReportContent) -> None:
    for column, example in zip(st.columns(len(content.examples)), content.examples, strict=True):
        with column.container(border=True, height="stretch"):
            _show_example(example)
    for place, example in enumerate(content.examples, start=1):
        with st.expander(f"Read pair {place} whole, and what was written for it"):
            source = example.source
            st.text("The pair as it was")
            show_pair(source.prompt, source.chosen, source.rejected, key=f"story pair {place}", can_switch=False)
            st.text("What was accepted for it")
            chosen, rejected = example.chosen or source.chosen, example.rejected or source.rejected
            show_pair(example.prompt, chosen, rejected, key=f"story new {place}", can_switch=False)


def _show_example(example: ExamplePair) -> None:
    change = example.margin_after - example.margin_before
    st.text(f"“{excerpt(last_question(example.source), QUESTION_CHARACTERS)}”")
    st.metric("Margin, before → after", true_minus(f"{example.margin_before:+.2f} → {example.margin_after:+.2f}"))
    st.text(true_minus(f"{change:+.2f} reward units · {example.method} · by {_deciders(example)}"))


def _deciders(example: ExamplePair) -> str:
    """Who accepted it; a policy is said to be one."""
    return ", ".join(
        f"the policy {name.removeprefix(POLICY_PREFIX)}" if name.startswith(POLICY_PREFIX) else name
        for name in example.decided_by
    )


def _show_gain(_desk: Desk, content: ReportContent) -> None:
    results = content.results
    if results is None or not results.models:
        return
    newest = results.models[-1].label
    found = [each for each in results.comparisons if each.first == newest]
    if found:
        height = charts.HEIGHTS["strip"] + 110 * len(found)
        shown = charts.styled(
            gain_figure(found),
            x="difference in held-out pairs ranked right (points)",
            y="",
            height=height,
            legend=False,
        )
        charts.draw(shown, key="story gain")
    with st.expander("Details"):
        draw_table(
            "Models on the held-out pairs",
            ("model", "ranked right", f"{results.level:.0%} interval", "trained on"),
            [_model_row(model) for model in results.models],
            numbers=("ranked right", f"{results.level:.0%} interval", "trained on"),
        )
        st.text(f"{results.pairs:,} held-out pairs of {results.prompts:,} prompts; intervals resample whole prompts.")
        st.page_link("pages/results.py", label="All figures on Results", query_params=PRESENTED)


def _model_row(model: ModelResult) -> tuple[str, ...]:
    accuracy = model.evaluation.accuracy
    return (
        model.label,
        f"{accuracy.estimate:.1%}",
        interval_text(accuracy),
        f"{model.evaluation.training_pairs:,}",
    )


def _show_people(_desk: Desk, content: ReportContent) -> None:
    kinds = ("person", "language model", "policy")
    numbers = ("proposals", "labels", "taken back", "minutes")
    rows = [
        (
            each.name,
            kind,
            f"{each.proposals:,}",
            f"{each.labels:,}",
            f"{each.undone:,}",
            f"{each.minutes:,.1f}" if kind == "person" and each.minutes else "–",
        )
        for kind, group in zip(kinds, parted(content.reviewers), strict=True)
        for each in group
    ]
    draw_table("Who decided about how much", ("who", "what", *numbers), rows, numbers=numbers)


def _show_cost(_desk: Desk, content: ReportContent) -> None:
    costs = content.costs
    facts = (
        ("People read", say_time(costs.read_seconds) if costs.read_seconds else "time not kept"),
        ("Tokens of chat models", f"{costs.chat.tokens:,}"),
        ("Machine at work", say_time(costs.machine_seconds)),
    )
    for column, (label, value) in zip(st.columns(3), facts, strict=True):
        with column.container(border=True, height="stretch"):
            st.metric(label, value)
    if costs.by_kind:
        with st.expander("Details"):
            bars = machine_figure(costs.by_kind)
            height = charts.height_of_rows(len(costs.by_kind))
            charts.draw(charts.styled(bars, x="time (minutes)", y="", height=height, legend=False), key="story machine")
            st.text("A run that starts others counts beside them.")


_SHOWN: dict[StepKey, Callable[[Desk, ReportContent], None]] = {
    "story": _show_story,
    "map": _show_map,
    "margins": _show_margins,
    "pairs": _show_pairs,
    "gain": _show_gain,
    "people": _show_people,
    "cost": _show_cost,
}
_BESIDE: tuple[StepKey, ...] = ("story", "map", "margins", "gain", "people")
"""Steps with their words beside what they show; the others have them above."""
