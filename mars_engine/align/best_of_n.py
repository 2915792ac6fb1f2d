"""Best-of-n: each reward model picks among a policy's answers, and a judge says what the picks are worth.

Over n the proxy reward only rises. Where the judged quality falls meanwhile, the reward is over-optimised (Gao et al.
2023, arXiv 2210.10760): the model rewards what the judge does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mars_engine.align.answers import AnsweredPrompt
from mars_engine.align.best_of_estimator import best_of, doubling_sizes, kl_bound
from mars_engine.align.policies import PolicyAnswers
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import LoadError, ModelError, NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, Pair
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.stats.intervals import Interval, bootstrap_mean

LONGEST, ORACLE = "longest", "oracle"
BOUND = (
    "The KL divergence from the policy is given by its upper bound, log n − (n − 1)/n; a policy that repeats itself "
    "stays below it."
)


class AnswerJudge(Protocol):
    """Says what answers are worth: recorded preferences, a gold reward model, a judge model."""

    @property
    def name(self) -> str: ...

    def judge(self, rows: Sequence[AnsweredPrompt], *, progress: Progress) -> FloatArray:
        """Return the quality of N answers to each prompt, shape (prompts, N), the higher the better, all finite."""
        ...


@dataclass(frozen=True)
class RecordedPreferences:
    """Judges by the preferences that were recorded with the answers."""

    name: str = "recorded preferences"

    def judge(self, rows: Sequence[AnsweredPrompt], *, progress: Progress) -> FloatArray:  # noqa: ARG002
        without = sum(answer.preference is None for row in rows for answer in row.answers)
        if without:
            raise LoadError(
                f"{without:,} of {sum(len(row.answers) for row in rows):,} answers have no recorded preference",
                expected="a number for every answer, such as 'preference' or 'score' beside its text",
                remedy="judge by a gold reward model: --judge with a model, a folder, or another workspace",
            )
        return np.array([[answer.preference for answer in row.answers] for row in rows], dtype=np.float64)


@dataclass(frozen=True)
class GoldRewards:
    """Judges by a reward model that was trained on other pairs."""

    name: str
    model: RewardModel

    def judge(self, rows: Sequence[AnsweredPrompt], *, progress: Progress) -> FloatArray:
        return rewards_of(self.model, rows, name=self.name, progress=progress)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What the best of n is worth; every interval is over prompts."""

    n: int
    kl_bound: float
    """Nats."""
    root_kl: float
    proxy: Interval
    """The mean reward of the picks, less that of all answers, in the selector's own units."""
    judged: Interval
    gain: Interval
    """Judged quality of the picks less that of a random answer, paired over prompts."""


@dataclass(frozen=True, slots=True)
class SelectionCurve(ShownAsTable):
    """What one selector's picks are worth over n."""

    selector: str
    points: tuple[CurvePoint, ...]
    peak_n: int
    """Where the judged quality is highest."""
    change_after_peak: Interval
    """Judged quality at the largest n less that at the peak, paired over prompts; 0 where the peak is the end."""

    @property
    def is_over_optimised(self) -> bool:
        """Whether the judged quality falls after its peak by more than chance explains."""
        return self.change_after_peak.high < 0


@dataclass(frozen=True, slots=True)
class BestOfNReport(ShownAsTable):
    """Best-of-n over some prompts: a curve for each selector, against a random answer, the longest and the oracle."""

    policy: str
    judge: str
    prompts: int
    answers: int
    """To each prompt."""
    left_out: Mapping[str, int]
    empty_answers: int
    cut_off_answers: int
    random: Interval
    """Judged quality of a random answer."""
    curves: tuple[SelectionCurve, ...]
    remarks: tuple[str, ...]
    picks: Mapping[str, tuple[int, ...]]
    """The place of each selector's pick among all of a prompt's answers, by selector; of equal rewards the first."""


def best_of_n(
    answered: PolicyAnswers,
    models: Mapping[str, RewardModel],
    judge: AnswerJudge,
    *,
    config: EvaluateConfig,
    progress: Progress,
) -> BestOfNReport:
    """Let each reward model pick among the answers, and judge the picks.

    Args:
        answered: N answers to each prompt, none empty.
        models: the reward models by what they are called.
        judge: says what each answer is worth.
        config: the level and the resamples of intervals.
        progress: shows how far it has come.

    Raises:
        NotReadyError: there are no prompts, or only one answer to each.
        ModelError: a reward is not a finite number.
        LoadError: an answer that is to be judged by recorded preferences has none.
    """
    count = _answers_each(answered)
    judged = judge.judge(answered.rows, progress=progress)
    rewards = {name: rewards_of(model, answered.rows, name=name, progress=progress) for name, model in models.items()}
    rewards[LONGEST] = np.array([[float(len(each.text)) for each in row.answers] for row in answered.rows])
    rewards[ORACLE] = judged
    sizes = doubling_sizes(count)
    curves = tuple(selection_curve(name, each, judged, sizes, config) for name, each in rewards.items())
    return BestOfNReport(
        policy=answered.policy,
        judge=judge.name,
        prompts=len(answered.rows),
        answers=count,
        left_out=dict(answered.left_out),
        empty_answers=answered.empty,
        cut_off_answers=answered.cut_off,
        random=_interval(judged.mean(axis=1), config),
        curves=curves,
        remarks=(BOUND, *_said_of_answers(answered), *filter(None, map(_said_of_fall, curves[: len(models)]))),
        picks={name: tuple(int(place) for place in each.argmax(axis=1)) for name, each in rewards.items()},
    )


def rewards_of(model: RewardModel, rows: Sequence[AnsweredPrompt], *, name: str, progress: Progress) -> FloatArray:
    """Return the rewards of N answers to each prompt, shape (prompts, N).

    Raises:
        ModelError: a reward is not a finite number.
    """
    # A reward model rates the sides of a pair each by itself, so it does not matter which two stand together.
    texts = [[each.text for each in row.answers] for row in rows]
    pairs = [
        Pair.of(row.prompt, answers[place], answers[min(place + 1, len(answers) - 1)])
        for row, answers in zip(rows, texts, strict=True)
        for place in range(0, len(answers), 2)
    ]
    scored = model.score(pairs, progress=progress)
    by_row = np.column_stack([scored.chosen, scored.rejected]).reshape(len(rows), -1)[:, : len(texts[0])]
    broken = int((~np.isfinite(by_row)).sum())
    if broken:
        raise ModelError(
            f"{broken:,} of the {by_row.size:,} rewards of {name} are not finite numbers",
            expected="a number for every answer",
            remedy="the model diverged in training or its weights are damaged; name another one",
        )
    return np.asarray(by_row, dtype=np.float64)


def selection_curve(
    selector: str, rewards: FloatArray, judged: FloatArray, sizes: Sequence[int], config: EvaluateConfig
) -> SelectionCurve:
    """Return what the picks by some rewards are worth over n; both arrays have the shape (prompts, N)."""
    by_size = {n: best_of(rewards, judged, n) for n in sizes}
    at_random = judged.mean(axis=1)
    own_mean = rewards.mean(axis=1)
    points = tuple(
        CurvePoint(
            n=n,
            kl_bound=kl_bound(n),
            root_kl=float(np.sqrt(kl_bound(n))),
            proxy=_interval(best_of(rewards, rewards, n) - own_mean, config),
            judged=_interval(picked, config),
            gain=_interval(picked - at_random, config),
        )
        for n, picked in by_size.items()
    )
    peak = max(points, key=lambda point: point.judged.estimate).n
    return SelectionCurve(selector, points, peak, _interval(by_size[sizes[-1]] - by_size[peak], config))


def _interval(values: FloatArray, config: EvaluateConfig) -> Interval:
    rng = np.random.default_rng(config.seed)
    return bootstrap_mean(values, rng=rng, resamples=config.resamples, level=config.confidence)


def _answers_each(answered: PolicyAnswers) -> int:
    if not answered.rows:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in answered.left_out.items()) or "none was given"
        raise NotReadyError(
            f"not one prompt is left to answer: {reasons}",
            expected="prompts that the policy can answer as often as asked for",
            remedy="ask for fewer answers with --n, or name other prompts",
        )
    count = len(answered.rows[0].answers)
    if count < 2:
        raise NotReadyError("there is one answer to each prompt", expected="two or more, of which the best is picked")
    return count


def _said_of_answers(answered: PolicyAnswers) -> list[str]:
    models = {answer.model for row in answered.rows for answer in row.answers}
    said = []
    if len(models) > 1:
        said.append(
            f"The answers are those of {len(models):,} models; the policy that best-of-n moves away from is the even "
            "mixture of a prompt's answers."
        )
    if answered.empty:
        said.append(f"The policy said nothing {answered.empty:,} times, and was asked anew.")
    if answered.cut_off:
        total = sum(len(row.answers) for row in answered.rows)
        said.append(f"{answered.cut_off:,} of {total:,} answers were cut off at the length limit.")
    return said


def _said_of_fall(curve: SelectionCurve) -> str:
    if not curve.is_over_optimised:
        return ""
    change = curve.change_after_peak
    return (
        f"The reward of {curve.selector} is over-optimised: the judged quality is highest at n = {curve.peak_n} and "
        f"changes by {change.estimate:+.3f} [{change.low:+.3f}, {change.high:+.3f}] up to n = {curve.points[-1].n}, "
        "while the reward rises."
    )
