"""What the newest probe reads: the choice in words, and the alternatives it was chosen from."""

import streamlit as st

from mars_engine.reward_models.choice_summary import (
    COLUMNS,
    HOW_COMPARED,
    HOW_TO_FIX,
    NUMBERS,
    row_of,
    say_choice,
    summary_of,
)
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.service.desk import Desk
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import presenting


def draw_probe_choice(desk: Desk) -> None:
    """Say what the newest probe reads and list what else was tried; nothing where no probe's record says it."""
    told = [(model.label, summary_of(model)) for model in with_distinct_labels(desk.store.models.all())]
    label, summary = next(((label, found) for label, found in reversed(told) if found), ("", None))
    if summary is None:
        return
    st.subheader("What the probe reads", anchor=False)
    st.text(f"The newest probe ({label}) {say_choice(summary)}.")
    if presenting():
        return
    if summary.alternatives:
        with st.expander(f"The {len(summary.alternatives)} ways of reading that were compared"):
            draw_table("Ways of reading", COLUMNS, [row_of(each) for each in summary.alternatives], numbers=NUMBERS)
            st.text(HOW_COMPARED)
    st.text(HOW_TO_FIX)
