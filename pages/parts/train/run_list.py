"""The runs of a workspace, newest first, and one of them to look at."""

import streamlit as st

from mars_engine.core.records import Run
from mars_engine.jobs.run_history import run_seconds
from mars_engine.service.desk import Desk
from pages.parts.drawing.numbers import as_text, duration, moment
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import presenting
from pages.parts.train.run_panel import STATE_WORDS, draw_ended

RUNS_SHOWN = 50
RUN = "run"
"""Name in the address of the run that is looked at."""


def draw_runs(desk: Desk) -> None:
    """Draw the list of runs and the one that was chosen, the newest that has ended where none was."""
    st.subheader("Runs", anchor=False)
    shown = desk.store.runs.newest(RUNS_SHOWN)
    if not shown:
        st.text("Nothing has run here yet.")
        return
    columns = {
        "what": [run.kind for run in shown],
        "state": [STATE_WORDS[run.state] for run in shown],
        "started": [moment(run.started_at) for run in shown],
        "took": [duration(run_seconds(run, run.ended_at)) if run.ended_at else "" for run in shown],
        "result": [_result(run) for run in shown],
    }
    if presenting():  # an audience cannot widen a column that is cut
        draw_table(
            "Runs, the newest first", tuple(columns), list(zip(*columns.values(), strict=True)), numbers=("took",)
        )
    else:
        config = {"took": st.column_config.TextColumn(alignment="right")}
        st.dataframe(columns, hide_index=True, width="stretch", column_config=config, key="runs")
    if len(shown) == RUNS_SHOWN and (count := desk.store.runs.count()) > RUNS_SHOWN:
        st.text(f"The newest {RUNS_SHOWN:,} of {count:,} runs.")
    ended = [run for run in shown if run.state not in ("queued", "running")]
    if ended:
        _draw_chosen(desk, ended)


def _draw_chosen(desk: Desk, ended: list[Run]) -> None:
    by_id = {run.id: run for run in ended}
    wanted = st.query_params.get(RUN, "")
    start = list(by_id).index(wanted) if wanted in by_id else 0
    if presenting():
        draw_ended(desk, ended[start])
        return
    chosen = st.selectbox("Look at", list(by_id), index=start, format_func=lambda each: _label(by_id[each]))
    if chosen != ended[0].id or wanted:
        st.query_params[RUN] = chosen
    draw_ended(desk, by_id[chosen])


def _label(run: Run) -> str:
    return f"{moment(run.started_at)} · {run.kind} · {STATE_WORDS[run.state]}"


def _result(run: Run) -> str:
    if run.error:
        return "" if presenting() else run.error  # an error may name files of this machine
    return ", ".join(f"{name} {as_text(value)}" for name, value in run.summary.items())
