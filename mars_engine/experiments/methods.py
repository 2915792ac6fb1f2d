"""The methods of an experiment: what each makes of one draw of base pairs to train on.

The warm-up, the proposals and the features are made once for a draw, and shared by all methods that use them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np

from mars_engine.augment.allocation import allocate_budget, allocation_probabilities, scale_margins
from mars_engine.augment.compose import compose_plan, load_grids, usable_cells
from mars_engine.augment.plan import PlanReport, make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import AllocationLaw
from mars_engine.core.records import (
    BoolArray,
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
    standing_pairs,
    training_set,
    triage_of_plan,
)
from mars_engine.experiments.baselines import (
    above_lowest,
    adaboost_weights,
    in_the_middle,
    keep_highest,
    select_confident,
    weigh_new_pairs,
)
from mars_engine.experiments.draws import Draw, DrawnPairs
from mars_engine.experiments.plan import ExperimentPlan, Method
from mars_engine.experiments.tools import ExperimentTools
from mars_engine.reward_models.protocols import LinearTrainer
from mars_engine.reward_models.score import draw_folds, oriented_margins, score_model
from mars_engine.reward_models.train import train_warm_up

LAW_AND_LAYER: dict[Method, tuple[AllocationLaw, bool]] = {
    "uniform": ("uniform", False),
    "mars_signed": ("signed", True),
    "mars_absolute": ("absolute", True),
    "mars_no_semantic": ("signed", False),
    "semantic_only": ("uniform", True),
}
"""Methods that compose new pairs by a budget: the law it is spent by, and whether the semantic layer is on."""
SHARED_WORK: dict[Method, tuple[AllocationLaw, bool]] = LAW_AND_LAYER | {
    "leave_out_uniform": ("uniform", False),
    "mars_triage": ("signed", True),
    "middle": ("uniform", False),
}
"""Those that spend it over some of the base pairs too."""


@dataclass(frozen=True)
class TrainingRows:
    """What a method trains on, as rows of features."""

    differences: FloatArray
    weights: FloatArray
    label_confidence: FloatArray
    tokens: IntArray
    """Of both responses of each row's pair."""
    of_wrong_labels: BoolArray
    """Whether a row's label is known to be wrong: its base pair's is, and the method did not set it right."""
    pairs: tuple[Pair, ...]
    """The pairs as texts; empty for views, which have none."""
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
            if not pairs:  # a comparison by policies can do without held-out pairs
                continue
            source = DrawnPairs(f"{self.name} {split}", pairs)
            import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
        bench = self.tools.with_rewrites(bench, self.draw)
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
        law, semantic = SHARED_WORK.get(method, ("", False))
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
            "leave_out": self._leave_out,
            "leave_out_uniform": lambda: self._spread_over(self._kept, law="uniform", semantic=False, base=self._kept),
            "mars_triage": lambda: self._spread_over(self._kept, law="signed", semantic=True, base=self._kept),
            "middle": lambda: self._spread_over(self._middle, law="uniform", semantic=False),
            "judge": self._judge,
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
            made_of=[row.source_id for row in composed],
            generation_tokens=self._generation_tokens(layer.bench, spent_on),
        )

    def _leave_out(self) -> TrainingRows:
        return self._as_rows(_some(self._foundation(semantic=False).base, self._kept))

    def _judge(self) -> TrainingRows:
        """Flip the labels against which a scripted judge and the out-of-fold margin both speak."""
        base = self._foundation(semantic=False).base
        rng = np.random.default_rng([len(base.pairs), *map(ord, self.name)])
        errs = rng.random(len(base.pairs)) >= self.plan.baselines.judge_accuracy
        is_wrong = np.array([pair.id in self.draw.wrong for pair in base.pairs], dtype=bool)
        against = (is_wrong ^ errs) & (self._out_of_fold < 0)
        return self._as_rows(replace(base, label_confidence=np.where(against, 0.0, base.label_confidence)))

    def _spread_over(
        self, among: BoolArray, *, law: AllocationLaw, semantic: bool, base: BoolArray | None = None
    ) -> TrainingRows:
        """Spread the whole budget over some of the base pairs, and train on those of `base`; all where it is None."""
        layer = self._proposals(semantic=semantic)
        bench, plan, pairs = layer.bench, layer.even_plan.plan, layer.base.pairs
        settings = self.plan.allocation
        margins = scale_margins(layer.margins, settings.scale)
        share = dict(
            zip(
                [pair.id for pair in pairs],
                allocation_probabilities(margins, law, tau=settings.tau, eligible=among).tolist(),
                strict=True,
            )
        )
        sources = load_sources(bench.store, triage_of_plan(plan))
        rows = [row for row in bench.store.proposals.plan_rows(plan.id) if share.get(row.pair_id)]
        usable = usable_cells(bench.store, load_grids(bench.store, rows, sources), [], bench.config)
        counts = allocate_budget(
            np.array([share[row.pair_id] for row in rows]),
            plan.budget,
            capacity=np.array([len(cells) for cells in usable], dtype=np.int64),
        )
        taken = [
            (row.pair_id, pair)
            for row, cells, count in zip(rows, usable, counts.tolist(), strict=True)
            for pair in list(cells.values())[:count]
        ]
        confidence = {
            source.pair.id: 1.0 if source.flipped else source.treatment.label_confidence for source in sources
        }
        kept = layer.base if base is None else _some(layer.base, base)
        return self._as_rows(
            _joined(kept, [pair for _, pair in taken], [confidence[source_id] for source_id, _ in taken]),
            made_of=[source_id for source_id, _ in taken],
            generation_tokens=self._generation_tokens(bench, [row.pair_id for row in rows]),
        )

    @cached_property
    def _out_of_fold(self) -> FloatArray:
        """Mean margin of each base pair under models that never saw it, shape (n,)."""
        layer = self._foundation(semantic=False)
        folds = draw_folds(list(layer.base.pairs), layer.bench.config)
        margins = layer.bench.probe_trainer.out_of_fold_margins(layer.base, folds, progress=self.tools.progress)
        return np.asarray(margins.mean(axis=0), dtype=np.float64)

    @cached_property
    def _kept(self) -> BoolArray:
        return above_lowest(self._out_of_fold, self.plan.baselines.leave_out)

    @cached_property
    def _middle(self) -> BoolArray:
        return in_the_middle(self._out_of_fold, self.plan.baselines.middle)

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
            made_of=[rows[numbers[place]].pair_id for place in kept],
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
        labelled = [hidden[place] if margins[place] >= 0 else hidden[place].exchanged for place in places]
        rows = self._as_rows(
            _joined(layer.base, labelled, [1.0] * len(labelled)), made_of=[pair.id for pair in labelled]
        )
        wrong = margins[places] < 0
        of_wrong_labels = np.concatenate([rows.of_wrong_labels[: len(layer.base.pairs)], wrong])
        return replace(rows, wrong_labels=int(wrong.sum()), of_wrong_labels=of_wrong_labels)

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
            of_wrong_labels=np.tile(base.of_wrong_labels, times),
            pairs=(),
            new_pairs=count * len(pairs),
        )

    def _as_rows(
        self, examples: TrainingSet, *, made_of: Sequence[str] = (), generation_tokens: int = 0
    ) -> TrainingRows:
        """Return base pairs, and after them new pairs made of the base pairs with these ids, as rows of features."""
        responses = self.tools.count_tokens([text for pair in examples.pairs for text in (pair.chosen, pair.rejected)])
        base = len(examples.pairs) - len(made_of)
        sources = [*[pair.id for pair in examples.pairs[:base]], *made_of]
        is_wrong = np.array([source in self.draw.wrong for source in sources], dtype=bool)
        # What is made of a pair whose label was flipped has its sides exchanged already; see `training_set`.
        set_right = {
            pair.id for pair, p in zip(examples.pairs, examples.label_confidence[:base], strict=False) if p < 0.5
        }
        is_set_right = np.array([source in set_right for source in sources], dtype=bool)
        return TrainingRows(
            differences=self.linear.feature_differences(examples.pairs, progress=self.tools.progress),
            weights=weigh_new_pairs(examples.weights, made_of, **self.plan.new_pairs.model_dump()),
            label_confidence=examples.label_confidence,
            tokens=responses[0::2] + responses[1::2],
            of_wrong_labels=is_wrong ^ is_set_right,
            pairs=tuple(examples.pairs),
            new_pairs=len(made_of),
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


def _some(base: TrainingSet, which: BoolArray) -> TrainingSet:
    pairs = tuple(pair for pair, taken in zip(base.pairs, which.tolist(), strict=True) if taken)
    return TrainingSet(pairs, base.weights[which], base.label_confidence[which])


def _joined(base: TrainingSet, pairs: Sequence[Pair], confidence: Sequence[float]) -> TrainingSet:
    return TrainingSet(
        (*base.pairs, *pairs),
        np.concatenate([base.weights, np.ones(len(pairs))]),
        np.concatenate([base.label_confidence, np.array(confidence, dtype=np.float64)]),
    )
