"""The source pairs as every later step sees them: with triage's suspicions and people's decisions carried out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.maths.review_state import label_decisions
from mars_engine.maths.triage import PairTreatment, treat_pair
from mars_engine.words.config import TriageConfig, TriagePolicy
from mars_engine.words.errors import NotReadyError
from mars_engine.words.protocols import Store
from mars_engine.words.records import BoolArray, FloatArray, ModelRecord, Pair, TrainingSet


@dataclass(frozen=True, slots=True)
class Source:
    """A base pair and what becomes of it."""

    pair: Pair
    """As it was imported."""
    suspected: bool
    decided: bool
    """Whether a person decided about its label; then triage's suspicion no longer matters."""
    treatment: PairTreatment

    @property
    def flipped(self) -> bool:
        return self.treatment.label_confidence == 0.0

    @property
    def oriented(self) -> Pair:
        """The pair with its sides as they are trained on: exchanged where the label was flipped."""
        if not self.flipped:
            return self.pair
        return Pair.of(self.pair.prompt, self.pair.rejected, self.pair.chosen, subset=self.pair.subset)


def load_sources(store: Store, triage: TriageConfig, *, policy: TriagePolicy | None = None) -> list[Source]:
    """Return the training pairs with their treatment, in the order of their import.

    Args:
        store: the workspace's memory.
        triage: settings; its policy applies to suspected pairs about which no person has decided.
        policy: used instead of the configured policy.

    Raises:
        NotReadyError: nothing has been imported to train on.
    """
    pairs = store.pairs.pairs("train")
    if not pairs:
        raise NotReadyError("there are no training pairs", remedy="run 'mars import FILE' first")
    decisions = label_decisions(pairs, store.reviews.events("pair"))
    warm_up = store.models.latest(warm_up=True)
    verdicts = store.models.triage(warm_up.id) if warm_up else []
    suspected = {row.pair_id for row in verdicts if row.verdict == "suspected"}
    return [
        Source(
            pair=pair,
            suspected=pair.id in suspected,
            decided=pair.id in decisions,
            treatment=treat_pair(
                suspected=pair.id in suspected,
                policy=policy or triage.policy,
                smoothing=triage.smoothing,
                decision=decisions.get(pair.id),
            ),
        )
        for pair in pairs
    ]


def training_set(sources: Sequence[Source], composed: Sequence[Pair] = ()) -> TrainingSet:
    """Return what is trained on: the base pairs that are not left out, and the composed pairs."""
    base = [source for source in sources if source.treatment.trained_on]
    confidence = [source.treatment.label_confidence for source in base] + [1.0] * len(composed)
    pairs = (*[source.pair for source in base], *composed)
    return TrainingSet(pairs, np.ones(len(pairs)), np.array(confidence, dtype=np.float64))


def open_suspects(sources: Sequence[Source]) -> BoolArray:
    """Return which sources are suspected mislabels about which nobody has decided yet."""
    return np.array([source.suspected and not source.decided for source in sources], dtype=bool)


def oriented_margins(store: Store, model: ModelRecord, sources: Sequence[Source]) -> FloatArray:
    """Return the sources' margins under a trained model, with flipped sources' sides exchanged.

    Raises:
        NotReadyError: the model has not scored all of them.
    """
    rewards = store.models.scores(model.id)
    missing = sum(source.pair.id not in rewards for source in sources)
    if missing:
        raise NotReadyError(
            f"the model {model.label} has not scored {missing} of the {len(sources)} training pairs",
            remedy="run 'mars score'",
        )
    margins = [rewards[source.pair.id][0] - rewards[source.pair.id][1] for source in sources]
    signs = [-1.0 if source.flipped else 1.0 for source in sources]
    oriented: FloatArray = np.array(margins, dtype=np.float64) * np.array(signs, dtype=np.float64)
    return oriented
