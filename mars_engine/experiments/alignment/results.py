"""What a comparison by policies shows: win rates against the reference at equal KL and at equal steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mars_engine.align.policies import policy_name
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import FloatArray
from mars_engine.experiments.alignment.curves import PolicyCurve, at_kl, at_step, shared_kl, shared_step
from mars_engine.experiments.alignment.plan import BEST_OF_N, AlignmentPlan, Way
from mars_engine.experiments.plan import BASELINES, Method
from mars_engine.experiments.results import (
    Difference,
    count_corrected,
    difference_over_seeds,
    each_difference,
    rows_as_csv,
)
from mars_engine.stats.intervals import Interval

REFERENCE = "the reference"
EVEN = 0.5
EQUAL_KL, EQUAL_STEPS, EQUAL_N = "equal KL", "equal steps", "equal n"


@dataclass(frozen=True, slots=True)
class AlignmentCell:
    """One finished policy: how it came about, and how it fares."""

    way: Way
    seed: int
    method: Method
    accuracy: float
    """Share of the held-out pairs that its reward model ranks right; NaN where there are none."""
    curve: PolicyCurve


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """The policies of one method's reward models at one reading; figures are means over the seeds."""

    method: Method
    accuracy: float
    """Share of the held-out pairs that the reward models rank right; NaN where there are none."""
    kl: float
    steps: float
    words: float
    """In an answer."""
    differences: tuple[Difference, ...]
    """Of the win rate: from the reference's own, which is a half, and from those of the baselines."""

    @property
    def win_rate(self) -> Interval:
        """Share of prompts where the judge prefers the policy's answer to the reference's, a tie half of one."""
        found = self.differences[0].interval
        return Interval(EVEN + found.estimate, EVEN + found.low, EVEN + found.high, found.level)

    def against(self, baseline: str) -> Difference | None:
        return next((each for each in self.differences if each.baseline == baseline), None)


@dataclass(frozen=True, slots=True)
class Reading:
    """All methods, read where they can be compared."""

    at: str
    """What is held equal."""
    kl: float
    """In nats: the KL that is held equal, or the mean over all policies."""
    steps: float
    """The steps that are held equal, or their mean over all policies; under best-of-n, n."""
    methods: tuple[PolicyResult, ...]


@dataclass(frozen=True, slots=True)
class CurveLine:
    """A method's win rate over the KL, means over the seeds at the looks that all of them have."""

    method: Method
    kl: tuple[float, ...]
    win_rate: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WayComparison:
    """All methods under one way to align, over the seeds under which all of them are finished."""

    way: Way
    seeds: tuple[int, ...]
    prompts: int
    readings: tuple[Reading, ...]
    lines: tuple[CurveLine, ...]


@dataclass(frozen=True, slots=True)
class AlignmentResults:
    """The results of a plan, as far as its policies are finished."""

    name: str
    policy: str
    judge: str
    prompts: str
    """Where they come from."""
    cells: int
    finished: int
    level: float
    resamples: int
    comparisons: tuple[WayComparison, ...]
    remarks: tuple[str, ...]

    @property
    def _differences(self) -> list[Difference]:
        readings = (reading for comparison in self.comparisons for reading in comparison.readings)
        return list(each_difference(result for reading in readings for result in reading.methods))

    @property
    def differences(self) -> int:
        """How many differences were looked at: those of policies that are not the same, the baselines' own once."""
        return len(self._differences)

    @property
    def shown(self) -> int:
        """How many intervals miss 0."""
        return sum(each.interval.excludes_zero for each in self._differences)

    @property
    def shown_corrected(self) -> int | None:
        """How many differences are still shown when all that were looked at are taken together; None if not known."""
        return count_corrected(self._differences, self.level)

    @property
    def expected_by_chance(self) -> float:
        """How many intervals would miss 0 if no policy differed from another."""
        return self.differences * (1 - self.level)


def summarize_alignment(
    plan: AlignmentPlan, cells: Sequence[AlignmentCell], *, judge: str, prompts: str, remarks: Sequence[str] = ()
) -> AlignmentResults:
    """Return what the finished policies of a plan show; a seed counts where all methods of a way are finished.

    Raises:
        NotReadyError: there is no such seed yet.
    """
    found = [_compare(plan, way, [cell for cell in cells if cell.way == way]) for way in plan.ways]
    comparisons = tuple(each for each in found if each is not None)
    if not comparisons:
        raise NotReadyError("no seed of the plan is finished for all methods, so there is nothing to compare yet")
    return AlignmentResults(
        name=plan.name,
        policy=plan.align.policy,
        judge=judge,
        prompts=prompts,
        cells=len(plan.ways) * len(plan.seeds) * len(plan.methods),
        finished=len(cells),
        level=plan.evaluate.confidence,
        resamples=plan.evaluate.resamples,
        comparisons=comparisons,
        remarks=(*remarks, *filter(None, map(_said_of_stayers, comparisons))),
    )


def _said_of_stayers(comparison: WayComparison) -> str:
    if any(reading.at == EQUAL_KL and reading.kl == 0 for reading in comparison.readings):
        return f"Under {comparison.way} a policy stayed at the reference, so that equal KL is 0: train for longer."
    return ""


def _compare(plan: AlignmentPlan, way: Way, cells: Sequence[AlignmentCell]) -> WayComparison | None:
    known = {(cell.method, cell.seed): cell for cell in cells}
    seeds = tuple(seed for seed in plan.seeds if all((method, seed) in known for method in plan.methods))
    if not seeds:
        return None
    whole = {method: [known[method, seed] for seed in seeds] for method in plan.methods}
    curves = [cell.curve for some in whole.values() for cell in some]
    kl, step = shared_kl(curves), shared_step(curves)
    at_equal_steps = _read(EQUAL_STEPS, whole, lambda curve: at_step(curve, step), plan.evaluate)
    at_equal_kl = _read(EQUAL_KL, whole, lambda curve: at_kl(curve, kl), plan.evaluate)
    at_equal_n = _read(EQUAL_N, whole, lambda curve: at_step(curve, step), plan.evaluate)
    return WayComparison(
        way=way,
        seeds=seeds,
        prompts=len({prompt for curve in curves for prompt in curve.prompts}),
        readings=(at_equal_n,) if way == BEST_OF_N else (at_equal_kl, at_equal_steps),
        lines=tuple(_line(method, [cell.curve for cell in some]) for method, some in whole.items()),
    )


def _read(
    at: str,
    whole: Mapping[Method, Sequence[AlignmentCell]],
    weigh: Callable[[PolicyCurve], FloatArray],
    config: EvaluateConfig,
) -> Reading:
    """Read every curve at the looks that it is weighed by."""
    wins = {method: [weigh(cell.curve) @ np.array(cell.curve.wins) for cell in some] for method, some in whole.items()}
    numbers = {
        prompt: number
        for number, prompt in enumerate(
            dict.fromkeys(each for some in whole.values() for cell in some for each in cell.curve.prompts)
        )
    }
    prompts = [[numbers[each] for each in cell.curve.prompts] for cell in next(iter(whole.values()))]
    methods = []
    for method, some in whole.items():
        others: list[tuple[str, list[FloatArray]]] = [
            (REFERENCE, [np.full(len(each), EVEN) for each in wins[method]]),
            *((each, wins[each]) for each in BASELINES if each in wins and each != method),
        ]
        methods.append(
            PolicyResult(
                method=method,
                accuracy=float(np.mean([cell.accuracy for cell in some])),
                kl=float(np.mean([weigh(cell.curve) @ cell.curve.kl for cell in some])),
                steps=float(np.mean([weigh(cell.curve) @ cell.curve.steps for cell in some])),
                words=float(np.mean([weigh(cell.curve) @ cell.curve.words for cell in some])),
                differences=tuple(
                    difference_over_seeds(
                        name, [own - other for own, other in zip(wins[method], each, strict=True)], prompts, config
                    )
                    for name, each in others
                ),
            )
        )
    return Reading(
        at,
        float(np.mean([each.kl for each in methods])),
        float(np.mean([each.steps for each in methods])),
        tuple(methods),
    )


def _line(method: Method, curves: Sequence[PolicyCurve]) -> CurveLine:
    steps = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    weights = [[at_step(curve, step) for step in steps] for curve in curves]
    by_seed = [
        [(each @ curve.kl, (each @ np.array(curve.wins)).mean()) for each in rows]
        for curve, rows in zip(curves, weights, strict=True)
    ]
    kl, wins = np.mean(np.array(by_seed), axis=0).T.tolist()
    return CurveLine(method, tuple(kl), tuple(wins))


def win_rate_rows(results: AlignmentResults) -> list[dict[str, Any]]:
    """Return what is kept among the workspace's win rates, in percent: each method at equal KL, or at equal n."""
    reference = policy_name(results.policy)
    return [
        {
            "policy": f"{reference} by {comparison.way}, {result.method}",
            "baseline": reference,
            "judge": f"{results.judge}, at {comparison.readings[0].at} ({comparison.readings[0].kl:.2g} nats)",
            "prompts": results.prompts,
            "judged": comparison.prompts,
            "missing": 0,
            "win_rate": 100 * result.win_rate.estimate,
            "low": 100 * result.win_rate.low,
            "high": 100 * result.win_rate.high,
        }
        for comparison in results.comparisons
        for result in comparison.readings[0].methods
    ]


def alignment_as_csv(results: AlignmentResults) -> str:
    """Return a row for each way, reading and method, with figures in full."""
    return rows_as_csv(
        [
            _row(results, comparison, reading, result)
            for comparison in results.comparisons
            for reading in comparison.readings
            for result in reading.methods
        ]
    )


def _row(
    results: AlignmentResults, comparison: WayComparison, reading: Reading, result: PolicyResult
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "way": comparison.way,
        "at": reading.at,
        "method": result.method,
        "judge": results.judge,
        "seeds": len(comparison.seeds),
        "prompts": comparison.prompts,
        "win_rate": result.win_rate.estimate,
        "win_rate_low": result.win_rate.low,
        "win_rate_high": result.win_rate.high,
        "kl_nats": result.kl,
        "steps": result.steps,
        "words": result.words,
        "reward_model_accuracy": result.accuracy,
    }
    for baseline in (REFERENCE, *BASELINES):
        found, name = result.against(baseline), baseline.removeprefix("the ")
        row |= {
            f"minus_{name}": found.interval.estimate if found else "",
            f"minus_{name}_low": found.interval.low if found else "",
            f"minus_{name}_high": found.interval.high if found else "",
            f"verdict_against_{name}": found.verdict if found else "",
        }
    return row
