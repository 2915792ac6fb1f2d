"""Gain order: which of the waiting proposals to read first, by what they would teach the probe beyond what is accepted.

A proposal that is accepted adds σ′(Δ) Δφ Δφᵀ to the curvature of the probe's loss; the gain is by how much that raises
the log-determinant, given what is accepted already and what stands before it in the queue (see curate/greedy_gain). The
gain is *expected*: each proposal counts by the chance that people accept it, estimated from what they accepted so far
of its method among those that passed every gate, or did not; it is the log-determinant of the expected curvature.
Before anybody has decided, all chances are a half.

What it leaves out: the further pairs that a source's grid composes of approved texts; and a proposal's words, of which
it knows only the embedding. Limits: of more waiting proposals than `GainLimits.candidates`, those with the highest gain
as it was when they were proposed are ranked (where a transformer scored them, which tells none, a fixed sample by id);
of these `GainLimits.one_by_one` are chosen one after another, and the others follow by what each would add alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.columns import IdArray
from mars_engine.core.records import Float32Array, FloatArray, Proposal, ProposalMethod
from mars_engine.curate.greedy_gain import GainRanking, rank_by_gain
from mars_engine.reward_models.curvature import fisher_weights
from mars_engine.stats.acceptance import acceptance_chances

Kind = tuple[ProposalMethod, bool]
"""A proposal's method, and whether it passed every quality gate."""


@dataclass(frozen=True, slots=True)
class GainLimits:
    """How many proposals are ranked at most, and how many of them one after another."""

    candidates: int = 5_000
    one_by_one: int = 500


@dataclass(frozen=True, slots=True)
class Chance:
    """How proposals of one kind fared with people, and the chance that the next one is accepted."""

    method: ProposalMethod
    passed_gates: bool
    accepted: int
    decided: int
    """Accepted or rejected."""
    chance: float


@dataclass(frozen=True, slots=True, eq=False)
class GainOrder:
    """The waiting proposals that were ranked, the first to be read first."""

    stamp: str
    """At which state of the store it stands; see `live.gain_stamp`."""
    ids: IdArray
    gains: Float32Array
    """What each adds to the log-determinant of the expected curvature, in nats; see `GainRanking.gains`."""
    one_by_one: int
    """How many were chosen one after another."""
    waiting: int
    """How many proposals wait, ranked or not."""
    chances: tuple[Chance, ...]
    seconds: float


def kind_of(proposal: Proposal) -> Kind:
    return proposal.method, not proposal.flags


def chances_by_kind(tally: Mapping[Kind, tuple[int, int]], kinds: Sequence[Kind]) -> dict[Kind, Chance]:
    """Return the chance of being accepted of each kind that waits or was decided about.

    Args:
        tally: how many of a kind people accepted, and how many they decided about.
        kinds: those that wait.
    """
    different = sorted({*tally, *kinds})
    accepted, decided = (
        np.array([tally.get(kind, (0, 0))[place] for kind in different], dtype=np.int64) for place in (0, 1)
    )
    chances = acceptance_chances(accepted, decided).tolist()
    return {
        kind: Chance(*kind, *tally.get(kind, (0, 0)), chance) for kind, chance in zip(different, chances, strict=True)
    }


def rank_waiting(
    differences: FloatArray,
    coefficients: FloatArray,
    chances: FloatArray,
    *,
    curvature: FloatArray,
    one_by_one: int,
) -> GainRanking:
    """Return the order in which to read proposals.

    Args:
        differences: Δφ of the proposals, shape (m, d).
        coefficients: weight vector of the probe, shape (d,).
        chances: how likely each is to be accepted, shape (m,).
        curvature: of the summed loss of what the probe was fitted on, with the penalty's, shape (d, d). The penalty is
            taken as it is, though it grows with every pair that is trained on.
        one_by_one: how many are chosen one after another.
    """
    weights = chances * fisher_weights(differences @ coefficients)
    return rank_by_gain(np.sqrt(weights)[:, None] * differences, curvature, one_by_one=one_by_one)
