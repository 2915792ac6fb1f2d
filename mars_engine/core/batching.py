"""Batches of token sequences of similar length: little padding, and no batch over a budget."""

from collections.abc import Sequence

PROCESSOR_BUDGET = 2048
"""Larger batches leave the processor's caches: docs/experiments.md."""
ACCELERATOR_BUDGET = 16_384


def token_budget(configured: int, device_type: str) -> int:
    """Return the token budget of a batch on a device of torch's type, "cpu" or another; 0 asks for what suits it."""
    return configured or (PROCESSOR_BUDGET if device_type == "cpu" else ACCELERATOR_BUDGET)


def batches_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return indices in batches of similar length, shortest first, each within the token budget, padding included.

    A sequence that is longer than the budget makes a batch of its own. Equal lengths keep their order.
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[index] > budget:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches
