"""Curvature of the Bradley–Terry loss of a linear reward model, and what a new pair would add to it.

For r(x, y) = w·φ(x, y) the Hessian of the mean loss is H = E[σ′(Δ) Δφ Δφᵀ] with σ′(Δ) = σ(Δ)(1 − σ(Δ)).
"""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray
from mars_engine.stats.metrics import sigmoid


@dataclass(frozen=True, slots=True)
class Curvature:
    """Summary of a Hessian's spectrum."""

    trace: float
    largest: float
    smallest: float
    effective_rank: float
    """exp of the entropy of the normalised eigenvalues (Roy & Vetterli 2007): 1 to d."""


def fisher_weights(margins: FloatArray) -> FloatArray:
    """Return σ′(Δ) = σ(Δ)(1 − σ(Δ))."""
    return sigmoid(margins) * sigmoid(-margins)


def hessian(feature_differences: FloatArray, margins: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return H, the weighted mean of σ′(Δ) Δφ Δφᵀ, shape (d, d).

    Args:
        feature_differences: Δφ, shape (n, d).
        margins: Δ, shape (n,).
        weights: weight of each pair, shape (n,); equal where None.
    """
    share = np.ones(len(margins)) if weights is None else weights
    share = share / share.sum()
    scaled = feature_differences * (share * fisher_weights(margins))[:, None]
    return np.asarray(scaled.T @ feature_differences, dtype=np.float64)


def summarize_curvature(matrix: FloatArray) -> Curvature:
    """Return trace, extreme eigenvalues and effective rank of a symmetric positive semidefinite matrix."""
    eigenvalues = np.clip(np.linalg.eigvalsh(matrix), 0.0, None)
    total = float(eigenvalues.sum())
    if total <= 0:
        return Curvature(0.0, 0.0, 0.0, 0.0)
    share = eigenvalues[eigenvalues > 0] / total
    return Curvature(
        trace=total,
        largest=float(eigenvalues[-1]),
        smallest=float(eigenvalues[0]),
        effective_rank=float(np.exp(-(share * np.log(share)).sum())),
    )


def information_gains(
    feature_differences: FloatArray, margins: FloatArray, *, summed_hessian: FloatArray, ridge: float
) -> FloatArray:
    """Return what each pair alone would add to log det(H_sum + ridge·I), in nats (D-optimality).

    By the matrix determinant lemma it is log(1 + σ′(Δ) Δφᵀ (H_sum + ridge·I)⁻¹ Δφ).

    Args:
        feature_differences: Δφ of the new pairs, shape (m, d).
        margins: their Δ, shape (m,).
        summed_hessian: n·H of the pairs there are already, shape (d, d).
        ridge: coefficient of the L2 penalty, positive, so that the sum is invertible.
    """
    matrix = summed_hessian + ridge * np.eye(len(summed_hessian))
    solved = np.linalg.solve(matrix, feature_differences.T)
    quadratic: FloatArray = np.einsum("md,dm->m", feature_differences, solved)
    gains: FloatArray = np.log1p(fisher_weights(margins) * quadratic)
    return gains
