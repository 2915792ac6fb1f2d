"""The training loop of experiments: so many optimizer steps on full batches of weighted pairs, fixed by a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, IntArray, TrainingSet

WARMUP = 0.1
"""Share of the steps in which the learning rate rises; then it falls to 0."""


@dataclass(frozen=True, slots=True)
class TunedMargins:
    """What a fine-tuned model says of the pairs that it learned from, and of held-out ones; each of shape (n,)."""

    train: FloatArray
    heldout: FloatArray


@dataclass(frozen=True, slots=True)
class StepTraining:
    """Trains a model by AdamW.

    Attributes:
        batch_size: pairs a step; every batch is full, passes over the pairs follow each other without a break.
        learning_rate: AdamW's, after the warm-up.
        weight_decay: AdamW's.
    """

    batch_size: int
    learning_rate: float
    weight_decay: float

    def train(
        self,
        model: Any,
        margins: Callable[[IntArray], Tensor],
        training_set: TrainingSet,
        *,
        steps: int,
        seed: int,
        progress: Progress,
    ) -> None:
        """Take so many optimizer steps; the model is in evaluation mode afterwards.

        The loss of a batch is the mean of v_i·[−p_i log σ(Δ_i) − (1 − p_i) log σ(−Δ_i)], v the weights over their mean
        and p the confidence in the labels.

        Args:
            model: whose parameters that require gradients are trained.
            margins: returns the model's margins Δ of the pairs at some places of the training set, shape (n,).
            training_set: the pairs, their weights and the confidence in their labels.
            steps: how many optimizer steps.
            seed: shuffles the pairs.
            progress: shows the steps.
        """
        weights = torch.tensor(training_set.weights / training_set.weights.mean(), dtype=torch.float32)
        labels = torch.tensor(training_set.label_confidence, dtype=torch.float32)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=self.weight_decay)
        rising = max(1, round(WARMUP * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / rising, (steps - step) / max(1, steps - rising))
        )
        rng, waiting = np.random.default_rng(seed), np.zeros(0, dtype=np.int64)
        pairs = len(training_set.pairs)
        count = min(self.batch_size, pairs)
        model.train()
        with progress.task("train", steps) as task:
            for _ in range(steps):
                if len(waiting) < count:
                    waiting = np.concatenate([waiting, rng.permutation(pairs)])
                batch, waiting = waiting[:count], waiting[count:]
                found = margins(batch)
                losses = cross_entropy(found, labels[batch].to(found.device), reduction="none")
                optimizer.zero_grad()
                (weights[batch].to(found.device) * losses).mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                task.advance()
        model.eval()
