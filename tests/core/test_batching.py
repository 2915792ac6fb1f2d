"""Token budgets of batches."""

import pytest

from mars_engine.core.batching import batches_by_length, token_budget


@pytest.mark.parametrize(("configured", "device", "budget"), [(0, "cpu", 2048), (0, "cuda", 16_384), (64, "cuda", 64)])
def test_a_budget_that_is_not_given_suits_the_device(configured, device, budget):
    assert token_budget(configured, device) == budget


def test_a_batch_is_within_its_budget_with_its_padding_and_a_long_text_stands_alone():
    assert batches_by_length([5, 30, 3, 9], 20) == [[2, 0], [3], [1]]
