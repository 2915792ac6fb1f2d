"""Train: start rounds, watch what is at work, and look back at earlier runs."""

import streamlit as st

from mars_engine.core.records import Run
from mars_engine.service.desk import Desk
from pages.parts.frame.page import empty_state, page, presenting
from pages.parts.train.failures import draw_failures
from pages.parts.train.run_list import draw_runs
from pages.parts.train.run_panel import draw_queue, watch
from pages.parts.train.start import draw_start


def draw(desk: Desk) -> None:
    running = desk.running_job()
    under_way = st.empty()  # always there, so that what stands below keeps its place and the focus of the keyboard
    with under_way.container():
        if running is not None:
            watch(desk, running)
        draw_queue(desk)
    if not presenting():
        _draw_start(desk, running)
        draw_failures(desk, running)
    draw_runs(desk)


def _draw_start(desk: Desk, running: Run | None) -> None:
    if desk.store.pairs.count("train"):
        with st.container(key="train-start"):
            draw_start(desk, running)
    else:
        empty_state(
            "There are no training pairs yet, so there is nothing to train on.",
            to_do="Import some first, or begin with the demo pairs.",
            page_path="pages/data.py",
            link="Import pairs",
        )


with page(
    "Train", purpose="Rounds: propose new pairs where the model is unsure, retrain on what was accepted."
) as desk:
    draw(desk)
