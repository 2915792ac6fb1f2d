"""The Results page's figures: what they say in words, accuracy with intervals, subsets, calibration, lineage."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from mars_engine.evaluate.heldout import Comparison
from mars_engine.evaluate.results import (
    ModelResult,
    Results,
    say_accuracy,
    say_comparison,
    say_log_loss,
    signed_nats,
    signed_points,
)
from mars_engine.explore.colours import DASHES, SERIES
from mars_engine.stats.intervals import Interval
from pages.parts.drawing import charts
from pages.parts.drawing.numbers import interval_text, true_minus
from pages.parts.drawing.tables import draw_table
from pages.parts.drawing.theme import ground
from pages.parts.frame.page import empty_state, presenting
from pages.parts.frame.words import explain

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
SUBSETS_DRAWN = 16
"""More subsets than these are listed, not drawn."""


def draw_not_scored(results: Results) -> None:
    for model in results.not_scored:
        empty_state(
            f"{model.record.label} is not scored yet: it has scored {model.scored:,} of {results.pairs:,} pairs.",
            to_do="Run score, then it is compared here.",
            page_path="pages/train.py",
            link="To training",
        )


def draw_words(results: Results) -> None:
    """Say first what the figures say, in words that need no statistics."""
    newest = results.models[-1]
    said = [say_accuracy(newest)]
    for each in results.comparisons:
        if each.first == newest.label:
            said += [say_comparison(each), say_log_loss(each)]
    baseline = results.longer_wins
    said.append(f"Always preferring the longer answer would be right on {baseline.estimate:.1%} of them.")
    with st.container(border=True):
        for sentence in said:
            st.text(sentence)


# --------------------------------------------------------------------------------------------------------------- models


def draw_models(results: Results) -> None:
    st.subheader("Held-out accuracy", anchor=False)
    st.text(f"{results.pairs:,} held-out pairs of {results.prompts:,} prompts. Intervals resample whole prompts.")
    explain("law", "signed", "absolute", "uniform", "fisher", "log-loss")
    _draw_intervals(results)
    accuracy = f"{results.level:.0%} interval"
    numbers = (
        "accuracy",
        accuracy,
        "log-loss (nats)",
        "calibration error",
        "mean margin",
        "AUC",
        "trained on",
        "round",
    )
    draw_table(
        "Models on the held-out pairs",
        ("model", "law", *numbers),
        [_model_row(model) for model in results.models],
        numbers=numbers,
    )


def _model_row(model: ModelResult) -> tuple[str, ...]:
    evaluation, metrics = model.evaluation, model.evaluation.metrics
    return (
        model.label,
        model.lineage.law or "–",
        f"{evaluation.accuracy.estimate:.1%}",
        interval_text(evaluation.accuracy),
        f"{metrics.log_loss:.3f}",
        f"{metrics.calibration_error:.3f}",
        true_minus(f"{metrics.margin_mean:+.3f}"),
        f"{metrics.auc:.3f}",
        f"{evaluation.training_pairs:,}",
        str(model.record.round),
    )


def _draw_intervals(results: Results) -> None:
    """One row a model: the accuracy as a point, its interval as a bar, chance as a line."""
    rows = [(model.label, model.evaluation.accuracy) for model in results.models]
    rows.append(("longer answer wins", results.longer_wins))
    figure = go.Figure()
    for place, (label, interval) in enumerate(rows):
        is_baseline = place == len(rows) - 1
        figure.add_scatter(
            x=[interval.estimate * 100],
            y=[escape(label)],
            error_x=_error_bars([interval]),
            mode="markers",
            marker={
                "size": 12,
                "color": "gray" if is_baseline else SERIES[place % len(SERIES)],
                "symbol": "line-ns-open" if is_baseline else SYMBOLS[place % len(SYMBOLS)],
            },
            hovertemplate=f"{escape(label)}<br>%{{x:.1f}}%, {interval_text(interval)}<extra></extra>",
        )
    # Below the points: their figures stand on a patch of the page's ground, which the line does not run through.
    line = {"dash": "dot", "width": 1.5, "color": "gray"}
    figure.add_vline(50, line=line, layer="below", annotation_text="chance", annotation_position="bottom right")
    figure.update_layout(annotations=[*figure.layout.annotations, *map(_figure_above, range(len(rows)), rows)])
    height = charts.height_of_rows(len(rows), row=charts.ROW["words"])
    shown = charts.styled(figure, x="held-out pairs ranked right (%)", y="", height=height, legend=False)
    shown.update_yaxes(range=[len(rows) - 0.5, -0.8])
    charts.draw(shown, key="intervals")


def _figure_above(place: int, row: tuple[str, Interval]) -> dict[str, Any]:
    """A row's figure above its point."""
    return {
        "x": row[1].estimate * 100,
        "y": place,
        "yshift": 18,
        "text": f"{row[1].estimate:.1%}",
        "showarrow": False,
        "bgcolor": ground(),
        "borderpad": 1,
    }


def _error_bars(intervals: Sequence[Interval]) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [(each.high - each.estimate) * 100 for each in intervals],
        "arrayminus": [(each.estimate - each.low) * 100 for each in intervals],
        "thickness": 2,
        "width": 6,
    }


def draw_comparisons(results: Results) -> None:
    if not results.comparisons:
        return
    st.subheader("Differences on the same pairs", anchor=False)
    interval, nats = f"{results.level:.0%} interval (points)", f"{results.level:.0%} interval (nats)"
    scale = "at best scale (nats)"
    draw_table(
        "Differences in held-out accuracy and log-loss",
        ("comparison", "difference (points)", interval, "verdict", "log-loss", nats, scale, "verdict on log-loss"),
        [
            (
                f"{each.first} − {each.second}",
                signed_points(each.difference.estimate),
                f"{signed_points(each.difference.low)} to {signed_points(each.difference.high)}",
                each.verdict,
                signed_nats(each.log_loss.estimate),
                f"{signed_nats(each.log_loss.low)} to {signed_nats(each.log_loss.high)}",
                _at_best_scale(each),
                each.log_loss_verdict,
            )
            for each in results.comparisons
        ],
        numbers=("difference (points)", interval, "log-loss", nats, scale),
    )


def _at_best_scale(comparison: Comparison) -> str:
    found = comparison.log_loss_at_best_scale
    if found is None:
        return "–"
    return f"{signed_nats(found.estimate)} ({signed_nats(found.low)} to {signed_nats(found.high)})"


# -------------------------------------------------------------------------------------------------------------- subsets


def draw_subsets(results: Results) -> None:
    names = list(results.models[0].evaluation.by_subset)
    if not names:
        return
    st.subheader("Accuracy by subset", anchor=False)
    if len(names) <= SUBSETS_DRAWN:
        _draw_subset_intervals(results, names)
    numbers = ["pairs", *(model.label for model in results.models)]
    rows = [
        (
            name,
            f"{results.models[0].evaluation.by_subset[name].pairs:,}",
            *(_subset_cell(model, name) for model in results.models),
        )
        for name in names
    ]
    draw_table("Accuracy by subset", ("subset", *numbers), rows, numbers=numbers)


def _subset_cell(model: ModelResult, name: str) -> str:
    accuracy = model.evaluation.by_subset[name].accuracy
    return f"{accuracy.estimate:.1%} ({interval_text(accuracy)})"


def _draw_subset_intervals(results: Results, names: Sequence[str]) -> None:
    figure = go.Figure()
    rows = np.arange(len(names))
    for place, model in enumerate(results.models):
        found = [model.evaluation.by_subset[name].accuracy for name in names]
        shift = (place - (len(results.models) - 1) / 2) * 0.7 / max(len(results.models), 1)
        figure.add_scatter(
            x=[each.estimate * 100 for each in found],
            y=rows + shift,
            error_x=_error_bars(found),
            mode="markers",
            name=escape(model.label),
            marker={"size": 9, "color": SERIES[place % len(SERIES)], "symbol": SYMBOLS[place % len(SYMBOLS)]},
            customdata=[escape(name) for name in names],
            hovertemplate="%{customdata}<br>%{x:.1f}%<extra></extra>",
        )
    height = charts.height_of_rows(len(names), row=max(charts.ROW["marks"], 22 * len(results.models)), legend=True)
    shown = charts.styled(figure, x="held-out pairs ranked right (%)", y="", height=height)
    shown.update_yaxes(tickvals=rows, ticktext=[escape(name) for name in names], autorange="reversed", zeroline=False)
    shown.update_xaxes(range=[-3, 103])
    charts.draw(shown, key="subsets")


# ---------------------------------------------------------------------------------------------------------- calibration


def draw_calibration(results: Results) -> None:
    """Draw how often each model is right against how sure it was; the diagonal is a model that knows how sure to be."""
    st.subheader("Calibration", anchor=False)
    st.text("On the diagonal, a model is right exactly as often as it is sure. The larger a point, the more pairs.")
    figure = go.Figure()
    figure.add_scatter(
        x=[50, 100], y=[50, 100], mode="lines", name="as sure as right", line={"dash": "dot", "color": "gray"}
    )
    for place, model in enumerate(results.models):
        bins = model.reliability
        figure.add_scatter(
            x=[each.confidence * 100 for each in bins],
            y=[each.accuracy * 100 for each in bins],
            mode="lines+markers",
            name=escape(model.label),
            line={"color": SERIES[place % len(SERIES)], "dash": DASHES[place % len(DASHES)]},
            marker={
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "size": [6 + 18 * np.sqrt(each.pairs / results.pairs) for each in bins],
            },
            customdata=[each.pairs for each in bins],
            hovertemplate="sure %{x:.1f}%<br>right %{y:.1f}%<br>%{customdata:,} pairs<extra></extra>",
        )
    height = charts.HEIGHTS["plane"]
    shown = charts.styled(figure, x="how sure the model is (%)", y="pairs ranked right (%)", height=height)
    shown.update_xaxes(range=[48, 102])
    shown.update_yaxes(range=[-3, 103])
    charts.draw(shown, key="calibration")
    if not presenting():
        with st.expander("Pairs in each bin"):
            _draw_bins(results)


def _draw_bins(results: Results) -> None:
    numbers = ("sure (%)", "pairs", "sure on the mean", "right")
    rows = [
        (
            model.label,
            f"{each.low * 100:.0f} – {each.high * 100:.0f}",
            f"{each.pairs:,}",
            f"{each.confidence:.1%}",
            f"{each.accuracy:.1%}",
        )
        for model in results.models
        for each in model.reliability
    ]
    draw_table("Pairs in each bin of confidence", ("model", *numbers), rows, numbers=numbers)


# -------------------------------------------------------------------------------------------------------------- lineage


def draw_lineage(results: Results) -> None:
    """List round by round what each model was trained on, and the curvature of its loss there."""
    st.subheader("Where the models come from", anchor=False)
    explain("curvature", "effective rank")
    numbers = (
        "round",
        "budget",
        "new pairs",
        "carried over",
        "trained on",
        "curvature: trace",
        "largest eigenvalue",
        "smallest",
        "effective rank",
    )
    draw_table(
        "Lineage of the models",
        ("model", "kind", "by margins of", "trained (UTC)", *numbers),
        [_lineage_row(model) for model in results.models],
        numbers=numbers,
    )
    st.text(
        "Curvature is that of the loss on the model's own training pairs; flat directions are where it knows little."
    )


def _lineage_row(model: ModelResult) -> tuple[str, ...]:
    lineage, curvature = model.lineage, model.evaluation.curvature
    counts = (lineage.budget, lineage.new_pairs, lineage.carried_over)
    return (
        model.label,
        model.record.kind,
        lineage.parent_label or "–",
        model.record.created_at.strftime("%Y-%m-%d %H:%M"),
        str(model.record.round),
        *(f"{count:,}" if lineage.law else "–" for count in counts),
        f"{model.evaluation.training_pairs:,}",
        *(f"{curvature[name]:.3g}" if name in curvature else "–" for name in ("trace", "largest", "smallest")),
        f"{curvature['effective_rank']:.1f}" if "effective_rank" in curvature else "–",
    )
