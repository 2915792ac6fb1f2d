"""Starting a round: what it does, what it would train on and cost, its settings, and one button."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from mars_engine.augment.training_forecast import base_pairs, budget_outlook, most_chat_requests, new_pairs
from mars_engine.core.config import ChatConfig, MarsConfig
from mars_engine.core.config.overrides import override_config
from mars_engine.core.errors import MarsError
from mars_engine.core.records import Run
from mars_engine.data.pair_index import PairIndex
from mars_engine.evaluate.status import StepName, workspace_status
from mars_engine.jobs.command_options import as_options
from mars_engine.jobs.run_history import durations
from mars_engine.service.desk import Desk
from mars_engine.service.forecast_reading import read_forecast
from pages.parts.drawing.numbers import duration
from pages.parts.frame.forms import section_fields
from pages.parts.frame.page import show_error
from pages.parts.frame.words import explain
from pages.parts.train.run_panel import begin

MOST_ROUNDS = 20
FIGURE_WIDTH = 160
START_STYLE = """
<style>
  @media (max-width: 640px) {
    .st-key-train-start > [data-testid="stLayoutWrapper"]:has(> .st-key-train-meaning),
    .st-key-train-start > [data-testid="stLayoutWrapper"]:has(> [data-testid="stExpander"]) { order: 1; }
    .st-key-train-task [role="radio"]:last-child { border-left-color: light-dark(#d5dbe3, #36404d) !important; }
  }
</style>
"""
"""On a small screen the button comes before what it would train on, so that it is seen at once."""
ESTIMATED = "train-estimated"
"""For what tokens and money were asked for last."""
Overrides = Mapping[str, Mapping[str, Any]]
"""Settings by section, instead of the lasting ones."""


@dataclass(frozen=True)
class Task:
    """Something that can be started here. `sections` are the settings that its command takes."""

    name: str
    label: str
    kind: str
    command: tuple[str, ...]
    sections: tuple[str, ...]
    does: str


OPEN = Task(
    "open",
    "Open a round",
    "open-round",
    ("open-round",),
    ("triage", "allocation", "gate", "propose", "seq2seq", "causal", "quality", "reward_model", "probe"),
    "Trains the warm-up where no model is there yet, reads the margins, sorts suspected mislabels from hard pairs, "
    "spreads the budget, and proposes new pairs. Then people decide, on Check and Review.",
)
CLOSE = Task(
    "close",
    "Close the round and retrain",
    "close-round",
    ("close-round",),
    ("compose", "reward_model", "probe", "evaluate"),
    "Composes new pairs of what was accepted, retrains on the base and new pairs, reads the margins again, and "
    "compares all models on the held-out pairs.",
)
ROUNDS = Task(
    "rounds",
    "Train whole rounds by the quality gates",
    "rounds",
    ("train", "--policy", "gates", "--rounds"),
    ("triage", "allocation", "gate", "propose", "seq2seq", "causal", "quality", "compose", "reward_model", "probe"),
    "Runs whole rounds at once: the quality gates decide about each proposal, nobody is asked. A person would do this "
    "better, and what people decided already stands.",
)
TASKS = {task.name: task for task in (OPEN, CLOSE, ROUNDS)}
RETRAINS = (CLOSE.kind, ROUNDS.kind)
"""Kinds of runs after which there is a new model to look at on Results."""
CLOSES: tuple[StepName, ...] = ("review", "compose", "retrain")


def draw_start(desk: Desk, running: Run | None) -> None:
    """Draw the choice of what to start, what it means, its settings and its button."""
    index = desk.index()
    st.html(START_STYLE)
    st.subheader("Start", anchor=False)
    step = workspace_status(desk.store, index=index).step
    task = _chosen_task(CLOSE if step in CLOSES else OPEN)
    st.text(task.does)
    rounds = 1
    if task is ROUNDS:
        rounds = int(st.number_input("Rounds", min_value=1, max_value=MOST_ROUNDS, value=1, step=1, width=160))
    meaning = st.container(key="train-meaning")
    with st.expander("Settings for this run alone; the lasting ones are on the Settings page", icon=":material/tune:"):
        overrides = section_fields(desk.config, task.sections, f"train.{task.name}")
    if overrides is None:
        return
    config = override_config(desk.config, overrides, origin="this form")
    with meaning:
        _draw_base_pairs(index, config)
        if task is CLOSE:
            _draw_new_pairs(desk, index, config)
        else:
            _draw_budget(desk, index, overrides, config)
        _draw_cost(desk, task)
        explain("suspect", "out-of-fold", "law", "τ", "composed")
    command = [*task.command, *([str(rounds)] if task is ROUNDS else []), *as_options(overrides)]
    _draw_button(desk, task, command, running, obstacle=_obstacle(desk, index, task, config, running))


def _chosen_task(usual: Task) -> Task:
    name = st.segmented_control(
        "What to start",
        list(TASKS),
        default=usual.name,
        required=True,
        format_func=lambda each: TASKS[each].label,
        key="train-task",
        wrap=True,
    )
    return TASKS[name or usual.name]


def _draw_button(desk: Desk, task: Task, command: Sequence[str], running: Run | None, *, obstacle: str) -> None:
    why = st.empty()  # always there, so that the button keeps its place and the focus of the keyboard
    if obstacle:
        why.text(obstacle)
    elif running is not None:
        why.text(f"A run ({running.kind}) is at work. Your job starts when it finishes.")
    label = f"{task.label}, once its turn has come" if running is not None else task.label
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(label, type="primary", icon=":material/play_arrow:", key="start", disabled=bool(obstacle))
        newest = desk.store.runs.newest(1)
        if newest and newest[0].state == "finished" and newest[0].kind in RETRAINS:
            st.page_link("pages/results.py", label="See what the last round gained", icon=":material/arrow_forward:")
    if pressed:
        begin(lambda: desk.start_job(*command))


def _obstacle(desk: Desk, index: PairIndex, task: Task, config: MarsConfig, running: Run | None) -> str:
    """Why the task cannot be started now; empty where it can."""
    if running is not None:
        return ""  # what is at work may change what could be said now: the job itself will say it when its turn comes
    if task is CLOSE:
        coming = new_pairs(desk.store, index, config)
        if coming is None:
            return "No round is open. Open one first."
        if not coming.accepted:
            return "Nothing is accepted yet, so there is nothing to retrain on. Review some proposals first."
    return ""


# ------------------------------------------------------------------------------------------------------ what it means


def _draw_base_pairs(index: PairIndex, config: MarsConfig) -> None:
    base = base_pairs(index, config.triage.policy)
    _draw_figures(
        ("Base pairs trained on", f"{base.trained_on:,}"),
        ("Left out", f"{base.dropped + base.left_out:,}"),
        ("Flipped", f"{base.flipped:,}"),
        ("Undecided suspects", f"{base.suspects:,}"),
    )
    softened = f" With a softened label: {base.softened:,}." if base.softened else ""
    st.text(
        f"Of {base.imported:,} imported pairs {base.dropped:,} were dropped by people or a policy, and "
        f"{config.triage.policy!r} leaves out {base.left_out:,} suspects. Each pair has the same weight.{softened}"
    )


def _draw_budget(desk: Desk, index: PairIndex, overrides: Overrides, config: MarsConfig) -> None:
    outlook = budget_outlook(index, config)
    if outlook is None:
        st.text("How the budget would be spread is not known before a model has read the margins of all pairs.")
        return
    _draw_figures(
        ("Budget, new pairs", f"{outlook.budget:,}"),
        ("Pairs that get some", f"{outlook.receivers:,}"),
        ("Effective sample size", f"{outlook.effective_sample_size:,.0f}"),
        ("Suspects' share of it", f"{outlook.suspects_share_spent:.1%}"),
    )
    st.text(
        f"Suspected mislabels would get {outlook.suspects_share:.1%} of the budget if they were treated like any other "
        f"pair, and get {outlook.suspects_share_spent:.1%} under the policy {config.triage.policy!r}."
    )
    if requests := most_chat_requests(outlook.receivers, config):
        model = f"The chat model {config.chat.model!r}" if config.chat.model else "A chat model that is not named yet"
        st.text(
            f"{model} gets up to {requests:,} requests for it, those included that are answered already and cost "
            "nothing."
        )
        if config.propose.by_chat:
            more = "; texts of several passages take more of them" if config.chat.is_small else ""
            st.text(f"It is asked under {config.chat.profile_in_words}{more}.")
        _draw_estimate(desk, overrides, config)


def _draw_estimate(desk: Desk, overrides: Overrides, config: MarsConfig) -> None:
    """Draw a button that estimates tokens and money, and the estimate until the settings or the workspace change."""
    stamp = f"{desk.store.browse.revisions()} {overrides} {config.chat.model_dump_json()}"
    if st.button("Estimate tokens and money", icon=":material/calculate:", key="estimate"):
        st.session_state[ESTIMATED] = stamp
    if st.session_state.get(ESTIMATED) != stamp:
        return
    try:
        lines = _read_forecast(desk.root, overrides, config.chat, stamp)
    except MarsError as error:
        show_error(error)
        return
    st.text("\n".join(f"{line[:1].upper()}{line[1:]}." for line in lines))


@st.cache_data(max_entries=16, show_spinner="Estimating, which asks and stores nothing")
def _read_forecast(root: Path, overrides: Overrides, _config: ChatConfig, stamp: str) -> list[str]:  # noqa: ARG001
    """Return the estimate, once for each stamp, which tells the configuration too."""
    return read_forecast(root, overrides, _config)


def _draw_new_pairs(desk: Desk, index: PairIndex, config: MarsConfig) -> None:
    coming = new_pairs(desk.store, index, config)
    if coming is None:
        return
    _draw_figures(
        ("Accepted variants", f"{coming.accepted:,}"),
        ("New pairs, at most", f"{coming.at_most:,}"),
        ("Budget, new pairs", f"{coming.budget:,}"),
        ("Wait for review", f"{coming.pending:,}"),
    )
    carried = f" {coming.carried_over:,} pairs of earlier rounds are kept." if coming.carried_over else ""
    st.text(f"Round {coming.round}: the accepted variants make up to {coming.at_most:,} new pairs.{carried}")


def _draw_cost(desk: Desk, task: Task) -> None:
    took = durations(desk.store.runs.newest(None, state="finished", kinds=(task.kind,)), task.kind)
    if took is None:
        st.text("None of its kind has ended here yet, so that how long it takes is not known.")
        return
    if took.runs == 1:
        spread = f"The one earlier run of this kind took {duration(took.median)}."
    else:
        spread = (
            f"The {took.runs:,} earlier runs of this kind took {duration(took.shortest)} to {duration(took.longest)}, "
            f"half of them {duration(took.median)} or less."
        )
    st.text(f"{spread} What is stored already is not done again, so a run with much that is new takes longer.")


def _draw_figures(*figures: tuple[str, str]) -> None:
    """Draw named figures beside each other, as many as there is room for."""
    with st.container(horizontal=True):
        for label, value in figures:
            st.metric(label, value, width=FIGURE_WIDTH)
