"""A trained transformer that scores pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mars_engine.words.protocols import Progress
from mars_engine.words.records import FloatArray, Pair, Rewards, Truncation
from mars_engine.world.batching import batches_by_length, token_budget
from mars_engine.world.reward_models.transformer.backbone import Backbone, find_device, load_trained
from mars_engine.world.reward_models.transformer.collator import Padding
from mars_engine.world.reward_models.transformer.tokenize import TokenizedPair, count_truncation


@dataclass(frozen=True)
class TransformerRewardModel:
    """A transformer with one output. Rewards are computed in fp32, whatever it was trained in."""

    id: str
    backbone: Backbone
    batch_tokens: int
    card: str = ""
    """What its README says, where it was just trained."""

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        """Return the rewards of both sides of each pair, both sides of many pairs in one forward pass.

        A side's reward depends on the other side only where the response alone exceeds the length limit: then both keep
        the stretch in which they differ.
        """
        rows = self.backbone.pairs.tokenize(pairs, progress=progress)
        return score_tokenized(
            self.backbone.model, rows, self.backbone.padding, batch_tokens=self.batch_tokens, progress=progress
        )

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:
        return count_truncation(self.backbone.pairs.tokenize(pairs, progress=progress))


def load_reward_model(model_id: str, folder: Path, *, device: str, batch_tokens: int) -> TransformerRewardModel:
    """Load a reward model that `mars train` saved.

    Raises:
        ModelError: its files are missing or damaged, or the device cannot be used.
    """
    backbone = load_trained(folder)
    backbone.model.to(find_device(device))
    return TransformerRewardModel(model_id, backbone, batch_tokens)


def score_tokenized(
    model: torch.nn.Module, rows: Sequence[TokenizedPair], padding: Padding, *, batch_tokens: int, progress: Progress
) -> Rewards:
    """Return the rewards of tokenized pairs, in batches of sides of similar length; the model stays in its mode.

    `batch_tokens` is the token budget of a batch, 0 for what suits the device.
    """
    sides = [side for row in rows for side in (row.chosen, row.rejected)]
    rewards: FloatArray = np.empty(len(sides), dtype=np.float64)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with progress.task("score", len(rows)) as task, torch.inference_mode():
            scored = 0
            budget = token_budget(batch_tokens, device.type)
            for batch in batches_by_length([len(side.token_ids) for side in sides], budget):
                inputs = {name: each.to(device) for name, each in padding.pad([sides[i] for i in batch]).items()}
                rewards[batch] = model(**inputs).logits[:, 0].float().cpu().numpy()
                task.advance((scored + len(batch)) // 2 - scored // 2)
                scored += len(batch)
    finally:
        model.train(was_training)
    return Rewards(rewards[0::2], rewards[1::2])
