"""Align: does the better reward model make a better policy? Pick, train, and compare blind."""

import streamlit as st

from mars_engine.service.desk import Desk
from pages.parts.align.comparing import COMPARISON, draw_comparing
from pages.parts.align.start import STARTED, draw_start
from pages.parts.align.watching import draw_followed
from pages.parts.frame.page import page, presenting
from pages.parts.results.win_rates import draw_win_rates

PARTS = {"start": "Pick or train", "follow": "Runs and policies", "compare": "Compare blind"}


def draw(desk: Desk) -> None:
    if presenting():
        draw_followed(desk)
        draw_win_rates(desk)
        return
    if st.session_state.pop(STARTED, False):
        st.session_state["part"] = "follow"
    usual = "compare" if COMPARISON in st.query_params else "start"
    part = st.segmented_control(
        "What to do",
        list(PARTS),
        default=usual,
        required=True,
        format_func=PARTS.__getitem__,
        key="part",
        bind="query-params",
        label_visibility="collapsed",
    )
    if part == "compare":
        draw_comparing(desk)
        return
    if COMPARISON in st.query_params:
        del st.query_params[COMPARISON]
    if part == "follow":
        draw_followed(desk)
        return
    draw_start(desk, desk.running_job())


with page("Align", purpose="Does a better reward model make a better policy? Pick, train, compare blind.") as desk:
    draw(desk)
