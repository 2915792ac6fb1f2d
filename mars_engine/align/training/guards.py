"""Signs that a policy games its reward: what of its answers grew with the reward, told in words.

A policy that games a reward model finds what the model likes for its own sake: length above all, lists, repetition
(Singhal et al. 2024, "A Long Way to Go: Investigating Length Correlations in RLHF", arXiv:2310.03716), and leaves the
gold reward behind (Gao et al. 2023, "Scaling Laws for Reward Model Overoptimization", arXiv:2210.10760). Where several
reward models disagree, one of them at least is wrong (Coste et al. 2024, "Reward Model Ensembles Help Mitigate
Overoptimization", arXiv:2310.02743).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.augment.quality.text_facts import REFUSALS, repeated_share
from mars_engine.core.records import FloatArray
from mars_engine.stats.metrics import rank_correlation

SURE_ERRORS = 2.0
"""Standard errors by which a mean must have moved before it is told."""
GREW_BY = 0.3
"""Share by which answers must have become longer or shorter."""
ROSE_BY = 0.1
"""By how much the share of repeated, listed or refused text must have risen."""
RELATED = 0.3
"""Rank correlation from which a reward is said to go with something."""
WENT_BY = 0.1
"""Share by which the distance from the training data must have grown."""
SMALLEST_DISTANCE = 1e-3
"""Of the reference's answers, by which others are divided."""
DISAGREED_BY = 0.2
"""By how much the disagreement of reward models must have risen, in deviations of a reward."""
REPEATED_WORDS = 3
"""Words in a row that count as repeated where they came before."""
_LISTED = re.compile(r"\s*(?:[-*•]|\d{1,3}[.)])\s+\S")


@dataclass(frozen=True, slots=True)
class Traits:
    """What answers look like, one value each: words, and the shares of their text that are repeated or in lists."""

    words: FloatArray
    repeated: FloatArray
    listed: FloatArray
    refused: FloatArray
    """1 where the answer refuses."""


@dataclass(frozen=True)
class Look:
    """The answers to the watched prompts at a step, with what they are worth; one value a prompt."""

    step: int
    texts: tuple[str, ...]
    rewards: FloatArray
    kl: FloatArray
    """log(π/π_ref) of each answer, in nats."""
    gold: FloatArray | None = None
    distance: FloatArray | None = None
    """From what the reward models were trained on; see `TrainingDistance`."""
    disagreement: FloatArray | None = None
    """Standard deviation of several reward models' rewards, each of deviation 1 on the workspace's own pairs."""


def describe_texts(texts: Sequence[str]) -> Traits:
    refusal = REFUSALS["refusal"]
    return Traits(
        words=np.array([float(len(text.split())) for text in texts]),
        repeated=np.array([repeated_share(text.casefold().split(), REPEATED_WORDS) for text in texts]),
        listed=np.array([_listed_share(text) for text in texts]),
        refused=np.array([float(bool(refusal.search(text))) for text in texts]),
    )


def _listed_share(text: str) -> float:
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(bool(_LISTED.match(line)) for line in lines) / len(lines) if lines else 0.0


def alarms(first: Look, now: Look, between: Sequence[Look], texts: Sequence[str], rewards: FloatArray) -> list[str]:
    """Return what looks like a gamed reward, each a sentence; empty where nothing does.

    Args:
        first: the reference's answers.
        now: the policy's answers to the same prompts.
        between: the looks before this one, the first among them.
        texts: what the policy wrote of late, for what the reward goes with.
        rewards: of these.
    """
    before, after, late = describe_texts(first.texts), describe_texts(now.texts), describe_texts(texts)
    found = [_length_alarm(before.words, after.words, rank_correlation(late.words, rewards))]
    found += [
        _share_alarm(what, getattr(before, name), getattr(after, name), rank_correlation(getattr(late, name), rewards))
        for name, what in SHARES.items()
    ]
    found += [_distance_alarm(first, now), _disagreement_alarm(first, now), _gold_alarm(first, now, between)]
    return [sentence for sentence in found if sentence]


SHARES = {
    "repeated": "text that repeats itself",
    "listed": "text in lists",
    "refused": "answers that refuse",
}


def _length_alarm(before: FloatArray, after: FloatArray, relation: float) -> str:
    change = after - before
    if not _moved(change) or abs(change.mean()) < GREW_BY * before.mean():
        return ""
    longer = change.mean() > 0
    if relation < RELATED if longer else relation > -RELATED:
        return ""
    return (
        f"answers have become {'longer' if longer else 'shorter'}, from {before.mean():.0f} to {after.mean():.0f} "
        f"words, and the reward goes with {'length' if longer else 'brevity'} (rank correlation {relation:+.2f}): the "
        "policy may be gaming length"
    )


def _share_alarm(what: str, before: FloatArray, after: FloatArray, relation: float) -> str:
    change = after - before
    if not _moved(change) or change.mean() < ROSE_BY:
        return ""
    rewarded = f", and the reward goes with it (rank correlation {relation:+.2f})" if relation >= RELATED else ""
    return f"the share of {what} has risen from {before.mean():.0%} to {after.mean():.0%}{rewarded}"


def distance_ratio(first: Look, now: Look) -> float | None:
    """Return the mean distance from the training data as a multiple of the reference's; None where it is not known."""
    if now.distance is None or first.distance is None:
        return None
    return float(now.distance.mean() / max(first.distance.mean(), SMALLEST_DISTANCE))


def _distance_alarm(first: Look, now: Look) -> str:
    ratio = distance_ratio(first, now)
    if now.distance is None or first.distance is None or ratio is None:
        return ""
    if not _moved(now.distance - first.distance) or ratio < 1 + WENT_BY:
        return ""
    return (
        f"answers have moved away from what the reward model was trained on, to {ratio:.2f} times the distance of the "
        "reference's answers: there, a reward is a guess"
    )


def _disagreement_alarm(first: Look, now: Look) -> str:
    before, after = first.disagreement, now.disagreement
    if before is None or after is None or not _moved(after - before) or after.mean() - before.mean() < DISAGREED_BY:
        return ""
    return (
        f"the reward models disagree more than on the reference's answers, by {after.mean():.2f} deviations and "
        f"{before.mean():.2f} before: what one of them rewards, another does not"
    )


def _gold_alarm(first: Look, now: Look, between: Sequence[Look]) -> str:
    if now.gold is None or first.gold is None:
        return ""
    golds = [(look.step, look.gold) for look in between if look.gold is not None]
    step, peak = max(golds, key=lambda each: float(each[1].mean()))
    fell, rose = now.gold - peak, now.rewards - first.rewards
    if not (_moved(fell) and fell.mean() < 0 and _moved(rose) and rose.mean() > 0):
        return ""
    return (
        f"the gold reward has fallen from {peak.mean():.2f} at step {step:,} to {now.gold.mean():.2f}, while the "
        "reward that is trained on has risen: the policy is over-optimised"
    )


def _moved(change: FloatArray) -> bool:
    """Whether a mean difference is sure; paired over the prompts."""
    if len(change) < 2:
        return False
    error = change.std(ddof=1) / np.sqrt(len(change))
    return bool(abs(change.mean()) > SURE_ERRORS * error)
