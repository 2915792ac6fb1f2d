"""Pair: all that is known of one source pair, named by `?id=`."""

import math
from collections.abc import Sequence
from datetime import UTC
from html import escape

import plotly.graph_objects as go
import streamlit as st

from mars_engine.data.trails import KEPT
from mars_engine.explore.colours import DASHES, SERIES
from mars_engine.explore.dossier import Dossier, Neighbour, PairFigures, open_dossier
from mars_engine.service.desk import Desk
from pages.parts.drawing import charts
from pages.parts.drawing.difference import show_pair
from pages.parts.drawing.numbers import true_minus
from pages.parts.drawing.tables import draw_table, formatted
from pages.parts.explore.filters import NAMES
from pages.parts.explore.state import PAIR, carried_view
from pages.parts.frame.page import empty_state, page, presenting
from pages.parts.frame.words import explain

NEAREST_BY = {
    "difference": "the difference of their answers",
    "prompt": "their prompts",
    "chosen": "their chosen answers",
    "rejected": "their rejected answers",
}
FIGURES_STYLE = """
<style>
  @media (max-width: 640px) {
    .st-key-pair-figures [data-testid="stHorizontalBlock"] { display: grid; gap: .5rem;
      grid-template-columns: 1fr 1fr; }
    .st-key-pair-figures [data-testid="stColumn"] { width: auto; min-width: 0; }
    .st-key-pair-figures [data-testid="stColumn"] > * > * > * { border: 0; padding: 0; gap: 0; }
    .st-key-pair-figures [data-testid="stMetricValue"] { font-size: 1.2rem; }
    .st-key-pair-figures [data-testid="stText"] { font-size: .8rem; line-height: 1.3; }
  }
</style>
"""
"""On a small screen the figures stand close, so that the pair itself is seen at once."""


def draw(desk: Desk) -> None:
    pair_id = st.query_params.get(PAIR, "")
    if not pair_id:
        empty_state(
            "No pair is named in the address.",
            to_do="Open one from the table of Explore.",
            page_path="pages/explore.py",
            link="Explore",
        )
        return
    dossier = open_dossier(desk.store, desk.index(), desk.explorer, pair_id)
    if not presenting():
        with st.container(horizontal=True):
            st.page_link("pages/explore.py", label="Explore", icon=":material/arrow_back:", query_params=carried_view())
    draw_figures(dossier.figures)
    pair = dossier.pair
    show_pair(pair.prompt, pair.chosen, pair.rejected, key=f"pair {pair.id}", can_switch=not presenting())
    draw_rewards(dossier)
    draw_trajectories(dossier)
    draw_trails(dossier)
    draw_proposals(dossier)
    draw_neighbours(dossier)
    draw_history(dossier)
    draw_origin(dossier)


def number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def draw_figures(figures: PairFigures) -> None:
    st.html(FIGURES_STYLE)
    with st.container(key="pair-figures"):
        columns = st.columns(5)
    facts = (
        ("Score margin", number(figures.margin), f"reward units, {figures.model_label}" if figures.model_label else ""),
        ("Out-of-fold margin", number(figures.out_of_fold_margin), _spread(figures)),
        ("Semantic distance", _plain(figures.distance), f"gate: {figures.gate}" if figures.gate else "1 − cosine"),
        ("Triage", NAMES[figures.verdict or "untriaged"], "by margins of models that never saw it"),
        ("Label", NAMES[figures.decision or "undecided"], f"budget: {figures.budget:,} new pairs"),
    )
    for column, (label, value, note) in zip(columns, facts, strict=True):
        with column.container(border=True, height="stretch"):
            st.metric(label, value)
            st.text(note)
    explain("out-of-fold", "suspect", "semantic distance")


def _plain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _spread(figures: PairFigures) -> str:
    return "" if math.isnan(figures.out_of_fold_std) else f"± {figures.out_of_fold_std:.3f} over the draws"


def draw_rewards(dossier: Dossier) -> None:
    st.subheader("Rewards", anchor=False)
    if not dossier.rewards:
        st.text("No model has scored this pair yet.")
        return
    draw_table(
        "Rewards of the pair under each model",
        ("model", "chosen", "rejected", "margin"),
        [
            (each.model_label, number(each.chosen), number(each.rejected), number(each.margin))
            for each in dossier.rewards
        ],
        numbers=("chosen", "rejected", "margin"),
    )


def draw_trajectories(dossier: Dossier) -> None:
    """Draw how the margin went over the epochs of a training; nothing where no training kept it."""
    if not dossier.trajectories:
        return
    st.subheader("Margin while models were trained", anchor=False)
    figure = go.Figure()
    for place, each in enumerate(dossier.trajectories):
        st.text(
            f"{each.model_label}: mean confidence in the label trained on {each.confidence:.1%}, variability "
            f"{each.variability:.3f}, right after {each.right_epochs:g} of {len(each.margins):,} epochs, "
            f"forgotten {each.forgotten:,} times."
        )
        figure.add_scatter(
            x=list(range(1, len(each.margins) + 1)),
            y=each.margins,
            name=escape(each.model_label),
            mode="lines+markers",
            line={"color": SERIES[place % len(SERIES)], "dash": DASHES[place % len(DASHES)]},
            hovertemplate="after epoch %{x}: %{y:.3f}<extra></extra>",
        )
    figure.add_hline(0, line={"color": "gray", "width": 1})
    figure.update_xaxes(dtick=1)
    height = charts.HEIGHTS["small"]
    charts.draw(charts.styled(figure, x="epoch", y="score margin (reward units)", height=height), key="trajectories")


def draw_trails(dossier: Dossier) -> None:
    """Draw what was tried to sharpen the pair's contrast; nothing where the gate never asked for it."""
    if not dossier.trails:
        return
    st.subheader("Sharpening the contrast", anchor=False)
    for trail in dossier.trails:
        kept = next((each for each in trail if each.verdict == KEPT), None)
        outcome = f"the {kept.side} side was rewritten" if kept else "none sufficed, the pair stays unrefined"
        tries = "1 try" if len(trail) == 1 else f"{len(trail):,} tries"
        with st.expander(f"{tries}: {outcome}"):
            for each in trail:
                distance = "" if each.distance is None else f" · distance {_plain(each.distance)}"
                st.text(f"{each.position + 1}. {each.side} side{distance} · {each.verdict} · by {each.generator}")
                if each.text is not None:
                    with st.container(border=True):
                        st.text(each.text)


def draw_proposals(dossier: Dossier) -> None:
    st.subheader(f"Proposals ({len(dossier.proposals):,})", anchor=False)
    if not dossier.proposals:
        st.text("Nothing was proposed for this pair yet.")
        return
    for position, (proposal, state) in enumerate(dossier.proposals):
        with st.expander(f"Variant {proposal.variant}, {proposal.method}: {state.status}"):
            st.text(
                f"margin {number(proposal.margin_before)} → {number(proposal.margin_after)} · "
                f"distance {_plain(proposal.distance_before)} → {_plain(proposal.distance_after)}"
                + (f" · {true_minus(', '.join(proposal.flags))}" if proposal.flags else "")
            )
            show_pair(proposal.prompt, proposal.chosen, proposal.rejected, key=f"proposal {position} {proposal.id}")


def draw_neighbours(dossier: Dossier) -> None:
    if dossier.same_prompt:
        st.subheader("Pairs with the same prompt", anchor=False)
        _draw_list(f"same prompt {dossier.pair.id}", dossier.same_prompt)
    st.subheader("Nearest pairs", anchor=False)
    if dossier.nearest_by is None:
        st.text("They are found by the embeddings of a map: make one on the Explore page.")
        return
    st.text(f"By {NEAREST_BY[dossier.nearest_by]}.")
    _draw_list(f"nearest {dossier.pair.id}", dossier.nearest)


def _draw_list(key: str, neighbours: Sequence[Neighbour]) -> None:
    """Draw a list of pairs, of which one is opened; the key is of this page's pair, or its choice would stand on the
    next one's list too."""

    def open_chosen() -> None:
        if rows := st.session_state[key]["selection"]["rows"]:
            st.query_params[PAIR] = neighbours[rows[0]].pair_id

    columns = {
        "cosine": [each.cosine for each in neighbours],
        "margin": [each.margin for each in neighbours],
        "last question": [each.question for each in neighbours],
        "chosen": [each.chosen for each in neighbours],
    }
    if all(math.isnan(each.cosine) for each in neighbours):
        del columns["cosine"]
    config = {
        "cosine": st.column_config.NumberColumn(width=80),
        "margin": st.column_config.NumberColumn(width=80),
    }
    shown = formatted(columns, {"cosine": ".3f", "margin": ".3f"})
    if presenting():
        st.dataframe(shown, hide_index=True, column_config=config)
        return
    st.dataframe(
        shown, hide_index=True, column_config=config, on_select=open_chosen, selection_mode="single-row", key=key
    )


def draw_history(dossier: Dossier) -> None:
    st.subheader("History", anchor=False)
    if not dossier.history:
        st.text("Nobody has decided anything about this pair or its proposals yet.")
        return
    draw_table(
        "What was decided, oldest first",
        ("when (UTC)", "who", "about", "what"),
        [
            (
                f"{entry.event.at.astimezone(UTC):%Y-%m-%d %H:%M}",
                entry.event.annotator,
                entry.about,
                ": ".join(part for part in (entry.event.action.replace("_", " "), entry.event.note) if part),
            )
            for entry in dossier.history
        ],
    )


def draw_origin(dossier: Dossier) -> None:
    st.subheader("Where it comes from", anchor=False)
    figures, pair = dossier.figures, dossier.pair
    facts = [("id", pair.id), ("dataset", figures.dataset), ("split", NAMES[figures.split]), ("subset", pair.subset)]
    facts += [(name, str(value)) for name, value in pair.attributes.items()]
    draw_table("Origin of the pair", ("what", "value"), [fact for fact in facts if fact[1]])


with page("Pair", purpose="") as opened:
    draw(opened)
