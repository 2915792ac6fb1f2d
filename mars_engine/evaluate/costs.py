"""What the work has cost so far: time that people read, tokens that chat models took, time that machines ran."""

from collections.abc import Iterable
from dataclasses import dataclass

from mars_engine.core.chat_records import Spending
from mars_engine.core.judge_records import JUDGE_PREFIX
from mars_engine.core.records import Run
from mars_engine.curate.people import contributions
from mars_engine.store import Store


@dataclass(frozen=True, slots=True)
class MachineTime:
    """Runs of one kind that have ended, and how long they took together."""

    kind: str
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What was spent, as far as it was noted."""

    decisions: int
    """By people; those taken back later are counted too."""
    read_seconds: float
    """That people spent on them."""
    chat: Spending
    machine_seconds: float
    """During which at least one run was at work."""
    by_kind: tuple[MachineTime, ...]
    """The longest first. A run that starts others counts beside them, so the sum may be above `machine_seconds`."""

    @property
    def seconds_per_decision(self) -> float | None:
        """What a decision cost people on average, in seconds; None where no time was noted."""
        return self.read_seconds / self.decisions if self.decisions and self.read_seconds else None


def sum_up_costs(store: Store) -> Costs:
    """Sum up what the workspace's events, kept answers and runs say they took."""
    found = [each for each in contributions(store.browse.review_tallies()) if each.role != "policy"]
    people = [each for each in found if not each.name.startswith(JUDGE_PREFIX)]
    ended = [run for run in store.runs.all() if run.ended_at is not None]
    return Costs(
        decisions=sum(each.decisions for each in people),
        read_seconds=sum(each.seconds for each in people),
        chat=store.chat.spent(),
        machine_seconds=_covered(_span(run) for run in ended),
        by_kind=_by_kind(ended),
    )


def _span(run: Run) -> tuple[float, float]:
    """From when until when a run was at work, in seconds; nothing where it never ended."""
    start = run.started_at.timestamp()
    return start, max(start, (run.ended_at or run.started_at).timestamp())


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """How long it is that at least one of the spans lasts."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _by_kind(ended: Iterable[Run]) -> tuple[MachineTime, ...]:
    took: dict[str, list[float]] = {}
    for run in ended:
        start, end = _span(run)
        took.setdefault(run.kind, []).append(end - start)
    kinds = [MachineTime(kind, len(each), sum(each)) for kind, each in took.items()]
    return tuple(sorted(kinds, key=lambda each: (-each.seconds, each.kind)))
