"""The reward of a completion: what one reward model says, or several together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.config import RewardCombination
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import FloatArray, Pair, Prompt
from mars_engine.reward_models.protocols import RewardModel

LONGEST_QUOTED = 80


@dataclass(frozen=True)
class RewardSource:
    """A reward model, what it is called, and the mean and deviation of its rewards of the workspace's own pairs."""

    label: str
    model: RewardModel
    mean: float = 0.0
    deviation: float = 1.0


@dataclass(frozen=True, slots=True)
class ScoredCompletions:
    """Rewards of completions, shape (n,), and what each reward model said, shape (models, n)."""

    rewards: FloatArray
    by_model: FloatArray
    empty: int
    """Completions without a text: no reward model is asked for one; they get the lowest reward of the others."""

    @property
    def disagreement(self) -> FloatArray | None:
        """Standard deviation of the reward models' rewards of each completion, shape (n,); None for a single model."""
        return self.by_model.std(axis=0) if len(self.by_model) > 1 else None


@dataclass(frozen=True)
class PolicyReward:
    """Scores completions by reward models, each of them brought to one scale where there are several."""

    sources: tuple[RewardSource, ...]
    combination: RewardCombination = "mean"

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> ScoredCompletions:
        """Return the reward of each completion of its prompt.

        Raises:
            ModelError: all completions are empty, or a reward model returns what is no finite number.
        """
        written = [place for place, text in enumerate(completions) if text.strip()]
        if not written:
            raise ModelError(
                f"all {len(completions):,} completions are empty",
                expected="a policy that writes something before its end token",
                remedy="check 'policy' and 'template' under [align] in mars.toml, or raise max_new_tokens there",
            )
        by_model = np.zeros((len(self.sources), len(completions)))
        for source, row in zip(self.sources, by_model, strict=True):
            found = _score(source, [prompts[place] for place in written], [completions[place] for place in written])
            row[:] = found.min()
            row[written] = found
        together = by_model.mean(axis=0) if self.combination == "mean" else by_model.min(axis=0)
        return ScoredCompletions(together, by_model, len(completions) - len(written))

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[float]:
        return [float(reward) for reward in self.score(prompts, completions).rewards]


def _score(source: RewardSource, prompts: Sequence[Prompt], completions: Sequence[str]) -> FloatArray:
    """Score completions two and two, as the sides of a pair where they answer one prompt: a model reads pairs."""
    sides: list[tuple[int, int]] = []
    waiting: dict[Prompt, int] = {}
    for place, prompt in enumerate(prompts):
        other = waiting.pop(prompt, None)
        if other is None:
            waiting[prompt] = place
        else:
            sides.append((other, place))
    sides += [(place, place) for place in waiting.values()]
    pairs = [Pair.of(prompts[one], completions[one], completions[other]) for one, other in sides]
    import torch

    with torch.inference_mode():  # TRL asks with gradients on
        scored = source.model.score(pairs, progress=SilentProgress())
    rewards = np.empty(len(completions))
    for (one, other), chosen, rejected in zip(sides, scored.chosen, scored.rejected, strict=True):
        rewards[one], rewards[other] = chosen, rejected
    _require_finite(source, rewards, completions)
    return (rewards - source.mean) / source.deviation


def _require_finite(source: RewardSource, rewards: FloatArray, completions: Sequence[str]) -> None:
    bad = np.flatnonzero(~np.isfinite(rewards))
    if len(bad) == 0:
        return
    text = completions[bad[0]]
    quoted = text if len(text) <= LONGEST_QUOTED else f"{text[:LONGEST_QUOTED]}…"
    raise ModelError(
        f"the reward model {source.label!r} returned {rewards[bad[0]]} for {len(bad):,} of {len(rewards):,} "
        f"completions, such as {quoted!r}",
        expected="a finite reward for any text",
        remedy="train the policy against another reward model, or train this one anew; what was saved before is whole",
    )
