"""What the steps of the method need, as protocols: they never import a model, a generator or a database."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from mars_engine.core.chat_records import GenerationEstimate, KeptAnswer, Spending
from mars_engine.core.columns import (
    DistanceColumns,
    IdArray,
    LengthColumns,
    MarginColumns,
    PairColumns,
    PairRewards,
    PlanColumns,
    ProposalColumns,
    ProposalFacts,
    ReviewedItems,
    ReviewTally,
    RewardColumns,
    TriageColumns,
)
from mars_engine.core.records import (
    BradleyTerryFit,
    ComposedPair,
    Composition,
    DatasetRecord,
    Embeddings,
    EvaluationRecord,
    Float32Array,
    FloatArray,
    GeneratorCard,
    HiddenState,
    IntArray,
    ItemKind,
    Lease,
    MapKind,
    MapPoints,
    ModelEvidence,
    ModelRecord,
    Pair,
    PairSet,
    ParsedRow,
    Passage,
    Plan,
    PlanRow,
    Prompt,
    Proposal,
    ProposalFailure,
    RecordedAct,
    RefineTry,
    RemovedContent,
    ReviewEvent,
    ReviewMark,
    Rewards,
    Run,
    RunState,
    Side,
    Split,
    StandingAct,
    TrainingSet,
    TriageRow,
    Truncation,
)


class Clock(Protocol):
    """Tells the time, as an aware datetime in UTC."""

    def __call__(self) -> datetime: ...


class Progress(Protocol):
    """Shows how far a piece of long work has come."""

    def task(self, name: str, total: int) -> AbstractContextManager["ProgressTask"]:
        """Open a task of `total` steps; leaving the context closes it."""
        ...


class ProgressTask(Protocol):
    def advance(self, steps: int = 1) -> None: ...

    def resume(self, steps: int) -> None:
        """Count steps that were taken before, in earlier work: they say nothing of the pace of this one."""
        ...


# ---------------------------------------------------------------------------------------------------------- models


class Encoder(Protocol):
    """Turns passages into sentence embeddings, and into hidden states of its lower layers."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights, pooling and length limit: equal fingerprints give equal embeddings."""
        ...

    @property
    def depth(self) -> int:
        """The number of the last hidden layer, 0 where hidden layers cannot be read."""
        ...

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:
        """Return one sentence embedding of unit length for each passage, in order.

        Batching never changes a value by more than 1e-6.
        """
        ...

    def hidden_states(
        self, passages: Sequence[Passage], states: Sequence[HiddenState], *, progress: Progress
    ) -> Embeddings:
        """Return the hidden states of each passage side by side, one row for each passage, shape (n, len(states)·d).

        They are kept as float16, so that a value is exact to a 2,048th of itself.

        Raises:
            ModelError: the encoder has no such layer.
        """
        ...

    def context_of(self, prompt: Prompt) -> str:
        """Return a prompt as the text before a response, in the model's own chat template where it has one."""
        ...


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
    """What is told while a model that takes many steps is trained."""

    def add_point(self, metric: str, step: int, value: float) -> None:
        """Note a metric's value at a step, for the curves that are seen meanwhile."""
        ...

    def add_epoch(self, model_id: str, epoch: int, margins: Mapping[str, float]) -> None:
        """Keep the base pairs' margins after an epoch, counted from 1, by pair id; told again, they are replaced.

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


class FoldTrainer(Protocol):
    """Fits models on all folds but one, for the pairs of that fold."""

    def prepare(self, training_set: TrainingSet, *, progress: Progress) -> None:
        """Choose by the base pairs what the settings leave open, for all that is fitted afterwards."""
        ...

    def out_of_fold_margins(self, training_set: TrainingSet, folds: IntArray, *, progress: Progress) -> FloatArray:
        """Return margins under models that never saw the pair.

        Args:
            training_set: n pairs.
            folds: fold number of each pair under each seed, shape (seeds, n).

        Returns:
            Margins, shape (seeds, n), as labelled.
        """
        ...

    def fold_models(self, training_set: TrainingSet, folds: IntArray, *, progress: Progress) -> "FoldModels":
        """Return the models that `out_of_fold_margins` asks, to ask them about other pairs too."""
        ...


class FoldModels(Protocol):
    """The models that were fitted on all folds but one."""

    @property
    def own_margins(self) -> FloatArray:
        """Margins of the training set, each under the models that did not see it, shape (seeds, n), as labelled."""
        ...

    def margins(self, pairs: Sequence[Pair], folds: IntArray, *, progress: Progress) -> FloatArray:
        """Return margins of m pairs under the models fitted without some fold, shape (seeds, m).

        Args:
            pairs: m pairs, such as variants of pairs of the training set.
            folds: under each seed, the fold that a pair's model must not have seen, shape (seeds, m).
        """
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


class ProbeFitter(FoldTrainer, LinearTrainer, Protocol):
    """What a workspace's probes are fitted with."""


class StepTrainer(Protocol):
    """Trains linear reward models step by step, on features that are there already."""

    def steps_for_epochs(self, pairs: int) -> int:
        """Return the optimizer steps that take the configured number of passes over so many pairs."""
        ...

    def pairs_a_step(self, pairs: int) -> int:
        """Return the size of a batch where there are so many pairs; every batch is full."""
        ...

    def fit(
        self,
        differences: FloatArray,
        weights: FloatArray,
        label_confidence: FloatArray,
        *,
        steps: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        """Return the weight vector, shape (d,), after exactly so many steps on n differences, shape (n, d)."""
        ...


class ViewFeatures(Protocol):
    """Features of views of a pair: the same texts, seen otherwise."""

    @property
    def most(self) -> int:
        """How many different views a pair has."""
        ...

    def feature_differences(
        self, pairs: Sequence[Pair], count: int, *, like: LinearTrainer, progress: Progress
    ) -> FloatArray:
        """Return the feature differences of `count` views of each pair, in another's features, shape (n, count, d)."""
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


# ------------------------------------------------------------------------------------------------------------ maps


class MapReducer(Protocol):
    """A fitted map: it gives a place to what comes later, and moves nothing."""

    def place(self, vectors: Float32Array) -> Float32Array:
        """Return the places of n vectors, shape (n, 2)."""
        ...


class Mapper(Protocol):
    """Makes maps: the same vectors under the same settings give the same map."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain JSON that, with the vectors, determines the map."""
        ...

    def fit(self, vectors: Float32Array) -> tuple[MapReducer, Float32Array]:
        """Return a map fitted on n vectors, and their places, shape (n, 2).

        Raises:
            NotReadyError: there are too few.
        """
        ...

    def centres(self, places: Float32Array) -> Float32Array:
        """Return the centres of the clusters that the places form, shape (k, 2); k is at least 1."""
        ...

    def distinctive_words(self, texts: Sequence[str], clusters: IntArray, count: int) -> list[tuple[str, ...]]:
        """Return for each of `count` clusters the words that tell its texts from the others', the most telling first.

        Args:
            texts: n texts.
            clusters: number of each text's cluster, shape (n,).
            count: how many clusters there are.
        """
        ...


class MapKeeper(Protocol):
    """Keeps maps."""

    def load(self, kind: MapKind) -> MapPoints | None:
        """Return a map, None where none was made.

        Raises:
            WorkspaceError: its files are damaged.
        """
        ...

    def reducer(self, kind: MapKind) -> MapReducer:
        """Return what places new pairs into a map that is there.

        Raises:
            WorkspaceError: its file is damaged.
        """
        ...

    def save(self, points: MapPoints, reducer: MapReducer) -> None:
        """Keep a map in the place of an earlier one of its kind, whole or not at all."""
        ...


# ------------------------------------------------------------------------------------------------------ generators


@dataclass(frozen=True, slots=True)
class ParaphraseRequest:
    """Ask for up to `count` different paraphrases of a text."""

    key: str
    text: str
    count: int
    seed: int
    source_id: str = ""
    """The source pair that it is for."""
    ask_again: bool = False
    """Whether an answer that could not be used is to be asked for anew, by a generator that keeps its answers."""


@dataclass(frozen=True, slots=True)
class RefineRequest:
    """Ask for up to `count` rewrites of one side that differ more from the other side, best guess first.

    A rewritten rejected answer must stay the worse one, a rewritten chosen answer the better one.
    """

    key: str
    prompt: Prompt
    chosen: str
    rejected: str
    side: Side
    count: int
    seed: int
    source_id: str = ""
    """The source pair that it is for."""
    ask_again: bool = False
    """Whether an answer that could not be used is to be asked for anew, by a generator that keeps its answers."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to one request: candidates, or the reason why there are none. Both may be given: fewer than asked."""

    key: str
    candidates: tuple[str, ...]
    failure: str = ""
    retryable: bool = False
    provenance: Mapping[str, Any] | None = None
    """What is known of this one answer beside the generator's card, e.g. tokens and latency."""


class Paraphraser(Protocol):
    @property
    def card(self) -> GeneratorCard: ...

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request, in order; a request that fails is a value, never an exception."""
        ...


class Refiner(Protocol):
    @property
    def card(self) -> GeneratorCard: ...

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Answer each request, in order; a request that fails is a value, never an exception."""
        ...


@runtime_checkable
class Prefetching(Protocol):
    """A paraphraser or refiner that can start on requests before their answers are needed."""

    def prefetch(self, requests: Sequence[Any], *, soon: bool = False) -> None:
        """Start on requests whose answers will be needed, and return at once; those needed soon go first."""
        ...


@runtime_checkable
class Estimating(Protocol):
    """A paraphraser, refiner or judge that can tell beforehand what its answers will take."""

    def estimate(self, requests: Sequence[Any]) -> GenerationEstimate:
        """Return what answering these requests would take; nothing is asked."""
        ...


# ---------------------------------------------------------------------------------------------------- quality gates


class LanguageDetector(Protocol):
    """Tells the language of texts."""

    def language(self, text: str) -> str | None:
        """Return the ISO 639 code of a text's language; None where it is too short or too mixed to tell."""
        ...


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """Ask which of two answers is the better one. The order in which they are shown is part of the question."""

    key: str
    prompt: Prompt
    first: str
    second: str
    source_id: str = ""
    """The source pair of what is judged."""
    ask_again: bool = False
    """Whether a judgement that could not be read is to be asked for anew."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer to one request; `prefers` is None for a tie or where the judge could not tell, with the reason."""

    key: str
    prefers: Literal["first", "second"] | None
    failure: str = ""
    retryable: bool = False


class Judge(Protocol):
    """A model that compares answers."""

    @property
    def card(self) -> GeneratorCard: ...

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """Answer each request, in order; a request that fails is a value, never an exception."""
        ...


# --------------------------------------------------------------------------------------------------------- sources


class PairSource(Protocol):
    """A file or hub set, opened and its format recognised."""

    @property
    def name(self) -> str: ...

    @property
    def location(self) -> str: ...

    @property
    def format(self) -> str: ...

    @property
    def content_hash(self) -> str:
        """Digest of the content and of how it is read, so that other options give another dataset."""
        ...

    def rows(self) -> Iterator[ParsedRow]:
        """Yield every row, with its pairs or the reasons why it gave none."""
        ...


@runtime_checkable
class CountedSource(Protocol):
    """A source that knows about how many rows it has, so that one can say how long reading them takes."""

    @property
    def expected_rows(self) -> int:
        """About how many rows there are; 0 where that cannot be told."""
        ...


# ----------------------------------------------------------------------------------------------------------- store


class StagedPairs(Protocol):
    """Pairs that are read and not stored yet, each once; more of them than fit into memory."""

    def add(self, row: int, pair: Pair) -> int | None:
        """Take a pair in; where it is here already, return the row that brought it and change nothing."""
        ...

    def __len__(self) -> int: ...

    def ids(self) -> Iterator[tuple[str, str, int]]:
        """Yield the id of each pair, that of its prompt, and its row, in the order they were added."""
        ...

    def pairs(self) -> Iterator[tuple[int, Pair]]:
        """Yield the pairs with their rows, in the order they were added."""
        ...

    def discard(self, ids: Iterable[str]) -> None:
        """Take pairs out; not while they are being gone through."""
        ...


class PairStore(Protocol):
    """Source pairs and the datasets they came in."""

    def staging(self) -> AbstractContextManager[StagedPairs]:
        """Open an empty staging of pairs, of which nothing is left once it is closed."""
        ...

    def add_dataset(
        self, dataset: DatasetRecord, pairs: Iterable[tuple[int, Pair]], *, since: int | None = None
    ) -> bool:
        """Store a dataset and its pairs, given with their row, in one transaction: all or nothing.

        A pair whose id is present already is not stored again; a dataset whose id is present changes nothing.

        Args:
            dataset: the dataset.
            pairs: gone through once.
            since: the revision of "pairs" that the caller has seen. Where others have changed them since, nothing is
                stored and False is returned, so that the caller looks again.
        """
        ...

    def datasets(self) -> list[DatasetRecord]:
        """All datasets, oldest first."""
        ...

    def present(self, ids: Collection[str]) -> dict[str, Split]:
        """Which of `ids` are stored, and in which split."""
        ...

    def prompts_present(self, split: Split, prompt_ids: Collection[str]) -> set[str]:
        """Which of these prompts have pairs in a split."""
        ...

    def pairs(self, split: Split) -> list[Pair]:
        """All pairs of a split, in the order of their import."""
        ...

    def by_id(self, ids: Collection[str]) -> dict[str, Pair]: ...

    def save_distances(self, encoder: str, distances: Mapping[str, float]) -> None:
        """Store the semantic distance of pairs, by pair id, under an encoder (its fingerprint), in one transaction."""
        ...

    def distances(self, encoder: str) -> dict[str, float]:
        """Semantic distances by pair id."""
        ...

    def stream(self, split: Split) -> Iterator[Pair]:
        """Yield the pairs of a split, in the order of their import; few are in memory at a time."""
        ...

    def count(self, split: Split) -> int: ...


class ModelStore(Protocol):
    """Reward models, their scores and what triage said."""

    def add(self, model: ModelRecord) -> None:
        """Store a model as the latest; one that is present becomes the latest, made for the composition given now."""
        ...

    def get(self, model_id: str) -> ModelRecord | None: ...

    def all(self) -> list[ModelRecord]:
        """All models, the latest last."""
        ...

    def latest(self, *, warm_up: bool = False) -> ModelRecord | None:
        """The newest model, or with `warm_up` the newest that was trained on base pairs alone."""
        ...

    def save_scores(self, model_id: str, pair_ids: Sequence[str], rewards: Rewards) -> None:
        """Store rewards, replacing those of the same model and pair, in one transaction."""
        ...

    def scores(self, model_id: str) -> dict[str, tuple[float, float]]:
        """Rewards (chosen, rejected) by pair id."""
        ...

    def save_epoch(self, model_id: str, epoch: int, margins: Mapping[str, float]) -> None:
        """Store base pairs' margins after an epoch of a model's training, replacing those there, in one transaction.

        They are signed by the label that the model is trained on (see `TrainingNotes.add_epoch`). The model itself need
        not be stored: it is still in training.
        """
        ...

    def trajectories(self, model_id: str) -> dict[str, list[float]]:
        """Margins after each epoch of a model's training, by pair id; those of epochs 1, 2, … in their order."""
        ...

    def with_trajectories(self) -> list[ModelRecord]:
        """The models with margins after each epoch, the latest last."""
        ...

    def trajectories_of(self, pair_id: str) -> dict[str, list[float]]:
        """A pair's margins after each epoch, by the id of the model in training."""
        ...

    def save_triage(self, model_id: str, rows: Sequence[TriageRow]) -> None:
        """Store the triage of a model's pairs, replacing an earlier one, in one transaction."""
        ...

    def triage(self, model_id: str) -> list[TriageRow]:
        """The triage under a model, in the order it was stored."""
        ...


class ProposalStore(Protocol):
    """Plans, proposals, and what generators could not do."""

    def add_plan(self, plan: Plan, rows: Sequence[PlanRow]) -> None:
        """Store a plan as the latest, in one transaction; one that is present keeps its rows and becomes the latest."""
        ...

    def plan(self, plan_id: str) -> Plan | None: ...

    def latest_plan(self) -> Plan | None: ...

    def plan_rows(self, plan_id: str) -> list[PlanRow]:
        """The rows of a plan, in the order they were stored."""
        ...

    def add_proposals(
        self,
        settings_id: str,
        refinements: Mapping[str, str],
        proposals: Sequence[Proposal],
        failures: Sequence[ProposalFailure],
        tries: Sequence[RefineTry] = (),
        *,
        tried: Collection[str] = (),
    ) -> None:
        """Store what came of some sources and mark them done, in one transaction.

        Args:
            settings_id: digest of the generators and their settings.
            refinements: outcome by the done mark (oriented id and gate verdict) of every source that is done now:
                "not_needed", "refined_rejected", "refined_chosen", "unrefined" or "postponed". A source that is done
                again has the newer one.
            proposals: what was proposed; an id that is present changes nothing.
            failures: what could not be done.
            tried: ids of the sources; what could not be done for them before is forgotten.
            tries: the trails of the sources whose contrast was to be sharpened, whatever came of it; a source's trail
                takes the place of an earlier one under these settings.
        """
        ...

    def refine_tries(self, source_ids: Collection[str]) -> list[RefineTry]:
        """The trails of these sources, a trail at a time, the tries of each in their order."""
        ...

    def replace_verdicts(self, proposals: Sequence[Proposal]) -> None:
        """Give stored proposals the flags and the generators' notes of these, in one transaction; nothing else."""
        ...

    def sources_done(self, settings_id: str) -> dict[str, str]:
        """Done marks of the sources done under these settings, with their refinement outcome."""
        ...

    def proposals(self, *, source_ids: Collection[str] | None = None, settings_id: str | None = None) -> list[Proposal]:
        """Proposals, ordered by source in import order and then by variant."""
        ...

    def by_id(self, ids: Collection[str]) -> dict[str, Proposal]: ...

    def present(self, ids: Collection[str]) -> set[str]:
        """Which of `ids` are stored."""
        ...

    def facts(self, source_ids: Collection[str] | None = None) -> ProposalFacts:
        """The columns of proposals that the order of reading is made of, in any order."""
        ...

    def count_by_source(self) -> dict[str, int]:
        """How many proposals each source pair has, those without left out."""
        ...

    def answers(self, ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """Proposed chosen and rejected texts by proposal id."""
        ...

    def failures(self, settings_id: str | None = None) -> list[ProposalFailure]: ...


class ChatStore(Protocol):
    """Requests to chat models and their answers. An answer is never changed; what failed may be answered later."""

    def newest(self, request_ids: Collection[str]) -> dict[str, KeptAnswer]:
        """What came of these requests when they were asked last, by id; those never asked are left out."""
        ...

    def settled(self, request_ids: Collection[str]) -> set[str]:
        """Which of these requests would not be sent again."""
        ...

    def keep(self, answers: Sequence[KeptAnswer]) -> None:
        """Store answers in one transaction; one that came for a request that had failed takes that one's place."""
        ...

    def all(self) -> list[KeptAnswer]:
        """Everything that was kept, the oldest first."""
        ...

    def spent(self) -> Spending:
        """Requests sent, tokens and money, over all that was kept."""
        ...


class ReviewStore(Protocol):
    """Review events. There is no way to change or delete one."""

    def append(self, events: Sequence[ReviewEvent]) -> int:
        """Store events in one transaction; return how many were new.

        An event with the same item, annotator and sequence as a stored one is that event sent again, and is not
        stored twice.
        """
        ...

    def append_acts(
        self, item_kind: ItemKind, annotator: str, acts: Sequence[Sequence[ReviewEvent]]
    ) -> list[RecordedAct]:
        """Store an annotator's acts in one transaction, and return what became of each.

        The annotator's leases of the items that were decided end in the same transaction.

        Args:
            item_kind: what the items are.
            annotator: whose acts they are.
            acts: the events of each act, which share its sequence; acts in order of sequence. An undo is given as one
                event without an item: it takes back the newest act with a smaller sequence that still stands, and is
                stored as one event for each of that act's items.
        """
        ...

    def events(self, item_kind: ItemKind, item_ids: Collection[str] | None = None) -> dict[str, list[ReviewEvent]]:
        """Events by item id, oldest first."""
        ...

    def marks(self, item_kind: ItemKind, *, after: int = 0) -> list[ReviewMark]:
        """The events of items of a kind without their texts, from the row behind `after` on, in order of row."""
        ...

    def standing_acts(self, item_kind: ItemKind, annotator: str, *, newest: int) -> list[StandingAct]:
        """The newest acts of an annotator that were not taken back, the newest first."""
        ...

    def last_sequence(self, annotator: str) -> int:
        """The greatest sequence stored for an annotator, of any kind of item; 0 where there is none."""
        ...

    def recent_seconds(self, item_kind: ItemKind, annotator: str, *, newest: int) -> list[float]:
        """The seconds spent on an annotator's newest decisions that stand, the newest first; at most `newest`.

        Skips are no decisions, and what was taken back is none any more. Acts on many items at once are left out: they
        do not tell how long one takes.
        """
        ...


class LeaseStore(Protocol):
    """Who is reading what until when."""

    def take(
        self,
        item_kind: ItemKind,
        candidates: Sequence[str],
        *,
        annotator: str,
        count: int,
        readers: Mapping[str, int],
        last_row: int | None = None,
        gives_back: bool = False,
        now: datetime,
        until: datetime,
    ) -> list[str]:
        """Lease up to `count` of the candidates to an annotator, in their order, in one transaction.

        Leases that have ended are forgotten first. The annotator's own leases are renewed and count. A candidate is
        passed over while as many others lease it as may read it at once.

        Args:
            item_kind: what the candidates are.
            candidates: item ids, the most wanted first.
            annotator: who is to read them.
            count: how many leases the annotator is to have at most.
            readers: how many may read an item at once, by its id; 1 where it is not listed.
            last_row: row of the last review event that the candidates were chosen by. What has a later one may have
                been decided and given back meanwhile, and is passed over. None where nobody decides.
            gives_back: whether the annotator's leases end of what is not among the first `count` free candidates, so
                that they count no more.
            now: leases that end at or before this moment have ended.
            until: when the new leases end.

        Returns:
            The ids leased to the annotator now, in the candidates' order.
        """
        ...

    def release(self, item_kind: ItemKind, item_ids: Collection[str], *, annotator: str) -> None:
        """End an annotator's leases of these items; where there is none, nothing happens."""
        ...

    def standing(self, item_kind: ItemKind, *, now: datetime) -> list[Lease]:
        """The leases that have not ended, by annotator and item."""
        ...


class PairSetStore(Protocol):
    """Sets of source pairs that people put together."""

    def add(self, pair_set: PairSet, pair_ids: Collection[str]) -> None:
        """Store a set, in one transaction; one whose id is present changes nothing."""
        ...

    def remove(self, set_id: str) -> None:
        """Forget a set; the pairs stay. Where there is none, nothing happens."""
        ...

    def all(self) -> list[PairSet]:
        """All sets, the newest first."""
        ...

    def members(self, set_id: str) -> list[str]:
        """Ids of a set's pairs, in the order of their import."""
        ...

    def members_among(self, set_id: str, pair_ids: Collection[str]) -> set[str]:
        """Which of some pairs are in a set."""
        ...


class BrowseStore(Protocol):
    """Columns of many pairs at once, without their texts: what pages filter, count and draw by.

    A method is one reading of the database as it is then; nothing is cached.
    """

    def revisions(self) -> dict[str, int]:
        """How often each subject has changed: "pairs", "distances", "models", "scores", "triage", "plans",
        "proposals", "chat", "reviews", "sets", "compositions", "evaluations", "trajectories", and "removals", how
        often rows of these were removed; a subject that never changed is left out."""
        ...

    def pairs(self) -> PairColumns:
        """All pairs, in the order of their import."""
        ...

    def lengths(self, split: Split) -> LengthColumns:
        """Lengths of the answers of a split's pairs, in any order. Slow where they are many: their texts are read."""
        ...

    def newest_scored_model(self) -> ModelRecord | None:
        """The newest model that has scored any pair."""
        ...

    def newest_triaged_model(self) -> ModelRecord | None:
        """The newest warm-up under which labels were triaged."""
        ...

    def margins(self, model_id: str) -> MarginColumns:
        """Score margins of the pairs that a model has scored, in any order, as all that follow here."""
        ...

    def rewards(self, model_id: str, split: Split) -> RewardColumns:
        """Rewards of the pairs of a split that a model has scored."""
        ...

    def triage(self, model_id: str) -> TriageColumns: ...

    def distances(self, encoder: str) -> DistanceColumns:
        """Semantic distances that were stored under an encoder (its fingerprint)."""
        ...

    def distance_encoders(self) -> list[str]:
        """The encoders under which distances are stored, the one with the most first."""
        ...

    def plan_rows(self, plan_id: str) -> PlanColumns: ...

    def proposals(self) -> ProposalColumns: ...

    def reviewed(self, *, after: int = 0) -> ReviewedItems:
        """What was reviewed since the review event with this number; with 0, ever."""
        ...

    def review_tallies(self) -> list[ReviewTally]:
        """How many review events each annotator made of each kind, and how many of them were taken back, by name."""
        ...

    def refinements(self) -> dict[str, int]:
        """How many sources had each outcome of refining: "not_needed", "refined_rejected", "refined_chosen" or
        "unrefined"; a source counts once under each generators' settings."""
        ...

    def prompt_ids(self, split: Split) -> IdArray:
        """The prompt ids of a split's pairs, in the order of their import."""
        ...

    def matching(self, words: str) -> list[str]:
        """Ids of the pairs in whose prompt, chosen or rejected text the words occur as they are, case aside."""
        ...

    def same_prompt(self, pair_id: str) -> list[str]:
        """Ids of the other pairs with the same prompt."""
        ...

    def rewards_of(self, pair_id: str) -> list[PairRewards]:
        """A pair's rewards under each model that has scored it, the oldest model first."""
        ...


class CompositionStore(Protocol):
    def add(self, composition: Composition, pairs: Sequence[ComposedPair]) -> None:
        """Store a composition as the latest, in one transaction; one that is present keeps its pairs and becomes it."""
        ...

    def get(self, composition_id: str) -> Composition | None: ...

    def latest(self) -> Composition | None: ...

    def all(self) -> list[Composition]: ...

    def count(self, composition_id: str) -> int: ...

    def pairs(self, composition_id: str) -> list[ComposedPair]:
        """The composed pairs, in the order they were stored."""
        ...


class EvaluationStore(Protocol):
    """What benchmarks and experiments found."""

    def add(self, record: EvaluationRecord) -> None:
        """Store an evaluation as the newest; it takes the place of one with its id."""
        ...

    def get(self, evaluation_id: str) -> EvaluationRecord | None: ...

    def all(self, kind: str | None = None) -> list[EvaluationRecord]:
        """All evaluations, or those of a kind, newest first."""
        ...


class RunStore(Protocol):
    def start(self, run: Run) -> None:
        """Store a run; one that is queued under its id makes place for it."""
        ...

    def heartbeat(self, run_id: str, at: datetime) -> None: ...

    def report_progress(self, run_id: str, at: datetime, progress: Mapping[str, Any]) -> None:
        """Note how far a run has come, and that it is alive."""
        ...

    def finish(
        self, run_id: str, state: RunState, at: datetime, *, summary: Mapping[str, Any], error: str = ""
    ) -> None: ...

    def add_point(self, run_id: str, metric: str, step: int, value: float) -> None: ...

    def points(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """Values by metric, each a list of (step, value) in order of step."""
        ...

    def get(self, run_id: str) -> Run | None: ...

    def all(self) -> list[Run]:
        """All runs, newest first."""
        ...


class RemovalStore(Protocol):
    """Removing what was imported, and all that was made of it."""

    def outlook(self, dataset_id: str) -> RemovedContent:
        """What `remove_dataset` would remove."""
        ...

    def remove_dataset(self, dataset_id: str) -> RemovedContent:
        """Remove a dataset, its pairs, and every row about them or their proposals, in one transaction.

        Models, plans and compositions stay as records of what was done, without those pairs.
        """
        ...

    def remove_everything(self) -> RemovedContent:
        """Remove all content, in one transaction; the tables and the revisions stay."""
        ...


class Store(Protocol):
    """The workspace's memory."""

    @property
    def pairs(self) -> PairStore: ...

    @property
    def models(self) -> ModelStore: ...

    @property
    def proposals(self) -> ProposalStore: ...

    @property
    def chat(self) -> ChatStore: ...

    @property
    def reviews(self) -> ReviewStore: ...

    @property
    def leases(self) -> LeaseStore: ...

    @property
    def pair_sets(self) -> PairSetStore: ...

    @property
    def browse(self) -> BrowseStore: ...

    @property
    def compositions(self) -> CompositionStore: ...

    @property
    def evaluations(self) -> EvaluationStore: ...

    @property
    def runs(self) -> RunStore: ...

    @property
    def removal(self) -> RemovalStore: ...
