"""Overview: where the workspace stands, where the reward model is unsure, and what to do next."""

import streamlit as st

from mars_engine.evaluate.overview import margin_histogram, margin_plane
from mars_engine.evaluate.status import workspace_status
from mars_engine.service.desk import Desk
from pages.parts.frame.page import page
from pages.parts.overview.advice import draw_advice
from pages.parts.overview.figures import draw_headline, draw_margins, draw_plane, draw_runs
from pages.parts.overview.steps import draw_funnel, draw_next_step


def draw(desk: Desk) -> None:
    index = desk.index()
    status = workspace_status(desk.store, index=index)
    draw_next_step(desk, status, index)
    if not len(index):
        return
    draw_headline(desk, status, desk.headline())
    draw_advice(desk)
    left, right = st.columns(2, gap="large")
    with left:
        draw_funnel(status)
    with right:
        draw_margins(margin_histogram(index))
    draw_plane(margin_plane(index, allocation=desk.config.allocation, gate=desk.config.gate))
    draw_runs(desk)


with page("Overview", purpose="Where the reward model is unsure, and what was done about it.") as desk:
    draw(desk)
