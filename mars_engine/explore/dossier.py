"""The dossier of one source pair: its texts, figures, neighbours, proposals and history."""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.columns import PairRewards
from mars_engine.core.errors import MarsError
from mars_engine.core.records import MapKind, Pair, Proposal, RefineTry
from mars_engine.core.review_records import ReviewEvent
from mars_engine.core.review_state import ProposalState, proposal_states
from mars_engine.data.pair_index import DECISION_CODES, GATE_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex
from mars_engine.data.trails import by_making
from mars_engine.explore.excerpts import excerpt, last_question
from mars_engine.explore.explorer import Explorer
from mars_engine.reward_models.cartography import map_training
from mars_engine.stats.metrics import correctness
from mars_engine.store import Store

NEIGHBOURS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class PairFigures:
    """What the index knows of a pair; NaN or empty where it is not known."""

    margin: float
    model_label: str
    out_of_fold_margin: float
    out_of_fold_std: float
    verdict: str
    distance: float
    gate: str
    budget: int
    decision: str
    split: str
    dataset: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    pair_id: str
    cosine: float
    """Of the two pairs' embeddings; NaN for a pair that has the same prompt and was found by that."""
    margin: float
    question: str
    chosen: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A review event about the pair or about one of its proposals, whose variant it then names."""

    event: ReviewEvent
    about: str


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A pair's margins after each epoch of a model's training, and what they say of it (see `map_training`)."""

    model_label: str
    margins: tuple[float, ...]
    """Signed by the label that the model was trained on, where `Dossier.rewards` are of the sides as imported."""
    confidence: float
    variability: float
    right_epochs: float
    """After how many epochs the pair was ranked right; a tie counts half."""
    forgotten: int


@dataclass(frozen=True, slots=True)
class Dossier:
    pair: Pair
    figures: PairFigures
    rewards: tuple[PairRewards, ...]
    trajectories: tuple[Trajectory, ...]
    """Of the models whose margins were kept after each epoch, the oldest first."""
    same_prompt: tuple[Neighbour, ...]
    nearest: tuple[Neighbour, ...]
    nearest_by: MapKind | None
    """The map by whose embeddings the nearest were found; None where there is none."""
    proposals: tuple[tuple[Proposal, ProposalState], ...]
    trails: tuple[tuple[RefineTry, ...], ...]
    """What was tried to sharpen the pair's contrast, a trail for each orientation and generators' settings."""
    history: tuple[HistoryEntry, ...]
    """Oldest first."""


def open_dossier(store: Store, index: PairIndex, explorer: Explorer, pair_id: str) -> Dossier:
    """Return all that is known of a pair.

    Raises:
        MarsError: there is no such pair.
    """
    pair = store.pairs.by_id([pair_id]).get(pair_id)
    places = index.positions([pair_id])
    if pair is None or not len(places):
        raise MarsError(f"there is no pair {pair_id[:40]!r}", remedy="go back to Explore and open one from the table")
    proposals = store.proposals.proposals(source_ids=[pair_id])
    events = store.reviews.events("proposal", [proposal.id for proposal in proposals])
    states = proposal_states(proposals, events)
    nearest = explorer.nearest_to(pair_id, NEIGHBOURS_SHOWN)
    cosines = dict(zip(nearest.pair_ids, nearest.cosines, strict=True)) if nearest else {}
    alike = dict.fromkeys(store.browse.same_prompt(pair_id)[:NEIGHBOURS_SHOWN], np.nan)
    return Dossier(
        pair=pair,
        figures=pair_figures(index, int(places[0])),
        rewards=tuple(store.browse.rewards_of(pair_id)),
        trajectories=_trajectories(store, pair_id),
        same_prompt=_neighbours(store, index, alike),
        nearest=_neighbours(store, index, cosines),
        nearest_by=nearest.kind if nearest else None,
        proposals=tuple((proposal, states[proposal.id]) for proposal in proposals),
        trails=tuple(map(tuple, by_making(store.proposals.refine_tries([pair_id])).values())),
        history=_history(store.reviews.events("pair", [pair_id]).get(pair_id, []), proposals, events),
    )


def _trajectories(store: Store, pair_id: str) -> tuple[Trajectory, ...]:
    by_model = store.models.trajectories_of(pair_id)
    found = []
    for model in store.models.all():
        if margins := by_model.get(model.id):
            place = map_training(np.array([margins]))
            found.append(
                Trajectory(
                    model_label=model.label,
                    margins=tuple(margins),
                    confidence=float(place.confidence[0]),
                    variability=float(place.variability[0]),
                    right_epochs=float(correctness(np.array(margins)).sum()),
                    forgotten=int(place.forgotten[0]),
                )
            )
    return tuple(found)


def pair_figures(index: PairIndex, place: int) -> PairFigures:
    """Return what the index knows of the pair at a place."""
    return PairFigures(
        margin=float(index.margin[place]),
        model_label=index.model.label if index.model else "",
        out_of_fold_margin=float(index.out_of_fold_margin[place]),
        out_of_fold_std=float(index.out_of_fold_std[place]),
        verdict=VERDICT_CODES[index.verdict[place]],
        distance=float(index.distance[place]),
        gate=GATE_CODES[index.gate[place]],
        budget=int(index.budget[place]),
        decision=DECISION_CODES[index.decision[place]],
        split=SPLIT_CODES[index.split[place]],
        dataset=index.dataset_names[index.dataset[place]],
    )


def _neighbours(store: Store, index: PairIndex, cosines: dict[str, float]) -> tuple[Neighbour, ...]:
    pairs = store.pairs.by_id(cosines)
    known = [pair_id for pair_id in cosines if pair_id in pairs]
    margins = index.margin[index.positions(known)].tolist()
    return tuple(
        Neighbour(
            pair_id, cosines[pair_id], margin, excerpt(last_question(pairs[pair_id])), excerpt(pairs[pair_id].chosen)
        )
        for pair_id, margin in zip(known, margins, strict=True)
    )


def _history(
    about_pair: list[ReviewEvent], proposals: list[Proposal], about_proposals: dict[str, list[ReviewEvent]]
) -> tuple[HistoryEntry, ...]:
    entries = [HistoryEntry(event, "the pair's label") for event in about_pair]
    for proposal in proposals:
        about = f"proposal {proposal.variant} ({proposal.method})"
        entries += [HistoryEntry(event, about) for event in about_proposals.get(proposal.id, [])]
    return tuple(sorted(entries, key=lambda entry: (entry.event.at, entry.event.sequence)))
