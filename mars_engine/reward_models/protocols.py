"""What a reward model promises, what trains one, and what keeps its files."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from mars_engine.core.progress import Progress
from mars_engine.core.records import (
    BradleyTerryFit,
    FloatArray,
    IntArray,
    ModelEvidence,
    ModelRecord,
    Pair,
    Rewards,
    TrainingSet,
    Truncation,
)


class RewardModel(Protocol):
    """A trained reward model."""

    @property
    def id(self) -> str: ...

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        """Return the rewards of both sides of each pair. Batching never changes one by more than 1e-5."""
        ...

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:
        """Return how many of the pairs' passages the length limit cut."""
        ...


@runtime_checkable
class LinearRewardModel(RewardModel, Protocol):
    """A reward model that is linear in fixed features, so that its curvature is exact.

    A model that is no instance of this, as a transformer is not, has no curvature and tells no information gain.
    """

    @property
    def ridge(self) -> float:
        """The coefficient of |w|²/2 beside the *summed* loss of the training pairs: 1 over scikit-learn's C."""
        ...

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        """Return Δφ = φ(chosen) − φ(rejected), shape (n, d)."""
        ...


@runtime_checkable
class RemarkedModel(RewardModel, Protocol):
    """A reward model of which there is more to say than its figures."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """How it computes, and what was done to make a reward model of its backbone, as clauses."""
        ...


@runtime_checkable
class FeatureChoosingModel(RewardModel, Protocol):
    """A reward model whose features were chosen, from alternatives or by the settings."""

    @property
    def feature_choice(self) -> Mapping[str, Any]:
        """What it reads, how that was chosen, and how well the alternatives did, as plain JSON."""
        ...


class TrainingNotes(Protocol):
    """What is told while a reward model that takes many steps is trained."""

    def add_point(self, metric: str, step: int, value: float) -> None:
        """Note a metric's value at a step, for the curves that are seen meanwhile."""
        ...

    def add_epoch(self, model_id: str, epoch: int, margins: Mapping[str, float]) -> None:
        """Note the base pairs' margins after a training epoch, counted from 1, by pair id; told again, replace them.

        They are signed by the label that is trained on: those of a flipped pair not as it was imported.
        """
        ...


class RewardModelTrainer(Protocol):
    """Fits reward models of one kind."""

    @property
    def kind(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain JSON that, with the training set, determines the trained model."""
        ...

    def model_id(self, training_set: TrainingSet) -> str:
        """The id that the model trained on this set has or would have; nothing is trained."""
        ...

    def train(
        self, training_set: TrainingSet, *, progress: Progress, notes: TrainingNotes | None = None
    ) -> RewardModel:
        """Train a model. Interrupted and started again, it ends with the same model."""
        ...


class LinearTrainer(Protocol):
    """Fits linear reward models on features that are there already: what a refit between two decisions needs."""

    @property
    def is_prepared(self) -> bool:
        """Whether what the settings leave open was chosen: else `prepare` must choose before anything is fitted."""
        ...

    def prepare(self, training_set: TrainingSet, *, progress: Progress) -> None:
        """Choose by the base pairs what the settings leave open, for all that is fitted afterwards."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain JSON that tells which features and which penalty."""
        ...

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        """Return Δφ = φ(chosen) − φ(rejected), shape (n, d); n must not be 0."""
        ...

    def fit(self, differences: FloatArray, weights: FloatArray, label_confidence: FloatArray) -> FloatArray:
        """Return the weight vector w, shape (d,), of the model fitted on n differences, shape (n, d)."""
        ...

    def refit(
        self,
        differences: FloatArray,
        weights: FloatArray,
        label_confidence: FloatArray,
        *,
        before: BradleyTerryFit | None,
    ) -> BradleyTerryFit:
        """Return the same fit, begun where that of nearly the same pairs ended, which is many times as quick."""
        ...

    def ridge(self, weights: FloatArray) -> float:
        """Return the coefficient of |w|²/2 beside the *summed* loss of pairs with these weights, shape (n,)."""
        ...


class FoldModels(Protocol):
    """The reward models fitted on all folds but one: `FoldProbes`, which the quality gates may not import."""

    @property
    def own_margins(self) -> FloatArray:
        """Margins of the training set under the reward models fitted without it, shape (seeds, n), as labelled."""
        ...

    def margins(self, pairs: Sequence[Pair], folds: IntArray, *, progress: Progress) -> FloatArray:
        """Return margins of m pairs under the reward models fitted without some fold, shape (seeds, m).

        Args:
            pairs: m pairs, such as variants of pairs of the training set.
            folds: under each seed, the fold that a pair's model must not have seen, shape (seeds, m).
        """
        ...


class ProbeFitter(LinearTrainer, Protocol):
    """Fits a workspace's probes, on all folds but one too: `ProbeTrainer`, which steps of the method may not import."""

    def out_of_fold_margins(self, training_set: TrainingSet, folds: IntArray, *, progress: Progress) -> FloatArray:
        """Return margins under models that never saw the pair.

        Args:
            training_set: n pairs.
            folds: fold number of each pair under each seed, shape (seeds, n).

        Returns:
            Margins, shape (seeds, n), as labelled.
        """
        ...

    def fold_models(self, training_set: TrainingSet, folds: IntArray, *, progress: Progress) -> FoldModels:
        """Return the models that `out_of_fold_margins` asks, to ask them about other pairs too."""
        ...


class ModelShelf(Protocol):
    """Keeps the files of trained reward models."""

    def save(self, model: RewardModel) -> str:
        """Write the model's files whole or not at all; return their place, relative to the workspace."""
        ...

    def holds(self, record: ModelRecord) -> bool:
        """Whether the model's files are there and whole."""
        ...

    def load(self, record: ModelRecord) -> RewardModel:
        """Load a model that scores exactly as when it was saved."""
        ...

    def describe(self, record: ModelRecord, evidence: ModelEvidence) -> None:
        """Add what was found out about a saved model to its own description, where its kind has one."""
        ...
