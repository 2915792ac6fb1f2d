"""Report: what was done and what it gained, gathered for people who were not there. No model is loaded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from mars_engine.augment.quality.gatekeeper import cards_of_writers
from mars_engine.core.clock import Clock
from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import NotReadyError, WorkspaceError
from mars_engine.core.records import (
    MAP_KINDS,
    Composition,
    DatasetRecord,
    Float32Array,
    FloatArray,
    IntArray,
    MapKind,
    MapPoints,
    ModelRecord,
    Pair,
    Plan,
    Prompt,
)
from mars_engine.core.review_records import ItemKind
from mars_engine.core.review_state import POLICY_PREFIX, ProposalState, proposal_state
from mars_engine.curate.agreement import AgreementReport, agreement
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, PairIndex
from mars_engine.embeddings.maps.protocols import MapKeeper
from mars_engine.evaluate.costs import Costs, sum_up_costs
from mars_engine.evaluate.results import (
    Movement,
    Results,
    compare_models,
    default_models,
    margin_movement,
)
from mars_engine.evaluate.rewardbench import BenchmarkedModel, benchmarked_models
from mars_engine.evaluate.status import Status, workspace_status
from mars_engine.evaluate.win_rates import KeptWinRate, kept_win_rates
from mars_engine.reward_models.score import stored_rewards
from mars_engine.store import Store

KINDS: tuple[ItemKind, ItemKind] = ("proposal", "pair")
EXAMPLES = 3
MAP_POINTS, MAP_WORDS = 2_000, 3
"""Most points of a map that the report draws, and most words that name a region of it."""
SOURCES_ASKED = 200
"""Sources whose proposals are asked who wrote them, spread over all that have some."""


@dataclass(frozen=True, slots=True)
class Reviewer:
    """What one person, or one policy, decided; decisions that were undone later are counted too."""

    name: str
    is_policy: bool
    proposals: int
    labels: int
    undone: int
    """How many of these decisions were taken back."""
    minutes: float


@dataclass(frozen=True, slots=True)
class ExamplePair:
    """A source pair whose margin moved, and an accepted proposal that was made for it."""

    source: Pair
    margin_before: float
    margin_after: float
    prompt: Prompt
    chosen: str | None
    """The approved chosen text; None where only the other side was accepted."""
    rejected: str | None
    method: str
    distance_before: float
    distance_after: float
    decided_by: tuple[str, ...]

    @property
    def got_worse(self) -> bool:
        return self.margin_after < self.margin_before


@dataclass(frozen=True, slots=True)
class GeneratorNote:
    """Who wrote proposals."""

    name: str
    version: str
    stand_in: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MapRegion:
    """A cluster of the report's map: how many of its pairs have a margin, and how many of these are ranked wrong."""

    words: tuple[str, ...]
    x: float
    y: float
    pairs: int
    wrong: int


@dataclass(frozen=True, slots=True, eq=False)
class MapSummary:
    """A map with the newest margins; of very many pairs a sample."""

    kind: MapKind
    pairs: int
    """On the map, of which `x`, `y` and `margins` may be a sample."""
    x: Float32Array
    y: Float32Array
    margins: Float32Array
    """NaN where no model has scored the pair."""
    regions: tuple[MapRegion, ...]
    """Clusters that have a margin, the largest first."""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """Everything that the report says."""

    workspace: str
    made_at: datetime
    versions: Mapping[str, str]
    status: Status
    results: Results | None
    """None where there are no held-out pairs or no models."""
    movement: Movement | None
    """Of the held-out pairs, from the first to the last of the models compared."""
    reviewers: tuple[Reviewer, ...]
    agreements: tuple[AgreementReport, ...]
    """Of proposals and of labels, where two or more people decided about the same."""
    examples: tuple[ExamplePair, ...]
    map: MapSummary | None
    """The first map that was made; None where none was."""
    costs: Costs
    plan: Plan | None
    composition: Composition | None
    models: tuple[ModelRecord, ...]
    datasets: tuple[DatasetRecord, ...]
    generators: tuple[GeneratorNote, ...]
    settings: Mapping[str, Any]
    benchmarks: Mapping[int, Sequence[BenchmarkedModel]]
    """Models on RewardBench, by its version."""
    win_rates: tuple[KeptWinRate, ...]
    """Of policies, by judges and by people."""


def gather_report(
    store: Store,
    index: PairIndex,
    *,
    workspace: str,
    config: MarsConfig,
    versions: Mapping[str, str],
    clock: Clock,
    model_ids: Sequence[str] = (),
    maps: MapKeeper | None = None,
) -> ReportContent:
    """Gather the report's content from what is stored.

    Args:
        store: the workspace's memory.
        index: its pairs.
        workspace: the workspace's name.
        config: its settings; the database's address is left out, since it may hold a password.
        versions: of the software.
        clock: tells when the report is made.
        model_ids: the models to compare; the newest warm-up and the newest model where there are none.
        maps: has the maps of the pairs, if any.

    Raises:
        NotReadyError: nothing has been imported.
    """
    if not len(index):
        raise NotReadyError("there is nothing to report on", remedy="import some pairs first")
    models = _wanted_models(store, model_ids)
    results = compare_models(store, index, models, config=config.evaluate) if models and _has_heldout(index) else None
    found_agreements = [agreement(store, kind, config=config.evaluate) for kind in KINDS]
    compared = [model.record for model in results.models] if results else []
    return ReportContent(
        workspace=workspace,
        made_at=clock(),
        versions=versions,
        status=workspace_status(store, index=index),
        results=results,
        movement=margin_movement(store, index, compared[0], compared[-1], "heldout") if len(compared) > 1 else None,
        reviewers=_reviewers(store),
        agreements=tuple(each for each in found_agreements if each.overlap),
        examples=_examples(store, index, models),
        map=_summarise_map(maps, index) if maps else None,
        costs=sum_up_costs(store),
        plan=index.plan,
        composition=store.compositions.latest(),
        models=tuple(models),
        datasets=tuple(store.pairs.datasets()),
        generators=_generators(store, index),
        settings=config.model_dump(exclude={"database_url"}),
        benchmarks=benchmarked_models(store),
        win_rates=kept_win_rates(store, config=config.evaluate),
    )


def _wanted_models(store: Store, model_ids: Sequence[str]) -> list[ModelRecord]:
    models = store.models.all()
    return [model for model in models if model.id in model_ids] or default_models(models)


def _has_heldout(index: PairIndex) -> bool:
    return bool((index.split == SPLIT_CODES.index("heldout")).any())


# -------------------------------------------------------------------------------------------------------------- reviews


def _reviewers(store: Store) -> tuple[Reviewer, ...]:
    proposals: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    undone: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for tally in store.browse.review_tallies():
        seconds[tally.annotator] = seconds.get(tally.annotator, 0.0) + tally.seconds
        if tally.action not in ("undo", "skip"):
            undone[tally.annotator] += tally.undone
            (proposals if tally.item_kind == "proposal" else labels)[tally.annotator] += tally.events
    return tuple(
        Reviewer(
            name=name.removeprefix(POLICY_PREFIX),
            is_policy=name.startswith(POLICY_PREFIX),
            proposals=proposals[name],
            labels=labels[name],
            undone=undone[name],
            minutes=seconds[name] / 60,
        )
        for name in sorted(seconds, key=lambda name: (name.startswith(POLICY_PREFIX), name))
    )


# ------------------------------------------------------------------------------------------------------------- examples


def _examples(store: Store, index: PairIndex, models: Sequence[ModelRecord]) -> tuple[ExamplePair, ...]:
    """Choose pairs with an accepted proposal by how far their margin moved: those that rose most, and the worst.

    The last one is the pair that fell most, so that the report shows a loss where there is one. Pairs whose label was
    flipped or dropped are left out: their margin says something else. Equal changes are taken in the order of import.
    """
    if len(models) < 2:
        return ()
    settled = [DECISION_CODES.index("flip"), DECISION_CODES.index("drop")]
    places = np.flatnonzero(index.split == SPLIT_CODES.index("train"))
    before, after = (stored_rewards(store, index, model.id, "train").margins for model in (models[0], models[-1]))
    fit = (index.accepted[places] > 0) & ~np.isin(index.decision[places], settled)
    fit &= ~(np.isnan(before) | np.isnan(after))
    places, before, after = places[fit], before[fit], after[fit]
    chosen = _most_telling(after - before)
    ids = [pair_id.decode() for pair_id in index.ids[places[chosen]]]
    sources = store.pairs.by_id(ids)
    moved = zip(ids, before[chosen].tolist(), after[chosen].tolist(), strict=True)
    examples = [_example(store, sources[pair_id], first, second) for pair_id, first, second in moved]
    return tuple(each for each in examples if each is not None)


def _most_telling(changes: FloatArray) -> IntArray:
    order = np.argsort(-changes, kind="stable")
    if len(order) <= EXAMPLES:
        return order
    return np.concatenate([order[: EXAMPLES - 1], order[-1:]])


def _example(store: Store, source: Pair, before: float, after: float) -> ExamplePair | None:
    proposals = store.proposals.proposals(source_ids=[source.id])
    events = store.reviews.events("proposal", [proposal.id for proposal in proposals])
    for proposal in proposals:
        state: ProposalState = proposal_state(proposal, events.get(proposal.id, ()))
        if state.status == "accepted":
            return ExamplePair(
                source=source,
                margin_before=before,
                margin_after=after,
                prompt=state.prompt or source.prompt,
                chosen=state.chosen,
                rejected=state.rejected,
                method=proposal.method,
                distance_before=proposal.distance_before,
                distance_after=proposal.distance_after,
                decided_by=state.decided_by,
            )
    return None


# ------------------------------------------------------------------------------------------------------------------ map


def _summarise_map(maps: MapKeeper, index: PairIndex) -> MapSummary | None:
    points = _first_map(maps)
    if points is None:
        return None
    places = index.positions_of_ids(points.ids)
    margins = np.where(places >= 0, index.margin[places], np.nan).astype(np.float32)
    known = ~np.isnan(margins)
    regions = []
    for cluster in points.clusters:
        own = known & (points.cluster == cluster.number)
        if own.any():
            wrong = int((margins[own] < 0).sum())
            regions.append(MapRegion(cluster.words[:MAP_WORDS], cluster.x, cluster.y, int(own.sum()), wrong))
    some = np.linspace(0, len(points) - 1, min(len(points), MAP_POINTS)).astype(np.int64)
    return MapSummary(
        kind=points.kind,
        pairs=len(points),
        x=points.x[some],
        y=points.y[some],
        margins=margins[some],
        regions=tuple(sorted(regions, key=lambda each: -each.pairs)),
    )


def _first_map(maps: MapKeeper) -> MapPoints | None:
    """Return the first map that can be read: a damaged one is told of on Explore, and no reason to have no report."""
    for kind in MAP_KINDS:
        with suppress(WorkspaceError):
            if (points := maps.load(kind)) is not None and len(points):
                return points
    return None


# ----------------------------------------------------------------------------------------------------------- generators


def _generators(store: Store, index: PairIndex) -> tuple[GeneratorNote, ...]:
    """Return who wrote proposals, as it was noted with them; at most `SOURCES_ASKED` sources are asked."""
    places = np.flatnonzero(index.proposals > 0)
    every = np.linspace(0, len(places) - 1, min(len(places), SOURCES_ASKED)).astype(np.int64)
    ids = [pair_id.decode() for pair_id in index.ids[places[every]]]
    found: dict[str, GeneratorNote] = {}
    for proposal in store.proposals.proposals(source_ids=ids):
        for card in cards_of_writers(proposal).values():
            note = GeneratorNote(card["name"], card["version"], bool(card["stand_in"]), card.get("settings", {}))
            found.setdefault(f"{note.name} {note.version} {sorted(note.settings.items())}", note)
    return tuple(found[key] for key in sorted(found))
