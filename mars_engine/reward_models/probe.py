"""The probe: r(x, y) = w·φ(x, y) on frozen hidden states, an exact convex Bradley–Terry fit.

Its features and its penalty are chosen once, at the warm-up, and kept: everything that is scored, triaged, gated or
refitted afterwards looks at texts in the same way, so that margins can be compared.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mars_engine.core.config import ProbeConfig
from mars_engine.core.errors import ModelError, NotReadyError
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import (
    BradleyTerryFit,
    FloatArray,
    IntArray,
    Pair,
    Rewards,
    TrainingSet,
    Truncation,
    content_id,
)
from mars_engine.embeddings.protocols import Encoder
from mars_engine.reward_models.bradley_terry import fit_bradley_terry, refit_bradley_terry
from mars_engine.reward_models.choice_summary import say_choice, summarize_choice
from mars_engine.reward_models.feature_choice import FeatureChoice, choice_key, choose_features
from mars_engine.reward_models.features import ProbeFeatures
from mars_engine.reward_models.kept_choice import (
    ChoiceKeeper,
    MemoryKeeper,
    choice_from_json,
)
from mars_engine.reward_models.protocols import TrainingNotes

PROBE_KIND = "probe"


@dataclass(frozen=True)
class Probe:
    """A trained probe. Its encoder must be the one it was trained with."""

    id: str
    weights: FloatArray
    ridge: float
    choice: FeatureChoice
    encoder: Encoder

    @property
    def features(self) -> ProbeFeatures:
        return self.choice.features

    @property
    def remarks(self) -> tuple[str, ...]:
        """What it looks at, and why, as clauses; see RemarkedModel."""
        return (say_choice(summarize_choice(self.choice)),)

    @property
    def feature_choice(self) -> Mapping[str, Any]:
        """What it looks at and what else was tried, as plain JSON; see FeatureChoosingModel."""
        return summarize_choice(self.choice).as_json

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        features = self.features.of(self.encoder, pairs, progress=progress)
        return Rewards(features.chosen @ self.weights, features.rejected @ self.weights)

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:
        return self.features.of(self.encoder, pairs, progress=progress).truncation

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        return self.features.of(self.encoder, pairs, progress=progress).differences


@dataclass(frozen=True)
class ProbeTrainer:
    """Fits probes on one encoder's hidden states.

    Args:
        config: what is fixed of features and penalty; the rest is chosen by the first training set, or by `prepare`.
        encoder: reads the texts.
        keeper: keeps the choice, so that later trainings look at texts in the same way.
    """

    config: ProbeConfig
    encoder: Encoder
    keeper: ChoiceKeeper = field(default_factory=MemoryKeeper)
    _folds_fitted: dict[str, "FoldProbes"] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The fold models asked for last: triage and the quality gates ask for the same ones."""

    @property
    def kind(self) -> str:
        return PROBE_KIND

    @property
    def settings(self) -> Mapping[str, Any]:
        chosen = self.kept_choice()
        fixed = {"probe": self.config.model_dump(), "encoder": self.encoder.fingerprint}
        return fixed | ({"features": chosen.settings} if chosen else {})

    @property
    def is_prepared(self) -> bool:
        return self.kept_choice() is not None

    def kept_choice(self) -> FeatureChoice | None:
        """Return the choice that stands, None where none was made for these settings and this encoder."""
        choice = self.keeper.load()
        return choice if choice is not None and choice.made_for == choice_key(self.config, self.encoder) else None

    @property
    def features(self) -> ProbeFeatures:
        """The features that stand.

        Raises:
            NotReadyError: none were chosen yet.
        """
        return self._choice().features

    def prepare(self, training_set: TrainingSet, *, progress: Progress) -> None:
        """Choose features and penalty by the base pairs of this set; the same set changes nothing."""
        kept = self.kept_choice()
        wanted = content_id(choice_key(self.config, self.encoder), training_set.fingerprint)
        if kept is None or kept.made_of != wanted:
            self.keeper.save(choose_features(self.encoder, self.config, training_set, progress=progress))

    def model_id(self, training_set: TrainingSet) -> str:
        self._choice_for(training_set, SilentProgress())
        return content_id(PROBE_KIND, dict(self.settings), training_set.fingerprint)

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        """Return Δφ of some pairs, shape (n, d).

        Raises:
            NotReadyError: no features were chosen yet.
        """
        return self._choice().features.of(self.encoder, pairs, progress=progress).differences

    def fit(self, differences: FloatArray, weights: FloatArray, label_confidence: FloatArray) -> FloatArray:
        """Return the weight vector, shape (d,), of the probe fitted on these differences."""
        return fit_bradley_terry(differences, weights, label_confidence, l2=self._choice().l2)

    def refit(
        self,
        differences: FloatArray,
        weights: FloatArray,
        label_confidence: FloatArray,
        *,
        before: BradleyTerryFit | None,
    ) -> BradleyTerryFit:
        """Return the fit on these differences, begun where that of nearly the same pairs ended."""
        return refit_bradley_terry(differences, weights, label_confidence, l2=self._choice().l2, before=before)

    def ridge(self, weights: FloatArray) -> float:
        """Return the coefficient of |w|²/2 beside the summed loss of pairs with these weights."""
        return self._choice().l2 * float(weights.sum())

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
            choice=self._choice(),
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
        self._require_pairs(training_set)
        self._choice_for(training_set, progress)
        asked = f"{self.model_id(training_set)} {hashlib.sha256(folds.tobytes()).hexdigest()}"
        if asked not in self._folds_fitted:
            fitted = self._fit_folds(training_set, folds, progress)
            self._folds_fitted.clear()
            self._folds_fitted[asked] = fitted
        return self._folds_fitted[asked]

    def _fit_folds(self, training_set: TrainingSet, folds: IntArray, progress: Progress) -> "FoldProbes":
        differences = self._differences(training_set, progress)
        margins = np.empty(folds.shape)
        fitted: dict[tuple[int, int], FloatArray] = {}
        begin: BradleyTerryFit | None = None
        with progress.task("out-of-fold fits", folds.shape[0]) as task, threadpool_limits(1, "blas"):
            for draw, fold_of_pair in enumerate(folds):
                for fold in np.unique(fold_of_pair).tolist():
                    held = fold_of_pair == fold
                    if held.all():
                        raise NotReadyError(
                            "all pairs share one prompt, so no model can be trained without them",
                            expected="pairs with at least two different prompts",
                            remedy="import more pairs",
                        )
                    rows = differences[~held]
                    weights, confidence = training_set.weights[~held], training_set.label_confidence[~held]
                    if rows.shape[1] > len(rows):
                        coefficients = self.fit(rows, weights, confidence)
                    else:
                        begin = self.refit(rows, weights, confidence, before=begin)
                        coefficients = begin.weights
                    fitted[draw, fold] = coefficients
                    margins[draw, held] = differences[held] @ coefficients
                task.advance()
        return FoldProbes(self, fitted, margins)

    def restore(self, model_id: str, weights: Mapping[str, FloatArray], settings: Mapping[str, Any]) -> Probe:
        """Return a saved probe.

        Args:
            model_id: its id.
            weights: "weights" and "scale", shape (d,) each.
            settings: what `saved_settings` gave.

        Raises:
            ModelError: it was trained with another encoder, or on the features of an older version.
        """
        if settings.get("encoder") != self.encoder.fingerprint:
            raise ModelError(
                f"model {model_id} was trained on the encoder {settings.get('encoder')}",
                expected=f"the encoder of this workspace's configuration, {self.encoder.fingerprint}",
                remedy="restore [encoder] in mars.toml to what it was, or run 'mars train' for a new model",
            )
        if "choice" not in settings:
            raise ModelError(
                f"model {model_id} is of an older version, which looked at sentence embeddings alone",
                expected="a probe on hidden states",
                remedy="run 'mars train' to train it again, then 'mars score'; what people decided is kept",
            )
        choice = choice_from_json(settings["choice"], weights["scale"])
        return Probe(model_id, weights["weights"], float(settings["ridge"]), choice, self.encoder)

    def _differences(self, training_set: TrainingSet, progress: Progress) -> FloatArray:
        self._require_pairs(training_set)
        self._choice_for(training_set, progress)
        return self.feature_differences(training_set.pairs, progress=progress)

    def _require_pairs(self, training_set: TrainingSet) -> None:
        if not training_set.pairs:
            raise NotReadyError("there are no pairs to train on", remedy="run 'mars import FILE' first")

    def _choice_for(self, training_set: TrainingSet, progress: Progress) -> None:
        if self.kept_choice() is None and training_set.pairs:
            self.prepare(training_set, progress=progress)

    def _choice(self) -> FeatureChoice:
        choice = self.kept_choice()
        if choice is None:
            raise NotReadyError("no probe was trained with these settings yet", remedy="run 'mars train'")
        return choice


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
