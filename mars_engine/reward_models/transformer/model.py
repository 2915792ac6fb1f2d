"""A trained transformer that scores pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from mars_engine.core.batching import batches_by_length, token_budget
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import FloatArray, Pair, Rewards, Truncation
from mars_engine.embeddings.devices import find_device
from mars_engine.reward_models.transformer.backbone import Backbone, load_trained
from mars_engine.reward_models.transformer.collator import Padding
from mars_engine.reward_models.transformer.first_token import last_layer_for_first_token
from mars_engine.reward_models.transformer.processes import broadcast, process_count, process_number
from mars_engine.reward_models.transformer.tokenize import TokenizedPair, count_truncation


@dataclass(frozen=True)
class TransformerRewardModel:
    """A transformer with one output. Rewards are computed in fp32, whatever it was trained in."""

    id: str
    backbone: Backbone
    batch_tokens: int
    card: str = ""
    """What its README says, where it was just trained."""
    folder: Path | None = None
    """Where it was loaded from, so that other processes can load it too and share the scoring."""
    remarks: tuple[str, ...] = ()
    """How it was trained and what was done to its backbone, where it was just trained; see RemarkedModel."""

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        """Return the rewards of both sides of each pair, both sides of many pairs in one forward pass.

        A side's reward depends on the other side only where the response alone exceeds the length limit: then both keep
        the stretch in which they differ.
        """
        rows = self.backbone.pairs.tokenize(pairs, progress=progress)
        if self.folder is not None and process_count() > 1:
            broadcast(share_scoring, folder=self.folder, batch_tokens=self.batch_tokens, rows=rows)
            return _score_share(self, rows, progress)
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
    backbone.model.to(find_device(device, section="reward_model"))
    return TransformerRewardModel(model_id, backbone, batch_tokens, folder=folder)


def share_scoring(folder: Path, batch_tokens: int, rows: Sequence[TokenizedPair]) -> None:
    """Do another process's share of scoring tokenized pairs."""
    _score_share(_load_once(folder, batch_tokens), rows, SilentProgress())


@lru_cache(maxsize=1)
def _load_once(folder: Path, batch_tokens: int) -> TransformerRewardModel:
    return load_reward_model("", folder, device=PartialState().device.type, batch_tokens=batch_tokens)


def _score_share(model: TransformerRewardModel, rows: Sequence[TokenizedPair], progress: Progress) -> Rewards:
    """Score this process's share of the pairs, and return the rewards of all, which the processes exchange.

    Each takes every n-th pair in the order of their lengths, so that all have as much to do.
    """
    by_length = sorted(range(len(rows)), key=lambda index: rows[index].length)
    mine = by_length[process_number() :: process_count()]
    own = score_tokenized(
        model.backbone.model,
        [rows[index] for index in mine],
        model.backbone.padding,
        batch_tokens=model.batch_tokens,
        progress=progress,
    )
    rewards: FloatArray = np.empty((2, len(rows)), dtype=np.float64)
    for places, chosen, rejected in gather_object([(mine, own.chosen, own.rejected)]):
        rewards[0, places], rewards[1, places] = chosen, rejected
    return Rewards(rewards[0], rewards[1])


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
        with (
            progress.task("score", len(rows)) as task,
            torch.inference_mode(),
            last_layer_for_first_token(model),
        ):
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
