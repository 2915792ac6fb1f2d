"""What the best of n is worth, over all subsets of the answers that are there, and how far it moves from the policy.

Of N answers to a prompt every n could have been drawn. The mean over all subsets has a closed form by ranks, so that
nothing is sampled (Nakano et al. 2021, arXiv 2112.09332, appendix I; Gao et al. 2023, arXiv 2210.10760).
"""

from functools import lru_cache
from math import comb

import numpy as np

from mars_engine.core.records import FloatArray


def doubling_sizes(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … up to `most`, and `most` itself."""
    sizes = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return tuple(sizes if sizes[-1:] == [most] else [*sizes, most])


def picking_weights(rewards: FloatArray, n: int) -> FloatArray:
    """Return how likely each answer is the one of the highest reward among n drawn without replacement, shape (N,).

    Answers of equal reward are equally likely to be picked. Unbiased for n fresh answers of the same policy.

    Args:
        rewards: of N answers to one prompt, shape (N,), finite.
        n: at least 1, at most N.

    Raises:
        ValueError: n is out of its range.
    """
    total = len(rewards)
    if not 1 <= n <= total:
        raise ValueError(f"the best of {n} cannot be estimated from {total} answers")
    by_rank = np.array(_weights_by_rank(total, n))
    _, place, counts = np.unique(rewards, return_inverse=True, return_counts=True)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    shared = np.add.reduceat(by_rank, first) / counts
    return np.asarray(shared[place], dtype=np.float64)


@lru_cache(maxsize=64)
def _weights_by_rank(total: int, n: int) -> tuple[float, ...]:
    """Return the share of subsets of n in which the answer of each rank is the best, the lowest reward first."""
    subsets = comb(total, n)
    return tuple(comb(rank, n - 1) / subsets for rank in range(total))


def best_of(rewards: FloatArray, judged: FloatArray, n: int) -> FloatArray:
    """Return the expected judged quality of the answer that the reward picks among n, shape (prompts,).

    Args:
        rewards: what picks, shape (prompts, N).
        judged: what the pick is worth, shape (prompts, N); the rewards again give the expected highest reward.
        n: at least 1, at most N.
    """
    weights = np.array([picking_weights(row, n) for row in rewards]).reshape(rewards.shape)
    return np.asarray((weights * judged).sum(axis=1), dtype=np.float64)


def kl_bound(n: int) -> float:
    """Return log n − (n − 1)/n, in nats: an upper bound of the KL divergence of best-of-n from the policy.

    It is reached where no answer comes twice (Beirami et al. 2024, arXiv 2401.01879); a policy that repeats itself
    stays below it.
    """
    return float(np.log(n) - (n - 1) / n)
