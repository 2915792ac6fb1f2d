"""What the runs that are recorded tell: how long such work takes, how fast it goes, and its curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from mars_engine.core.records import Run
from mars_engine.store.runs import RunStore

Points = dict[str, list[tuple[int, float]]]
"""Values by metric, each a list of (round or step, value) in its order."""

ROUND_METRICS = ("training log-loss", "held-out log-loss", "held-out accuracy", "mean held-out margin")
"""What each round tells of the model it trained. All other metrics are told by step."""

RUNS_LOOKED_BACK = 30


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the finished runs of a kind took, in seconds."""

    runs: int
    shortest: float
    median: float
    longest: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How far the task at hand has come. `total` is 0 and `seconds_left` None where it is not known."""

    task: str
    done: int
    total: int
    per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Curves:
    """Figures by round: those of a run, and those that earlier runs left of the rounds before; and figures by step."""

    own: Points
    before: Points
    by_step: Points
    """By optimizer step, as a model that is trained in steps notes them."""


def durations(runs: Sequence[Run], kind: str) -> Durations | None:
    """Return how long runs of this kind took that were finished; None where none was."""
    seconds = sorted(run_seconds(run, run.ended_at) for run in runs if run.kind == kind and run.state == "finished")
    if not seconds:
        return None
    return Durations(len(seconds), seconds[0], median(seconds), seconds[-1])


def run_seconds(run: Run, now: datetime | None) -> float:
    """Return how long a run took, or has been at work until `now`."""
    return ((run.ended_at or now or run.heartbeat_at) - run.started_at).total_seconds()


def pace(progress: Mapping[str, Any]) -> Pace | None:
    """Return how far and how fast a run's task goes; None where it has reported none."""
    if not progress:
        return None
    done, total, seconds = int(progress["done"]), int(progress["total"]), float(progress["seconds"])
    per_second = done / seconds if seconds > 0 else 0.0
    left = max(0, total - done) / per_second if total and per_second > 0 else None
    return Pace(str(progress["task"]), done, total, per_second, left)


def curves(runs: RunStore, run: Run) -> Curves:
    """Return a run's figures, and those of the rounds before it, as the newest earlier runs left them."""
    noted = runs.points(run.id)
    own = {metric: values for metric, values in noted.items() if metric in ROUND_METRICS}
    first = min((step for points in own.values() for step, _ in points), default=0)
    before: dict[str, dict[int, float]] = {}
    if first > 0:
        for each in runs.newest(RUNS_LOOKED_BACK, started_before=run.started_at):
            points = {metric: values for metric, values in runs.points(each.id).items() if metric in ROUND_METRICS}
            for metric, values in points.items():
                for step, value in values:
                    if step < first:
                        before.setdefault(metric, {}).setdefault(step, value)
            if any(step == 0 for values in points.values() for step, _ in values):
                break
    return Curves(
        own,
        {metric: sorted(values.items()) for metric, values in before.items()},
        {metric: values for metric, values in noted.items() if metric not in ROUND_METRICS},
    )
