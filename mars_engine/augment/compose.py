"""Compose: from approved variants to training pairs, as many from each source as the plan gives it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.augment.allocation import allocate_budget
from mars_engine.augment.composition import Cell, grid_size, spread_cells
from mars_engine.augment.plan import planned_model
from mars_engine.augment.quality.length_bias import LengthBias, length_bias
from mars_engine.augment.quality.text_facts import normalized
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import (
    ComposedPair,
    Composition,
    IntArray,
    Pair,
    Plan,
    PlanRow,
    Prompt,
    Proposal,
    content_id,
)
from mars_engine.core.review_state import ProposalState, proposal_states
from mars_engine.data.sources import Source, load_sources, standing_pairs, triage_of_plan
from mars_engine.embeddings.distances import response_distances
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.store import Store

LENGTH_BEFORE, LENGTH_AFTER = "length_before", "length_after"
"""Names in a composition's summary: mean length difference, chosen minus rejected, in characters, of the sources and of
what was composed of them."""


@dataclass(frozen=True, slots=True)
class ApprovedText:
    """A text that may be composed: approved in a review, or the source's own (no proposal id)."""

    text: str
    prompt: Prompt
    proposal_id: str
    method: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A source's approved chosen and rejected texts; index 0 of each is the source's own."""

    source_id: str
    chosen: tuple[ApprovedText, ...]
    rejected: tuple[ApprovedText, ...]

    @property
    def size(self) -> int:
        return grid_size(len(self.chosen) - 1, len(self.rejected) - 1)

    def cells(self) -> Iterator[Cell]:
        return spread_cells(len(self.chosen) - 1, len(self.rejected) - 1)

    def pair(self, cell: Cell, *, vary_prompt: bool) -> Pair:
        """Return a cell as a pair. Its prompt is the one its chosen variant was approved with, else its rejected's."""
        chosen, rejected = self.chosen[cell[0]], self.rejected[cell[1]]
        varied = chosen if chosen.proposal_id else rejected
        prompt = varied.prompt if vary_prompt else self.chosen[0].prompt
        return Pair.of(prompt, chosen.text, rejected.text)


@dataclass(frozen=True, slots=True)
class ComposeReport(ShownAsTable):
    """What was composed, and whether the approved variants sufficed for the budget."""

    composition: Composition
    wanted: int
    new_pairs: int
    carried_over: int
    """Pairs of earlier rounds, where rounds are cumulative."""
    sources_used: int
    short: int
    """New pairs that the budget would have paid for but no approved variants were left for."""
    length: LengthBias
    """Of all composed pairs against their sources."""
    length_grew: bool
    """Whether the new pairs differ more in length, chosen minus rejected, than `quality.max_length_growth` allows."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A cell that was taken for training."""

    grid: Grid
    cell: Cell
    pair: Pair


def compose_plan(
    bench: Workbench, plan: Plan, *, parent: Composition | None = None, loaded: RewardModel | None = None
) -> ComposeReport:
    """Take each source's share of new pairs from its grid, and store the composition.

    No pair is taken twice, none equals a base pair or a held-out pair, and a source's excess over its grid is handed
    on to the others with a budget by the same q.

    Args:
        bench: the workspace; its encoder measures the new pairs' semantic distance, for the record.
        plan: the budget.
        parent: the composition of the round before; its pairs are carried over where rounds are cumulative, and
            not taken again.
        loaded: the plan's model, where the caller has loaded it already; it scores the new pairs, for the record.

    Raises:
        NotReadyError: no proposal of the plan's sources is approved, or the plan's model is gone.
    """
    store, config = bench.store, bench.config
    model = loaded or bench.shelf.load(planned_model(bench, plan))
    sources = load_sources(store, triage_of_plan(plan))
    rows = rows_with_budget(store, plan, sources)
    grids = load_grids(store, rows, sources)
    if all(grid.size == 0 for grid in grids):
        raise NotReadyError(
            "no proposal is approved, so there is nothing to compose",
            remedy="run 'mars review' where proposals wait; where all are rejected, 'mars status' says what helps",
        )
    earlier = standing_pairs(store, parent.id, sources) if parent and config.compose.cumulative else []
    usable = usable_cells(store, grids, earlier, config)
    counts = _counts(plan, rows, usable)
    taken = [
        Taken(grid, cell, pair)
        for grid, cells, count in zip(grids, usable, counts.tolist(), strict=True)
        for cell, pair in list(cells.items())[:count]
    ]
    composed = [*earlier, *_describe(bench, taken, plan, model)]
    oriented = {source.pair.id: source.oriented for source in sources}
    length = length_bias([oriented[row.source_id] for row in composed], [row.pair for row in composed])
    composition = Composition(
        id=content_id(plan.id, parent.id if parent else "", [row.pair.id for row in composed]),
        plan_id=plan.id,
        parent_id=parent.id if parent and config.compose.cumulative else "",
        round=plan.round,
        settings={"law": plan.law, **config.compose.model_dump()},
        summary={
            "new_pairs": len(taken),
            "carried_over": len(earlier),
            "wanted": plan.budget,
            **({LENGTH_BEFORE: length.before, LENGTH_AFTER: length.after} if composed else {}),
        },
        created_at=bench.clock(),
    )
    store.compositions.add(composition, composed)
    return ComposeReport(
        composition=store.compositions.get(composition.id) or composition,
        wanted=plan.budget,
        new_pairs=len(taken),
        carried_over=len(earlier),
        sources_used=len({each.grid.source_id for each in taken}),
        short=plan.budget - len(taken),
        length=length,
        length_grew=length.growth_percent > config.quality.max_length_growth,
    )


def rows_with_budget(store: Store, plan: Plan, sources: Sequence[Source]) -> list[PlanRow]:
    """Return the plan's rows with a budget whose sources may get new pairs, after what was decided since it was made.

    Others have variants only where another plan had them proposed, and what a later round proposes must not change
    what an earlier one is composed of when it is done again.
    """
    eligible = {source.pair.id for source in sources if source.treatment.gets_budget}
    return [row for row in store.proposals.plan_rows(plan.id) if row.budget > 0 and row.pair_id in eligible]


def load_grids(store: Store, rows: Sequence[PlanRow], sources: Sequence[Source]) -> list[Grid]:
    """Return the sources' grids. Every approved variant counts, under whichever settings it was proposed."""
    oriented = {source.pair.id: source.oriented for source in sources}
    proposals = store.proposals.proposals(source_ids=[row.pair_id for row in rows])
    states = proposal_states(proposals, store.reviews.events("proposal"))
    by_source: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        # What was written for a pair before its label was flipped has its sides the wrong way round now.
        if states[proposal.id].status == "accepted" and proposal.oriented_id == oriented[proposal.source_id].id:
            by_source.setdefault(proposal.source_id, []).append(proposal)
    return [build_grid(row.pair_id, oriented[row.pair_id], by_source.get(row.pair_id, []), states) for row in rows]


def build_grid(source_id: str, base: Pair, accepted: Sequence[Proposal], states: Mapping[str, ProposalState]) -> Grid:
    """Return a source's grid; a text that equals another of its side, white space and case aside, is left out."""
    chosen = [ApprovedText(base.chosen, base.prompt, "", "original")]
    rejected = [ApprovedText(base.rejected, base.prompt, "", "original")]
    for proposal in accepted:
        state = states[proposal.id]
        for texts, text in ((chosen, state.chosen), (rejected, state.rejected)):
            if text is not None and normalized(text) not in {normalized(known.text) for known in texts}:
                texts.append(ApprovedText(text, state.prompt or base.prompt, proposal.id, proposal.method))
    return Grid(source_id, tuple(chosen), tuple(rejected))


def usable_cells(
    store: Store, grids: Sequence[Grid], earlier: Sequence[ComposedPair], config: MarsConfig
) -> list[dict[Cell, Pair]]:
    """Return each grid's cells in spread order, less those that are identical, taken, base pairs or held-out pairs."""
    forbidden = {row.pair.id for row in earlier}
    forbidden |= {pair.id for split in ("train", "heldout") for pair in store.pairs.pairs(split)}
    usable = []
    for grid in grids:
        cells: dict[Cell, Pair] = {}
        for cell in grid.cells():
            pair = grid.pair(cell, vary_prompt=config.compose.vary_prompt)
            if pair.id not in forbidden and normalized(pair.chosen) != normalized(pair.rejected):
                forbidden.add(pair.id)
                cells[cell] = pair
        usable.append(cells)
    return usable


def _counts(plan: Plan, rows: Sequence[PlanRow], usable: Sequence[Mapping[Cell, Pair]]) -> IntArray:
    """Take b_i from each source where its grid suffices; hand the rest on by the same q."""
    capacity = np.array([len(cells) for cells in usable], dtype=np.int64)
    budgets = np.array([row.budget for row in rows], dtype=np.int64)
    probabilities = np.array([row.probability for row in rows], dtype=np.float64)
    counts = np.minimum(budgets, capacity)
    rest = plan.budget - int(counts.sum())
    handed_on = allocate_budget(probabilities, rest, capacity=capacity - counts)
    return counts + handed_on


def _describe(bench: Workbench, taken: Sequence[Taken], plan: Plan, model: RewardModel) -> list[ComposedPair]:
    pairs = [each.pair for each in taken]
    if not pairs:
        return []
    margins = model.score(pairs, progress=bench.progress).margins
    distances = response_distances(bench.encoder, pairs, progress=bench.progress)
    return [
        ComposedPair(
            pair=each.pair,
            source_id=each.grid.source_id,
            method=_method(each),
            round=plan.round,
            distance=float(distances[index]),
            margin=float(margins[index]),
            chosen_from=each.grid.chosen[each.cell[0]].proposal_id,
            rejected_from=each.grid.rejected[each.cell[1]].proposal_id,
        )
        for index, each in enumerate(taken)
    ]


def _method(taken: Taken) -> str:
    methods = [taken.grid.chosen[taken.cell[0]].method, taken.grid.rejected[taken.cell[1]].method]
    return " × ".join(methods)
