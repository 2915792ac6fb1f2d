"""The learning curve: what more pairs are worth, by what fewer were worth.

Accuracy on n pairs is a − b·n^−c. The exponent is the one by which the curve's points lie best, of a short list; a and
b follow by least squares.
"""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray

EXPONENTS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A power law fitted to accuracies, one for all; and the slopes that parts of what was measured have on it."""

    exponent: float
    slopes: FloatArray
    """b of each part, shape (…,): their mean is the curve's."""

    def gains(self, now: int, more: int) -> FloatArray:
        """Return how much accuracy `more` pairs beside those there are `now` add for each part, from 0 to 1."""
        return np.asarray(self.slopes * (now**-self.exponent - (now + more) ** -self.exponent), dtype=np.float64)


def fit_learning_curve(sizes: FloatArray, accuracies: FloatArray) -> LearningCurve:
    """Return the curve through accuracies.

    Args:
        sizes: numbers of training pairs, shape (points,), at least two different ones.
        accuracies: of each part, such as a pair when it was held out, shape (…, points); NaN where it scores nothing.
    """
    mean = np.nanmean(accuracies.reshape(-1, len(sizes)), axis=0)
    errors, axes = [], []
    for exponent in EXPONENTS:
        centred = -(sizes**-exponent) + (sizes**-exponent).mean()
        axes.append(centred / (centred @ centred))
        errors.append(float(((mean - mean.mean() - (mean @ axes[-1]) * centred) ** 2).sum()))
    best = int(np.argmin(errors))
    return LearningCurve(EXPONENTS[best], np.asarray(accuracies @ axes[best], dtype=np.float64))
