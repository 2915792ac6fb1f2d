"""How margins moved from one model to another: their distributions on one axis, and the pairs that crossed zero."""

from html import escape
from typing import cast

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from mars_engine.core.records import Split
from mars_engine.evaluate.results import Movement
from mars_engine.explore.colours import SERIES
from mars_engine.service.desk import Desk
from mars_engine.stats.metrics import correctness
from pages.parts.drawing import charts
from pages.parts.drawing.numbers import true_minus
from pages.parts.results.pairs import choose, draw_pairs, rows_shown

SPLIT = "split"
"""Name in the query parameters of the split whose margins are shown."""

SPLIT_WORDS = {"heldout": "held-out pairs", "train": "training pairs"}


def choose_split() -> Split:
    """Ask for the split; the address says which."""
    st.subheader("How margins moved", anchor=False)
    return cast(Split, choose("Pairs", SPLIT_WORDS, name=SPLIT, begin="heldout"))


def draw_movement(movement: Movement, *, models: int) -> None:
    """Draw both distributions over the same bins: before dashed, after solid and filled.

    Args:
        movement: from the first to the last of the models compared.
        models: how many are compared, so that both have their colours.
    """
    words = SPLIT_WORDS[movement.split]
    trained = "" if movement.split == "heldout" else " Models are trained on these, so part of this is memory."
    means = true_minus(f"{movement.mean_before:+.3f} to {movement.mean_after:+.3f}")
    wrong = f"{movement.mis_ranked_before:,} to {movement.mis_ranked_after:,}"
    st.text(f"{movement.pairs:,} {words}: the mean margin went from {means}, those ranked wrong from {wrong}.{trained}")
    charts.draw(movement_figure(movement, models=models), key="movement")


def movement_figure(movement: Movement, *, models: int) -> go.Figure:
    """Return both distributions over the same bins; `models` as for `draw_movement`."""
    figure = go.Figure()
    for label, counts, colour, dash, fill in (
        (f"before: {movement.before}", movement.counts_before, SERIES[0], "dash", None),
        (f"after: {movement.after}", movement.counts_after, SERIES[(models - 1) % len(SERIES)], "solid", "tozeroy"),
    ):
        figure.add_scatter(
            x=movement.edges,
            y=np.append(counts, 0),
            mode="lines",
            name=escape(label),
            line={"shape": "hv", "color": colour, "dash": dash, "width": 2.5},
            fill=fill,
            fillcolor="rgba(128, 128, 128, 0.2)",
            hovertemplate="margin from %{x:.3f}<br>%{y:,} pairs<extra></extra>",
        )
    words_at = {"annotation_text": "ranked right →", "annotation_position": "top right"}
    figure.add_vline(0, line={"width": 1.5, "color": "gray"}, **words_at)
    # Above the bars there is room for the words.
    highest = max(1, int(movement.counts_before.max()), int(movement.counts_after.max()))
    figure.update_yaxes(tickformat=",", range=[0, 1.15 * highest])
    return charts.styled(figure, x="score margin (reward units)", y=SPLIT_WORDS[movement.split])


NOW = {1.0: "▲ right now", 0.5: "◆ a tie now", 0.0: "▼ wrong now"}


def draw_crossed(desk: Desk, movement: Movement) -> None:
    """List the pairs whose ranking changed, the greatest change first, each with a link to its page."""
    st.subheader("Pairs that crossed zero", anchor=False)
    st.text(
        f"{movement.now_right:,} pairs are ranked better now than before, {movement.now_wrong:,} worse; "
        "the greatest change first."
    )
    if not len(movement.crossed_ids):
        return
    places = rows_shown(len(movement.crossed_ids), key="crossed")
    before, after = movement.crossed_before[places], movement.crossed_after[places]
    draw_pairs(
        desk,
        "Pairs that crossed zero",
        [movement.crossed_ids[place].decode() for place in places],
        {
            "now": [NOW[right] for right in correctness(after).tolist()],
            "before": before,
            "after": after,
            "change": after - before,
        },
        formats=dict.fromkeys(("before", "after", "change"), "+.3f"),
        helps=dict.fromkeys(("before", "after"), "Score margin, reward units.") | {"change": "Reward units."},
        presented=("now", "before", "after"),
        key="crossed",
    )
