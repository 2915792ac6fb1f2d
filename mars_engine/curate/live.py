"""Live: the probe refitted on what people have decided by now, while they decide.

The features are read once; then a refit begins where the last one ended, of at most 5,000 pairs. In a larger workspace
the fit takes a fixed sample: the pairs that people decided about, each once, and others that stand for all the rest,
weighted accordingly. The figures say so. From the same fit comes the order in which waiting proposals add most.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mars_engine.core.columns import IdArray, ProposalFacts
from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import Progress
from mars_engine.core.records import BoolArray, BradleyTerryFit, FloatArray, IntArray, Pair, Proposal, TrainingSet
from mars_engine.core.review_records import ItemKind, ReviewEvent
from mars_engine.core.review_state import (
    POLICY_PREFIX,
    ProposalState,
    decided_by_people,
    label_decision,
    proposal_state,
)
from mars_engine.core.treatment import LabelDecision, PairTreatment, treat_pair
from mars_engine.curate.gain_order import GainLimits, GainOrder, Kind, chances_by_kind, kind_of, rank_waiting
from mars_engine.reward_models.curvature import Curvature, hessian, summarize_curvature
from mars_engine.reward_models.protocols import LinearTrainer
from mars_engine.stats.metrics import pairwise_accuracy
from mars_engine.store import Store

WATCHED = ("reviews", "pairs", "models", "triage")
"""What the figures depend on; what else they show (the queue of proposals) does not change while people decide."""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """The most pairs of each sort that a refit takes."""

    base: int = 5_000
    heldout: int = 2_000
    queue: int = 2_000
    proposals: int = 5_000


@dataclass(frozen=True, slots=True)
class MovedMargin:
    """An item's score margin before and after the refit, as labelled or as proposed."""

    item_id: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What checking the open suspects may bring, as live figures judge it by those that were checked."""

    mislabel_rate: float
    """Share of the decided suspects that were flipped or dropped, as Check's page has it."""
    judged: int
    open_suspects: int
    accuracy: float
    """Held-out accuracy if open suspects turned out as the decided ones did, less the accuracy now."""


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """A refit's figures. Accuracy is NaN without held-out pairs, a queue's margin where the queue is empty."""

    kind: ItemKind
    stamp: str
    """At which state of the store it stands; see `live_stamp`."""
    decisions: int
    """Items of this kind about which people have decided."""
    heldout_accuracy: float
    heldout_pairs: int
    queue_margin: float
    """Mean score margin of the undecided suspects (Check) or of the pending proposals' sources (Review)."""
    queue_pairs: int
    """How many pairs that is the mean of."""
    unread_margin: float
    """For Review, the same of the sources of all proposals that no person has decided about, whatever a policy has."""
    unread_pairs: int
    curvature: Curvature
    moved: Mapping[str, MovedMargin]
    """By annotator, how the margin of the item that he or she decided last moved; the first refit has none."""
    gain: Gain | None
    """For Check, once the label of a suspect was called right or flipped."""
    base_pairs: int
    proposals: int
    """Accepted proposals in the fit."""
    sample: str
    """Which part of the pairs was taken; empty where all were."""
    seconds: float


def live_stamp(store: Store) -> str:
    """Return what changes whenever live figures would; quick enough for every rerun of a page."""
    revisions = store.browse.revisions()
    return "-".join(str(revisions.get(subject, 0)) for subject in WATCHED)


def gain_stamp(store: Store) -> str:
    """Return what changes whenever the gain order would: beside decisions, the proposals and their verdicts."""
    return _gain_stamp(live_stamp(store), store.browse.revisions().get("proposals", 0))


def _gain_stamp(stamp: str, proposals: int) -> str:
    return f"{stamp}-{proposals}"


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """Ids of the pairs, the smallest first. Ids are digests of content, so the first of them are a random sample."""

    train: list[str]
    heldout: list[str]
    suspects: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    """What people decided by now."""

    labels: Mapping[str, LabelDecision]
    accepted: Mapping[str, Pair]
    """The accepted proposals as pairs, by proposal id."""
    accepted_sources: Mapping[str, str]
    settled: frozenset[str]
    """Proposals that are no longer pending."""
    read: frozenset[str]
    """Those of them about which a person has decided, not a policy alone."""
    tally: Mapping[Kind, tuple[int, int]]
    """How many proposals of a kind people accepted, and how many they accepted or rejected."""
    last: Mapping[ItemKind, Mapping[str, str]]
    """By kind and annotator, the item decided last."""


@dataclass(frozen=True, slots=True, eq=False)
class _Examples:
    """Rows of a fit."""

    differences: FloatArray
    weights: FloatArray
    confidence: FloatArray
    open_suspects: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    stamp: str
    base: _Base
    decided: _Decided
    examples: _Examples
    base_pairs: int
    solution: BradleyTerryFit

    @property
    def coefficients(self) -> FloatArray:
        return self.solution.weights


@dataclass(eq=False)
class _FeatureTable:
    """Feature differences by pair id; those of a pair are computed once."""

    trainer: LinearTrainer
    progress: Progress
    _rows: dict[str, int] = field(default_factory=dict)
    _matrix: FloatArray | None = None

    def missing(self, ids: Collection[str]) -> list[str]:
        return [pair_id for pair_id in dict.fromkeys(ids) if pair_id not in self._rows]

    def add(self, pairs: Sequence[Pair]) -> None:
        different = list({pair.id: pair for pair in pairs if pair.id not in self._rows}.values())
        if different:
            fresh = self.trainer.feature_differences(different, progress=self.progress)
            start = len(self._rows)
            self._rows.update((pair.id, start + index) for index, pair in enumerate(different))
            self._matrix = fresh if self._matrix is None else np.vstack([self._matrix, fresh])

    def of(self, ids: Sequence[str]) -> FloatArray:
        """Return Δφ, from which the live figures are computed, of pairs that were added, shape (n, d)."""
        assert self._matrix is not None  # noqa: S101 (there is no figure without pairs)
        rows: IntArray = np.array([self._rows[pair_id] for pair_id in ids], dtype=np.int64)
        differences: FloatArray = self._matrix[rows]
        return differences


@dataclass(frozen=True, slots=True, eq=False)
class _Queue:
    """The proposals as they stood at a revision; what was read of a proposal that waits is kept."""

    revision: int
    facts: ProposalFacts
    ids: list[str]
    source_ids: list[str]
    read: dict[str, tuple[str, Kind]] = field(default_factory=dict)
    """Id of its pair and its kind, by proposal id."""


class LiveProbe:
    """Refits the probe whenever it is asked and something was decided. For one thread."""

    def __init__(
        self,
        store: Store,
        trainer: LinearTrainer,
        *,
        config: MarsConfig,
        progress: Progress,
        limits: LiveLimits | None = None,
        gain_limits: GainLimits | None = None,
    ) -> None:
        self._store = store
        self._trainer = trainer
        self._config = config
        self._limits = limits or LiveLimits()
        self._gain_limits = gain_limits or GainLimits()
        self._queued: _Queue | None = None
        self._progress = progress
        self._features = _FeatureTable(trainer, progress)
        self._settings = trainer.settings
        self._proposals: dict[str, Proposal] = {}
        self._fit: _Fit | None = None
        self._previous: FloatArray | None = None

    def figures(self, kind: ItemKind) -> LiveFigures:
        """Return the live figures of the review as decisions stand now.

        Raises:
            NotReadyError: there is no trained model, or no training pair.
        """
        started = time.perf_counter()
        fit = self._current_fit()
        heldout = fit.base.heldout[: self._limits.heldout]
        accuracy = pairwise_accuracy(self._margins(heldout, fit.coefficients))
        queue_margin, queue_pairs = self._queue_margin(self._queue(kind, fit), fit)
        unread = self._sources_without(fit.decided.read) if kind == "proposal" else []
        unread_margin, unread_pairs = self._queue_margin(unread, fit)
        examples = fit.examples
        return LiveFigures(
            kind=kind,
            stamp=fit.stamp,
            decisions=len(fit.decided.labels if kind == "pair" else fit.decided.read),
            heldout_accuracy=accuracy,
            heldout_pairs=len(heldout),
            queue_margin=queue_margin,
            queue_pairs=queue_pairs,
            unread_margin=unread_margin,
            unread_pairs=unread_pairs,
            curvature=summarize_curvature(
                hessian(examples.differences, examples.differences @ fit.coefficients, examples.weights)
            ),
            moved=self._moved(kind, fit),
            gain=self._gain(fit, heldout, accuracy) if kind == "pair" else None,
            base_pairs=fit.base_pairs,
            proposals=len(examples.weights) - fit.base_pairs,
            sample=self._sample_note(fit),
            seconds=time.perf_counter() - started,
        )

    # ------------------------------------------------------------------------------------------------ the gain order

    def gain_order(self) -> GainOrder:
        """Return the order in which the waiting proposals add most, as of now.

        Raises:
            NotReadyError: there is no trained model, or no training pair.
        """
        started = time.perf_counter()
        queue = self._read_queue()
        fit = self._current_fit()
        waiting = np.flatnonzero(self._waits(queue, fit))
        ranked = self._candidates(queue, waiting)
        self._read_waiting(queue, [queue.ids[place] for place in ranked.tolist()])
        read = [queue.read[queue.ids[place]] for place in ranked.tolist()]
        kinds = [kind for _, kind in read]
        by_kind = chances_by_kind(fit.decided.tally, kinds)
        examples = fit.examples
        penalty = self._trainer.ridge(examples.weights) * np.eye(len(fit.coefficients))
        summed = hessian(examples.differences, examples.differences @ fit.coefficients, examples.weights)
        ranking = rank_waiting(
            self._features.of([pair_id for pair_id, _ in read]),
            fit.coefficients,
            np.array([by_kind[kind].chance for kind in kinds], dtype=np.float64),
            curvature=float(examples.weights.sum()) * summed + penalty,
            one_by_one=self._gain_limits.one_by_one,
        )
        return GainOrder(
            stamp=_gain_stamp(fit.stamp, queue.revision),
            ids=queue.facts.ids[ranked[ranking.order]],
            gains=ranking.gains.astype(np.float32),
            one_by_one=ranking.one_by_one,
            waiting=len(waiting),
            chances=tuple(by_kind.values()),
            seconds=time.perf_counter() - started,
        )

    def _read_queue(self) -> _Queue:
        """The proposals, read again only where some were added or judged anew."""
        revision = self._store.browse.revisions().get("proposals", 0)
        if self._queued is None or self._queued.revision != revision:
            facts = self._store.proposals.facts()
            self._queued = _Queue(revision, facts, _as_texts(facts.ids), _as_texts(facts.source_ids))
        return self._queued

    def _waits(self, queue: _Queue, fit: _Fit) -> BoolArray:
        """Which proposals are undecided and, were they accepted, could be composed as their sources stand now."""
        wanted: dict[str, bool | None] = {}
        for source_id in set(queue.source_ids):
            treatment = self._treatment(source_id, fit.base, fit.decided)
            wanted[source_id] = treatment.label_confidence == 0.0 if treatment.gets_budget else None
        settled = fit.decided.settled
        return np.array(
            [
                proposal_id not in settled and wanted[source_id] is is_flipped
                for proposal_id, source_id, is_flipped in zip(
                    queue.ids, queue.source_ids, queue.facts.flipped.tolist(), strict=True
                )
            ],
            dtype=bool,
        )

    def _candidates(self, queue: _Queue, waiting: IntArray) -> IntArray:
        """The proposals that are ranked: of too many, those with the highest gain as it was when they were proposed."""
        gains = np.nan_to_num(queue.facts.information_gain[waiting], nan=-np.inf)
        by_gain = np.lexsort([queue.facts.ids[waiting], -gains])
        return waiting[by_gain[: self._gain_limits.candidates]]

    def _read_waiting(self, queue: _Queue, proposal_ids: Sequence[str]) -> None:
        """Read what was not read yet of these proposals, and compute their features."""
        unknown = [proposal_id for proposal_id in proposal_ids if proposal_id not in queue.read]
        pairs: list[Pair] = []
        for proposal_id, proposal in self._store.proposals.by_id(unknown).items():
            pair = proposal.as_pair()
            queue.read[proposal_id] = (pair.id, kind_of(proposal))
            pairs.append(pair)
        self._features.add(pairs)

    # ------------------------------------------------------------------------------------------------------- the fit

    def _current_fit(self) -> _Fit:
        stamp = live_stamp(self._store)
        if self._fit is not None and self._fit.stamp == stamp:
            return self._fit
        if self._store.models.latest() is None:
            raise NotReadyError("no reward model is trained yet", remedy="train one first, on the page Train")
        if not self._trainer.is_prepared:  # a workspace whose warm-up was no probe of these settings
            pairs = self._store.pairs.pairs("train")
            if pairs:
                self._trainer.prepare(TrainingSet.plain(pairs), progress=self._progress)
        if self._trainer.settings != self._settings:  # a newer warm-up looks at other features
            self._settings, self._fit = self._trainer.settings, None
            self._features = _FeatureTable(self._trainer, self._progress)
            self._queued = None
        base = self._read_base(stamp)
        decided = self._read_decisions()
        examples, base_pairs = self._examples(base, decided)
        solution = self._trainer.refit(
            examples.differences,
            examples.weights,
            examples.confidence,
            before=None if self._fit is None else self._fit.solution,
        )
        self._previous = None if self._fit is None else self._fit.coefficients
        self._fit = _Fit(stamp, base, decided, examples, base_pairs, solution)
        return self._fit

    def _read_base(self, stamp: str) -> _Base:
        """The pairs and their suspicions, read again only where something other than reviews has changed."""
        if self._fit is not None and self._fit.stamp.split("-")[1:] == stamp.split("-")[1:]:
            return self._fit.base
        columns = self._store.browse.pairs()
        warm_up = self._store.browse.newest_triaged_model()
        suspects: frozenset[str] = frozenset()
        if warm_up is not None:
            triage = self._store.browse.triage(warm_up.id)
            suspects = frozenset(_as_texts(triage.pair_ids[triage.verdict == b"suspected"]))
        train, heldout = (sorted(_as_texts(columns.ids[columns.split == split])) for split in (b"train", b"heldout"))
        if not train:
            raise NotReadyError("there are no training pairs", remedy="import some first, on the page Data")
        self._load(heldout[: self._limits.heldout])
        return _Base(train, heldout, suspects & frozenset(train))

    def _read_decisions(self) -> _Decided:
        of_pairs = self._store.reviews.events("pair")
        of_proposals = self._store.reviews.events("proposal")
        labels = {pair_id: decision for pair_id, events in of_pairs.items() if (decision := label_decision(events))}
        unknown = [proposal_id for proposal_id in of_proposals if proposal_id not in self._proposals]
        self._proposals.update(self._store.proposals.by_id(unknown))
        states = {
            proposal_id: proposal_state(self._proposals[proposal_id], events)
            for proposal_id, events in of_proposals.items()
            if proposal_id in self._proposals
        }
        accepted = sorted(proposal_id for proposal_id, state in states.items() if state.status == "accepted")
        accepted = accepted[: self._limits.proposals]
        sources = self._store.pairs.by_id({self._proposals[proposal_id].source_id for proposal_id in accepted})
        pairs: dict[str, Pair] = {}
        for proposal_id in accepted:
            proposal, state = self._proposals[proposal_id], states[proposal_id]
            base = _oriented(sources[proposal.source_id], labels.get(proposal.source_id))
            if base.id == proposal.oriented_id:  # else its sides are the wrong way round now
                prompt = state.prompt if state.prompt is not None else base.prompt
                pairs[proposal_id] = Pair.of(prompt, state.chosen or base.chosen, state.rejected or base.rejected)
        return _Decided(
            labels=labels,
            accepted=pairs,
            accepted_sources={proposal_id: self._proposals[proposal_id].source_id for proposal_id in pairs},
            settled=frozenset(proposal_id for proposal_id, state in states.items() if state.status != "pending"),
            read=frozenset(proposal_id for proposal_id, state in states.items() if decided_by_people(state)),
            tally=_tally(self._proposals, states),
            last={"pair": _last_decided(of_pairs), "proposal": _last_decided(of_proposals)},
        )

    def _examples(self, base: _Base, decided: _Decided) -> tuple[_Examples, int]:
        """Return the rows of the fit, the base pairs first, and how many those are."""
        is_train = frozenset(base.train)
        taken = dict.fromkeys(
            [*base.train[: self._limits.base], *(pair_id for pair_id in decided.labels if pair_id in is_train)]
        )
        undecided = sum(pair_id not in decided.labels for pair_id in base.train)
        undecided_taken = sum(pair_id not in decided.labels for pair_id in taken)
        stands_for = undecided / undecided_taken if undecided_taken else 1.0
        treatments = {pair_id: self._treatment(pair_id, base, decided) for pair_id in taken}
        rows = [pair_id for pair_id in taken if treatments[pair_id].trained_on]
        weights = [1.0 if pair_id in decided.labels else stands_for for pair_id in rows]
        confidence = [treatments[pair_id].label_confidence for pair_id in rows]
        accepted = {
            proposal_id: pair
            for proposal_id, pair in decided.accepted.items()
            if self._treatment(decided.accepted_sources[proposal_id], base, decided).trained_on
        }
        label_confidence = [
            self._treatment(decided.accepted_sources[proposal_id], base, decided).label_confidence
            for proposal_id in accepted
        ]
        # Where the source was flipped, the proposal has the right sides already.
        confidence += [1.0 if value == 0.0 else value for value in label_confidence]
        self._load(rows)
        self._features.add(
            list({pair.id: pair for pair in accepted.values() if self._features.missing([pair.id])}.values())
        )
        ids = [*rows, *(pair.id for pair in accepted.values())]
        if not ids:
            raise NotReadyError("all training pairs were dropped", remedy="import more pairs, or undo some decisions")
        open_suspects = [pair_id in base.suspects and pair_id not in decided.labels for pair_id in rows]
        examples = _Examples(
            differences=self._features.of(ids),
            weights=np.array(weights + [1.0] * len(accepted), dtype=np.float64),
            confidence=np.array(confidence, dtype=np.float64),
            open_suspects=np.array(open_suspects + [False] * len(accepted), dtype=bool),
        )
        return examples, len(rows)

    def _treatment(self, pair_id: str, base: _Base, decided: _Decided) -> PairTreatment:
        triage = self._config.triage
        return treat_pair(
            suspected=pair_id in base.suspects,
            policy=triage.policy,
            smoothing=triage.smoothing,
            decision=decided.labels.get(pair_id),
        )

    def _load(self, pair_ids: Collection[str]) -> None:
        """Compute the features of stored pairs that have none yet."""
        missing = self._features.missing(pair_ids)
        self._features.add(list(self._store.pairs.by_id(missing).values()))

    def _margins(self, pair_ids: Sequence[str], coefficients: FloatArray) -> FloatArray:
        if not pair_ids:
            return np.zeros(0)
        self._load(pair_ids)
        return self._features.of(pair_ids) @ coefficients

    # --------------------------------------------------------------------------------------------------- the figures

    def _queue(self, kind: ItemKind, fit: _Fit) -> Collection[str]:
        """The undecided suspects, or the sources of the pending proposals."""
        return (
            fit.base.suspects - fit.decided.labels.keys()
            if kind == "pair"
            else self._sources_without(fit.decided.settled)
        )

    def _sources_without(self, proposal_ids: Collection[str]) -> Collection[str]:
        """The source pairs of all proposals but these."""
        queue = self._read_queue()
        pairs = zip(queue.ids, queue.source_ids, strict=True)
        return {source for proposal, source in pairs if proposal not in proposal_ids}

    def _queue_margin(self, queue: Collection[str], fit: _Fit) -> tuple[float, int]:
        """Return the mean margin of a queue's pairs, as their sides stand by now, and of how many it is."""
        taken = sorted(queue)[: self._limits.queue]
        if not taken:
            return float("nan"), 0
        signs = [-1.0 if fit.decided.labels.get(pair_id) == "flip" else 1.0 for pair_id in taken]
        return float((self._margins(taken, fit.coefficients) * np.array(signs)).mean()), len(taken)

    def _moved(self, kind: ItemKind, fit: _Fit) -> dict[str, MovedMargin]:
        previous, last = self._previous, fit.decided.last[kind]
        if previous is None:
            return {}
        if kind == "pair":
            self._load(last.values())
            pair_of = {item_id: item_id for item_id in last.values()}
        else:
            pairs = {item_id: self._proposals[item_id].as_pair() for item_id in last.values()}
            self._features.add([pair for pair in pairs.values() if self._features.missing([pair.id])])
            pair_of = {item_id: pair.id for item_id, pair in pairs.items()}
        moved = {}
        for annotator, item_id in last.items():
            (difference,) = self._features.of([pair_of[item_id]])
            before, after = float(difference @ previous), float(difference @ fit.coefficients)
            moved[annotator] = MovedMargin(item_id, before, after)
        return moved

    def _gain(self, fit: _Fit, heldout: Sequence[str], accuracy: float) -> Gain | None:
        judged = Counter(decision for pair_id in fit.base.suspects if (decision := fit.decided.labels.get(pair_id)))
        flips, right, decided = judged["flip"], judged["label_right"], judged.total()
        suspects = fit.examples.open_suspects
        if not heldout or not suspects.any() or not flips + right:
            return None
        # In expectation: so many of them stay in the fit, and so many of those with their label as it is.
        weights = np.where(suspects, (flips + right) / decided, 1.0) * fit.examples.weights
        confidence = np.where(suspects, right / (flips + right), fit.examples.confidence)
        coefficients = self._trainer.refit(fit.examples.differences, weights, confidence, before=fit.solution).weights
        return Gain(
            mislabel_rate=(flips + judged["drop"]) / decided,
            judged=decided,
            open_suspects=len(fit.base.suspects - fit.decided.labels.keys()),
            accuracy=pairwise_accuracy(self._margins(heldout, coefficients)) - accuracy,
        )

    def _sample_note(self, fit: _Fit) -> str:
        notes = []
        if len(fit.base.train) > self._limits.base:
            notes.append(
                f"fitted on {fit.base_pairs:,} of {len(fit.base.train):,} training pairs: those decided about, "
                "and a fixed sample that is weighted to stand for the rest"
            )
        if len(fit.base.heldout) > self._limits.heldout:
            notes.append(f"accuracy on a fixed {self._limits.heldout:,} of {len(fit.base.heldout):,} held-out pairs")
        return "; ".join(notes)


def _as_texts(ids: IdArray) -> list[str]:
    return [pair_id.decode("ascii") for pair_id in ids.tolist()]


def _oriented(pair: Pair, decision: LabelDecision | None) -> Pair:
    return pair.exchanged if decision == "flip" else pair


def _tally(proposals: Mapping[str, Proposal], states: Mapping[str, ProposalState]) -> Mapping[Kind, tuple[int, int]]:
    """Count what people accepted, and what they accepted or rejected, by kind; policies are no people."""
    accepted: Counter[Kind] = Counter()
    decided: Counter[Kind] = Counter()
    for proposal_id, state in states.items():
        if state.status not in ("accepted", "rejected") or state.decided_by[0].startswith(POLICY_PREFIX):
            continue
        kind = kind_of(proposals[proposal_id])
        decided[kind] += 1
        accepted[kind] += state.status == "accepted"
    return {kind: (accepted[kind], count) for kind, count in decided.items()}


def _last_decided(events: Mapping[str, Sequence[ReviewEvent]]) -> dict[str, str]:
    """Return the item that each person decided last."""
    newest: dict[str, ReviewEvent] = {}
    for event in (event for stack in events.values() for event in stack):
        if event.action in {"undo", "skip"} or event.annotator.startswith(POLICY_PREFIX):
            continue
        earlier = newest.get(event.annotator)
        if earlier is None or (event.at, event.sequence) >= (earlier.at, earlier.sequence):
            newest[event.annotator] = event
    return {annotator: event.item_id for annotator, event in newest.items()}
