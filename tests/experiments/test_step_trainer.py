"""The step trainer: AdamW as torch has it, full batches, exactly so many steps."""

import numpy as np
import pytest

from mars_engine.experiments.plan import TrainingSettings
from mars_engine.experiments.step_trainer import AdamWTrainer
from mars_engine.reward_models.probe import fit_bradley_terry

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((30, 6)) + 0.3
WEIGHTS = RNG.uniform(0.2, 3, 30)
CONFIDENCE = np.where(RNG.random(30) < 0.2, 0.7, 1.0)


def fit(steps: int, *, seed: int = 0, **settings: object) -> np.ndarray:
    trainer = AdamWTrainer(TrainingSettings(**settings))
    return trainer.fit(ROWS, WEIGHTS, CONFIDENCE, steps=steps, rng=np.random.default_rng(seed))


class OrderOfPasses:
    """Hands out the order of each pass, and keeps it."""

    def __init__(self) -> None:
        self.rng, self.orders = np.random.default_rng(0), []

    def permutation(self, count: int) -> np.ndarray:
        self.orders.append(self.rng.permutation(count))
        return self.orders[-1]


def test_it_takes_the_steps_it_is_asked_for_in_full_batches_of_one_stream():
    trainer = AdamWTrainer(TrainingSettings(batch_size=8))
    passes = OrderOfPasses()
    trainer.fit(ROWS, WEIGHTS, CONFIDENCE, steps=15, rng=passes)
    assert len(passes.orders) == 15 * 8 / 30
    assert (fit(0) == 0).all()
    assert not np.array_equal(fit(15), fit(14))
    np.testing.assert_array_equal(fit(15), fit(15))
    assert not np.array_equal(fit(15), fit(15, seed=1))


def test_steps_for_epochs_round_up_and_small_sets_are_one_batch():
    trainer = AdamWTrainer(TrainingSettings(epochs=3, batch_size=8))
    assert trainer.steps_for_epochs(30) == 12
    assert trainer.steps_for_epochs(32) == 12
    assert trainer.steps_for_epochs(33) == 13
    assert (trainer.pairs_a_step(5), trainer.steps_for_epochs(5)) == (5, 3)


def test_many_full_batches_reach_the_convex_optimum():
    reached = fit(1500, batch_size=30, learning_rate=0.02, weight_decay=0)
    exact = fit_bradley_terry(ROWS, WEIGHTS, CONFIDENCE, l2=1e-9)
    np.testing.assert_allclose(reached, exact, atol=1e-2)


def test_only_the_proportions_of_the_weights_count():
    trainer = AdamWTrainer(TrainingSettings(batch_size=8))
    one, other = (
        trainer.fit(ROWS, factor * WEIGHTS, CONFIDENCE, steps=20, rng=np.random.default_rng(0)) for factor in (1, 7)
    )
    np.testing.assert_allclose(one, other)


@pytest.mark.model
def test_it_is_torchs_adamw_step_by_step():
    import torch

    settings = TrainingSettings(batch_size=8, learning_rate=0.03, weight_decay=0.05)
    passes = OrderOfPasses()
    ours = AdamWTrainer(settings).fit(ROWS, WEIGHTS, CONFIDENCE, steps=40, rng=passes)
    stream = np.concatenate(passes.orders)
    head = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([head], lr=0.03, weight_decay=0.05)
    rows, weights, confidence = (torch.tensor(each) for each in (ROWS, WEIGHTS / WEIGHTS.mean(), CONFIDENCE))
    for step in range(40):
        batch = torch.tensor(stream[8 * step : 8 * step + 8])
        margins = rows[batch] @ head
        losses = torch.nn.functional.binary_cross_entropy_with_logits(margins, confidence[batch], reduction="none")
        optimizer.zero_grad()
        (weights[batch] * losses).mean().backward()
        optimizer.step()
    np.testing.assert_allclose(ours, head.detach().numpy(), atol=1e-10)
