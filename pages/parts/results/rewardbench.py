"""The Results page's RewardBench section: reward models on the benchmark, by section and by subset."""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
import streamlit as st

from mars_engine.evaluate.heldout_sections import HeldoutSections
from mars_engine.evaluate.rewardbench import BenchmarkedModel, score_in_percent
from mars_engine.evaluate.rewardbench_scores import SectionScore, SubsetScore
from mars_engine.explore.colours import SERIES
from pages.parts.drawing import charts
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import empty_state, presenting

PATTERNS = ("", "/", "x", ".", "-", "+")
MODELS_DRAWN = len(SERIES)
"""The newest models, whose subsets are drawn; all are in the table."""

EXPLANATIONS = {
    1: "Prompts with a better and a worse answer; a tie is a loss. A section weighs its subsets by their published "
    "sizes, the overall score its sections by 2, 2, 2, 2 and 1 for prior sets.",
    2: "Four answers to a prompt, one of them right; in the subset Ties several. The overall score is the plain mean "
    "of the six subsets.",
}


def draw_rewardbench(found: Mapping[int, Sequence[BenchmarkedModel]], heldout: HeldoutSections) -> None:
    """Show what `mars rewardbench` found, by version; where it found nothing yet, how to run it.

    Args:
        found: evaluations on RewardBench itself.
        heldout: what the held-out pairs say in its manner.
    """
    if not any(found.values()) and not presenting():
        st.subheader("RewardBench", anchor=False)
        empty_state(
            "No reward model has been scored on RewardBench yet.",
            to_do="Run mars rewardbench --file FILE in a terminal, or mars rewardbench where the hub can be reached. "
            "By --model it scores any checkpoint, also one that others trained.",
        )
    for version, models in found.items():
        if models:
            _draw_version(version, models)
    if heldout.models:
        _draw_heldout(heldout)


def _draw_heldout(heldout: HeldoutSections) -> None:
    names = [section.name for section in heldout.models[0].sections]
    st.subheader("In RewardBench’s manner, on the held-out pairs", anchor=False)
    st.text(
        "Each subset of the held-out pairs is a section: how often the better answer gets the greater reward, a tie "
        "being a loss. The mean weighs all sections alike. This is not RewardBench: these are other prompts, and no "
        "figure here can stand beside a published one."
    )
    numbers = (*names, "mean", "rows", "ties")
    draw_table(
        "Models on the held-out pairs in RewardBench’s manner, in percent",
        ("model", *numbers),
        [
            (
                model.label,
                *(f"{100 * section.score:.1f}" for section in model.sections),
                f"{100 * model.overall:.1f}",
                f"{model.rows:,}",
                f"{model.ties:,}",
            )
            for model in heldout.models
        ],
        numbers=numbers,
    )


def _draw_version(version: int, models: Sequence[BenchmarkedModel]) -> None:
    st.subheader(f"RewardBench {version}", anchor=False)
    st.text(EXPLANATIONS[version])
    _draw_sections(version, models)
    _draw_caveats(models)
    _draw_subsets(version, models[:MODELS_DRAWN])
    if not presenting():
        with st.expander("Figures by subset"):
            _draw_subset_table(version, models)


def _draw_sections(version: int, models: Sequence[BenchmarkedModel]) -> None:
    sections = [section.name for section in models[0].scores.sections]
    numbers = (*sections, *(name for name, _ in models[0].means), "rows", "ties")
    rows = [_section_row(model) for model in models]
    draw_table(f"Models on RewardBench {version}, in percent", ("model", *numbers), rows, numbers=numbers)
    if any(_is_part(section) for model in models for section in model.scores.sections):
        st.text("* A part of the section: this figure cannot stand beside a published one.")


def _section_row(model: BenchmarkedModel) -> tuple[str, ...]:
    sections = [f"{score_in_percent(each.score)}{'*' if _is_part(each) else ''}" for each in model.scores.sections]
    counts = ("–", "–") if model.is_published else (f"{model.scores.rows:,}", f"{model.scores.ties:,}")
    return (model.label, *sections, *(score_in_percent(score) for _, score in model.means), *counts)


def _is_part(section: SectionScore) -> bool:
    return section.score is not None and not section.is_whole


def _draw_caveats(models: Sequence[BenchmarkedModel]) -> None:
    if any(model.caveats for model in models):
        with st.expander("What to know of these figures", expanded=presenting()):
            for model in models:
                if model.caveats:
                    st.text(f"{model.label}: {' '.join(model.caveats)}")


def _draw_subsets(version: int, models: Sequence[BenchmarkedModel]) -> None:
    """One group of bars a subset, a bar a model."""
    names = _subset_names(models)
    figure = go.Figure()
    for place, model in enumerate(models):
        by_name = {subset.name: subset for subset in model.scores.subsets}
        own = [name for name in names if name in by_name]
        figure.add_bar(
            y=[escape(name) or "no subset" for name in own],
            x=[100 * by_name[name].score for name in own],
            orientation="h",
            name=escape(model.label),
            marker={"color": SERIES[place % len(SERIES)], "pattern": {"shape": PATTERNS[place % len(PATTERNS)]}},
            customdata=[by_name[name].rows for name in own],
            hovertemplate=f"{escape(model.label)}<br>%{{y}}: %{{x:.1f}}%, %{{customdata:,}} rows<extra></extra>",
        )
    if version == 1:
        figure.add_vline(
            50,
            line={"dash": "dot", "width": 1.5, "color": "gray"},
            annotation_text="chance",
            annotation_position="bottom right",
        )
    height = charts.height_of_rows(len(names), row=max(24, 14 * len(models)), legend=True)
    shown = charts.styled(figure, x="rows ranked right (%)" if version == 1 else "score (%)", y="", height=height)
    shown.update_layout(barmode="group", bargap=0.25)
    shown.update_xaxes(range=[0, 103])
    shown.update_yaxes(autorange="reversed")
    charts.draw(shown, key=f"rewardbench-{version}")


def _draw_subset_table(version: int, models: Sequence[BenchmarkedModel]) -> None:
    by_name = [{subset.name: subset for subset in model.scores.subsets} for model in models]
    sections = {subset.name: subset.section for model in models for subset in model.scores.subsets}
    numbers = [model.label for model in models]
    rows = [
        (name or "no subset", sections[name] or "none", *(_subset_cell(found.get(name)) for found in by_name))
        for name in _subset_names(models)
    ]
    draw_table(f"Subsets of RewardBench {version}, in percent", ("subset", "section", *numbers), rows, numbers=numbers)


def _subset_cell(subset: SubsetScore | None) -> str:
    return "–" if subset is None else f"{score_in_percent(subset.score)} ({subset.rows:,} rows)"


def _subset_names(models: Sequence[BenchmarkedModel]) -> list[str]:
    """All subsets that any model was scored on, in the order of the sections, those of no section last."""
    sections = {subset.name: subset.section for model in models for subset in model.scores.subsets}
    order = [section.name for section in models[0].scores.sections]
    return sorted(sections, key=lambda name: order.index(sections[name]) if sections[name] else len(order))
