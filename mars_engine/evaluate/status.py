"""Status: how many there are at each step from imported pairs to a trained model, and what to do next."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import BoolArray, Composition, ModelRecord
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex, PairIndexCache
from mars_engine.store import Store

StepName = Literal[
    "import", "warm up", "score", "propose", "review", "propose otherwise", "compose", "retrain", "evaluate"
]
CountName = Literal["pairs", "suspected", "low-margin", "refined", "proposed", "accepted", "composed", "trained"]

SUSPECTED_SAID = "suspected mislabels nobody has decided about"


@dataclass(frozen=True, slots=True)
class StepCount:
    """How many there are at a step. Steps count different things, so that their numbers need not become fewer."""

    name: CountName
    count: int
    whole: int | None
    """What these are a part of; None where they are no part of anything counted here."""
    unit: str
    """Of the whole where there is one, else of the count."""
    note: str = ""

    @property
    def said(self) -> str:
        """What the status counts at this step, in words: "of 360 training pairs · nobody has decided about them"."""
        of = self.unit if self.whole is None else f"of {self.whole:,} {self.unit}"
        return f"{of} · {self.note}" if self.note else of


@dataclass(frozen=True, slots=True)
class NextStep:
    """The first step of the method that has not been taken, as the command line says it."""

    name: StepName
    words: str


@dataclass(frozen=True, slots=True)
class Status(ShownAsTable):
    """Where a workspace stands."""

    counts: tuple[StepCount, ...]
    heldout_pairs: int
    model_label: str
    step: StepName
    next_step: str

    def count(self, name: CountName) -> int:
        """How many there are at a step."""
        return next(step.count for step in self.counts if step.name == name)


def workspace_status(store: Store, *, index: PairIndex | None = None) -> Status:
    """Return how many are imported, suspected, low-margin, refined, proposed, accepted, composed and trained on.

    Args:
        store: the workspace's memory.
        index: its pairs; read anew where the caller has none.
    """
    index = index or PairIndexCache(store).current()
    model = store.models.latest()
    next_step = _next_step(store, index, model)
    return Status(
        counts=(*_counts_of_pairs(store, index), *_counts_of_proposals(index), *_counts_of_new_pairs(store, model)),
        heldout_pairs=int((index.split == SPLIT_CODES.index("heldout")).sum()),
        model_label=model.label if model else "",
        step=next_step.name,
        next_step=next_step.words,
    )


def count_open_suspects(index: PairIndex) -> int:
    """Return how many training pairs the status counts as open suspects: nobody has decided, or people disagree."""
    undecided = np.isin(index.decision, [DECISION_CODES.index(""), DECISION_CODES.index("disputed")])
    suspected = index.verdict == VERDICT_CODES.index("suspected")
    return int((_is_training(index) & suspected & undecided).sum())


def _is_training(index: PairIndex) -> BoolArray:
    return np.equal(index.split, SPLIT_CODES.index("train"))


def _counts_of_pairs(store: Store, index: PairIndex) -> list[StepCount]:
    plan, refinements = index.plan, store.browse.refinements()
    unrefined = refinements.get("unrefined", 0)
    refined = refinements.get("refined_rejected", 0) + refinements.get("refined_chosen", 0)
    pairs = int(_is_training(index).sum())
    low_margin = int(plan.summary["low_margin"]) if plan else 0
    return [
        StepCount("pairs", pairs, None, "training pairs"),
        StepCount("suspected", count_open_suspects(index), pairs, "training pairs", SUSPECTED_SAID),
        StepCount(
            "low-margin",
            low_margin,
            pairs,
            "training pairs",
            f"more than an equal share of the budget ({plan.law} law)" if plan else "",
        ),
        StepCount(
            "refined",
            refined,
            refined + unrefined,
            "pairs whose answers are too close",
            f"{unrefined:,} could not be" if unrefined else "",
        ),
    ]


def _counts_of_proposals(index: PairIndex) -> list[StepCount]:
    proposed, pending = int(index.proposals.sum()), int(index.pending.sum())
    accepted, rejected = int(index.accepted.sum()), int(index.rejected.sum())
    return [
        StepCount("proposed", proposed, None, "proposals", f"{pending:,} wait for review" if pending else ""),
        StepCount("accepted", accepted, proposed, "proposals", f"{rejected:,} rejected" if rejected else ""),
    ]


def _counts_of_new_pairs(store: Store, model: ModelRecord | None) -> list[StepCount]:
    composition = store.compositions.latest()
    composed = store.compositions.count(composition.id) if composition else 0
    return [
        StepCount("composed", composed, None, "new pairs", _said_of_composition(composition) if composition else ""),
        StepCount(
            "trained",
            int(model.metrics["training_pairs"]) if model else 0,
            None,
            "training pairs",
            model.label if model else "",
        ),
    ]


def _said_of_composition(composition: Composition) -> str:
    short = int(composition.summary.get("wanted", 0)) - int(composition.summary.get("new_pairs", 0))
    said = f"round {composition.round}"
    return f"{said}: all that the approved variants give, {short:,} short of the budget" if short > 0 else said


def _next_step(store: Store, index: PairIndex, model: ModelRecord | None) -> NextStep:  # noqa: PLR0911 (one return a step)
    """Name the first step of the method that has not been taken."""
    plan, composition = index.plan, store.compositions.latest()
    if not _is_training(index).any():
        return NextStep("import", "mars import FILE: there are no training pairs yet")
    if model is None:
        return NextStep("warm up", "mars train: warm up a reward model on the base pairs")
    if not _has_scored_training_pairs(index, model) or not _is_triaged(store, index):
        return NextStep("score", "mars score: triage the labels by out-of-fold margins")
    if plan is None or not index.proposals.any():
        return NextStep("propose", "mars propose: spend the budget on low-margin pairs")
    pending = int(index.pending.sum())
    if pending:
        return NextStep("review", f"mars review: {pending} proposals wait for a decision")
    if composition is None or composition.plan_id != plan.id:
        if not index.accepted[index.budget > 0].any():
            return NextStep("propose otherwise", f"mars propose, otherwise than before: {say_none_accepted(index)}")
        return NextStep("compose", "mars compose: make training pairs of what was accepted")
    if model.composition_id != composition.id:
        return NextStep("retrain", "mars train: train on the composed pairs")
    return NextStep("evaluate", "mars evaluate: see what was gained")


def say_none_accepted(index: PairIndex) -> str:
    """Say in the status that no proposal is accepted of the pairs that have a budget, and what helps."""
    budgeted = index.budget > 0
    proposed, rejected = int(index.proposals[budgeted].sum()), int(index.rejected[budgeted].sum())
    undecided = f", {proposed - rejected:,} are flagged or disputed" if proposed > rejected else ""
    return (
        f"nothing was accepted, so there is nothing to compose ({rejected:,} of {proposed:,} proposals are "
        f"rejected{undecided}). Accept some of them on the page Review, or have others written: by another generator "
        "or other settings under [propose], [chat] or [quality] in mars.toml"
    )


def _is_triaged(store: Store, index: PairIndex) -> bool:
    """Whether labels were triaged under the newest warm-up."""
    newest = store.models.latest(warm_up=True)
    return newest is not None and index.triaged_by is not None and index.triaged_by.id == newest.id


def _has_scored_training_pairs(index: PairIndex, model: ModelRecord) -> bool:
    """Whether the model has scored all training pairs.

    The index has the margins of the newest model that scored any.
    """
    training, is_newest = _is_training(index), index.model is not None and index.model.id == model.id
    return is_newest and not np.isnan(index.margin[training]).any()
