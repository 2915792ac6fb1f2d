"""A pair beside the map: its question, both answers and its figures, with a way to all that is known of it."""

import math

import streamlit as st

from mars_engine.explore.dossier import PairFigures, pair_figures
from mars_engine.explore.explorer import Scene
from mars_engine.service.desk import Desk
from pages.parts.drawing.difference import show_pair
from pages.parts.drawing.numbers import true_minus
from pages.parts.drawing.tables import draw_table
from pages.parts.explore.filters import NAMES
from pages.parts.explore.state import PAIR, carried_view, close_beside
from pages.parts.frame.page import presenting

PANEL_HEIGHT = 620
"""Pixels: about what the map and its controls take."""


def pair_beside(scene: Scene) -> str:
    """Return the id of the pair that the address opens beside the map; "" where it names none that is there."""
    pair_id = st.query_params.get(PAIR, "")
    return pair_id if pair_id and len(scene.index.positions([pair_id])) else ""


def draw_panel(desk: Desk, scene: Scene, pair_id: str) -> None:
    """Draw a pair that is there."""
    with st.container(horizontal=True, vertical_alignment="center", key="pair-beside-head"):
        st.subheader("One pair", anchor=False)
        if not presenting():
            st.page_link(
                "pages/pair.py",
                label="All that is known",
                icon=":material/open_in_full:",
                query_params={**carried_view(), PAIR: pair_id},
            )
            st.button("Close", key="pair-beside-close", icon=":material/close:", on_click=close_beside)
    pair = desk.store.pairs.by_id([pair_id])[pair_id]
    with st.container(border=True, height=PANEL_HEIGHT, key="pair-beside"):
        _draw_figures(pair_figures(scene.index, int(scene.index.positions([pair_id])[0])))
        show_pair(pair.prompt, pair.chosen, pair.rejected, key=f"beside {pair_id}", can_switch=not presenting())


def _draw_figures(figures: PairFigures) -> None:
    label = NAMES[figures.decision or figures.verdict or "untriaged"]
    draw_table(
        "Figures of the pair",
        ("margin (reward units)", "out of fold", "distance (1 − cosine)", "label"),
        [(_number(figures.margin), _number(figures.out_of_fold_margin), _number(figures.distance, ".3f"), label)],
    )


def _number(value: float, form: str = "+.3f") -> str:
    return "–" if math.isnan(value) else true_minus(format(value, form))
