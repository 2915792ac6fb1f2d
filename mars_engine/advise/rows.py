"""What the trials of next steps are made on: the training pairs, new pairs at hand and other features, as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from mars_engine.advise.trials import NewRows, OtherFeatures, TrialRows
from mars_engine.augment.compose import build_grid, usable_cells
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import FloatArray, Pair, Proposal, TrainingSet
from mars_engine.core.review_state import ProposalState, proposal_states
from mars_engine.data.sources import Source, load_sources
from mars_engine.reward_models.bradley_terry import basis_of_span
from mars_engine.reward_models.feature_choice import FOLDS, Candidate
from mars_engine.reward_models.features import fit_scale
from mars_engine.reward_models.probe import ProbeTrainer

FEWEST_PAIRS, FEWEST_PROMPTS = 40, 2 * FOLDS
MOST_PAIRS = 4_000
"""More are not tried out on: a sample tells as much, and the trials stay within a minute or two."""
MOST_OTHERS = 2

Readiness = Literal["accepted", "passed", "none"]
"""Which proposals there are to try out: accepted ones, else those that pass the gates and wait, else none."""


@dataclass(frozen=True, eq=False)
class Material:
    """All that the trials are made on."""

    rows: TrialRows
    new: NewRows | None
    readiness: Readiness
    proposals: int
    """Of those to try out."""
    others: tuple[OtherFeatures, ...]
    candidates: tuple[Candidate, ...]
    """What the other features are, in their order."""
    examples: TrainingSet
    """The base pairs of the rows, with their sides as they were imported."""
    pairs: int
    """Training pairs of the workspace that are trained on."""


def gather_material(bench: Workbench) -> Material:
    """Return what the trials are made on; the features of pairs and proposals that are not cached yet are read.

    Raises:
        NotReadyError: there are too few pairs or prompts to learn from some and score the others.
    """
    sources = [
        each for each in load_sources(bench.store, bench.config.triage, policy="keep") if each.treatment.trained_on
    ]
    prompts = len({each.pair.prompt_id for each in sources})
    if len(sources) < FEWEST_PAIRS or prompts < FEWEST_PROMPTS:
        raise NotReadyError(
            f"there are {len(sources)} training pairs of {prompts} prompts, too few to tell one step from another",
            expected=f"at least {FEWEST_PAIRS} pairs of {FEWEST_PROMPTS} prompts",
            remedy="import more pairs",
        )
    used = _sample(sources, bench.config.seed)
    examples = _examples(used)
    if not bench.probe_trainer.is_prepared:
        bench.probe_trainer.prepare(_examples(sources), progress=bench.progress)
    signs = np.where(examples.label_confidence < 0.5, -1.0, 1.0)
    differences = _differences(bench, examples.pairs) * signs[:, None]
    readiness, composed, counts, proposals = _new_pairs(bench, used)
    new = _differences(bench, composed) if composed else np.zeros((0, differences.shape[1]))
    rows = TrialRows(
        differences=in_their_span(differences),
        confidence=np.maximum(examples.label_confidence, 1 - examples.label_confidence),
        prompts=[each.pair.prompt_id for each in used],
        open=np.array([not each.decided for each in used], dtype=bool),
        l2=bench.probe_trainer.ridge(np.ones(1)),
        near_zero=bench.config.triage.near_zero,
    )
    new_rows = _new_rows(bench, used, rows, differences, new, counts) if composed else None
    candidates = _rivals(bench)
    others = [_read_otherwise(bench, each, examples.pairs, signs) for each in candidates]
    return Material(rows, new_rows, readiness, proposals, tuple(others), tuple(candidates), examples, len(sources))


def _sample(sources: Sequence[Source], seed: int) -> list[Source]:
    if len(sources) <= MOST_PAIRS:
        return list(sources)
    kept = np.random.default_rng(seed).permutation(len(sources))[:MOST_PAIRS]
    return [sources[place] for place in sorted(kept.tolist())]


def _examples(sources: Sequence[Source]) -> TrainingSet:
    confidence = np.array([each.treatment.label_confidence for each in sources], dtype=np.float64)
    return TrainingSet(tuple(each.pair for each in sources), np.ones(len(sources)), confidence)


def _differences(bench: Workbench, pairs: Sequence[Pair]) -> FloatArray:
    return bench.probe_trainer.feature_differences(pairs, progress=bench.progress)


def _new_pairs(bench: Workbench, sources: Sequence[Source]) -> tuple[Readiness, list[Pair], list[int], int]:
    """Return which proposals are at hand, the new pairs that they give, how many of each source, and the proposals."""
    found = bench.store.proposals.proposals(source_ids=[each.pair.id for each in sources])
    states = proposal_states(found, bench.store.reviews.events("proposal"))
    accepted = [each for each in found if states[each.id].status == "accepted"]
    passed = [each for each in found if states[each.id].status == "pending" and not each.flags]
    readiness: Readiness = "accepted" if accepted else "passed" if passed else "none"
    usable = accepted or passed
    if not accepted:
        states = {each.id: ProposalState("accepted", each.prompt, each.chosen, each.rejected) for each in passed}
    by_source: dict[str, list[Proposal]] = {}
    for each in usable:
        by_source.setdefault(each.source_id, []).append(each)
    oriented = [each.oriented for each in sources]
    grids = [
        build_grid(
            each.pair.id,
            base,
            [proposal for proposal in by_source.get(each.pair.id, []) if proposal.oriented_id == base.id],
            states,
        )
        for each, base in zip(sources, oriented, strict=True)
    ]
    most = 2 * ceil(bench.config.allocation.budget_per_pair)  # of a source: more is hardly ever taken
    cells = [list(each.values())[:most] for each in usable_cells(bench.store, grids, [], bench.config)]
    pairs = [pair for each in cells for pair in each]
    return (readiness if pairs else "none"), pairs, [len(each) for each in cells], len(usable)


def _new_rows(
    bench: Workbench,
    sources: Sequence[Source],
    rows: TrialRows,
    base: FloatArray,
    differences: FloatArray,
    counts: Sequence[int],
) -> NewRows:
    law = bench.config.allocation.law
    source = np.repeat(np.arange(len(counts)), counts)
    return NewRows(
        base=base,
        differences=differences,
        confidence=rows.confidence[source],
        source=source,
        eligible=np.array([each.treatment.gets_budget for each in sources], dtype=bool),
        config=bench.config.allocation,
        laws=tuple(dict.fromkeys((law, "uniform", "absolute"))),
    )


def _rivals(bench: Workbench) -> list[Candidate]:
    """Return the best of the features that were tried beside those that stand, one of each kind."""
    trainer = bench.probe_trainer
    choice = trainer.kept_choice() if isinstance(trainer, ProbeTrainer) else None
    if choice is None:
        return []
    best: dict[object, Candidate] = {}
    for each in sorted(choice.candidates, key=lambda candidate: candidate.log_loss):
        if each.text != choice.features.text and each.text.reading == choice.features.text.reading:
            best.setdefault(each.text, each)
    return list(best.values())[:MOST_OTHERS]


def _read_otherwise(bench: Workbench, candidate: Candidate, pairs: Sequence[Pair], signs: FloatArray) -> OtherFeatures:
    raw = candidate.text.of(bench.encoder, pairs, progress=bench.progress).differences * signs[:, None]
    scaled = raw / (fit_scale(raw) * np.sqrt(raw.shape[1]))
    return OtherFeatures(_name(candidate), in_their_span(scaled), candidate.l2)


def in_their_span(rows: FloatArray) -> FloatArray:
    """Return the advisor's rows in a basis of their span, if fewer than dimensions: the same fits, but quicker."""
    basis = basis_of_span(rows)
    return rows if basis is None else rows @ basis


def _name(candidate: Candidate) -> str:
    layers = ", ".join(map(str, candidate.text.layers))
    return f"layers {layers}" if layers else "the sentence embedding"
