"""Agreement: how far annotators decide alike, what they dispute, and settling it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mars_engine.core.clock import Clock
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import MarsError
from mars_engine.core.records import IntArray
from mars_engine.core.review_records import ItemKind, ReviewAction, ReviewEvent, ReviewMark
from mars_engine.core.review_state import (
    ADJUDICATOR_PREFIX,
    POLICY_PREFIX,
    effective_events,
    plain_status,
    proposal_state,
)
from mars_engine.curate.review import Decision, append_decisions, require_annotator
from mars_engine.stats.agreement_coefficients import (
    MISSING,
    Coefficient,
    cohens_kappa,
    krippendorffs_alpha,
    raw_agreement,
)
from mars_engine.store import Store

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class PairOfAnnotators:
    """How far two annotators agree on the items that both decided."""

    first: str
    second: str
    items: int
    raw: Coefficient
    kappa: Coefficient


@dataclass(frozen=True, slots=True)
class DisputedItem:
    """An item on which people differ and no adjudicator has decided."""

    item_id: str
    answers: Mapping[str, ReviewAction]
    """By annotator."""


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """Agreement of people on the items of one kind; policies and adjudicators are left out.

    An answer is the action of the decision in force: two edits count as one answer here, though their texts may differ
    and the item then is disputed.
    """

    kind: ItemKind
    decided: Mapping[str, int]
    """How many items each annotator has decided."""
    overlap: int
    """Items that two or more have decided."""
    raw: Coefficient
    alpha: Coefficient
    pairs: tuple[PairOfAnnotators, ...]
    disputed: tuple[DisputedItem, ...]
    adjudicated: int
    """Items that an adjudicator has decided."""
    settled_by_party: int
    """How many of these were decided by somebody who had answered too, and so judged his or her own answer."""


def agreement(store: Store, kind: ItemKind, *, config: EvaluateConfig | None = None) -> AgreementReport:
    """Return how far people agree on the items of a kind, and what they dispute.

    Args:
        store: the workspace's memory.
        kind: what the items are.
        config: level of the intervals, and seed of the resampling.
    """
    settings = config or EvaluateConfig()
    marks: dict[str, list[ReviewMark]] = defaultdict(list)
    for mark in store.reviews.marks(kind):
        marks[mark.item_id].append(mark)
    latest = {item: _latest(events) for item, events in marks.items()}
    answers = {item: _of_people(decisions) for item, decisions in latest.items()}
    shared = [people for people in answers.values() if len(people) > 1]
    annotators = sorted({name for people in answers.values() for name in people})
    ratings = _ratings(shared, annotators)
    rng = np.random.default_rng(settings.seed)
    level = settings.confidence
    return AgreementReport(
        kind=kind,
        decided={name: sum(name in people for people in answers.values()) for name in annotators},
        overlap=len(shared),
        raw=raw_agreement(ratings, rng=rng, resamples=RESAMPLES, level=level),
        alpha=krippendorffs_alpha(ratings, rng=rng, resamples=RESAMPLES, level=level),
        pairs=tuple(agreement_of_each_two(ratings, annotators, rng, level)),
        disputed=tuple(
            DisputedItem(item, answers[item])
            for item in _disputed(store, kind, {item: marks[item] for item in answers if len(answers[item]) > 1})
        ),
        adjudicated=sum(bool(_adjudicators(decisions)) for decisions in latest.values()),
        settled_by_party=sum(bool(_adjudicators(latest[item]) & people.keys()) for item, people in answers.items()),
    )


def adjudicate(
    store: Store, kind: ItemKind, item_id: str, decision: Decision, *, annotator: str, clock: Clock
) -> ReviewEvent:
    """Settle a dispute: store an adjudicator's decision, which overrules what people decided; return it.

    It can be taken back like any other, by the action "undo" of the same annotator; then the dispute is open again.

    Raises:
        MarsError: the annotator has no name, nobody disputes the item, or it is no decision (see `record_decisions`).
    """
    require_annotator(annotator)
    events = store.reviews.events(kind, [item_id]).get(item_id, [])
    if len(_of_people(_latest(events))) < 2:
        raise MarsError(
            f"fewer than two people have decided {kind} {item_id}, so there is nothing to settle",
            remedy=f"decide it under {'Check' if kind == 'pair' else 'Review'}",
        )
    adjudicator = f"{ADJUDICATOR_PREFIX}{annotator}"
    (event,) = append_decisions(store, kind, {item_id: decision}, annotator=adjudicator, clock=clock)
    return event


def _latest(events: Sequence[ReviewMark] | Sequence[ReviewEvent]) -> dict[str, ReviewAction]:
    """The action of each annotator's decision in force."""
    return {name: stack[-1].action for name, stack in effective_events(events).items()}


def _of_people(decisions: Mapping[str, ReviewAction]) -> dict[str, ReviewAction]:
    reserved = (POLICY_PREFIX, ADJUDICATOR_PREFIX)
    return {name: action for name, action in sorted(decisions.items()) if not name.startswith(reserved)}


def _adjudicators(decisions: Iterable[str]) -> set[str]:
    """The names of those who decided as adjudicators, as they have them as people."""
    return {name.removeprefix(ADJUDICATOR_PREFIX) for name in decisions if name.startswith(ADJUDICATOR_PREFIX)}


def _ratings(shared: Sequence[Mapping[str, ReviewAction]], annotators: Sequence[str]) -> IntArray:
    """The answers as category numbers, shape (items, annotators)."""
    numbers: dict[str, int] = {}
    column = {name: place for place, name in enumerate(annotators)}
    ratings = np.full((len(shared), len(annotators)), MISSING, dtype=np.int64)
    for row, people in enumerate(shared):
        for name, action in people.items():
            ratings[row, column[name]] = numbers.setdefault(action, len(numbers))
    return ratings


def agreement_of_each_two(
    ratings: IntArray, annotators: Sequence[str], rng: np.random.Generator, level: float
) -> Iterable[PairOfAnnotators]:
    """Yield the agreement of each two annotators who share items.

    Args:
        ratings: category numbers from 0, MISSING where there is no answer; shape (items, annotators).
        annotators: their names.
        rng: draws the resamples.
        level: level of the intervals.
    """
    for one, other in combinations(range(len(annotators)), 2):
        both = ratings[:, [one, other]]
        raw = raw_agreement(both, rng=rng, resamples=RESAMPLES, level=level)
        kappa = cohens_kappa(both[:, 0], both[:, 1], rng=rng, resamples=RESAMPLES, level=level)
        if raw.items:
            yield PairOfAnnotators(annotators[one], annotators[other], raw.items, raw, kappa)


def _disputed(store: Store, kind: ItemKind, marks: Mapping[str, Sequence[ReviewMark]]) -> list[str]:
    """Ids of the items whose decisions that count differ; texts are read only where one of several edited."""
    statuses = {item: plain_status(events) for item, events in marks.items()}
    unclear = [item for item, status in statuses.items() if status is None]
    if unclear:
        events = store.reviews.events(kind, unclear)
        for proposal_id, proposal in store.proposals.by_id(unclear).items():
            statuses[proposal_id] = proposal_state(proposal, events[proposal_id]).status
    return [item for item, status in statuses.items() if status == "disputed"]


def coefficient_in_words(coefficient: Coefficient) -> str:
    """Return a coefficient with its interval, or that it is undefined."""
    interval = coefficient.interval
    if interval is None:
        return "undefined"
    return f"{interval.estimate:.2f} ({interval.low:.2f} to {interval.high:.2f})".replace("-", "−")
