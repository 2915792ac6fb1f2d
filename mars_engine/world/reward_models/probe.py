"""The probe: r(x, y) = w·φ(x, y) on frozen embeddings, an exact convex Bradley–Terry fit.

It minimises mean_i [−p_i log σ(w·Δφ_i) − (1 − p_i) log σ(−w·Δφ_i)] + l2/2·|w|², with the mean taken by the pairs'
weights and p_i the confidence in the label. The penalty stands beside the *mean* loss, so that a set grown by
augmentation is regularised exactly like the set it grew from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mars_engine.words.config import ProbeConfig
from mars_engine.words.errors import ModelError, NotReadyError
from mars_engine.words.protocols import Encoder, Progress, TrainingNotes
from mars_engine.words.records import FloatArray, IntArray, Pair, Rewards, TrainingSet, Truncation, content_id
from mars_engine.world.reward_models.features import PairFeatures, pair_features

PROBE_KIND = "probe"
MOST_ITERATIONS = 200
TOLERANCE = 1e-9
"""On the gradient; Newton's method gets there in a few steps, so there is nothing to save by a coarser one."""


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
    from sklearn.linear_model import LogisticRegression

    doubted = label_confidence < 1
    rows = np.vstack([differences, -differences[doubted], np.zeros((1, differences.shape[1]))])
    row_weights = np.concatenate([weights * label_confidence, (weights * (1 - label_confidence))[doubted], [1.0]])
    labels = np.ones(len(rows))
    labels[-1] = 0  # scikit-learn wants two classes; a row of zeros adds a constant to the loss, and nothing else
    fit = LogisticRegression(
        C=1.0 / (l2 * weights.sum()),
        fit_intercept=False,
        solver="newton-cholesky",
        tol=TOLERANCE,
        max_iter=MOST_ITERATIONS,
    )
    fit.fit(rows, labels, sample_weight=row_weights)
    return np.asarray(fit.coef_[0], dtype=np.float64)


@dataclass(frozen=True)
class Probe:
    """A trained probe. Its encoder must be the one it was trained with."""

    id: str
    weights: FloatArray
    ridge: float
    config: ProbeConfig
    encoder: Encoder

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        features = self._features(pairs, progress)
        return Rewards(features.chosen @ self.weights, features.rejected @ self.weights)

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:
        return self._features(pairs, progress).truncation

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        return self._features(pairs, progress).differences

    def _features(self, pairs: Sequence[Pair], progress: Progress) -> PairFeatures:
        if not pairs:  # the embeddings of no passages do not say how wide they are, the weights do
            nothing = np.zeros((0, len(self.weights)))
            return PairFeatures(nothing, nothing, Truncation(0, 0, 0))
        return pair_features(self.encoder, pairs, self.config.features, progress=progress)


@dataclass(frozen=True)
class ProbeTrainer:
    """Fits probes on one encoder's features."""

    config: ProbeConfig
    encoder: Encoder

    @property
    def kind(self) -> str:
        return PROBE_KIND

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"probe": self.config.model_dump(), "encoder": self.encoder.fingerprint}

    def model_id(self, training_set: TrainingSet) -> str:
        return content_id(PROBE_KIND, dict(self.settings), training_set.fingerprint)

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        """Return Δφ of some pairs, shape (n, d)."""
        return pair_features(self.encoder, pairs, self.config.features, progress=progress).differences

    def fit(self, differences: FloatArray, weights: FloatArray, label_confidence: FloatArray) -> FloatArray:
        """Return the weight vector, shape (d,), of the probe fitted on these differences."""
        return fit_bradley_terry(differences, weights, label_confidence, l2=self.config.l2)

    def ridge(self, weights: FloatArray) -> float:
        """Return the coefficient of |w|²/2 beside the summed loss of pairs with these weights."""
        return self.config.l2 * float(weights.sum())

    def train(
        self,
        training_set: TrainingSet,
        *,
        progress: Progress,
        notes: TrainingNotes | None = None,  # noqa: ARG002
    ) -> Probe:
        """Fit a probe; the same training set gives the same probe. It takes no steps of which to note anything.

        Raises:
            NotReadyError: the training set is empty.
        """
        differences = self._differences(training_set, progress)
        coefficients = self.fit(differences, training_set.weights, training_set.label_confidence)
        return Probe(
            id=self.model_id(training_set),
            weights=coefficients,
            ridge=self.ridge(training_set.weights),
            config=self.config,
            encoder=self.encoder,
        )

    def out_of_fold_margins(self, training_set: TrainingSet, folds: IntArray, *, progress: Progress) -> FloatArray:
        """Return each pair's margins under probes that never saw it, shape (draws, n); see the protocol.

        Raises:
            NotReadyError: a fold holds every pair, so that nothing is left to train on.
        """
        return self.fold_models(training_set, folds, progress=progress).own_margins

    def fold_models(self, training_set: TrainingSet, folds: IntArray, *, progress: Progress) -> "FoldProbes":
        """Return the probes fitted on all folds but one, under each draw of the folds.

        Raises:
            NotReadyError: a fold holds every pair, so that nothing is left to train on.
        """
        differences = self._differences(training_set, progress)
        margins = np.empty(folds.shape)
        fitted: dict[tuple[int, int], FloatArray] = {}
        with progress.task("out-of-fold fits", folds.shape[0]) as task:
            for draw, fold_of_pair in enumerate(folds):
                for fold in np.unique(fold_of_pair).tolist():
                    held = fold_of_pair == fold
                    if held.all():
                        raise NotReadyError(
                            "all pairs share one prompt, so no model can be trained without them",
                            expected="pairs with at least two different prompts",
                            remedy="import more pairs",
                        )
                    coefficients = self.fit(
                        differences[~held], training_set.weights[~held], training_set.label_confidence[~held]
                    )
                    fitted[draw, fold] = coefficients
                    margins[draw, held] = differences[held] @ coefficients
                task.advance()
        return FoldProbes(self, fitted, margins)

    def restore(self, model_id: str, coefficients: FloatArray, ridge: float, settings: Mapping[str, Any]) -> Probe:
        """Return a saved probe.

        Raises:
            ModelError: it was trained with another encoder.
        """
        if settings.get("encoder") != self.encoder.fingerprint:
            raise ModelError(
                f"model {model_id} was trained on the encoder {settings.get('encoder')}",
                expected=f"the encoder of this workspace's configuration, {self.encoder.fingerprint}",
                remedy="restore [encoder] in mars.toml to what it was, or run 'mars train' for a new model",
            )
        return Probe(model_id, coefficients, ridge, ProbeConfig.model_validate(settings["probe"]), self.encoder)

    def _differences(self, training_set: TrainingSet, progress: Progress) -> FloatArray:
        if not training_set.pairs:
            raise NotReadyError("there are no pairs to train on", remedy="run 'mars import FILE' first")
        return self.feature_differences(training_set.pairs, progress=progress)


@dataclass(frozen=True, eq=False)
class FoldProbes:
    """FoldModels of probes."""

    trainer: ProbeTrainer
    fitted: Mapping[tuple[int, int], FloatArray]
    """Weight vectors, shape (d,), by draw and the fold that was left out."""
    own_margins: FloatArray

    def margins(self, pairs: Sequence[Pair], folds: IntArray, *, progress: Progress) -> FloatArray:
        """Return margins under the probes fitted without some fold, shape (draws, m); see the protocol."""
        found = np.empty(folds.shape)
        if not pairs:
            return found
        differences = self.trainer.feature_differences(pairs, progress=progress)
        for draw, fold_of_pair in enumerate(folds):
            for fold in np.unique(fold_of_pair).tolist():
                held = fold_of_pair == fold
                found[draw, held] = differences[held] @ self.fitted[draw, fold]
        return found
