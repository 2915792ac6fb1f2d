"""What can be done with the selection of Explore; each says how many pairs it concerns, and sets can be undone."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.records import Plan, Run
from mars_engine.explore.actions import MOST_NAME_CHARACTERS, put_together
from mars_engine.explore.explorer import Scene
from mars_engine.jobs.jobs import cancel_job, wait_until_stopped
from mars_engine.service.desk import Desk
from mars_engine.service.selection_export import export_selection
from pages.parts.explore.filters import draw_clear_all
from pages.parts.explore.state import change
from pages.parts.frame.page import annotator, show_error
from pages.parts.train.run_panel import begin, watch

DONE = "explore done"
"""Name in the session state of what was done last, so that it can be undone."""
EXPORTED = "explore exported"

ACTIONS_STYLE = """
<style>
  .st-key-explore-actions { min-height: 2.5rem; }
  .st-key-explore-controls [data-testid="stButtonGroup"] [role="radio"] { min-height: 2.5rem; }
  @media (max-width: 640px) {
    .st-key-explore-actions, .st-key-explore-controls { flex-wrap: nowrap; overflow-x: auto; padding-right: 2rem;
      mask-image: linear-gradient(to left, transparent, #000 2.5rem); }
    .st-key-explore-actions > *, .st-key-explore-controls > * { flex-shrink: 0; }
    .st-key-explore-figures [data-testid="stColumn"]:has(.st-key-pair-beside) { order: -1; }
    .st-key-explore-head { gap: 0; }
    .st-key-explore-head > * { flex: 1 1 100%; }
    .st-key-explore-restrictions { min-height: 0; }
    [data-testid="stLayoutWrapper"]:has(> .st-key-purpose) { display: none; }
  }
</style>
"""
"""As high as a button, also where a sentence stands for the buttons. On a small screen one scrolls to the side for more
of them, which fade out there, so that the map is not far below; a pair that is open stands above the map."""

MOST_DOWNLOADED_BYTES = 64 * 2**20
"""A larger file is not taken into the server's memory; it is told where it lies."""


@dataclass(frozen=True)
class Done:
    """A set that was just made."""

    set_id: str
    name: str
    pairs: int
    opens: str
    """The page that works through the set; empty where it was only marked."""
    run_id: str = ""
    """Of the run that proposes for it; empty where none was started."""
    plan_before: Plan | None = None
    """By which the next round would be composed without that run."""


def draw_actions(desk: Desk, scene: Scene) -> None:
    """Draw the buttons, and below them what was done last with its undo."""
    running = desk.running_job()
    st.html(ACTIONS_STYLE)
    with st.container(horizontal=True, vertical_alignment="center", key="explore-actions"):
        if scene.count:
            _draw_buttons(desk, scene, running)
        else:
            st.text("No pair passes all filters and lies in all brushes. Widen one of them, or begin again:")
            draw_clear_all("Select all pairs", key="select all", type="secondary")
    _draw_done(desk)
    if running is not None and running.kind == "propose":
        watch(desk, running)
    _draw_exported()


def _draw_buttons(desk: Desk, scene: Scene, running: Run | None) -> None:
    """What concerns training pairs alone says how many they are, and puts no others into its set."""
    pairs = _counted(scene.count, "pair")
    training = int(scene.training.sum())
    trained = pairs if training == scene.count else _counted(training, "training pair")
    if st.button(f"Check {trained} first", icon=":material/fact_check:", disabled=not training):
        _make(desk, scene.ids_of(scene.training), f"Check first: {trained}", "pages/check.py")
    if st.button(f"Review proposals of {pairs}", icon=":material/rate_review:"):
        _make(desk, scene.ids, f"Review: {pairs}", "pages/review.py")
    with st.popover(f"Propose for {trained}", icon=":material/auto_awesome:", disabled=not training):
        _draw_proposing(desk, scene, trained, running)
    with st.popover(f"Mark {pairs}", icon=":material/bookmark:"):
        _draw_marking(desk, scene)
    if st.button(f"Export {pairs}", icon=":material/download:"):
        _export(desk, scene)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _draw_proposing(desk: Desk, scene: Scene, pairs: str, running: Run | None) -> None:
    """Say what the budget is and where it goes, before anything is generated."""
    allocation = desk.config.allocation
    budget = allocation.budget or round(allocation.budget_per_pair * int(scene.training.sum()))
    st.text(
        f"Up to {budget:,} new pairs are planned for these {pairs}, most for the lowest margins. Suspected mislabels "
        "get none until somebody has checked them. In an open round this is added to what was planned for pairs of "
        "which there are proposals; otherwise it opens the next round."
    )
    if scene.index.model is None:
        st.text("This needs margins: train a reward model first.")
        return
    if running is not None:
        st.text(f"A run ({running.kind}) is at work. Your job starts when it finishes.")
    if st.button("Start proposing", type="primary", key="explore propose"):
        _propose(desk, scene, pairs)


def _propose(desk: Desk, scene: Scene, pairs: str) -> None:
    ids = scene.ids_of(scene.training)
    try:
        made = put_together(desk.store, ids, name=f"Propose: {pairs}", annotator=annotator(), clock=desk.clock)
    except MarsError as error:
        show_error(error)
        return
    before = desk.store.proposals.latest_plan()

    def start() -> Run:
        run = desk.start_job("propose", "--set", made.id)
        st.session_state[DONE] = Done(made.id, made.name, made.pairs, "pages/review.py", run.id, before)
        return run

    begin(start)


def _draw_marking(desk: Desk, scene: Scene) -> None:
    with st.form("explore mark", border=False):
        name = st.text_input("Name of the set", max_chars=MOST_NAME_CHARACTERS)
        if st.form_submit_button("Mark", type="primary"):
            _make(desk, scene.ids, name, "")


def _make(desk: Desk, ids: list[str], name: str, opens: str) -> None:
    try:
        made = put_together(desk.store, ids, name=name, annotator=annotator(), clock=desk.clock)
    except MarsError as error:
        show_error(error)
        return
    st.session_state[DONE] = Done(made.id, made.name, made.pairs, opens)


def _draw_done(desk: Desk) -> None:
    done: Done | None = st.session_state.get(DONE)
    if done is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(f"✓ The set “{done.name}” has {done.pairs:,} pairs.")
        if done.opens:
            label = "Open in Check" if done.opens.endswith("check.py") else "Open in Review"
            st.page_link(done.opens, label=label, icon=":material/arrow_forward:", query_params={"set": done.set_id})
        else:
            st.button("Show it", on_click=lambda: change(pair_set=done.set_id), type="tertiary")
        st.button("Undo", icon=":material/undo:", key="explore undo", on_click=_undo, args=(desk, done))
        st.button("Dismiss", key="explore dismiss", on_click=lambda: st.session_state.pop(DONE), type="tertiary")


def _undo(desk: Desk, done: Done) -> None:
    if done.run_id:
        _undo_proposing(desk, done)
        return
    desk.store.pair_sets.remove(done.set_id)
    st.session_state.pop(DONE, None)
    if st.query_params.get("set") == done.set_id:
        change(pair_set="")
    st.toast("The set is gone; its pairs stay.", icon=":material/undo:")


def _undo_proposing(desk: Desk, done: Done) -> None:
    """Stop the run if it is not over, and let the plan before stand again. The set stays while its run may need it."""
    run = desk.store.runs.get(done.run_id)
    if run is not None and run.state in ("queued", "running"):
        with st.spinner("Stopping the run"):
            cancel_job(desk.store, run, clock=desk.clock)
            wait_until_stopped(run)  # or it may still store its plan, which would be newer than the one before
    before = done.plan_before
    if before is not None:
        desk.store.proposals.add_plan(before, desk.store.proposals.plan_rows(before.id))
    st.session_state.pop(DONE, None)
    plan = "The plan before stands again; what" if before is not None else "What"
    st.toast(f"{plan} was proposed already waits on Review.", icon=":material/undo:")


def _export(desk: Desk, scene: Scene) -> None:
    with st.spinner("Writing the file"):
        try:
            st.session_state[EXPORTED] = export_selection(desk, scene).path
        except MarsError as error:
            show_error(error)


def _draw_exported() -> None:
    path: Path | None = st.session_state.get(EXPORTED)
    if path is None or not path.is_file():
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        size = path.stat().st_size
        st.text(f"✓ {path.name} ({size / 2**20:,.1f} MB) lies with its manifest in {path.parent}.")
        if size <= MOST_DOWNLOADED_BYTES:
            st.download_button(
                "Download",
                data=path.read_bytes,
                file_name=path.name,
                mime="application/jsonl",
                icon=":material/download:",
                on_click="ignore",
            )
        else:
            st.text("It is too large to be sent from here.")
        st.button("Dismiss", key="dismiss export", on_click=lambda: st.session_state.pop(EXPORTED), type="tertiary")
