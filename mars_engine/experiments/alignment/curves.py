"""How a policy fares against its reference as it moves away from it, and where two such policies can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray


@dataclass(frozen=True, slots=True)
class PolicyCurve:
    """A policy at its looks, the first of them the reference itself; of best-of-n, at n = 1, 2, 4, …"""

    prompts: tuple[str, ...]
    """Ids of the watched prompts."""
    steps: tuple[int, ...]
    """Optimizer steps at each look; under best-of-n, n."""
    kl: tuple[float, ...]
    """KL of an answer from the reference in nats, the mean at each look; under best-of-n, its upper bound."""
    wins: tuple[tuple[float, ...], ...]
    """For each look and prompt 1 where the judge prefers the policy's answer to the reference's, 0.5 for a tie, or 0;
    under best-of-n, the expected value."""
    words: tuple[float, ...]
    """In an answer, the mean at each look."""

    @property
    def furthest(self) -> float:
        """The greatest KL that the experiment's policy reached at a look."""
        return max(self.kl)


def shared_kl(curves: Sequence[PolicyCurve]) -> float:
    """Return the greatest KL that all curves reached."""
    return min(curve.furthest for curve in curves)


def shared_step(curves: Sequence[PolicyCurve]) -> int:
    """Return the last step at which all curves have a look; 0 is common to all, but under best-of-n 1."""
    return max(set.intersection(*(set(curve.steps) for curve in curves)))


def at_step(curve: PolicyCurve, step: int) -> FloatArray:
    """Return the weight of each look, shape (looks,), for reading a curve at one of its steps."""
    return np.array([float(each == step) for each in curve.steps])


def at_kl(curve: PolicyCurve, kl: float) -> FloatArray:
    """Return the weight of each look, shape (looks,), for reading a curve where it first reaches a KL.

    Between two looks it is interpolated in a straight line.

    Raises:
        ValueError: the curve does not reach it.
    """
    weights = np.zeros(len(curve.kl))
    if kl > curve.furthest:
        raise ValueError(f"the policy reached {curve.furthest} nats, not {kl}")
    place = next(place for place, reached in enumerate(curve.kl) if reached >= kl)
    if place == 0:
        weights[0] = 1.0
        return weights
    before, after = curve.kl[place - 1], curve.kl[place]
    weights[place] = (kl - before) / (after - before)
    weights[place - 1] = 1.0 - weights[place]
    return weights
