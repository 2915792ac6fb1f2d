"""A run as the pages show it: state, progress with rate and time left, curves by round, result, log, cancel, retry."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import isfinite

import plotly.graph_objects as go
import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.records import Run, RunState
from mars_engine.explore.colours import DASHES, PALE, SERIES
from mars_engine.jobs.jobs import SECONDS_OF_GRACE, cancel_job, log_tail, queued_runs, retry_job
from mars_engine.jobs.run_history import Curves, Pace, curves, pace, run_seconds
from mars_engine.service.desk import Desk
from pages.parts.drawing.charts import HEIGHTS, draw, styled
from pages.parts.drawing.numbers import as_text, duration, moment
from pages.parts.frame.page import presenting, show_error

STATE_WORDS: Mapping[RunState, str] = {
    "queued": "… waits",
    "running": "▶ at work",
    "finished": "✓ finished",
    "failed": "✗ failed",
    "cancelled": "■ cancelled",
    "lost": "? lost",
}
CHARTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Log-loss", "nats", ("training log-loss", "held-out log-loss")),
    ("Held-out accuracy", "share of pairs", ("held-out accuracy",)),
    ("Mean held-out margin", "reward units", ("mean held-out margin",)),
)
"""The title, unit and metrics of each chart by round."""
STEP_CHARTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Loss while training", "nats", ("training loss", "validation loss")),
    ("Accuracy while training", "share of a batch's pairs", ("training accuracy",)),
    ("Margin while training", "reward units", ("training margin",)),
)
"""Those by optimizer step."""
SUMMARY_STYLE = """
<style>
  .mars-summary { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0 2rem;
                  margin: 0; padding: 0 !important; }
  .mars-summary div { display: flex; margin: 0; justify-content: space-between; gap: 1rem; padding: .2rem 0;
                      border-bottom: 1px solid rgba(128, 128, 128, .25); }
  .mars-summary dt { font-weight: 400; opacity: .8; }
  .mars-summary dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; text-align: right; }
</style>
"""
LINES_OF_LOG = 200
LOG_HEIGHT = 220
LONGEST_ROUNDS_WITH_EACH_TICK = 12
FEW_STEPS = 30
"""Up to so many points of a curve are marked."""


def watch(desk: Desk, run: Run, *, draw_more: Callable[[Run], None] | None = None) -> None:
    """Show a run at work, looking again each second; the whole page is drawn again once it has ended.

    Args:
        desk: the workspace.
        run: the run.
        draw_more: draws what else there is to see of it.
    """

    @st.fragment(run_every="1s")
    def look() -> None:
        now = desk.running_job()
        if now is None or now.id != run.id:
            st.rerun()
        draw_running(desk, now)
        if draw_more is not None:
            draw_more(now)

    look()


def draw_running(desk: Desk, run: Run) -> None:
    """Draw a run at work."""
    with st.container(border=True):
        st.subheader("At work", anchor=False)
        st.text(f"{run.kind}, for {duration(run_seconds(run, desk.clock()))}, since {moment(run.started_at)}")
        draw_progress(run)
        draw_curves(curves(desk.store.runs, run), key=f"curves-{run.id}")
        _draw_log(desk, run)
        if not presenting():
            _draw_cancel(desk, run)


def draw_queue(desk: Desk) -> None:
    """Draw the jobs that wait for their turn, each with a button that takes it out; nothing where none waits."""
    waiting = queued_runs(desk.store)
    if not waiting:
        return
    with st.container(border=True):
        st.subheader("Queue", anchor=False)
        st.text("One job at a time, since each builds on what the one before stored. These come next, in this order.")
        for place, run in enumerate(waiting, start=1):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(f"{place}. mars {' '.join(run.command)}, since {moment(run.started_at)}")
                if not presenting():
                    st.button(
                        "Take out",
                        icon=":material/close:",
                        key=f"unqueue-{run.id}",
                        on_click=cancel_job,
                        args=(desk.store, run),
                        kwargs={"clock": desk.clock},
                    )


def draw_ended(desk: Desk, run: Run) -> None:
    """Draw a run that has ended: how, with what result, and what to do where it did not finish."""
    with st.container(border=True):
        st.text(
            f"{STATE_WORDS[run.state]}: {run.kind}, {moment(run.started_at)}, "
            f"after {duration(run_seconds(run, run.ended_at))}"
        )
        if run.error and not presenting():
            st.code(run.error, language=None, wrap_lines=True)
        if run.state != "finished" and not presenting():
            st.text(_what_to_do(run))
        _draw_summary(run)
        draw_curves(curves(desk.store.runs, run), key=f"curves-{run.id}")
        _draw_log(desk, run)
        can_retry = run.state != "finished" and run.command and not presenting()
        if can_retry and st.button("Try again", icon=":material/replay:", key=f"retry-{run.id}"):
            begin(lambda: retry_job(desk.workspace, desk.store, run, clock=desk.clock))


def begin(start: Callable[[], Run]) -> None:
    """Start a job and show it, or why it did not start."""
    try:
        with st.spinner("Starting"):
            start()
    except MarsError as error:
        show_error(error)
        return
    st.rerun()


def draw_progress(run: Run) -> None:
    """Draw how far a run is with its present task."""
    task = pace(run.progress)
    if task is None:
        st.progress(0.0)
        st.text("Between two tasks, or just begun.")
        return
    st.progress(min(1.0, task.done / task.total) if task.total else 0.0)
    st.text(task.task + (f": {_how_far(task)}" if task.done or task.total else ""))


def _how_far(task: Pace) -> str:
    parts = [f"{task.done:,}" + (f" of {task.total:,}" if task.total else "")]
    if task.per_second >= 1:
        parts.append(f"{task.per_second:,.1f} a second")
    elif task.per_second > 0:
        parts.append(f"{duration(1 / task.per_second)} each")
    if task.seconds_left is not None:
        parts.append(f"about {duration(task.seconds_left)} left of this task")
    return ", ".join(parts)


def draw_curves(figures: Curves, *, key: str) -> None:
    """Draw a run's loss, accuracy and margin by training step and by round; nothing where none was measured."""
    for charts, points, chart in ((STEP_CHARTS, figures.by_step, _step_chart), (CHARTS, figures.own, _chart)):
        shown = [each for each in charts if any(metric in points for metric in each[2])]
        for column, (title, unit, metrics) in zip(st.columns(len(shown)) if shown else (), shown, strict=True):
            with column:
                st.text(title)
                draw(chart(figures, unit, metrics), key=f"{key}-{title}")
    if figures.own and figures.before:
        st.text("Hollow points: rounds that earlier runs trained, as the newest of them left these.")


def _step_chart(figures: Curves, unit: str, metrics: Sequence[str]) -> go.Figure:
    figure = go.Figure()
    for position, metric in enumerate(metric for metric in metrics if metric in figures.by_step):
        steps, values = zip(*figures.by_step[metric], strict=True)
        figure.add_scatter(
            x=steps,
            y=values,
            name=escape(metric),
            mode="lines" if len(steps) > FEW_STEPS else "lines+markers",
            line={"color": SERIES[position], "dash": DASHES[position]},
            hovertemplate="step %{x}: %{y:.4f}<extra></extra>",
        )
    styled(figure, x="optimizer step", y=unit, height=HEIGHTS["small"], legend=len(figure.data) > 1)
    _limit(figure, metrics)
    return figure


def _chart(figures: Curves, unit: str, metrics: Sequence[str]) -> go.Figure:
    figure = go.Figure()
    for position, metric in enumerate(metrics):
        before, own = figures.before.get(metric, []), figures.own.get(metric, [])
        points = [*before, *own]
        figure.add_scatter(
            x=[step for step, _ in points],
            y=[value for _, value in points],
            name=escape(metric),
            mode="lines+markers",
            line={"color": SERIES[position], "dash": DASHES[position]},
            marker={"size": 9, "symbol": ["circle-open"] * len(before) + ["circle"] * len(own)},
            hovertemplate="round %{x}: %{y:.4f}<extra></extra>",
        )
    styled(figure, x="round (0: warm-up)", y=unit, height=HEIGHTS["small"], legend=len(metrics) > 1)
    rounds = {step for metric in metrics for step, _ in [*figures.before.get(metric, []), *figures.own.get(metric, [])]}
    if rounds and max(rounds) <= LONGEST_ROUNDS_WITH_EACH_TICK:
        figure.update_xaxes(dtick=1, range=[min(rounds) - 0.3, max(rounds) + 0.3])
    _limit(figure, metrics)
    return figure


def _limit(figure: go.Figure, metrics: Sequence[str]) -> None:
    """End the ordinate where its quantity does; round a lone value or equal ones it shows what is usual around them."""
    figure.update_yaxes(gridcolor=PALE)
    values = [float(value) for trace in figure.data for value in trace.y if value is not None and isfinite(value)]
    if not values:
        return
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or max(0.1 * abs(high), 0.05)
    low, high = low - room, high + room
    if any("accuracy" in metric for metric in metrics):
        low, high = max(low, 0.0), min(high, 1.0)
        figure.update_traces(cliponaxis=False)  # or a point on a bound is drawn by half
    figure.update_yaxes(range=[low, high])


def _draw_summary(run: Run) -> None:
    if run.summary:
        figures = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(as_text(value))}</dd></div>"
            for name, value in run.summary.items()
        )
        st.html(f'{SUMMARY_STYLE}<dl class="mars-summary">{figures}</dl>')


def _draw_log(desk: Desk, run: Run) -> None:
    if presenting():
        return
    tail = log_tail(desk.workspace, run, lines=LINES_OF_LOG)
    with st.expander("Log, its last lines", expanded=run.state == "running"):
        if not run.log:
            st.text("Its output went to the terminal that it was started in.")
        elif not tail:
            st.text("It has written nothing yet.")
        else:
            with st.container(height=LOG_HEIGHT, border=False, autoscroll=True, key=f"log-{run.id}"):
                st.code(tail, language=None, wrap_lines=True)


def _draw_cancel(desk: Desk, run: Run) -> None:
    asked = f"cancelling-{run.id}"
    if st.session_state.get(asked):
        st.text(f"It was asked to stop, and is stopped hard after {SECONDS_OF_GRACE:.0f} s. What it stored is kept.")
    elif st.button("Cancel", icon=":material/stop:", key=f"cancel-{run.id}"):
        try:
            cancel_job(desk.store, run, clock=desk.clock)
        except MarsError as error:
            show_error(error)
            return
        st.session_state[asked] = True
        st.rerun(scope="fragment")


def _what_to_do(run: Run) -> str:
    again = "try again" if run.command else "run it again on the command line, where it was started"
    if run.state == "failed":
        return f"What to do: correct what the error names, then {again}. What was stored before it is kept."
    if run.state == "lost":
        return (
            "Its process was killed, or the computer was switched off. Nothing that was stored is lost. "
            f"What to do: {again}; it goes on where it stopped."
        )
    return f"Cancelled. What was stored is kept. What to do: {again}, and it goes on there, or start something else."
