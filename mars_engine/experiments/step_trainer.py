"""A linear reward model trained step by step: minibatch AdamW, so that methods can be given equally many steps."""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray
from mars_engine.experiments.plan import TrainingSettings

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""AdamW's usual constants (Loshchilov & Hutter 2019, arXiv 1711.05101)."""


@dataclass(frozen=True, slots=True)
class AdamWTrainer:
    """Trains linear Bradley–Terry heads on feature differences, from zero and with a constant learning rate.

    Every batch is full: one shuffled pass over the pairs follows another without a break, and each step takes the
    next `batch_size` pairs of that stream (all pairs, where there are fewer than that).
    """

    settings: TrainingSettings

    def steps_for_epochs(self, pairs: int) -> int:
        """Return the optimizer steps of the experiment's configured passes over so many pairs, rounded up."""
        return int(np.ceil(self.settings.epochs * pairs / self.pairs_a_step(pairs)))

    def pairs_a_step(self, pairs: int) -> int:
        return min(self.settings.batch_size, pairs)

    def fit(
        self,
        differences: FloatArray,
        weights: FloatArray,
        label_confidence: FloatArray,
        *,
        steps: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        """Return the weight vector w of an experiment's model, shape (d,), after so many steps.

        The loss of a batch is the mean of v_i·[−p_i log σ(w·Δφ_i) − (1 − p_i) log σ(−w·Δφ_i)], v the weights over
        their mean.

        Args:
            differences: Δφ, shape (n, d).
            weights: weight of each pair, shape (n,).
            label_confidence: p, shape (n,).
            steps: how many optimizer steps.
            rng: shuffles the pairs.
        """
        settings = self.settings
        scaled = weights / weights.mean()
        head = np.zeros(differences.shape[1])
        mean, square = np.zeros_like(head), np.zeros_like(head)
        batch_size = self.pairs_a_step(len(differences))
        waiting = np.zeros(0, dtype=np.int64)
        for step in range(1, steps + 1):
            if len(waiting) < batch_size:
                waiting = np.concatenate([waiting, rng.permutation(len(differences))])
            batch, waiting = waiting[:batch_size], waiting[batch_size:]
            rows = differences[batch]
            probability = 1.0 / (1.0 + np.exp(-np.clip(rows @ head, -500, 500)))
            gradient = rows.T @ (scaled[batch] * (probability - label_confidence[batch])) / batch_size
            mean = BETA1 * mean + (1 - BETA1) * gradient
            square = BETA2 * square + (1 - BETA2) * gradient**2
            towards = (mean / (1 - BETA1**step)) / (np.sqrt(square / (1 - BETA2**step)) + EPSILON)
            head = head - settings.learning_rate * (towards + settings.weight_decay * head)
        return head
