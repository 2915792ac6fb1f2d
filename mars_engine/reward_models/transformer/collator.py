"""What a training step sees of some pairs: one padded batch, chosen sides first, rejected sides after them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mars_engine.reward_models.transformer.tokenize import TokenizedPair, TokenizedSide


@dataclass(frozen=True, slots=True)
class Example:
    """A pair to train on. Its weight is relative to a mean of 1 over the training set."""

    pair: TokenizedPair
    weight: float
    label_confidence: float
    source: TokenizedPair | None = None
    """Where the pair is a variant: its source, the right way round."""
    paraphrased: tuple[bool, bool] = (True, True)
    """Whether its chosen and rejected side paraphrase the source's, and so are to have their rewards."""


@dataclass(frozen=True, slots=True)
class Padding:
    """How a model's sequences are padded, on the right."""

    token_id: int
    with_type_ids: bool
    with_pooled: bool = False
    """Whether the model is told which tokens' states it averages."""

    def pad(self, sides: Sequence[TokenizedSide]) -> dict[str, Tensor]:
        """Return the model's inputs for some sequences, shape (n, longest) each."""
        longest = max(len(side.token_ids) for side in sides)
        shape = (len(sides), longest)
        input_ids = torch.full(shape, self.token_id, dtype=torch.long)
        attention_mask = torch.zeros(shape, dtype=torch.long)
        type_ids = torch.zeros(shape, dtype=torch.long)
        for row, side in enumerate(sides):
            length = len(side.token_ids)
            input_ids[row, :length] = torch.tensor(side.token_ids)
            attention_mask[row, :length] = 1
            type_ids[row, :length] = torch.tensor(side.type_ids)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.with_pooled:
            return inputs | {"pooled": _pooled_mask(sides, longest)}
        return inputs | {"token_type_ids": type_ids} if self.with_type_ids else inputs


def _pooled_mask(sides: Sequence[TokenizedSide], longest: int) -> Tensor:
    mask = torch.zeros((len(sides), longest), dtype=torch.long)
    for row, side in enumerate(sides):
        start, end = side.pooled or (0, 0)
        mask[row, start:end] = 1
    return mask


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Makes batches of examples.

    The rows are the n chosen sides, the n rejected sides, and where consistency counts the chosen and the rejected
    sides of the sources of the m variants among them. Beside the model's inputs a batch has `pair_ids` (n strings),
    `weights` and `label_confidence`, shape (n,), `variants`, the places of the variants, shape (m,), and `pulled`,
    1 for each of their chosen and rejected sides that paraphrases the source's, else 0, shape (m, 2).
    """

    padding: Padding
    with_sources: bool

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        sourced = [
            (place, each.source)
            for place, each in enumerate(examples)
            if self.with_sources and each.source is not None and any(each.paraphrased)
        ]
        sides = [
            *[each.pair.chosen for each in examples],
            *[each.pair.rejected for each in examples],
            *[source.chosen for _, source in sourced],
            *[source.rejected for _, source in sourced],
        ]
        return self.padding.pad(sides) | {
            "pair_ids": [each.pair.id for each in examples],
            "weights": torch.tensor([each.weight for each in examples], dtype=torch.float32),
            "label_confidence": torch.tensor([each.label_confidence for each in examples], dtype=torch.float32),
            "variants": torch.tensor([place for place, _ in sourced], dtype=torch.long),
            "pulled": torch.tensor([examples[place].paraphrased for place, _ in sourced], dtype=torch.float32),
        }
