"""How margins moved from one model to another: their distributions on one axis, and the pairs that crossed zero."""

from collections.abc import Sequence
from html import escape
from typing import cast

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from mars_engine.assembly.desk import Desk
from mars_engine.words.records import Pair, Split
from mars_engine.workflows.quality import last_turn
from mars_engine.workflows.results import Movement
from pages.parts import charts
from pages.parts.colours import SERIES
from pages.parts.frame import presenting
from pages.parts.numbers import true_minus
from pages.parts.tables import draw_table, formatted

SPLIT = "split"
"""Name in the query parameters of the split whose margins are shown."""

SPLIT_WORDS: dict[Split, str] = {"heldout": "held-out pairs", "train": "training pairs"}
ROWS_A_PAGE = 25
ROWS_PRESENTED = 5
TEXT_SHOWN = 160


def choose_split() -> Split:
    """Ask for the split; the address says which."""
    st.subheader("How margins moved", anchor=False)
    asked = cast(Split, st.query_params.get(SPLIT, "heldout"))
    begin: Split = asked if asked in SPLIT_WORDS else "heldout"
    if presenting():
        return begin
    if "results-split" not in st.session_state:
        st.session_state["results-split"] = begin
    chosen = st.segmented_control(
        "Pairs", list(SPLIT_WORDS), format_func=lambda split: SPLIT_WORDS[split], required=True, key="results-split"
    )
    split: Split = chosen or begin
    st.query_params[SPLIT] = split
    return split


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
    # The words stand above the bars, which reach to the top of the figure otherwise.
    words_at = {"annotation_text": "ranked right →", "annotation_yshift": 20, "annotation_position": "top right"}
    figure.add_vline(0, line={"width": 1.5, "color": "gray"}, **words_at)
    figure.update_yaxes(tickformat=",")
    shown = charts.styled(figure, x="score margin (reward units)", y=words, height=400)
    shown.update_layout(margin={"t": 64}, legend={"y": 1.1})
    charts.draw(shown, key="movement")


def draw_crossed(desk: Desk, movement: Movement) -> None:
    """List the pairs whose ranking changed, the greatest change first, each with a link to its page."""
    st.subheader("Pairs that crossed zero", anchor=False)
    st.text(
        f"{movement.now_right:,} pairs are ranked right now that were not, {movement.now_wrong:,} no longer are; "
        "the greatest change first."
    )
    total = len(movement.crossed_ids)
    if not total:
        return
    if presenting():
        _draw_rows(desk, movement, range(min(total, ROWS_PRESENTED)))
        return
    pages = -(-total // ROWS_A_PAGE)
    page = st.pagination(pages, key="crossed-page") if pages > 1 else 1
    first = (page - 1) * ROWS_A_PAGE
    _draw_rows(desk, movement, range(first, min(first + ROWS_A_PAGE, total)))


def _draw_rows(desk: Desk, movement: Movement, places: Sequence[int]) -> None:
    ids = [movement.crossed_ids[place].decode() for place in places]
    pairs = desk.store.pairs.by_id(ids)
    before, after = movement.crossed_before[places], movement.crossed_after[places]
    is_right = after > 0
    outcome = ["▲ right now" if right else "▼ wrong now" for right in is_right]
    if presenting():
        numbers = ("before", "after")
        rows = [
            (said, true_minus(f"{first:+.3f}"), true_minus(f"{second:+.3f}"), shorten(pairs[pair_id]))
            for said, first, second, pair_id in zip(outcome, before, after, ids, strict=True)
        ]
        draw_table("Pairs that crossed zero", ("", *numbers, "prompt"), rows, numbers=numbers)
        return
    columns = {
        "pair": [f"/pair?id={pair_id}" for pair_id in ids],
        "now": outcome,
        "before": before,
        "after": after,
        "change": after - before,
        "subset": [pairs[pair_id].subset for pair_id in ids],
        "prompt": [shorten(pairs[pair_id]) for pair_id in ids],
    }
    st.dataframe(
        formatted(columns, dict.fromkeys(("before", "after", "change"), "+.3f")),
        hide_index=True,
        column_config={
            "pair": st.column_config.LinkColumn(display_text=r"id=(.{8})", width="small"),
            "before": st.column_config.NumberColumn(help="Score margin, reward units."),
            "after": st.column_config.NumberColumn(help="Score margin, reward units."),
            "change": st.column_config.NumberColumn(help="Reward units."),
            "prompt": st.column_config.TextColumn(width="large"),
        },
        key="crossed",
    )


def shorten(pair: Pair) -> str:
    """The last turn of a pair's prompt, cut with a mark where it is long."""
    text = last_turn(pair)
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…"
