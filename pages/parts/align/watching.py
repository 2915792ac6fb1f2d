"""A policy as it is trained and after: figures by step, answers beside the reference's, alarms, and best-of-n."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from mars_engine.align.training.guards import Look, distance_ratio
from mars_engine.core.records import Run
from mars_engine.explore.colours import DASHES, SERIES
from mars_engine.jobs.run_history import Points
from mars_engine.service.aligned import WatchedPolicy, best_of_n_results, policy_at_work, trained_policies
from mars_engine.service.desk import Desk
from pages.parts.drawing.charts import HEIGHTS, draw, styled
from pages.parts.drawing.numbers import true_minus
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.forms import verbatim
from pages.parts.frame.page import empty_state, presenting
from pages.parts.train.run_panel import draw_ended, draw_queue, watch

KINDS = ("align", "align-plan", "best-of-n", "alpaca-eval")
SHARE = "share of prompts"
"""The unit of an axis from 0 to 1."""
CHARTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Reward", "reward units", ("reward", "watched reward", "watched gold reward")),
    ("KL from the reference", "nats a completion", ("KL", "watched KL")),
    ("Entropy", "nats a token", ("entropy",)),
    ("Length", "tokens; words where watched", ("completion tokens", "watched words")),
    ("Groups of equal rewards", SHARE, ("zero-variance groups",)),
    ("Reward against length", "rank correlation", ("reward against length",)),
    ("Distance from the training data", "× that of the reference", ("distance from training data",)),
    ("Disagreement of the reward models", "deviations of a reward", ("disagreement",)),
)
"""The title, unit and metrics of each chart by step."""
COLUMNS = 3
ANSWERS_SHOWN = 10
FEW_POINTS = 30


def watch_align(desk: Desk, run: Run) -> None:
    """Show a run of this page at work, with its curves by step and its answers."""

    def draw_more(now: Run) -> None:
        _draw_points(desk.store.runs.points(now.id), key=f"align-{now.id}")
        if now.kind == "align" and (policy := policy_at_work(desk.workspace)) is not None:
            _draw_looks(policy, key="at-work")

    watch(desk, run, draw_more=draw_more)


def draw_followed(desk: Desk) -> None:
    """Draw what is at work or waits, the newest run of this page that has ended, and what was trained and picked."""
    running = desk.running_job()
    if running is not None and running.kind in KINDS:
        watch_align(desk, running)
    elif running is not None:
        st.text(f"Another job is at work: {running.kind}. What is started here waits for its end.")
    draw_queue(desk)
    ended = [run for run in desk.store.runs.newest(50) if run.kind in KINDS and run.ended_at is not None]
    policies, picked = trained_policies(desk.workspace), best_of_n_results(desk.workspace)
    if ended:
        st.subheader("The newest run", anchor=False)
        draw_ended(desk, ended[0])
        _draw_points(desk.store.runs.points(ended[0].id), key=f"align-{ended[0].id}")
    if policies:
        _draw_policies(policies)
    if picked:
        _draw_best_of_n(picked)
    if not (ended or policies or picked or running):
        empty_state(
            "Nothing was trained or picked here yet.",
            to_do="Choose a method under Pick or train: best-of-n trains nothing, and is the first thing to try.",
        )


# ------------------------------------------------------------------------------------------------- figures by step


def _draw_points(points: Points, *, key: str) -> None:
    shown = [each for each in CHARTS if any(metric in points for metric in each[2])]
    for first in range(0, len(shown), COLUMNS):
        for column, (title, unit, metrics) in zip(st.columns(COLUMNS), shown[first : first + COLUMNS], strict=False):
            with column:
                st.text(title)
                draw(_step_chart(points, unit, metrics), key=f"{key}-{title}")


def _step_chart(points: Points, unit: str, metrics: Sequence[str]) -> go.Figure:
    figure = go.Figure()
    for place, metric in enumerate(metric for metric in metrics if metric in points):
        steps, values = zip(*points[metric], strict=True)
        figure.add_scatter(
            x=steps,
            y=values,
            name=escape(metric),
            mode="lines" if len(steps) > FEW_POINTS else "lines+markers",
            line={"color": SERIES[place], "dash": DASHES[place]},
            hovertemplate="step %{x}: %{y:.4f}<extra></extra>",
        )
    if unit == SHARE:
        figure.update_yaxes(range=[-0.05, 1.05])
    return styled(figure, x="optimizer step", y=unit, height=HEIGHTS["small"], legend=len(figure.data) > 1)


# ------------------------------------------------------------------------------------------- policies and their looks


def _draw_policies(policies: Sequence[WatchedPolicy]) -> None:
    st.subheader("Trained policies", anchor=False)
    rows = [
        (
            each.facts.policy,
            each.facts.method,
            " · ".join(each.facts.rewards),
            f"{each.facts.steps:,}",
            f"{_figure(each.facts.reward_before)} → {_figure(each.facts.reward_after)}",
            "–"
            if each.facts.gold_after is None
            else f"{_figure(each.facts.gold_before)} → {_figure(each.facts.gold_after)}",
            _figure(each.facts.kl),
            f"{len(each.facts.alarms):,}",
        )
        for each in policies
        if each.facts is not None
    ]
    numbers = ("steps", "reward", "gold", "KL (nats)", "alarms")
    draw_table(
        "Trained policies, the newest first", ("policy", "method", "trained on", *numbers), rows,
        numbers=numbers,
    )  # fmt: skip
    labels = {str(each.folder): _label(each) for each in policies}
    chosen = policies[0]
    if len(policies) > 1 and not presenting():
        path = st.selectbox("Look at", list(labels), format_func=labels.__getitem__, key="align-policy-shown")
        chosen = next(each for each in policies if str(each.folder) == path)
    _draw_looks(chosen, key=chosen.folder.name)


def _label(policy: WatchedPolicy) -> str:
    facts = policy.facts
    return f"{facts.policy} by {facts.method}, {policy.folder.name[:6]}" if facts else policy.folder.name


def _draw_looks(policy: WatchedPolicy, *, key: str) -> None:
    """Draw alarms, proxy and gold over √KL, and a look's answers beside the reference's."""
    if policy.facts is not None:
        for alarm in policy.facts.alarms:
            st.warning(verbatim(alarm), icon=":material/warning:")
    looks = policy.looks
    if len(looks) < 2:
        return
    st.text("Reward over the distance from the reference, on the watched prompts")
    draw(_over_root_kl(policy), key=f"root-kl-{key}")
    for sentence in (*_gold_peak(looks), *_measured(looks[0], looks[-1])):
        st.text(sentence)
    if not policy.prompts:
        return
    steps = [look.step for look in looks[1:]]
    step = steps[-1]
    if len(steps) > 1 and not presenting():
        step = int(st.select_slider("Answers after step", steps, value=steps[-1], key=f"look-{key}"))
    now = next(look for look in looks if look.step == step)
    first = looks[0]
    rows = [
        (prompt[-1].content, before, after, f"{_figure(old)} → {_figure(new)}", _figure(kl))
        for prompt, before, after, old, new, kl in zip(
            policy.prompts, first.texts, now.texts, first.rewards, now.rewards, now.kl, strict=True
        )
    ]
    draw_table(
        "Answers to the watched prompts",
        ("prompt", "reference", f"after step {step:,}", "reward", "KL (nats)"),
        rows[:ANSWERS_SHOWN],
        numbers=("reward", "KL (nats)"),
    )


def _gold_peak(looks: Sequence[Look]) -> list[str]:
    """Return in words where the gold reward was highest, and whether it has fallen since."""
    golds = [(look, float(look.gold.mean())) for look in looks if look.gold is not None]
    if not golds:
        return []
    peak, highest = max(golds, key=lambda each: each[1])
    last, newest = golds[-1]
    root_kl = max(0.0, float(peak.kl.mean())) ** 0.5
    since = "" if peak is last else f", and {_figure(newest)} after step {last.step:,}"
    return [f"The gold reward peaked at {_figure(highest)} after step {peak.step:,}, at √KL {root_kl:.2f}{since}."]


def _measured(first: Look, last: Look) -> list[str]:
    """Return in words what the newest look measured beside rewards."""
    said = []
    ratio = distance_ratio(first, last)
    if ratio is not None:
        said.append(
            f"After step {last.step:,}, answers lie {ratio:.2f} times as far from what the reward model was trained on "
            "as the reference's."
        )
    if first.disagreement is not None and last.disagreement is not None:
        said.append(
            f"The reward models disagree by {last.disagreement.mean():.2f} deviations, on the reference's answers by "
            f"{first.disagreement.mean():.2f}."
        )
    return said


def _over_root_kl(policy: WatchedPolicy) -> go.Figure:
    figure = go.Figure()
    looks = sorted(policy.looks, key=lambda look: look.kl.mean())
    distances = [max(0.0, float(look.kl.mean())) ** 0.5 for look in looks]
    series: dict[str, list[float]] = {"reward that is trained on": [float(look.rewards.mean()) for look in looks]}
    if all(look.gold is not None for look in looks):
        series["gold reward"] = [float(look.gold.mean()) for look in looks if look.gold is not None]
    for place, (name, values) in enumerate(series.items()):
        figure.add_scatter(
            x=distances,
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": SERIES[place], "dash": DASHES[place]},
            text=[f"step {look.step:,}" for look in looks],
            hovertemplate="%{text}: %{y:.3f} at √KL %{x:.2f}<extra></extra>",
        )
    if "gold reward" in series:
        peak = max(range(len(looks)), key=series["gold reward"].__getitem__)
        figure.add_vline(distances[peak], line={"dash": "dot", "color": "gray"}, annotation_text="gold peak")
    return styled(figure, x="√KL (√nats)", y="mean reward (reward units)", legend=len(series) > 1)


def _figure(value: float | None) -> str:
    return "–" if value is None else true_minus(f"{value:.2f}")


# ------------------------------------------------------------------------------------------------------ best of n


def _draw_best_of_n(reports: Sequence[Mapping[str, Any]]) -> None:
    st.subheader("Best of n", anchor=False)
    report = reports[0]
    if len(reports) > 1 and not presenting():
        names = [
            f"{each['policy']}, best of {each['answers']} on {each['prompts']:,} prompts, judged by {each['judge']}"
            for each in reports
        ]
        place = st.selectbox("Result", range(len(reports)), format_func=names.__getitem__, key="best-of-n-shown")
        report = reports[int(place)]
    st.text(
        f"{report['policy']}: the best of {report['answers']} answers to {report['prompts']:,} prompts, judged by "
        f"{report['judge']}. A random answer: {_interval(report['random'])}."
    )
    draw(_best_of_n_chart(report), key="best-of-n-chart")
    rows = [
        (curve["selector"], f"{last['n']}", f"≤ {last['root_kl']:.2f}", _interval(last["judged"]),
         _interval(last["gain"], form="+.3f"))
        for curve in report["curves"]
        for last in [curve["points"][-1]]
    ]  # fmt: skip
    numbers = ("n", "√KL", "judged", "above a random answer")
    draw_table("What the picks are worth", ("picked by", *numbers), rows, numbers=numbers)
    for remark in report["remarks"]:
        st.text(remark)


def _best_of_n_chart(report: Mapping[str, Any]) -> go.Figure:
    figure = go.Figure()
    for place, curve in enumerate(report["curves"]):
        points = curve["points"]
        figure.add_scatter(
            x=[point["root_kl"] for point in points],
            y=[point["judged"]["estimate"] for point in points],
            error_y={
                "array": [point["judged"]["high"] - point["judged"]["estimate"] for point in points],
                "arrayminus": [point["judged"]["estimate"] - point["judged"]["low"] for point in points],
                "thickness": 1,
            },
            name=escape(curve["selector"]),
            mode="lines+markers",
            line={"color": SERIES[place % len(SERIES)], "dash": DASHES[place % len(DASHES)]},
            text=[f"n = {point['n']}" for point in points],
            hovertemplate=f"{escape(curve['selector'])}, %{{text}}: %{{y:.3f}}<extra></extra>",
        )
    return styled(figure, x="√KL, upper bound (√nats)", y=f"judged by {escape(report['judge'])}")


def _interval(interval: Mapping[str, float], *, form: str = ".3f") -> str:
    estimate, low, high = (true_minus(format(interval[name], form)) for name in ("estimate", "low", "high"))
    return f"{estimate} [{low}, {high}]"
