"""From trials to what a step is expected to gain, with intervals.

The labels of a fold that is left out are as wrong as the others. Where wrong labels fall at random at a rate ε, a gain
G in what is really better shows as (1 − 2ε)·G on them: measured gains are divided by that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mars_engine.advise.learning_curve import fit_learning_curve
from mars_engine.advise.trials import READ_SHARES, Trials
from mars_engine.advise.wrong_labels import WrongLabels
from mars_engine.core.records import FloatArray, IntArray

EXPECTED_SIZE = 1.0
"""Points, the standard deviation of what other features, new pairs or leaving suspects out are worth before anything
is measured: mostly within a point of nothing, to either side. Several such steps are measured with as much noise, and
the luckiest would come first; what is measured is therefore drawn to 0, by as much as it is uncertain."""
LEAST_SHARE_SEEN = 0.3
"""No measured gain is stretched to more than 1 / 0.3 of itself: ε is not known well enough for that."""


@dataclass(frozen=True, slots=True)
class Gain:
    """An expected gain in accuracy, in points, with its standard error."""

    points: float
    error: float

    def interval(self, level: float) -> tuple[float, float]:
        reach = NormalDist().inv_cdf(0.5 + level / 2) * self.error
        return self.points - reach, self.points + reach


@dataclass(frozen=True, eq=False)
class Estimates:
    """What trials say of each step."""

    trials: Trials
    prompts: Sequence[str]
    """Of each pair of the trials; pairs of one prompt are not independent."""
    wrong: WrongLabels
    pairs: int
    """Of the workspace; more than were tried out on where they are very many."""

    @property
    def stretch(self) -> float:
        """By which a gain on the labels as they are is less than what is really gained."""
        return 1 / max(LEAST_SHARE_SEEN, 1 - 2 * self.wrong.share)

    def measured(self, name: str) -> Gain:
        """Return the gain of a step that was done in the trials, drawn to 0 by as much as it is uncertain."""
        mean, error = self._mean(self.trials.gains[name])
        return drawn_to_nothing(Gain(100 * mean * self.stretch, 100 * error * self.stretch))

    def checking(self, places: IntArray, of: int) -> Gain:
        """Return the gain of setting right what is wrong among some of the `of` pairs of the trials.

        There are two ways to know it, and the better is taken. What one label set right is worth was measured by flips
        of our own, and how many of these are wrong is expected by their margins: both are uncertain, independently of
        each other. Where margins are too weak to tell: leaving as many of the lowest out was measured as it is, and
        what is read comes back with right labels, which is worth as many pairs on the learning curve.
        """
        worth, worth_error = self._mean(self.trials.worth)
        count, count_error = self.wrong.among(places)
        share, share_error = count / of, count_error / of
        error = np.sqrt((worth * share_error) ** 2 + (share * worth_error) ** 2 + (worth_error * share_error) ** 2)
        righted = Gain(100 * worth * share * self.stretch, 100 * float(error) * self.stretch)
        unread = self._leaving_out_lowest(len(places) / of)
        back = self._on_curve(self.pairs - round(len(places) / of * self.pairs), self.pairs)
        without = Gain(unread.points + back.points, float(np.hypot(unread.error, back.error)))
        return max(righted, without, key=lambda gain: gain.points)

    def _leaving_out_lowest(self, share: float) -> Gain:
        """Return the gain of leaving out a share of the pairs, on a line between the shares that were tried."""
        axis = np.array([0.0, *READ_SHARES])
        weights = np.array([np.interp(share, axis, unit) for unit in np.eye(len(axis))[1:]])
        mean, error = self._mean(self.trials.without_lowest @ weights)
        return Gain(100 * mean * self.stretch, 100 * error * self.stretch)

    def labelling(self, count: int) -> Gain:
        """Return the gain of so many more pairs like those there are, with labels as often wrong as theirs."""
        return self._on_curve(self.pairs, self.pairs + count)

    def _on_curve(self, before: int, after: int) -> Gain:
        curve = fit_learning_curve(self.trials.curve_sizes, self.trials.curve)
        mean, error = self._mean(curve.gains(before, after - before))
        return Gain(100 * mean * self.stretch, 100 * error * self.stretch)

    def _mean(self, values: FloatArray) -> tuple[float, float]:
        """Return the mean of a figure a pair under each draw, and its standard error.

        The error has two parts: which prompts are scored, each by its mean over the draws, and which draws were made.
        """
        values = values[~np.isnan(values).all(axis=1)]
        by_draw = np.nanmean(values, axis=1)
        scored = ~np.isnan(values).all(axis=0)
        by_pair = np.nanmean(values[:, scored], axis=0)
        mean = float(by_pair.mean())
        _, prompt = np.unique(np.asarray(self.prompts)[scored], return_inverse=True)
        by_prompt = np.bincount(prompt, by_pair - mean)
        variance = float((by_prompt**2).sum()) / len(by_pair) ** 2
        if len(by_draw) > 1:
            variance += float(by_draw.var(ddof=1)) / len(by_draw)
        return mean, float(np.sqrt(variance))


def drawn_to_nothing(gain: Gain) -> Gain:
    """Return the posterior mean and standard deviation of a gain that may go either way; see EXPECTED_SIZE."""
    kept = EXPECTED_SIZE**2 / (EXPECTED_SIZE**2 + gain.error**2)
    return Gain(kept * gain.points, float(np.sqrt(kept)) * gain.error)
