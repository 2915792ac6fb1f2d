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
    """A power law fitted to accuracies."""

    exponent: float
    slopes: FloatArray
    """b under each trial, shape (trials,): their mean is the curve's."""

    def gains(self, now: int, more: int) -> FloatArray:
        """Return how much accuracy `more` pairs beside those there are `now` add under each trial, from 0 to 1."""
        return np.asarray(self.slopes * (now**-self.exponent - (now + more) ** -self.exponent), dtype=np.float64)


def fit_learning_curve(sizes: FloatArray, accuracies: FloatArray) -> LearningCurve:
    """Return the curve through the accuracies of some trials.

    Args:
        sizes: numbers of training pairs, shape (points,), at least two different ones.
        accuracies: shape (trials, points).
    """
    mean = accuracies.mean(axis=0)
    errors, slopes = [], []
    for exponent in EXPONENTS:
        axis = -(sizes**-exponent)
        centred = axis - axis.mean()
        by_trial = accuracies @ centred / (centred @ centred)
        slopes.append(by_trial)
        errors.append(float(((mean - mean.mean() - by_trial.mean() * centred) ** 2).sum()))
    best = int(np.argmin(errors))
    return LearningCurve(EXPONENTS[best], np.asarray(slopes[best], dtype=np.float64))
