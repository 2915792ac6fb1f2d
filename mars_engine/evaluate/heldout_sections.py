"""Reward models on the held-out pairs in RewardBench's manner: a score a subset by its rules.

It is not RewardBench: the prompts are the workspace's own, so that no figure here can stand beside a published one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import ModelRecord
from mars_engine.data.pair_index import SPLIT_CODES, PairIndex
from mars_engine.evaluate.rewardbench_scores import SubsetScore, score_pairwise
from mars_engine.reward_models.score import stored_rewards
from mars_engine.store import Store

FEWEST_SUBSETS = 2


@dataclass(frozen=True, slots=True)
class SectionedModel:
    """One model's scores, each subset a section of its own."""

    label: str
    sections: tuple[SubsetScore, ...]

    @property
    def overall(self) -> float:
        """The plain mean of the sections, whatever their sizes."""
        return float(np.mean([section.score for section in self.sections]))

    @property
    def rows(self) -> int:
        return sum(section.rows for section in self.sections)

    @property
    def ties(self) -> int:
        return sum(section.ties for section in self.sections)


@dataclass(frozen=True, slots=True)
class HeldoutSections(ShownAsTable):
    """Models on the held-out pairs that have a subset; empty where fewer than two subsets are named."""

    models: tuple[SectionedModel, ...]


def score_sections(store: Store, index: PairIndex, models: Sequence[ModelRecord]) -> HeldoutSections:
    """Return the scores of all models that have scored each held-out pair of a named subset.

    As in RewardBench 1, a pair is right where the chosen answer's reward is the greater one, and a tie is a loss.
    Labels are as they were imported.
    """
    subsets = np.array(index.subset_names, dtype=object)[index.subset[index.split == SPLIT_CODES.index("heldout")]]
    named = subsets != ""
    if len(set(subsets[named])) < FEWEST_SUBSETS:
        return HeldoutSections(())
    found = []
    for model in models:
        rewards = stored_rewards(store, index, model.id, "heldout")
        chosen, rejected = rewards.chosen[named], rewards.rejected[named]
        if not (np.isnan(chosen).any() or np.isnan(rejected).any()):
            scores = score_pairwise(subsets[named].tolist(), chosen, rejected)
            found.append(SectionedModel(model.label, tuple(scores.subsets)))
    return HeldoutSections(tuple(found))
