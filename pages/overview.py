"""Overview: where the workspace stands, where the reward model is unsure, and what to do next."""

import streamlit as st

from mars_engine.assembly.desk import Desk
from mars_engine.workflows.overview import Headline, headline, margin_histogram, margin_plane
from mars_engine.workflows.results import results_revision
from mars_engine.workflows.status import workspace_status
from pages.parts.frame import page
from pages.parts.overview_figures import draw_headline, draw_margins, draw_plane, draw_runs
from pages.parts.overview_steps import draw_funnel, draw_next_step


@st.cache_resource(max_entries=8, show_spinner="Comparing with the model before")
def _headline(root: str, revision: str, settings: str, _desk: Desk) -> Headline:  # noqa: ARG001 (the cache's key)
    return headline(_desk.store, _desk.index(), config=_desk.config.evaluate)


def draw(desk: Desk) -> None:
    index = desk.index()
    status = workspace_status(desk.store, index=index)
    draw_next_step(desk, status, index)
    if not len(index):
        return
    evaluate = desk.config.evaluate
    draw_headline(
        desk, status, _headline(str(desk.root), results_revision(desk.store), evaluate.model_dump_json(), desk)
    )
    left, right = st.columns(2, gap="large")
    with left:
        draw_funnel(status)
    with right:
        draw_margins(margin_histogram(index))
    draw_plane(margin_plane(index, allocation=desk.config.allocation, gate=desk.config.gate))
    draw_runs(desk)


with page("Overview", purpose="Where the reward model is unsure, and what was done about it.") as desk:
    draw(desk)
