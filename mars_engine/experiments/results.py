"""What an experiment shows: each method's figures over the seeds, and how they differ from the baselines."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np

from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import MarsError
from mars_engine.core.records import FloatArray
from mars_engine.experiments.cells import CellKey, ExperimentCell, say_data, wanted_cells
from mars_engine.experiments.plan import BASELINES, ExperimentPlan, Matching, Method
from mars_engine.stats.crossed_bootstrap import SeedSpread, crossed_mean, holm_count, spread_over_seeds
from mars_engine.stats.intervals import Interval


@dataclass(frozen=True, slots=True)
class Difference:
    """A share of a method (its held-out accuracy, its win rate) less that of a baseline, on the same pairs or prompts
    under the same seeds."""

    baseline: str
    interval: Interval
    over_seeds: SeedSpread

    @property
    def is_none(self) -> bool:
        """Whether both rank each pair alike under every seed, mostly since they were trained on the same pairs."""
        return self.interval.low == self.interval.high == 0.0

    @property
    def verdict(self) -> str:
        """How the method differs from the baseline, in plain words; it says so when no difference is shown."""
        if self.is_none:
            return f"the same as {self.baseline}: nothing was compared"
        if not self.interval.excludes_zero:
            return "no difference shown"
        return f"{'better' if self.interval.estimate > 0 else 'worse'} than {self.baseline}"


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method on one dataset under one matching. Costs and counts are means over the seeds."""

    method: Method
    accuracy: SeedSpread
    log_loss: float
    steps: float
    training_pairs: float
    new_pairs: float
    wrong_labels: float
    generation_tokens: float
    training_tokens: float
    preparation_seconds: float
    training_seconds: float
    differences: tuple[Difference, ...]
    wrong_weight: float = 0.0
    """Share of the training weight that pairs with labels known to be wrong have."""
    wrong_loss: float = 0.0
    """Share of the training loss that they have, under the finished models."""

    def against(self, baseline: Method) -> Difference | None:
        return next((each for each in self.differences if each.baseline == baseline), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All methods on one dataset under one matching, over the seeds under which all of them are finished."""

    dataset: str
    matching: Matching
    seeds: tuple[int, ...]
    heldout_pairs: int
    """Under each seed."""
    heldout_prompts: int
    """Under any seed."""
    methods: tuple[MethodResult, ...]
    flipped: float = 0.0
    """Share of the base pairs whose labels are flipped."""

    @property
    def data(self) -> str:
        """What it is on, in words."""
        return say_data(self.dataset, self.flipped)

    @property
    def knows_wrong_labels(self) -> bool:
        """Whether some labels are known to be wrong, so that what they cost can be shown."""
        return any(result.wrong_weight for result in self.methods)


def wrong_label_rows(comparison: Comparison) -> list[tuple[Method, float, float]]:
    """Return each method's share of the loss that wrong labels have, and its accuracy less that of 'none'.

    Empty where no label is known to be wrong, or 'none' is not among the methods.
    """
    plain = next((result for result in comparison.methods if result.method == "none"), None)
    if plain is None or not comparison.knows_wrong_labels:
        return []
    return [
        (result.method, result.wrong_loss, result.accuracy.mean - plain.accuracy.mean) for result in comparison.methods
    ]


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """The results of a plan, as far as its cells are finished."""

    name: str
    cells: int
    finished: int
    level: float
    resamples: int
    comparisons: tuple[Comparison, ...]
    differences: int
    """How many differences were looked at: those of methods that are not the same, the baselines' own once."""
    trained: str = ""
    """What was trained, where the plan names a backbone of its own."""

    @property
    def expected_by_chance(self) -> float:
        """How many intervals would miss 0 if no method differed from another."""
        return self.differences * (1 - self.level)

    @property
    def shown(self) -> int:
        """How many intervals miss 0, the baselines' own difference counted once."""
        return sum(each.interval.excludes_zero for each in self._differences)

    @property
    def shown_corrected(self) -> int | None:
        """How many differences are still shown when all that were looked at are taken together; None if not known."""
        return count_corrected(self._differences, self.level)

    @property
    def _differences(self) -> list[Difference]:
        return list(each_difference(result for comparison in self.comparisons for result in comparison.methods))


class Compared(Protocol):
    """What a method came to, and how it differs from others."""

    @property
    def method(self) -> Method: ...

    @property
    def differences(self) -> tuple[Difference, ...]: ...


class Counted(Protocol):
    """Results that can say how many differences they show."""

    @property
    def level(self) -> float: ...

    @property
    def differences(self) -> int: ...

    @property
    def shown(self) -> int: ...

    @property
    def shown_corrected(self) -> int | None: ...

    @property
    def expected_by_chance(self) -> float: ...


def each_difference(results: Iterable[Compared]) -> Iterator[Difference]:
    """Yield the differences that were looked at: those of methods that are not the same, the baselines' own once."""
    for result in results:
        for difference in result.differences:
            if not difference.is_none and (result.method, difference.baseline) != BASELINES:
                yield difference


def count_corrected(differences: Sequence[Difference], level: float) -> int | None:
    """Return how many of an experiment's differences are shown by Holm's correction for all of them.

    None where some have no p-value: results stored before there were any.
    """
    p_values = [each.interval.p_value for each in differences if each.interval.p_value is not None]
    return holm_count(p_values, alpha=1 - level) if len(p_values) == len(differences) else None


def summarize_experiment(plan: ExperimentPlan, cells: Sequence[ExperimentCell]) -> ExperimentResults:
    """Return what the finished cells of a plan show.

    A seed counts only where all methods of the plan are finished, so that all are measured on the same pairs.

    Raises:
        MarsError: there is no such seed yet.
    """
    comparisons = [
        _compare(plan, dataset.name, flipped, matching, cells)
        for dataset, flipped, matching in product(plan.datasets, plan.flipped, plan.matchings)
    ]
    whole = tuple(each for each in comparisons if each is not None)
    if not whole:
        raise MarsError(
            "no seed of the plan is finished for all methods, so there is nothing to compare yet",
            remedy="run 'mars experiment' without --report-only",
        )
    return ExperimentResults(
        name=plan.name,
        cells=len(wanted_cells(plan)),
        finished=len(cells),
        level=plan.evaluate.confidence,
        resamples=plan.evaluate.resamples,
        comparisons=whole,
        differences=len(list(each_difference(result for comparison in whole for result in comparison.methods))),
        trained=plan.backbone_note,
    )


def _compare(
    plan: ExperimentPlan, dataset: str, flipped: float, matching: Matching, cells: Sequence[ExperimentCell]
) -> Comparison | None:
    by_method = {
        method: {
            cell.key.seed: cell
            for cell in cells
            if cell.key == CellKey(dataset, cell.key.seed, method, matching, flipped)
        }
        for method in plan.methods
    }
    seeds = [seed for seed in plan.seeds if all(seed in found for found in by_method.values())]
    if not seeds:
        return None
    whole = {method: [found[seed] for seed in seeds] for method, found in by_method.items()}
    some = next(iter(whole.values()))
    return Comparison(
        dataset=dataset,
        matching=matching,
        seeds=tuple(seeds),
        heldout_pairs=len(some[0].prompts),
        heldout_prompts=len({prompt for cell in some for prompt in cell.prompts}),
        methods=tuple(_summarize(method, whole, plan.evaluate) for method in plan.methods),
        flipped=flipped,
    )


def _summarize(
    method: Method, whole: Mapping[Method, Sequence[ExperimentCell]], config: EvaluateConfig
) -> MethodResult:
    cells = whole[method]

    def mean(of: str) -> float:
        return float(np.mean([getattr(cell, of) for cell in cells]))

    return MethodResult(
        method=method,
        accuracy=spread_over_seeds(np.array([cell.accuracy for cell in cells])),
        log_loss=mean("log_loss"),
        steps=mean("steps"),
        training_pairs=mean("training_pairs"),
        new_pairs=mean("new_pairs"),
        wrong_labels=mean("wrong_labels"),
        generation_tokens=mean("generation_tokens"),
        training_tokens=mean("training_tokens"),
        preparation_seconds=mean("preparation_seconds"),
        training_seconds=mean("training_seconds"),
        wrong_weight=mean("wrong_weight"),
        wrong_loss=mean("wrong_loss"),
        differences=tuple(
            _difference(cells, baseline, whole[baseline], config)
            for baseline in BASELINES
            if baseline in whole and baseline != method
        ),
    )


def _difference(
    cells: Sequence[ExperimentCell], baseline: str, others: Sequence[ExperimentCell], config: EvaluateConfig
) -> Difference:
    values = [np.array(cell.correct) - np.array(other.correct) for cell, other in zip(cells, others, strict=True)]
    return difference_over_seeds(baseline, values, [cell.prompts for cell in cells], config)


def difference_over_seeds(
    baseline: str, values: Sequence[FloatArray], prompts: Sequence[Sequence[int]], config: EvaluateConfig
) -> Difference:
    """Return a difference with an interval over seeds and prompts, crossed.

    Args:
        baseline: what the method differs from.
        values: under each seed the differences on single pairs or prompts, shape (n,).
        prompts: under each seed a number for the prompt of each value, the same under all seeds.
        config: the intervals' settings.
    """
    interval = crossed_mean(
        np.concatenate(values),
        np.repeat(np.arange(len(values)), [len(each) for each in values]),
        np.concatenate([np.array(each, dtype=np.int64) for each in prompts]),
        rng=np.random.default_rng(config.seed),
        resamples=config.resamples,
        level=config.confidence,
    )
    return Difference(baseline, interval, spread_over_seeds(np.array([each.mean() for each in values])))


# ------------------------------------------------------------------------------------------------------ in plain words


def points(share: float) -> str:
    """A difference of two shares in percentage points, two decimals, with its sign; never "−0.00"."""
    rounded = round(share * 100, 2)
    return "0.00" if rounded == 0 else f"{rounded:+.2f}".replace("-", "−")


def say_verdict(result: Compared, level: float) -> str:
    """Say how a method stands against the baselines, in one sentence."""
    said = [
        each.verdict
        if each.is_none
        else f"{each.verdict if each.interval.excludes_zero else f'no difference shown from {each.baseline}'} "
        f"({points(each.interval.estimate)} points, {level:.0%} interval {points(each.interval.low)} to "
        f"{points(each.interval.high)})"
        for each in result.differences
    ]
    return f"{result.method}: {'; '.join(said)}." if said else f"{result.method}: there is no baseline to compare with."


def say_how_many(results: Counted) -> str:
    """Say how many comparisons an experiment made, and how many would look like differences by chance alone."""
    left = results.shown_corrected
    corrected = (
        "the intervals are not corrected for it"
        if left is None
        else "corrected for the number of comparisons (Holm), "
        + ("none is left" if left == 0 else "1 is left" if left == 1 else f"{left:,} are left")
    )
    return (
        f"{results.differences:,} comparisons were made; in {results.shown:,} of them the {results.level:.0%} interval "
        f"misses 0. If no method differed from any other, that would happen about {results.expected_by_chance:.2g} "
        f"times by chance; {corrected}."
    )


# ------------------------------------------------------------------------------------------------------------ as files


def results_from_plain(plain: Mapping[str, Any]) -> ExperimentResults:
    """Return results that were stored as plain JSON.

    Raises:
        KeyError, TypeError: they are none.
    """
    return ExperimentResults(**{**plain, "comparisons": tuple(_comparison_from(each) for each in plain["comparisons"])})


def _comparison_from(plain: Mapping[str, Any]) -> Comparison:
    methods = tuple(_method_from(each) for each in plain["methods"])
    return Comparison(**{**plain, "seeds": tuple(plain["seeds"]), "methods": methods})


def _method_from(plain: Mapping[str, Any]) -> MethodResult:
    differences = tuple(
        Difference(each["baseline"], Interval(**each["interval"]), _spread_from(each["over_seeds"]))
        for each in plain["differences"]
    )
    return MethodResult(**{**plain, "accuracy": _spread_from(plain["accuracy"]), "differences": differences})


def _spread_from(plain: Mapping[str, Any]) -> SeedSpread:
    deviation = float("nan") if plain["deviation"] is None else plain["deviation"]
    return SeedSpread(**{**plain, "values": tuple(plain["values"]), "deviation": deviation})


def results_as_csv(results: ExperimentResults) -> str:
    """Return a row for each dataset, matching and method, with figures in full."""
    return rows_as_csv(
        [_result_row(comparison, result) for comparison in results.comparisons for result in comparison.methods]
    )


def cells_as_csv(cells: Sequence[ExperimentCell]) -> str:
    """Return a row for each cell, without the single held-out pairs."""
    rows = []
    for cell in cells:
        row = asdict(cell)
        rows.append(row.pop("key") | {name: value for name, value in row.items() if name not in ("prompts", "correct")})
    return rows_as_csv(rows)


def _result_row(comparison: Comparison, result: MethodResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dataset": comparison.dataset,
        "flipped": comparison.flipped,
        "matching": comparison.matching,
        "method": result.method,
        "seeds": len(comparison.seeds),
        "heldout_pairs_a_seed": comparison.heldout_pairs,
        "accuracy_mean": result.accuracy.mean,
        "accuracy_std": result.accuracy.deviation,
        "accuracy_min": result.accuracy.lowest,
        "accuracy_max": result.accuracy.highest,
        "log_loss_nats": result.log_loss,
        "steps": result.steps,
        "training_pairs": result.training_pairs,
        "new_pairs": result.new_pairs,
        "wrong_pseudo_labels": result.wrong_labels,
        "wrong_labels_share_of_weight": result.wrong_weight,
        "wrong_labels_share_of_loss": result.wrong_loss,
        "generation_tokens": result.generation_tokens,
        "training_tokens": result.training_tokens,
        "preparation_seconds": result.preparation_seconds,
        "training_seconds": result.training_seconds,
    }
    for baseline in BASELINES:
        difference = result.against(baseline)
        row |= {
            f"minus_{baseline}": difference.interval.estimate if difference else "",
            f"minus_{baseline}_low": difference.interval.low if difference else "",
            f"minus_{baseline}_high": difference.interval.high if difference else "",
            f"minus_{baseline}_p_value": difference.interval.p_value if difference else "",
            f"minus_{baseline}_seed_std": difference.over_seeds.deviation if difference else "",
            f"minus_{baseline}_seed_min": difference.over_seeds.lowest if difference else "",
            f"minus_{baseline}_seed_max": difference.over_seeds.highest if difference else "",
            f"verdict_against_{baseline}": difference.verdict if difference else "",
        }
    return row


def rows_as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return an experiment's table as CSV, its columns those of the first row; there must be one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
