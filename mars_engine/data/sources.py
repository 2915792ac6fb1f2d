"""The source pairs as every later step sees them: with triage's suspicions and people's decisions carried out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.config import TriageConfig, TriagePolicy
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import (
    BoolArray,
    ComposedPair,
    Composition,
    Pair,
    Plan,
    Side,
    TrainingSet,
)
from mars_engine.core.review_state import label_decisions
from mars_engine.core.treatment import PairTreatment, treat_pair
from mars_engine.data.trails import KEPT, trails_of
from mars_engine.store import Store


@dataclass(frozen=True, slots=True)
class Source:
    """A base pair and what becomes of it."""

    pair: Pair
    """As it was imported."""
    suspected: bool
    decided: bool
    """Whether a person decided about its label; then triage's suspicion no longer matters."""
    treatment: PairTreatment
    indistinct: bool = False
    """Whether its two sides are the same to the model."""

    @property
    def flipped(self) -> bool:
        return self.treatment.label_confidence == 0.0

    @property
    def oriented(self) -> Pair:
        """The imported pair with its sides as they are trained on: exchanged where the label was flipped."""
        return self.pair.exchanged if self.flipped else self.pair


def load_sources(store: Store, triage: TriageConfig, *, policy: TriagePolicy | None = None) -> list[Source]:
    """Return the training pairs in the order of their import, each with what triage and people make of it.

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
    indistinct = {row.pair_id for row in verdicts if row.verdict == "indistinct"}
    return [
        Source(
            pair=pair,
            suspected=pair.id in suspected,
            decided=pair.id in decisions,
            indistinct=pair.id in indistinct,
            treatment=treat_pair(
                suspected=pair.id in suspected,
                indistinct=pair.id in indistinct,
                policy=policy or triage.policy,
                smoothing=triage.smoothing,
                decision=decisions.get(pair.id),
            ),
        )
        for pair in pairs
    ]


def training_set(
    sources: Sequence[Source], composed: Sequence[ComposedPair] = (), *, refined: Mapping[str, Side] | None = None
) -> TrainingSet:
    """Return the data to train on: the imported pairs that are not left out, and the composed pairs.

    A composed pair's label is as sure as its source's; where that was flipped, the pair has the right sides already.

    Args:
        sources: the base pairs.
        composed: new pairs made of them.
        refined: which side was refined, by the proposal that a composed pair's text is of; see `refined_sides`.
    """
    refined = refined or {}
    base = [source for source in sources if source.treatment.trained_on]
    label_confidence = {
        source.pair.id: 1.0 if source.flipped else source.treatment.label_confidence for source in sources
    }
    confidence = [source.treatment.label_confidence for source in base] + [
        label_confidence[row.source_id] for row in composed
    ]
    pairs = (*[source.pair for source in base], *[row.pair for row in composed])
    place = {source.pair.id: index for index, source in enumerate(base)}
    source_of = (*[-1] * len(base), *[place[row.source_id] for row in composed]) if composed else ()
    sides = [
        (refined.get(row.chosen_from) != "chosen", refined.get(row.rejected_from) != "rejected") for row in composed
    ]
    paraphrased = (*[(True, True)] * len(base), *sides) if composed else ()
    return TrainingSet(pairs, np.ones(len(pairs)), np.array(confidence, dtype=np.float64), source_of, paraphrased)


def refined_sides(store: Store, composed: Sequence[ComposedPair]) -> dict[str, Side]:
    """Return which side was refined, by proposal, of the proposals that composed pairs are made of."""
    used = {proposal_id for row in composed for proposal_id in (row.chosen_from, row.rejected_from) if proposal_id}
    trails = trails_of(store, store.proposals.by_id(used).values())
    return {
        proposal_id: tried.side for proposal_id, trail in trails.items() for tried in trail if tried.verdict == KEPT
    }


def standing_pairs(store: Store, composition_id: str, sources: Sequence[Source]) -> list[ComposedPair]:
    """Return a composition's pairs to train on or export: those still valid after later decisions about their sources.

    Pairs of a source that is no longer trained on, or whose label was flipped after they were written, do not.
    """
    composed = store.compositions.pairs(composition_id)
    oriented = {source.pair.id: source.oriented.id for source in sources if source.treatment.trained_on}
    used = {proposal_id for row in composed for proposal_id in (row.chosen_from, row.rejected_from) if proposal_id}
    written_for = {proposal.id: proposal.oriented_id for proposal in store.proposals.by_id(used).values()}
    return [row for row in composed if oriented.get(row.source_id) == written_for[row.chosen_from or row.rejected_from]]


def triage_of_plan(plan: Plan) -> TriageConfig:
    """Return the triage settings by which a plan's sources are loaded: those that it was made with."""
    return TriageConfig.model_validate(plan.settings["triage"])


def triage_of_composition(store: Store, composition: Composition) -> TriageConfig:
    """Return the triage settings by which a composition's sources are loaded: those of its plan.

    Raises:
        NotReadyError: the plan is gone.
    """
    plan = store.proposals.plan(composition.plan_id)
    if plan is None:
        raise NotReadyError(f"the plan of composition {composition.id} is gone", remedy="run 'mars propose' again")
    return triage_of_plan(plan)


def open_suspects(sources: Sequence[Source]) -> BoolArray:
    """Return which sources are suspected mislabels about which nobody has decided yet."""
    return np.array([source.suspected and not source.decided for source in sources], dtype=bool)
