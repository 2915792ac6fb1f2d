"""What annotations of a policy's answers come to, with all that must stand beside a win rate, and what warns of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mars_engine.align.alpaca.formats import Annotation
from mars_engine.align.alpaca.judge_bias import (
    LengthBias,
    PositionBias,
    measure_length_bias,
    measure_position_bias,
)
from mars_engine.align.alpaca.length_control import LengthControlled, control_length, why_not_controlled
from mars_engine.align.alpaca.tables import LengthTables
from mars_engine.align.alpaca.win_rate import WinRate, count_wins
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import FloatArray
from mars_engine.stats.intervals import Interval

BASELINE_FIRST, POLICY_FIRST = "preference_baseline_first", "preference_policy_first"
"""Columns of our annotations: the preference in each order, as `preference` is written."""
SEES_ORDER, FAILURE, NUMBER = "judge_sees_order", "failure", "index"
"""Columns of our annotations: whether the judge reads both answers at once, why it failed, the prompt's number."""
NO_REASON = "the file gives no reason"
EXTREME_POINTS, EXTREME_SHARE = 10.0, 0.25
"""AlpacaEval's warning: length control moved a win rate by so many points, and by this share of the way to 0 or 100."""
LENGTH_RESAMPLES = 500
"""Most, of the length-controlled win rate: each fits anew."""


@dataclass(frozen=True, slots=True)
class PolicyFigures(ShownAsTable):
    """A policy's win rate over a baseline, by a judge, on some prompts."""

    policy: str
    baseline: str
    judge: str
    prompts: str
    """Where they come from."""
    n_prompts: int
    """All of them: judged and failed."""
    wins: WinRate
    length_controlled: LengthControlled | None
    no_length_control: str
    """Why there is no length-controlled win rate; empty where there is one."""
    mean_length: float
    """Of the policy's answers, in characters."""
    mean_length_baseline: float
    n_same_answers: int
    """Prompts where both answers are the same text: ties."""
    failures: Mapping[str, int]
    """Prompts without a judgement, by reason."""
    position_bias: PositionBias | None
    """None where the answers' order was not swapped, or the judge does not see it."""
    length_bias: LengthBias
    warnings: tuple[str, ...]


def figures_of(
    annotations: Sequence[Annotation],
    *,
    prompts: str,
    tables: LengthTables | None = None,
    config: EvaluateConfig | None = None,
) -> PolicyFigures:
    """Return the figures of one policy's annotations; there must be at least one.

    Args:
        annotations: of one policy over one baseline.
        prompts: where the prompts come from.
        tables: of these prompts; without them the length control is AlpacaEval's minimal one.
        config: how many resamples, by which seed.

    Raises:
        LoadError: the tables are of other prompts.
    """
    config = config or EvaluateConfig()
    preferences = preferences_of(annotations)
    lengths = np.array([each.length_difference for each in annotations], dtype=np.float64)
    has_gamed_runs = tables is not None and tables.gamed is not None
    reason = why_not_controlled(preferences, lengths, has_gamed_runs=has_gamed_runs)
    controlled = None
    if not reason:
        controlled = control_length(
            preferences,
            lengths,
            rng=np.random.default_rng(config.seed),
            difficulties=tables.difficulties_of(_numbers(annotations)) if tables else None,
            gamed=tables.gamed if tables else None,
            resamples=min(config.resamples, LENGTH_RESAMPLES),
            level=config.confidence,
        )
    rng = np.random.default_rng(config.seed)
    wins = count_wins(preferences, rng=rng, resamples=config.resamples, level=config.confidence)
    failed = [each for each in annotations if each.preference is None]
    failures = Counter(str(each.columns.get(FAILURE) or NO_REASON) for each in failed)
    position, is_told = _position_bias(annotations)
    length_bias = measure_length_bias(preferences, lengths)
    first = annotations[0]
    return PolicyFigures(
        policy=first.generator_2,
        baseline=first.generator_1,
        judge=first.annotator,
        prompts=prompts,
        n_prompts=len(annotations),
        wins=wins,
        length_controlled=controlled,
        no_length_control=reason,
        mean_length=float(np.mean([len(each.output_2) for each in annotations])),
        mean_length_baseline=float(np.mean([len(each.output_1) for each in annotations])),
        n_same_answers=sum(each.output_1 == each.output_2 for each in annotations),
        failures=dict(failures.most_common()),
        position_bias=position,
        length_bias=length_bias,
        warnings=(
            *_warn_of_failures(failures, len(annotations)),
            *_warn_of_position(position, is_told),
            *_warn_of_length(length_bias),
            *_warn_of_length_control(controlled, wins),
        ),
    )


def preferences_of(annotations: Sequence[Annotation]) -> FloatArray:
    """Return the probabilities that the policy wins, NaN where the judge failed, shape (n,)."""
    return np.array([each.probability for each in annotations], dtype=np.float64)


def _numbers(annotations: Sequence[Annotation]) -> Any:
    """Return the prompts' numbers: as the rows say, else the rows' own places, as the package has it."""
    said = [each.columns.get(NUMBER) for each in annotations]
    is_said = all(isinstance(number, int) for number in said)
    return np.array(said if is_said else range(len(annotations)), dtype=np.int64)


def _position_bias(annotations: Sequence[Annotation]) -> tuple[PositionBias | None, bool]:
    """Return the position bias, and whether the rows tell how the judge was asked."""
    if not all(SEES_ORDER in each.columns for each in annotations):
        return None, False
    if not all(each.columns[SEES_ORDER] for each in annotations):
        return None, True
    asked = [each for each in annotations if each.output_1 != each.output_2]
    orders = [[_known(each.columns.get(name)) for name in (BASELINE_FIRST, POLICY_FIRST)] for each in asked]
    table = np.array(orders, dtype=np.float64).reshape(len(asked), 2) - 1.0
    return measure_position_bias(table[:, 0], table[:, 1]), True


def _known(preference: Any) -> float:
    return float(preference) if isinstance(preference, int | float) else float("nan")


# ------------------------------------------------------------------------------------------------------------- warnings


def _warn_of_failures(failures: Mapping[str, int], total: int) -> list[str]:
    if not failures:
        return []
    reasons = "; ".join(f"{count:,} × {reason}" for reason, count in Counter(failures).most_common())
    return [f"{sum(failures.values()):,} of {total:,} prompts were not judged, and no figure counts them: {reasons}."]


def _warn_of_position(bias: PositionBias | None, is_told: bool) -> list[str]:
    if not is_told:
        return ["The file does not say that both orders were asked, so the judge's position bias is not known."]
    if bias is None or not bias.is_biased or bias.first_wins is None:
        return []
    place = "first" if bias.first_wins.estimate > 0.5 else "second"
    share = bias.first_wins.estimate if place == "first" else 1 - bias.first_wins.estimate
    return [
        f"The judge has a position bias: it prefers the answer shown {place} in {share:.0%} of {bias.n_decided:,} "
        f"verdicts, and contradicts itself in {bias.n_contradicting:,} of {bias.n_prompts:,} prompts. These count as "
        "ties, which draws every win rate towards 50%."
    ]


def _warn_of_length(bias: LengthBias) -> list[str]:
    if not bias.is_biased or bias.longer_wins is None:
        return []
    word = "longer" if bias.longer_wins.estimate > 0.5 else "shorter"
    share = bias.longer_wins.estimate if word == "longer" else 1 - bias.longer_wins.estimate
    return [
        f"The {word} answer wins {share:.0%} of {bias.n_prompts:,} prompts ({_range(bias.longer_wins)}): it is better, "
        "or the judge goes by length. Look at the length-controlled win rate."
    ]


def _warn_of_length_control(controlled: LengthControlled | None, wins: WinRate) -> list[str]:
    if controlled is None:
        return []
    found = []
    if controlled.variant != "v1":
        found.append(
            f"The length-controlled win rate is that of {controlled.label}, since tables are not at hand; it cannot "
            "stand beside published ones."
        )
    if controlled.variant == "no gamed runs":
        found.append(
            "Without the gamed runs 26 public models kept their order (Spearman 0.977), and values were off by 1.6 "
            "points on the mean, by 13.7 at most."
        )
    change = controlled.win_rate - wins.win_rate
    room = wins.win_rate if change < 0 else 100 - wins.win_rate
    if abs(change) > max(EXTREME_POINTS, EXTREME_SHARE * room):
        found.append(f"Length control moves the win rate by {change:+.1f} points: its regression may have failed.")
    return found


def _range(interval: Interval) -> str:
    return f"{interval.level:.0%} interval {interval.low:.0%} to {interval.high:.0%}"
