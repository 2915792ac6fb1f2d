"""What the workflows need of the world, as protocols: they never import a model, a generator or a database."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mars_engine.words.records import (
    ComposedPair,
    Composition,
    DatasetRecord,
    Embeddings,
    FloatArray,
    GeneratorCard,
    IntArray,
    ItemKind,
    Lease,
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
    ReviewEvent,
    Rewards,
    Run,
    RunState,
    Side,
    Split,
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


# ---------------------------------------------------------------------------------------------------------- models


class Encoder(Protocol):
    """Turns passages into unit-length embeddings."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights, pooling and length limit: equal fingerprints give equal embeddings."""
        ...

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:
        """Return one row for each passage, in order. Batching never changes a value by more than 1e-6."""
        ...


class RewardModel(Protocol):
    """A trained reward model."""

    @property
    def id(self) -> str: ...

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        """Return the rewards of both sides of each pair. Batching never changes one by more than 1e-5."""
        ...


class LinearRewardModel(RewardModel, Protocol):
    """A reward model that is linear in fixed features, so that its curvature is exact."""

    @property
    def ridge(self) -> float:
        """The coefficient of |w|²/2 beside the *summed* loss of the training pairs: 1 over scikit-learn's C."""
        ...

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:
        """Return how many of the pairs' passages the length limit cut."""
        ...

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        """Return Δφ = φ(chosen) − φ(rejected), shape (n, d)."""
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

    def train(self, training_set: TrainingSet, *, progress: Progress) -> LinearRewardModel: ...

    def out_of_fold_margins(self, training_set: TrainingSet, folds: IntArray, *, progress: Progress) -> FloatArray:
        """Return margins under models that never saw the pair.

        Args:
            training_set: n pairs.
            folds: fold number of each pair under each seed, shape (seeds, n).

        Returns:
            Margins, shape (seeds, n), as labelled.
        """
        ...


class ModelShelf(Protocol):
    """Keeps the files of trained reward models."""

    def save(self, model: RewardModel) -> str:
        """Write the model's files whole or not at all; return their place, relative to the workspace."""
        ...

    def holds(self, record: ModelRecord) -> bool:
        """Whether the model's files are there and whole."""
        ...

    def load(self, record: ModelRecord) -> LinearRewardModel:
        """Load a model that scores exactly as when it was saved."""
        ...


# ------------------------------------------------------------------------------------------------------ generators


@dataclass(frozen=True, slots=True)
class ParaphraseRequest:
    """Ask for up to `count` different paraphrases of a text."""

    key: str
    text: str
    count: int
    seed: int


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


# ----------------------------------------------------------------------------------------------------------- store


class PairStore(Protocol):
    """Source pairs and the datasets they came in."""

    def add_dataset(self, dataset: DatasetRecord, pairs: Sequence[tuple[int, Pair]]) -> None:
        """Store a dataset and its pairs, given with their row, in one transaction: all or nothing.

        A pair whose id is present already is not stored again; a dataset whose id is present changes nothing.
        """
        ...

    def datasets(self) -> list[DatasetRecord]:
        """All datasets, oldest first."""
        ...

    def present(self, ids: Collection[str]) -> dict[str, Split]:
        """Which of `ids` are stored, and in which split."""
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

    def count(self, split: Split) -> int: ...


class ModelStore(Protocol):
    """Reward models, their scores and what triage said."""

    def add(self, model: ModelRecord) -> None:
        """Store a model as the latest; one whose id is present keeps its content and becomes the latest."""
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
    ) -> None:
        """Store what came of some sources and mark them done, in one transaction.

        Args:
            settings_id: digest of the generators and their settings.
            refinements: outcome by the done mark (oriented id and gate verdict) of every source that is done now:
                "not_needed", "refined_rejected", "refined_chosen" or "unrefined".
            proposals: what was proposed; an id that is present changes nothing.
            failures: what could not be done.
        """
        ...

    def sources_done(self, settings_id: str) -> dict[str, str]:
        """Done marks of the sources done under these settings, with their refinement outcome."""
        ...

    def proposals(self, *, source_ids: Collection[str] | None = None, settings_id: str | None = None) -> list[Proposal]:
        """Proposals, ordered by source in import order and then by variant."""
        ...

    def by_id(self, ids: Collection[str]) -> dict[str, Proposal]: ...

    def failures(self, settings_id: str | None = None) -> list[ProposalFailure]: ...


class ReviewStore(Protocol):
    """Review events. There is no way to change or delete one."""

    def append(self, events: Sequence[ReviewEvent]) -> int:
        """Store events in one transaction; return how many were new.

        An event with the same item, annotator and sequence as a stored one is that event sent again, and is not
        stored twice.
        """
        ...

    def events(self, item_kind: ItemKind, item_ids: Collection[str] | None = None) -> dict[str, list[ReviewEvent]]:
        """Events by item id, oldest first."""
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


class BrowseStore(Protocol):
    """Columns of many pairs at once, without their texts: what pages filter, count and draw by."""

    def revisions(self) -> dict[str, int]:
        """How often each subject has changed: "pairs", "distances", "models", "scores", "triage", "plans",
        "proposals", "reviews", "sets", "compositions"; a subject that never changed is left out."""
        ...

    def columns(self, table: str, **where: str) -> dict[str, list[Any]]:
        """The columns of one of the named readings, each a list, all in one order; see the implementation."""
        ...

    def matching(self, words: str) -> list[str]:
        """Ids of the pairs in whose prompt, chosen or rejected text the words occur as they are, case aside."""
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


class RunStore(Protocol):
    def start(self, run: Run) -> None: ...

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


class Store(Protocol):
    """The workspace's memory."""

    @property
    def pairs(self) -> PairStore: ...

    @property
    def models(self) -> ModelStore: ...

    @property
    def proposals(self) -> ProposalStore: ...

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
    def runs(self) -> RunStore: ...
