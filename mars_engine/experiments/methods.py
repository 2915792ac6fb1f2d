"""The methods of an experiment: what each makes of one draw of base pairs to train on.

The warm-up, the proposals and the features are made once for a draw, and shared by all methods that use them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np

from mars_engine.augment.compose import compose_plan, load_grids, usable_cells
from mars_engine.augment.plan import PlanReport, make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.core.config import AllocationLaw
from mars_engine.core.protocols import LinearTrainer
from mars_engine.core.records import (
    FloatArray,
    IntArray,
    ModelRecord,
    Pair,
    Split,
    TrainingSet,
)
from mars_engine.curate.review import review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.sources import (
    load_sources,
    oriented_margins,
    standing_pairs,
    training_set,
    triage_of_plan,
)
from mars_engine.experiments.baselines import adaboost_weights, keep_highest, select_confident
from mars_engine.experiments.draws import Draw, DrawnPairs
from mars_engine.experiments.plan import ExperimentPlan, Method
from mars_engine.experiments.tools import ExperimentTools
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.store.workbench import Workbench

LAW_AND_LAYER: dict[Method, tuple[AllocationLaw, bool]] = {
    "uniform": ("uniform", False),
    "mars_signed": ("signed", True),
    "mars_absolute": ("absolute", True),
    "mars_no_semantic": ("signed", False),
    "semantic_only": ("uniform", True),
}
"""Methods that compose new pairs by a budget: the law it is spent by, and whether the semantic layer is on."""


@dataclass(frozen=True)
class TrainingRows:
    """What a method trains on, as rows of features."""

    differences: FloatArray
    weights: FloatArray
    label_confidence: FloatArray
    tokens: IntArray
    """Of both responses of each row's pair."""
    new_pairs: int = 0
    wrong_labels: int = 0
    generation_tokens: int = 0

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class Foundation:
    """What every method of a layer begins with: the warm-up, and the base pairs as triage's policy treats them."""

    bench: Workbench
    warm_up: ModelRecord
    even_plan: PlanReport
    base: TrainingSet
    margins: FloatArray
    """Of the base pairs that are trained on, under the warm-up, as they are labelled for training."""


@dataclass
class Laboratory:
    """One draw of a dataset, and everything that the methods make of it. A context: leaving it closes its memories."""

    name: str
    plan: ExperimentPlan
    draw: Draw
    tools: ExperimentTools
    _open: ExitStack = field(default_factory=ExitStack)
    _foundations: dict[bool, Foundation] = field(default_factory=dict)
    _proposed: set[bool] = field(default_factory=set)
    _rows: dict[Method, TrainingRows] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def training_rows(self, method: Method) -> TrainingRows:
        """Return what a method trains on; made once."""
        if method not in self._rows:
            self._foundation(semantic=False)
            make = self._makers.get(method)
            started = self.tools.seconds()
            shared_before = self._shared_seconds(method)
            self._rows[method] = make() if make else self._composed(*LAW_AND_LAYER[method])
            shared = self._shared_seconds(method) - shared_before
            self._seconds[method] = self.tools.seconds() - started - shared
        return self._rows[method]

    def preparation_seconds(self, method: Method) -> float:
        """Return what a method's training rows took, with all the shared work that they need."""
        return self._seconds[method] + self._shared_seconds(method)

    @cached_property
    def heldout_differences(self) -> FloatArray:
        return self.linear.feature_differences(self.draw.heldout, progress=self.tools.progress)

    @property
    def linear(self) -> LinearTrainer:
        """Has the features of pairs, as this draw's warm-up chose them, and the exact fit."""
        return self._foundation(semantic=False).bench.probe_trainer

    @cached_property
    def mars_steps(self) -> int:
        """The optimizer steps of MARS under equal epochs: what equal steps are measured by."""
        return self.tools.stepwise.steps_for_epochs(len(self.training_rows("mars_signed")))

    def discard(self) -> None:
        """Close and delete the memories; their results are no longer needed."""
        self._open.close()
        for semantic in (False, True):
            self.tools.laboratories.discard(self._layer_name(semantic))

    # ------------------------------------------------------------------------------------------------- shared work

    def _foundation(self, *, semantic: bool) -> Foundation:
        if semantic not in self._foundations:
            with self._timed(f"foundation {semantic}"):
                self._foundations[semantic] = self._lay_foundation(semantic=semantic)
        return self._foundations[semantic]

    def _lay_foundation(self, *, semantic: bool) -> Foundation:
        config = self.plan.laboratory_config(semantic=semantic)
        bench = self._open.enter_context(self.tools.laboratories.open(self._layer_name(semantic), config))
        parts: tuple[tuple[Split, tuple[Pair, ...]], ...] = (("train", self.draw.base), ("heldout", self.draw.heldout))
        for split, pairs in parts:
            source = DrawnPairs(f"{self.name} {split}", pairs)
            import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
        warm_up = train_warm_up(bench)
        score_model(bench, warm_up, triage_again=config.triage.policy != "keep")
        sources = load_sources(bench.store, config.triage)
        trained_on = np.array([source.treatment.trained_on for source in sources], dtype=bool)
        return Foundation(
            bench=bench,
            warm_up=warm_up,
            even_plan=make_plan(bench, warm_up, law="uniform"),
            base=training_set(sources),
            margins=oriented_margins(bench.store, warm_up, sources)[trained_on],
        )

    def _proposals(self, *, semantic: bool) -> Foundation:
        """Return the layer with proposals for all base pairs, reviewed by the policy."""
        layer = self._foundation(semantic=semantic)
        if semantic not in self._proposed:
            with self._timed(f"proposals {semantic}"):
                make_proposals(layer.bench, layer.even_plan.plan)
                review_by_policy(layer.bench.store, self.plan.review, clock=layer.bench.clock)
            self._proposed.add(semantic)
        return layer

    def _layer_name(self, semantic: bool) -> str:
        return f"{self.name} {'with' if semantic else 'without'} the semantic layer"

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = self.tools.seconds()
        yield
        self._seconds[what] = self.tools.seconds() - started

    def _shared_seconds(self, method: Method) -> float:
        law, semantic = LAW_AND_LAYER.get(method, ("", False))
        needed = [f"foundation {semantic}"] + ([f"proposals {semantic}"] if law or method == "west_of_n" else [])
        return sum(self._seconds.get(name, 0.0) for name in needed)

    # ----------------------------------------------------------------------------------------------------- methods

    @property
    def _makers(self) -> dict[Method, Callable[[], TrainingRows]]:
        return {
            "none": self._none,
            "adaboost": self._adaboost,
            "west_of_n": self._west_of_n,
            "self_training": self._self_training,
            "dropout_views": self._dropout_views,
        }

    def _none(self) -> TrainingRows:
        return self._as_rows(self._foundation(semantic=False).base)

    def _adaboost(self) -> TrainingRows:
        layer = self._foundation(semantic=False)
        weights = adaboost_weights(layer.base.weights, layer.margins, eta=self.plan.baselines.adaboost_eta)
        return self._as_rows(TrainingSet(layer.base.pairs, weights, layer.base.label_confidence))

    def _composed(self, law: AllocationLaw, semantic: bool) -> TrainingRows:
        layer = self._proposals(semantic=semantic)
        store = layer.bench.store
        plan = make_plan(layer.bench, layer.warm_up, law=law).plan
        composition = compose_plan(layer.bench, plan).composition
        sources = load_sources(store, triage_of_plan(plan))
        composed = standing_pairs(store, composition.id, sources)
        spent_on = [row.pair_id for row in store.proposals.plan_rows(plan.id) if row.budget]
        return self._as_rows(
            training_set(sources, composed),
            new_pairs=len(composed),
            generation_tokens=self._generation_tokens(layer.bench, spent_on),
        )

    def _west_of_n(self) -> TrainingRows:
        """Score every new pair that a source's variants give, under the source's own prompt, and keep the highest."""
        layer = self._proposals(semantic=False)
        bench, plan = layer.bench, layer.even_plan.plan
        own_prompts = bench.config.model_copy(
            update={"compose": bench.config.compose.model_copy(update={"vary_prompt": False})}
        )
        sources = load_sources(bench.store, triage_of_plan(plan))
        rows = [row for row in bench.store.proposals.plan_rows(plan.id) if row.budget]
        cells = usable_cells(bench.store, load_grids(bench.store, rows, sources), [], own_prompts)
        candidates = [pair for each in cells for pair in each.values()]
        numbers = np.repeat(np.arange(len(cells)), [len(each) for each in cells])
        margins = bench.shelf.load(layer.warm_up).score(candidates, progress=bench.progress).margins
        kept = keep_highest(numbers, margins, keep=self.plan.keep_highest).tolist()
        label_confidence = {
            source.pair.id: 1.0 if source.flipped else source.treatment.label_confidence for source in sources
        }
        confidence = [label_confidence[rows[numbers[place]].pair_id] for place in kept]
        return self._as_rows(
            _joined(layer.base, [candidates[place] for place in kept], confidence),
            new_pairs=len(kept),
            generation_tokens=self._generation_tokens(bench, [row.pair_id for row in rows]),
        )

    def _self_training(self) -> TrainingRows:
        """Label the unlabelled pairs by the warm-up where it is sure enough, at most as many as the budget."""
        layer = self._foundation(semantic=False)
        bench, hidden = layer.bench, self.draw.unlabelled
        margins = bench.shelf.load(layer.warm_up).score(hidden, progress=bench.progress).margins
        places = select_confident(
            margins, confidence=self.plan.baselines.confidence, most=layer.even_plan.plan.budget
        ).tolist()
        # The hidden label is used for this alone: a pair is stored with its better side as chosen, and the warm-up's
        # label is the other way round where its margin is negative.
        labelled = [hidden[place] if margins[place] >= 0 else _exchanged(hidden[place]) for place in places]
        wrong = int((margins[places] < 0).sum())
        return self._as_rows(
            _joined(layer.base, labelled, [1.0] * len(labelled)), new_pairs=len(labelled), wrong_labels=wrong
        )

    def _dropout_views(self) -> TrainingRows:
        base = self._none()
        pairs = self._foundation(semantic=False).base.pairs
        count = min(max(1, round(self.plan.allocation.budget_per_pair)), self.tools.views.most)
        views = self.tools.views.feature_differences(pairs, count, like=self.linear, progress=self.tools.progress)
        times = count + 1
        return TrainingRows(
            differences=np.vstack([base.differences, np.moveaxis(views, 1, 0).reshape(-1, views.shape[2])]),
            weights=np.tile(base.weights, times),
            label_confidence=np.tile(base.label_confidence, times),
            tokens=np.tile(base.tokens, times),
            new_pairs=count * len(pairs),
        )

    def _as_rows(
        self, examples: TrainingSet, *, new_pairs: int = 0, wrong_labels: int = 0, generation_tokens: int = 0
    ) -> TrainingRows:
        responses = self.tools.count_tokens([text for pair in examples.pairs for text in (pair.chosen, pair.rejected)])
        return TrainingRows(
            differences=self.linear.feature_differences(examples.pairs, progress=self.tools.progress),
            weights=examples.weights,
            label_confidence=examples.label_confidence,
            tokens=responses[0::2] + responses[1::2],
            new_pairs=new_pairs,
            wrong_labels=wrong_labels,
            generation_tokens=generation_tokens,
        )

    def _generation_tokens(self, bench: Workbench, source_ids: Sequence[str]) -> int:
        """Tokens of the texts that were written for some sources, each once; tries that were not proposed left out."""
        written: set[tuple[str, str]] = set()
        for proposal in bench.store.proposals.proposals(source_ids=source_ids):
            texts = {"chosen": proposal.chosen, "rejected": proposal.rejected}
            if proposal.prompt:
                texts["prompt"] = proposal.prompt[-1].content
            written |= {
                (proposal.source_id, text) for side, text in texts.items() if side not in proposal.unchanged_sides
            }
        return int(self.tools.count_tokens([text for _, text in sorted(written)]).sum())


def _joined(base: TrainingSet, pairs: Sequence[Pair], confidence: Sequence[float]) -> TrainingSet:
    return TrainingSet(
        (*base.pairs, *pairs),
        np.concatenate([base.weights, np.ones(len(pairs))]),
        np.concatenate([base.label_confidence, np.array(confidence, dtype=np.float64)]),
    )


def _exchanged(pair: Pair) -> Pair:
    return Pair.of(pair.prompt, pair.rejected, pair.chosen, subset=pair.subset)
