"""How likely a proposal is to be accepted, by what people did with others of its kind."""

import numpy as np

from mars_engine.core.records import FloatArray, IntArray

PRIOR_DECISIONS = 10.0
"""Decisions that the share of all proposals counts for in each group: a group with few of its own is judged by all."""


def acceptance_chances(accepted: IntArray, decided: IntArray) -> FloatArray:
    """Return for each group of proposals the chance that one of it is accepted, shape (groups,).

    The share over all groups is taken by Laplace's rule, (accepted + 1)/(decided + 2): a half before anything is
    decided. Each group's own share is drawn towards it as if `PRIOR_DECISIONS` more of the group had been decided, and
    accepted at the share of all (the posterior mean under a beta prior).

    Args:
        accepted: how many of each group were accepted, shape (groups,).
        decided: how many were accepted or rejected.
    """
    overall = (accepted.sum() + 1.0) / (decided.sum() + 2.0)
    chances: FloatArray = (accepted + PRIOR_DECISIONS * overall) / (decided + PRIOR_DECISIONS)
    return np.asarray(chances, dtype=np.float64)
