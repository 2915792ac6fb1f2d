"""Overview: where the workspace stands, where the reward model is unsure, and what to do next."""

import streamlit as st

from mars_engine.evaluate.overview import margin_histogram, margin_plane
from mars_engine.evaluate.status import workspace_status
from mars_engine.service.desk import Desk
from pages.parts.frame.page import page, presenting
from pages.parts.frame.tour import offer_tour
from pages.parts.overview.advice import draw_advice
from pages.parts.overview.figures import draw_headline, draw_margins, draw_plane, draw_runs
from pages.parts.overview.steps import draw_counts, draw_next_step
from pages.parts.overview.story import draw_story

STYLE = """
<style>
  @media (max-width: 640px) {
    .st-key-overview-top > * > * > [data-testid="stColumn"]:last-child { order: -1; }
    .st-key-overview-top [data-testid="stHeading"] h3 { font-size: 1.2rem; }
  }
</style>
"""
"""On a small screen the next step stands first."""


def draw(desk: Desk) -> None:
    index = desk.index()
    status = workspace_status(desk.store, index=index)
    if not len(index):
        draw_next_step(desk, status, index)
        return
    st.html(STYLE)
    with st.container(key="overview-top"):
        story, next_step = st.columns([2, 1], gap="medium")
    with story:
        draw_story(desk, index)
    with next_step:
        draw_next_step(desk, status, index)
        if not presenting():
            offer_tour()
    draw_advice(desk)
    draw_headline(desk, status, desk.headline())
    left, right = st.columns(2, gap="large")
    with left:
        draw_counts(status)
    with right:
        draw_margins(margin_histogram(index))
    draw_plane(margin_plane(index, allocation=desk.config.allocation, gate=desk.config.gate))
    draw_runs(desk)


with page(
    "Overview",
    purpose="A reward model learns from pairs which of two answers people prefer. Here is where it is unsure, and what "
    "was done about it.",
) as desk:
    draw(desk)
