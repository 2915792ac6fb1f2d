"""The Bradley–Terry fit of a linear reward model: an exact convex problem, solved by Newton's method.

It minimises Σ v_i [−p_i log σ(w·Δφ_i) − (1 − p_i) log σ(−w·Δφ_i)] + l2/2·|w|², with v the pairs' weights over their sum
and p_i the confidence in the label. The penalty stands beside the *mean* loss, so that a set grown by augmentation is
regularised exactly like the set it grew from.
"""

import numpy as np

from mars_engine.core.records import BradleyTerryFit, FloatArray
from mars_engine.stats.metrics import sigmoid

MOST_ITERATIONS = 500
TOLERANCE = 1e-9
"""On the gradient's largest entry. The steps that reach it from 1e-4 are the cheap ones."""
SLOWEST_SHRINKING = 0.3
"""Of the gradient in one step with a Hessian from before; where it shrinks less, the Hessian is computed anew."""
SUFFICIENT_DECREASE = 1e-4
"""Armijo's condition (Nocedal & Wright 2006, section 3.1)."""


def fit_bradley_terry(
    differences: FloatArray, weights: FloatArray, label_confidence: FloatArray, *, l2: float
) -> FloatArray:
    """Return the weight vector w, shape (d,).

    Args:
        differences: Δφ, shape (n, d).
        weights: weight of each pair, shape (n,).
        label_confidence: p, shape (n,).
        l2: strength of the penalty beside the mean loss.
    """
    basis = basis_of_span(differences)
    if basis is None:
        return refit_bradley_terry(differences, weights, label_confidence, l2=l2).weights
    inside = refit_bradley_terry(differences @ basis, weights, label_confidence, l2=l2)
    return np.asarray(basis @ inside.weights, dtype=np.float64)


def basis_of_span(rows: FloatArray) -> FloatArray | None:
    """Return an orthonormal basis of the span of n rows, in which a probe's fit to them stays, shape (d, rank).

    None where n is not below d. The minimum of the penalised loss lies in the span, so that a fit there is the same
    and takes n dimensions at most.
    """
    count, width = rows.shape
    if count >= width:
        return None
    eigenvalues, vectors = np.linalg.eigh(rows @ rows.T)
    kept = eigenvalues > max(eigenvalues[-1], 0.0) * 1e-12
    return np.asarray(rows.T @ (vectors[:, kept] / np.sqrt(eigenvalues[kept])), dtype=np.float64)


def refit_bradley_terry(
    differences: FloatArray,
    weights: FloatArray,
    label_confidence: FloatArray,
    *,
    l2: float,
    before: BradleyTerryFit | None = None,
    tolerance: float = TOLERANCE,
) -> BradleyTerryFit:
    """Return a fit, begun where an earlier one ended; the result depends on that by no more than the tolerance.

    A step costs two products with Δφ. The Hessian, which costs d times as much, is computed anew only where steps by
    the one at hand no longer bring the gradient down.

    Args:
        differences: Δφ, shape (n, d).
        weights: weight of each pair, shape (n,).
        label_confidence: p, shape (n,).
        l2: strength of the penalty beside the mean loss.
        before: a fit of pairs that are nearly the same.
        tolerance: on the gradient's largest entry.
    """
    from scipy.linalg import cho_factor, cho_solve

    share = weights / weights.sum()
    width = differences.shape[1]
    head = np.zeros(width) if before is None else before.weights
    margins = differences @ head
    value = _loss(margins, share, label_confidence, head, l2)
    curvature = None if before is None else before.curvature
    factor = None if curvature is None else cho_factor(curvature)
    size = np.inf
    for _ in range(MOST_ITERATIONS):
        gradient = differences.T @ (share * (sigmoid(margins) - label_confidence)) + l2 * head
        last_size, size = size, float(np.abs(gradient).max(initial=0.0))
        if size <= tolerance:
            break
        if factor is None or size > SLOWEST_SHRINKING * last_size:
            curvature = _hessian(differences, share * sigmoid(margins) * sigmoid(-margins), l2)
            factor = cho_factor(curvature)
        direction = -cho_solve(factor, gradient)
        along = differences @ direction
        slope, step = float(gradient @ direction), 1.0
        while True:
            moved = _loss(margins + step * along, share, label_confidence, head + step * direction, l2)
            if moved <= value + SUFFICIENT_DECREASE * step * slope or step < 1e-8:
                break
            step /= 2
        if moved >= value and size <= 1e-6:  # nothing below rounding is left to gain
            break
        head, margins, value = head + step * direction, margins + step * along, moved
    if curvature is None:
        curvature = _hessian(differences, share * sigmoid(margins) * sigmoid(-margins), l2)
    return BradleyTerryFit(np.asarray(head, dtype=np.float64), curvature)


def bradley_terry_losses(margins: FloatArray, label_confidence: FloatArray) -> FloatArray:
    """Return −p log σ(Δ) − (1 − p) log σ(−Δ) of each pair, in nats, without the penalty."""
    return label_confidence * np.logaddexp(0.0, -margins) + (1 - label_confidence) * np.logaddexp(0.0, margins)


def _loss(margins: FloatArray, share: FloatArray, confidence: FloatArray, head: FloatArray, l2: float) -> float:
    losses = np.logaddexp(0.0, -margins) + (1.0 - confidence) * margins
    return float(share @ losses + l2 / 2 * (head @ head))


def _hessian(differences: FloatArray, curvatures: FloatArray, l2: float) -> FloatArray:
    from scipy.linalg.blas import dsyrk

    rooted = differences * np.sqrt(curvatures)[:, None]
    upper = dsyrk(1.0, rooted.T)  # half the work of a full product
    matrix = upper + np.triu(upper, 1).T
    matrix[np.diag_indices_from(matrix)] += l2
    return np.asarray(matrix, dtype=np.float64)
