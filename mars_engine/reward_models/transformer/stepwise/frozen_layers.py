"""Fine-tuning above frozen layers: what these make of a text is computed once, and each step begins from there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, Pair, TrainingSet
from mars_engine.reward_models.transformer.backbone import Backbone, load_probe_backbone
from mars_engine.reward_models.transformer.probe_start import ProbeStart
from mars_engine.reward_models.transformer.stepwise.training import StepTraining, TunedMargins
from mars_engine.reward_models.transformer.tokenize import TokenizedSide

TEXTS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class FrozenTuning:
    """Fine-tunes an encoder from a probe's solution, its lower layers left as they are.

    Attributes:
        folder: the encoder.
        frozen_layers: layers from below that stay as they are, beside the embeddings; at most all that the probe reads.
        training: how it is trained.
    """

    folder: Path
    frozen_layers: int
    training: StepTraining

    def margins(
        self,
        start: ProbeStart,
        training_set: TrainingSet,
        heldout: Sequence[Pair],
        *,
        steps: int,
        seed: int,
        progress: Progress,
    ) -> TunedMargins:
        """Take so many optimizer steps from the probe's solution, and return margins; nothing is kept of the model.

        Raises:
            ConfigError: the encoder is not built like BERT, or the length limit does not fit it.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            upper = UpperLayers(load_probe_backbone(self.folder, start), self.frozen_layers)
            pairs = list(training_set.pairs)
            texts = upper.lower_states([*pairs, *heldout], progress=progress)
            self.training.train(
                upper.model,
                lambda batch: upper.margins([texts[place] for place in batch]),
                training_set,
                steps=steps,
                seed=seed,
                progress=progress,
            )
            margins = upper.score(texts)
        return TunedMargins(margins[: len(pairs)], margins[len(pairs) :])


@dataclass(frozen=True, slots=True)
class LowerStates:
    """A text after the frozen layers.

    Attributes:
        states: of its tokens, shape (length, d).
        means: pooled states of the layers at or below the frozen ones that the head looks at, shape (layers·d,).
        pooled: the first token that is pooled, and the one after the last.
    """

    states: Tensor
    means: Tensor
    pooled: tuple[int, int]


class UpperLayers:
    """A model with the head 'probe', run from its first layer that is not frozen.

    Args:
        backbone: the model.
        frozen: how many layers are.
    """

    def __init__(self, backbone: Backbone, frozen: int) -> None:
        self.model: Any = backbone.model.eval()
        self._pairs = backbone.pairs
        self._padding = backbone.padding
        self._encoder: Any = getattr(self.model, self.model.base_model_prefix)
        self._layers: tuple[int, ...] = backbone.pairs.reading.text.layers  # type: ignore[union-attr]
        self._frozen = min(frozen, self._layers[-1])
        self._stack = list(self._encoder.encoder.layer)
        for parameter in self._encoder.parameters():
            parameter.requires_grad_(False)
        for layer in self._stack[self._frozen :]:
            layer.requires_grad_(True)

    @torch.no_grad()
    def lower_states(self, pairs: Sequence[Pair], *, progress: Progress) -> list[tuple[LowerStates, LowerStates]]:
        """Return what the frozen layers make of both sides of each pair, each text computed once."""
        rows = self._pairs.tokenize(pairs, progress=progress)
        sides = {(side.token_ids, side.pooled): side for row in rows for side in (row.chosen, row.rejected)}
        ordered = sorted(sides.values(), key=lambda side: len(side.token_ids))
        found: dict[Any, LowerStates] = {}
        with progress.task("frozen layers", len(ordered)) as task:
            for first in range(0, len(ordered), TEXTS_AT_ONCE):
                some = ordered[first : first + TEXTS_AT_ONCE]
                for side, states in zip(some, self._lower(some), strict=True):
                    found[side.token_ids, side.pooled] = states
                task.advance(len(some))
        return [
            (found[row.chosen.token_ids, row.chosen.pooled], found[row.rejected.token_ids, row.rejected.pooled])
            for row in rows
        ]

    def _lower(self, sides: Sequence[TokenizedSide]) -> list[LowerStates]:
        inputs = self._padding.pad(sides)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        states = self._encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return [
            LowerStates(
                states=states[self._frozen][place, : len(side.token_ids)].clone(),
                means=torch.cat(
                    [_mean(states[layer][place], _pooled(side)) for layer in self._layers if layer <= self._frozen]
                    or [states[0].new_zeros(0)]
                ),
                pooled=_pooled(side),
            )
            for place, side in enumerate(sides)
        ]

    def margins(self, pairs: Sequence[tuple[LowerStates, LowerStates]]) -> Tensor:
        """Return the margins of a batch, shape (n,)."""
        rewards = self._rewards([side for pair in pairs for side in pair])
        return rewards[0::2] - rewards[1::2]

    @torch.no_grad()
    def score(self, pairs: Sequence[tuple[LowerStates, LowerStates]]) -> FloatArray:
        """Return the margins of all pairs, in batches of similar length, shape (n,)."""
        margins = np.empty(len(pairs), dtype=np.float64)
        order = np.argsort([max(len(side.states) for side in pair) for pair in pairs], kind="stable")
        for first in range(0, len(pairs), TEXTS_AT_ONCE):
            places = order[first : first + TEXTS_AT_ONCE]
            margins[places] = self.margins([pairs[place] for place in places]).numpy()
        return margins

    def _rewards(self, sides: Sequence[LowerStates]) -> Tensor:
        states = torch.nn.utils.rnn.pad_sequence([side.states for side in sides], batch_first=True)
        position = torch.arange(states.shape[1])
        lengths, first, last = (
            torch.tensor(each)[:, None]
            for each in (
                [len(side.states) for side in sides],
                [side.pooled[0] for side in sides],
                [side.pooled[1] for side in sides],
            )
        )
        padded = (position >= lengths)[:, None, None, :]
        mask = torch.zeros(padded.shape).masked_fill(padded, torch.finfo(torch.float32).min)
        pooled = ((position >= first) & (position < last)).to(states.dtype)
        means = [torch.stack([side.means for side in sides])]
        for number, layer in enumerate(self._stack[self._frozen :], start=self._frozen + 1):
            after = layer(states, attention_mask=mask)
            states = after[0] if isinstance(after, tuple) else after
            if number in self._layers:
                total = torch.einsum("nld,nl->nd", states, pooled)
                means.append(total / pooled.sum(dim=1, keepdim=True).clamp(min=1.0))
        rewards: Tensor = self.model.reward_head(torch.cat(means, dim=1))[:, 0]
        return rewards


def _pooled(side: TokenizedSide) -> tuple[int, int]:
    """The first token whose states are averaged, and the one after the last."""
    return side.pooled or (0, 0)


def _mean(states: Tensor, pooled: tuple[int, int]) -> Tensor:
    first, last = pooled
    return states[first:last].sum(dim=0) / max(1, last - first)
