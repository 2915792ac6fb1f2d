"""How many labels are wrong, and which: what out-of-fold margins say of label noise.

A label that is wrong with probability ε agrees with a margin Δ with probability (1 − ε)σ(aΔ) + εσ(−aΔ): however sure a
model is, it agrees with no more than 1 − ε of the labels (cf. Bootkrajang & Kabán 2012, label-noise robust logistic
regression). ε and the scale a are held open on a grid, every value as probable beforehand as the others. Where margins
are too weak to reach the plateau, the answer stays near the grid's middle, and its interval is wide.
"""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray, IntArray
from mars_engine.stats.metrics import sigmoid

NOISE_GRID = np.linspace(0.0, 0.45, 46)
SCALE_GRID = np.geomspace(0.25, 8.0, 31)


@dataclass(frozen=True, eq=False)
class WrongLabels:
    """What n out-of-fold margins say of their labels."""

    share: float
    """Expected share of wrong labels."""
    low: float
    high: float
    """The 95% interval of the share."""
    by_share: FloatArray
    """Probability of each share of NOISE_GRID, shape (46,)."""
    given_share: FloatArray
    """That the pair's label is wrong, were that the share, shape (46, n)."""

    @property
    def probability(self) -> FloatArray:
        """That the pair's label is wrong, shape (n,)."""
        return np.asarray(self.by_share @ self.given_share, dtype=np.float64)

    def among(self, places: IntArray) -> tuple[float, float]:
        """Return how many labels are expected to be wrong among some pairs, and the standard deviation of that."""
        given = self.given_share[:, places]
        counts, spread = given.sum(axis=1), (given * (1 - given)).sum(axis=1)
        mean = float(self.by_share @ counts)
        variance = float(self.by_share @ (counts**2 + spread)) - mean**2
        return mean, float(np.sqrt(max(variance, 0.0)))


def estimate_wrong_labels(margins: FloatArray) -> WrongLabels:
    """Return the estimate for pairs with these out-of-fold margins, as labelled, shape (n,)."""
    right = sigmoid(np.multiply.outer(SCALE_GRID, margins))
    noise = NOISE_GRID[:, None]
    log_posterior = np.array(
        [np.log((1 - noise) * row + noise * (1 - row) + 1e-12).sum(axis=1) for row in right]
    )  # (scales, noises)
    posterior = np.exp(log_posterior - log_posterior.max())
    posterior = posterior / posterior.sum() + 1e-300
    by_share = posterior.sum(axis=0)
    low, high = np.interp([0.025, 0.975], np.cumsum(by_share), NOISE_GRID)
    given_share = np.zeros((len(NOISE_GRID), len(margins)))
    for row, joint in zip(right, posterior, strict=True):
        wrong = noise * (1 - row)
        given_share += (joint / by_share)[:, None] * (wrong / ((1 - noise) * row + wrong + 1e-12))
    return WrongLabels(float(by_share @ NOISE_GRID), float(low), float(high), by_share, given_share)
