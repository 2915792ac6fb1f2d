"""What Results will show once a run that is at work, or waits for its turn, has ended."""

import streamlit as st

from mars_engine.core.records import Run, RunState
from mars_engine.service.desk import Desk
from pages.parts.train.run_panel import draw_progress

AT_WORK_OR_WAITING: tuple[RunState, ...] = ("running", "queued")


def run_under_way(desk: Desk, kind: str) -> Run | None:
    """Return the run of a kind that is at work, else the first of those that wait; None where there is none."""
    for state in AT_WORK_OR_WAITING:
        found = desk.store.runs.newest(None, state=state, kinds=[kind])
        if found:
            return found[-1]
    return None


def draw_under_way(desk: Desk, run: Run, *, what: str) -> None:
    """Say that a run is at work and how far it is, or that it waits; the page is drawn again once that has changed.

    Args:
        desk: the workspace.
        run: as `run_under_way` returned it.
        what: the run in words, such as "An experiment".
    """

    @st.fragment(run_every="2s")
    def look() -> None:
        desk.running_job()  # starts the next in the queue
        now = run_under_way(desk, run.kind)
        if now is None or (now.id, now.state) != (run.id, run.state):
            st.rerun()
        with st.container(border=True):
            if now.state == "queued":
                st.text(f"{what} waits for its turn in the queue. Its results come to stand here by themselves.")
            else:
                st.text(
                    f"{what} is at work, since {now.started_at:%H:%M:%S} UTC. This page fills by itself when it ends."
                )
                draw_progress(now)
            st.page_link("pages/train.py", label="Log, queue and cancel", icon=":material/arrow_forward:")

    look()
