"""The Overview's steps: how many there are at each, with a link to its page, and what to do next as one button."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from mars_engine.core.records import Run
from mars_engine.data.pair_index import PairIndex
from mars_engine.evaluate.status import (
    CountName,
    Status,
    StepCount,
    StepName,
    count_open_suspects,
    say_none_accepted,
)
from mars_engine.explore.colours import SERIES
from mars_engine.jobs.jobs import queued_runs, retry_job
from mars_engine.service.desk import Desk
from pages.parts.data.import_form import draw_import
from pages.parts.frame.page import presenting
from pages.parts.frame.words import explain
from pages.parts.train.run_panel import begin

PAGE_OF: dict[CountName, str] = {
    "pairs": "pages/data.py",
    "suspected": "pages/check.py",
    "low-margin": "pages/explore.py",
    "refined": "pages/review.py",
    "proposed": "pages/review.py",
    "accepted": "pages/review.py",
    "composed": "pages/train.py",
    "trained": "pages/results.py",
}
OPENS_ROUND: tuple[StepName, ...] = ("warm up", "score", "propose")
READ_MEANWHILE: tuple[StepName, ...] = ("review", "propose otherwise")
"""Steps of a person, which no job at work keeps anybody from."""
CLOSES_ROUND: tuple[StepName, ...] = ("compose", "retrain")

BAR_STYLE = f"""
<style>
  .mars-step {{ display: grid; grid-template-columns: minmax(3rem, 1fr) 4.5rem; gap: .1rem .75rem;
    align-items: center; contain: inline-size; }}
  .mars-track {{ background: rgba(128, 128, 128, .16); border-radius: .25rem; height: 1rem; }}
  .mars-fill {{ background: {SERIES[0]}; border-radius: .25rem; height: 1rem; min-width: 2px; }}
  .mars-count {{ text-align: right; font-variant-numeric: tabular-nums; font-weight: 600; }}
  .mars-note {{ grid-column: 1 / -1; font-size: .8rem; opacity: .8; line-height: 1.2; }}
</style>
"""


# ---------------------------------------------------------------------------------------------------------- the counts


def draw_counts(status: Status) -> None:
    """Draw how many there are at each step, under each other; their names lead to their pages."""
    st.subheader("Step by step", anchor=False)
    st.text("How many there are at each step. A bar shows the part of the whole that its line names.")
    explain("suspect", "low-margin", "law", "signed", "refined", "composed")
    st.html(BAR_STYLE)
    for step in status.counts:
        with st.container(horizontal=True, vertical_alignment="top", gap="small"):
            with st.container(width=130):
                if presenting():
                    st.text(step.name)
                else:
                    st.page_link(PAGE_OF[step.name], label=step.name)
            st.html(step_bar(step), width="stretch")


def step_bar(step: StepCount) -> str:
    """A step's number, what it counts, and its part of the whole as a bar, as HTML; all words are escaped."""
    track = '<div aria-hidden="true"></div>'
    if step.whole is not None:
        # A step that nothing reached has no bar at all: the narrowest would look like a few.
        share = step.count / step.whole if step.whole else 0.0
        fill = f'<div class="mars-fill" style="width:{share:.2%}"></div>' if step.count else ""
        track = f'<div class="mars-track" aria-hidden="true">{fill}</div>'
    return (
        f'<div class="mars-step">{track}'
        f'<div class="mars-count">{step.count:,}</div>'
        f'<div class="mars-note">{escape(step.said)}</div></div>'
    )


# --------------------------------------------------------------------------------------------------------- what is next


def draw_next_step(desk: Desk, status: Status, index: PairIndex) -> None:
    """Show what is under way, or what failed, or the next step as one button."""
    if presenting():
        return
    running = desk.running_job()
    if running is not None:
        if status.step in READ_MEANWHILE:
            _draw_button(desk, status, index)
        _draw_running(desk, running.id)
        return
    newest = next(iter(desk.store.runs.newest(1)), None)
    if newest is not None and newest.state in ("failed", "lost"):
        _draw_failed(desk, newest)
    if status.step == "import":
        _draw_empty(desk)
    else:
        _draw_button(desk, status, index)


@st.fragment(run_every="1s")
def _draw_running(desk: Desk, run_id: str) -> None:
    run = desk.running_job()
    if run is None or run.id != run_id:
        st.rerun()
    with st.container(border=True):
        st.text(f"At work: {run.kind}, since {run.started_at:%H:%M:%S} UTC")
        done, total = int(run.progress.get("done", 0)), int(run.progress.get("total", 0))
        task = str(run.progress.get("task", "starting"))
        st.progress(min(1.0, done / total) if total else 0.0)
        st.text(f"{task}: {done:,} of {total:,}" if total else task)
        if waiting := len(queued_runs(desk.store)):
            st.text(f"{waiting:,} more in the queue")
        st.page_link("pages/train.py", label="Log, curves and cancel", icon=":material/arrow_forward:")


def _draw_failed(desk: Desk, run: Run) -> None:
    with st.container(border=True):
        st.text(f"⚠ The last run, {run.kind}, {'failed' if run.state == 'failed' else 'was lost'}:")
        st.code(run.error or "it left no message", language=None, wrap_lines=True)
        if run.command and st.button("Try again", icon=":material/replay:", key="retry"):
            begin(lambda: retry_job(desk.workspace, desk.store, run, clock=desk.clock))


def _draw_empty(desk: Desk) -> None:
    st.text("This workspace has no training pairs yet. Import some, or begin with the demo pairs.")
    draw_import(desk)


def _draw_button(desk: Desk, status: Status, index: PairIndex) -> None:
    with st.container(border=True):
        suspects = count_open_suspects(index)
        if status.step in OPENS_ROUND:
            st.text(_opening_words(status))
            _job_button(desk, "Open the round", ["open-round"])
        elif status.step == "review":
            st.text(f"Next: {int(index.pending.sum()):,} proposals wait for a decision.")
            _page_button("Review proposals", "pages/review.py")
        elif status.step == "propose otherwise":
            st.text(f"Next: {say_none_accepted(index)}.")
            _page_button("Look at them again", "pages/review.py")
            st.page_link("pages/settings.py", label="Settings", icon=":material/settings:")
        elif status.step in CLOSES_ROUND:
            st.text("Next: compose new pairs of what was accepted, retrain on them, and compare on the held-out pairs.")
            _job_button(desk, "Close the round", ["close-round"])
        else:
            st.text(f"Next: see what {status.model_label} gained. The next round is opened on the Train page.")
            _page_button("See the results", "pages/results.py")
        if suspects and status.step not in ("warm up", "score"):
            asks = desk.config.triage.policy in ("ask", "judge")
            until = "; they get no budget until somebody has looked" if asks else ""
            st.text(f"Also: {suspects:,} suspected mislabels wait to be checked{until}.")
            st.page_link("pages/check.py", label="Check labels", icon=":material/fact_check:")


def _opening_words(status: Status) -> str:
    begin = {
        "warm up": "train a warm-up reward model on the base pairs, read the margins",
        "score": f"read the margins under {status.model_label}",
        "propose": "read the margins again",
    }
    return f"Next: {begin[status.step]}, and propose new pairs where they are low."


def _job_button(desk: Desk, label: str, command: Sequence[str]) -> None:
    if st.button(label, type="primary", icon=":material/play_arrow:", key="next-step"):
        begin(lambda: desk.start_job(*command))


def _page_button(label: str, path: str) -> None:
    if st.button(label, type="primary", icon=":material/arrow_forward:", key="next-step"):
        st.switch_page(path)
