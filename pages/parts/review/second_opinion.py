"""Below the cards of Check: a judge is asked about labels by a job, and how far it agrees with people and margins."""

import streamlit as st

from mars_engine.core.config import MarsConfig
from mars_engine.service.desk import Desk
from pages.parts.people.judges import draw_judges_of
from pages.parts.train.run_panel import begin, draw_ended, watch

COMMAND = "judge-labels"
USUAL_LIMIT = 50
SHOWN = {
    "after": "Its opinion stands on a card once you have decided it.",
    "before": "Its opinion stands on a card before you decide.",
    "never": "Cards do not show its opinion.",
}
"""What cards show, by the setting."""


def draw_second_opinion(desk: Desk) -> None:
    """Draw who judges, a button that asks, the job while it is at work, and what came of it."""
    config = desk.config
    st.subheader("A second opinion", anchor=False)
    running = desk.running_job()
    if running is not None and running.kind == COMMAND:
        watch(desk, running)
    else:
        if to_do := what_to_do(config):
            st.text(to_do)
            st.page_link("pages/settings.py", label="Choose a judge in Settings", icon=":material/arrow_forward:")
        else:
            st.text(f"{who_judges(config)} says which answer is better. {SHOWN[config.judge.shown]}")
            _draw_asking(desk, waits=running is not None)
        newest = desk.store.runs.newest(1, kinds=[COMMAND])
        if newest and newest[0].state in ("failed", "lost"):
            draw_ended(desk, newest[0])
    draw_judges_of(desk)


def who_judges(config: MarsConfig) -> str:
    """Return in words who gives Check its second opinion, to begin a sentence with."""
    match config.judge.by:
        case "chat":
            return f"The chat model {config.chat.judge_model or config.chat.model}"
        case "causal":
            return f"The language model {config.causal.model}"
        case model:
            return f"The reward model {model}"


def what_to_do(config: MarsConfig) -> str:
    """Return why Check can ask no judge for a second opinion, and what to do about it; empty where it can."""
    match config.judge.by:
        case "":
            return (
                "No judge is set that could be asked. Set 'by' under judge: 'causal' for the small language model on "
                "this machine, 'chat' for the model under chat, or the id, label or folder of a reward model."
            )
        case "recorded":
            return (
                "The judge 'recorded' cannot be asked: 'mars judge-labels --opinions FILE' takes in what it said. "
                "Set 'by' under judge to ask another."
            )
        case "chat" if not (config.chat.judge_model or config.chat.model):
            return "The chat model is to judge, and none is named: set 'model' under chat."
    return ""


def _draw_asking(desk: Desk, *, waits: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="ask-judge-choices"):
        limit = st.number_input(
            "Labels at most, 0 for all",
            min_value=0,
            value=USUAL_LIMIT,
            step=10,
            width=200,
            key="judge-limit",
            help="Suspects first, the lowest margins before all. What was judged is not asked again.",
        )
        every_pair = st.checkbox(
            "Not suspects alone",
            key="judge-all",
            help="On other labels too, agreement with the margin tells something.",
        )
        label = "Ask, once its turn has come" if waits else "Ask the judge"
        if st.button(label, icon=":material/gavel:", key="ask-judge"):
            command = (COMMAND, "--limit", str(limit), *(("--all",) if every_pair else ()))
            begin(lambda: desk.start_job(*command))
