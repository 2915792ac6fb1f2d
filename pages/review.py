"""Review: proposals, one card at a time or many at once, accepted, edited or rejected by hand."""

import streamlit as st

from mars_engine.service.desk import Desk
from pages.parts.card import Dealing, View
from pages.parts.frame.page import empty_state, page, presenting
from pages.parts.review.reading import WHAT_TO_READ, ask_name, choose_order, choose_source, draw_deck, presented

VIEWS: dict[View, str] = {"card": "Card", "grid": "Grid"}


def choose_view() -> View:
    """Ask on the page Review for one card at a time or many small ones."""
    return st.segmented_control(
        "View",
        list(VIEWS),
        default="card",
        required=True,
        format_func=lambda view: VIEWS[view],
        key="view",
        bind="query-params",
    )


def choose_overlap(desk: Desk) -> int:
    """Ask on the page Review how many proposals a second person is to decide too, to measure agreement."""
    return int(
        st.number_input(
            "Share that two people decide (%)",
            min_value=0,
            max_value=100,
            step=5,
            value=desk.config.review.overlap_percent,
            key="overlap",
            help="Agreement is measured on them. It holds in this browser; for all it is set on the Settings page.",
        )
    )


def draw(desk: Desk) -> None:
    index = desk.index()
    if not len(index):
        empty_state(
            "There are no pairs yet, so there is nothing to review.",
            to_do="Import a file of preference pairs, or the demo pairs.",
            page_path="pages/data.py",
            link="Import pairs",
        )
        return
    if not index.proposals.any():
        empty_state(
            "There are no proposals yet.",
            to_do="Train a reward model and spend a budget: Overview says which step is next.",
            page_path="pages/overview.py",
            link="Overview",
        )
        return
    if presenting():
        draw_deck(desk, presented(desk, "proposal"))
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="reading-choices"):
        name = ask_name()
        order = choose_order(desk, "proposal")
        with st.popover(WHAT_TO_READ, icon=":material/low_priority:"):
            source = choose_source(desk, "proposal")
            overlap = choose_overlap(desk)
        view = choose_view()
    if not name:
        empty_state("Say who you are.", to_do="Write your name above and press Enter: the first proposal comes up.")
        return
    draw_deck(desk, Dealing("proposal", name, order, source, overlap, view=view))


with page("Review", purpose="Read what was proposed for the unsure pairs, and decide. One key a card.") as desk:
    draw(desk)
