"""Propose: measure, score and judge what was drafted for the source pairs with a budget.

Chunk by chunk, each stored in one transaction with its failures; a chunk that is stored is never generated again.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mars_engine.augment.drafting import PROMPT, Draft, Drafter, Variant, Written, write_chunks
from mars_engine.augment.generators.protocols import Paraphraser, Refiner
from mars_engine.augment.plan import planned_model
from mars_engine.augment.quality.gatekeeper import (
    Candidate,
    Gatekeeper,
    count_faults,
    judged_by,
    last_turn,
    make_gatekeeper,
    settings_of_gates,
    stored_candidate,
    with_verdict,
)
from mars_engine.augment.quality.text_facts import normalized
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import GenerationError, NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.progress import Progress
from mars_engine.core.records import (
    FloatArray,
    Pair,
    Plan,
    PlanRow,
    Proposal,
    ProposalFailure,
    ProposalMethod,
    content_id,
)
from mars_engine.data.sources import Source, load_sources, standing_pairs, training_set, triage_of_plan
from mars_engine.data.trails import REFINED_NOTE
from mars_engine.embeddings.distances import response_distances
from mars_engine.reward_models.curvature import hessian, information_gains
from mars_engine.reward_models.protocols import LinearRewardModel, RewardModel
from mars_engine.store import Store

JUDGE = "judge"
"""What was asked for where a judge could not judge."""
Retry = Literal["retryable", "all"]
"""Which failures are tried again: those that may pass by themselves, or also answers that could not be used."""


@dataclass(frozen=True, slots=True)
class ProposeReport(ShownAsTable):
    """What proposing did, over all sources of the plan: those done now and those done before."""

    settings_id: str
    sources: int
    done_before: int
    refinements: dict[str, int]
    proposals: int
    passed_gates: int
    faults: dict[str, int]
    """How many proposals fail each gate."""
    judged_otherwise: int
    """Proposals whose verdict stems from other settings of the gates than the present ones."""
    failures: dict[str, int]
    """How often something could not be generated, by generator and reason."""
    failed: int = 0
    """How many failures there are in all."""
    retryable: int = 0
    """How many of them may pass when they are tried again."""


@dataclass(frozen=True)
class Proposer:
    """What turns source pairs into proposals, and measures these."""

    drafter: Drafter
    model: RewardModel
    plan: Plan
    summed_hessian: FloatArray | None
    """Of the loss of the pairs that the model was trained on; None where it is not linear and has no exact one."""
    tries_again: bool
    """Whether this is for what failed before: a judge may now say of stored proposals what it could not say then."""


def make_proposals(
    bench: Workbench,
    plan: Plan,
    *,
    retry: Retry | None = None,
    only: Collection[str] | None = None,
    loaded: RewardModel | None = None,
) -> ProposeReport:
    """Store proposals for every source pair to which the plan gives a budget and which has none yet.

    Killed and started again, it goes on where it stopped and ends with the same proposals. Those that fail a quality
    gate are stored with its reasons.

    With `retry`, only source pairs for which something could not be done are tried again, "all" of them or those for
    which that may help. What was proposed for them stays; what still fails takes the place of the earlier failures.

    Args:
        bench: the workspace.
        plan: the budget.
        retry: which failures are tried again; what is new is proposed for where it is None.
        only: the sources that are proposed for; all of the plan's where it is None.
        loaded: the plan's model, where the caller has loaded it already.

    Raises:
        NotReadyError: the plan's model is gone, or there is nothing to try again.
        GenerationError: a generator cannot work at all.
    """
    store, config, progress = bench.store, bench.config, bench.progress
    model = loaded or bench.shelf.load(planned_model(bench, plan))
    sources = load_sources(store, triage_of_plan(plan))
    drafter = Drafter(bench.paraphraser, bench.refiner, bench.encoder, config.propose, progress)
    oriented = {source.pair.id: source.oriented for source in sources}
    rows = rows_in_question(store, plan, store.proposals.plan_rows(plan.id), only)
    work = find_work(store, drafter.settings_id, rows, oriented, retry=retry, again=only is not None)
    drafter = replace(drafter, ask_again=work.ask_again)
    chunks = list(_chunks(work.pairs, config.propose.chunk))
    proposer = Proposer(drafter, model, plan, _summed_hessian(store, plan, sources, model, progress), retry is not None)
    keeper: Gatekeeper | None = None
    with progress.task("propose", len(rows)) as task:
        task.advance(len(rows) - len(work.pairs))
        for written in write_chunks(drafter, chunks):
            keeper = keeper or make_gatekeeper(bench)
            _judge_and_store(store, proposer, keeper, written)
            task.advance(len(written.drafted))
    wanted = {row.pair_id: done_mark(row, oriented[row.pair_id]) for row in rows}
    return _report(store, proposer, wanted, done_before=work.done_before, gates=settings_of_gates(config.quality))


def validate_yield(report: ProposeReport) -> None:
    """Let no round go on where proposing failed for every source of the plan. What failed is stored with its reasons.

    Raises:
        GenerationError: not a single proposal came of all sources of the plan, because of failures.
    """
    if report.proposals or not report.failures:
        return
    reason, count = next(iter(report.failures.items()))
    raise GenerationError(
        f"nothing could be generated for any of {report.sources:,} source pairs, most often ({count:,} of "
        f"{report.failed:,} times) for this reason: {reason}",
        remedy="put that right and run 'mars propose --retry-failed', or --retry-refused where answers could not be "
        "used; 'mars failures' lists all",
    )


def rows_in_question(
    store: Store, plan: Plan, rows: Sequence[PlanRow], only: Collection[str] | None = None
) -> list[PlanRow]:
    """Return the rows of a plan that are proposed for: those with a budget, of a plan for a set only the set's.

    What a plan for a set gives to others was proposed for under the plan that it was added to. With `only`, rows of
    these source pairs.
    """
    pair_set = plan.settings.get("pair_set")
    members = set(store.pair_sets.members(str(pair_set))) if pair_set else None
    return [
        row
        for row in rows
        if row.budget > 0 and (members is None or row.pair_id in members) and (only is None or row.pair_id in only)
    ]


@dataclass(frozen=True, slots=True)
class Work:
    """What is there to propose for."""

    pairs: list[tuple[PlanRow, Pair]]
    """Rows of the plan with their source pairs as they are oriented."""
    done_before: int
    """For how many rows there are proposals already."""
    ask_again: frozenset[tuple[str, str]] = frozenset()
    """Source and target of what was answered already: without being asked for anew, the answer would be the same."""


def find_work(
    store: Store,
    settings_id: str,
    rows: Sequence[PlanRow],
    oriented: Mapping[str, Pair],
    *,
    retry: Retry | None,
    again: bool = False,
) -> Work:
    """Return those of the rows that have no proposals yet; with `retry`, those for which something has failed.

    Args:
        store: knows what is done and what has failed.
        settings_id: of the generators.
        rows: rows of a plan with a budget.
        oriented: source pairs by id.
        retry: which failures are tried again.
        again: whether to propose for all the rows, those that have proposals too.

    Raises:
        NotReadyError: there is nothing to try again, since all that failed did so under other settings.
    """
    done = store.proposals.sources_done(settings_id)
    pairs = [(row, oriented[row.pair_id]) for row in rows]
    waiting = [(row, pair) for row, pair in pairs if done_mark(row, pair) not in done]
    done_before = len(pairs) - len(waiting)
    if again:
        return Work(pairs, 0)
    if retry is None:
        return Work(waiting, done_before)
    stored = store.proposals.failures(settings_id)
    if not stored and (elsewhere := store.proposals.failures()):
        raise NotReadyError(
            f"nothing has failed under the present settings; {len(elsewhere):,} failures are of other settings",
            remedy="run 'mars propose', which writes under the present settings; or try again under the earlier ones",
        )
    failures = [each for each in stored if each.retryable or retry == "all"]
    failed = {failure.source_id for failure in failures}
    return Work(
        [(row, pair) for row, pair in pairs if row.pair_id in failed],
        done_before,
        frozenset((each.source_id, each.target) for each in failures if not each.retryable),
    )


def done_mark(row: PlanRow, oriented: Pair) -> str:
    """What a source is marked done by: another verdict of the gate or another orientation asks for new proposals."""
    return f"{oriented.id}:{row.gate}"


def _summed_hessian(
    store: Store, plan: Plan, sources: Sequence[Source], model: RewardModel, progress: Progress
) -> FloatArray | None:
    """Return the Hessian of the summed loss of the pairs that the model was trained on, None where it is not linear."""
    if not isinstance(model, LinearRewardModel):
        return None
    record = store.models.get(plan.model_id)
    composed = standing_pairs(store, record.composition_id, sources) if record and record.composition_id else []
    trained_on = training_set(sources, composed)
    differences = model.feature_differences(trained_on.pairs, progress=progress)
    margins = model.score(trained_on.pairs, progress=progress).margins
    return hessian(differences, margins, trained_on.weights) * float(trained_on.weights.sum())


def _information_gains(proposer: Proposer, pairs: Sequence[Pair], margins: FloatArray) -> list[float | None]:
    """Return what each pair would add to what the model knows, in nats; None where the model cannot tell."""
    model = proposer.model
    if proposer.summed_hessian is None or not isinstance(model, LinearRewardModel):
        return [None] * len(pairs)
    differences = model.feature_differences(pairs, progress=proposer.drafter.progress)
    gains = information_gains(differences, margins, summed_hessian=proposer.summed_hessian, ridge=model.ridge)
    return [float(gain) for gain in gains]


def _chunks(pairs: Sequence[tuple[PlanRow, Pair]], size: int) -> Iterator[Sequence[tuple[PlanRow, Pair]]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


def _judge_and_store(store: Store, proposer: Proposer, keeper: Gatekeeper, written: Written) -> None:
    """Measure and judge what was written for a chunk, and store it with what failed in one transaction."""
    drafts = written.drafts
    proposals = _judge(store, proposer, keeper, drafts, _as_proposals(proposer, drafts, written.variants))
    judge_failures = [
        ProposalFailure(each.source_id, proposer.drafter.settings_id, each.judge, JUDGE, each.reason, each.retryable)
        for each in keeper.take_judge_failures()
    ]
    store.proposals.add_proposals(
        proposer.drafter.settings_id,
        {done_mark(draft.row, draft.original): draft.outcome for draft in written.drafted},
        proposals,
        [*written.failures, *judge_failures],
        [each for draft in written.drafted if draft.refinement is not None for each in draft.refinement.trail],
        tried=[draft.source_id for draft in written.drafted],
    )
    if proposer.tries_again:
        store.proposals.replace_verdicts(proposals)


# ------------------------------------------------------------------------------------------------------ proposals


def _as_proposals(proposer: Proposer, drafts: Sequence[Draft], variants: Sequence[Sequence[Variant]]) -> list[Proposal]:
    """Measure and score all variants of a chunk at once, and return them as proposals that are not judged yet."""
    flat = [
        (draft, number, variant)
        for draft, some in zip(drafts, variants, strict=True)
        for number, variant in enumerate(some)
    ]
    if not flat:
        return []
    pairs = [Pair.of(variant.prompt, variant.chosen, variant.rejected) for _, _, variant in flat]
    distances = response_distances(proposer.drafter.encoder, pairs, progress=proposer.drafter.progress)
    margins = proposer.model.score(pairs, progress=proposer.drafter.progress).margins
    gains = _information_gains(proposer, pairs, margins)
    return [
        _proposal(
            proposer,
            draft,
            number,
            variant,
            distance=float(distances[index]),
            margin=float(margins[index]),
            gain=gains[index],
        )
        for index, (draft, number, variant) in enumerate(flat)
    ]


def _proposal(
    proposer: Proposer,
    draft: Draft,
    number: int,
    variant: Variant,
    *,
    distance: float,
    margin: float,
    gain: float | None,
) -> Proposal:
    refined = draft.base != draft.original
    method: ProposalMethod = "refined" if not variant.paraphrased else "refined+paraphrase" if refined else "paraphrase"
    texts = [[[turn.role, turn.content] for turn in variant.prompt], variant.chosen, variant.rejected]
    return Proposal(
        id=content_id(draft.source_id, proposer.drafter.settings_id, method, texts),
        source_id=draft.source_id,
        oriented_id=draft.original.id,
        plan_id=proposer.plan.id,
        model_id=proposer.plan.model_id,
        settings_id=proposer.drafter.settings_id,
        method=method,
        variant=number,
        prompt=variant.prompt,
        chosen=variant.chosen,
        rejected=variant.rejected,
        unchanged_sides=_unchanged(draft.original, variant),
        generators=_provenance(proposer, draft, paraphrased=variant.paraphrased),
        seed=proposer.drafter.config.seed,
        distance_before=draft.row.distance,
        distance_after=distance,
        margin_before=draft.row.margin,
        margin_after=margin,
        information_gain=gain,
        flags=(),
    )


def _judge(
    store: Store, proposer: Proposer, keeper: Gatekeeper, drafts: Sequence[Draft], proposals: Sequence[Proposal]
) -> list[Proposal]:
    """Return the proposals with the verdicts of the quality gates.

    What other generators or settings proposed for the same sources, and passed, counts as earlier variants.
    """
    drafted = {draft.source_id: draft for draft in drafts}
    own = {proposal.id for proposal in proposals}
    earlier = [
        stored_candidate(each, drafted[each.source_id].original)
        for each in store.proposals.proposals(source_ids=drafted)
        if not each.flags and each.id not in own and each.oriented_id == drafted[each.source_id].original.id
    ]
    candidates = [
        _candidate(each, drafted[each.source_id], judge_again=(each.source_id, JUDGE) in proposer.drafter.ask_again)
        for each in proposals
    ]
    verdicts = keeper.judge(candidates, earlier)
    return [with_verdict(each, verdict, keeper.config) for each, verdict in zip(proposals, verdicts, strict=True)]


def _candidate(proposal: Proposal, draft: Draft, *, judge_again: bool) -> Candidate:
    return Candidate(
        source_id=proposal.source_id,
        original=draft.original,
        base=draft.base,
        new=proposal.as_pair(),
        variant=proposal.variant,
        distance_before=proposal.distance_before,
        distance_after=proposal.distance_after,
        judge_again=judge_again,
    )


def _unchanged(original: Pair, variant: Variant) -> tuple[str, ...]:
    pairs = (
        (PROMPT, last_turn(original), variant.prompt[-1].content if variant.prompt else ""),
        ("chosen", original.chosen, variant.chosen),
        ("rejected", original.rejected, variant.rejected),
    )
    return tuple(name for name, old, new in pairs if normalized(old) == normalized(new))


def _provenance(proposer: Proposer, draft: Draft, *, paraphrased: bool) -> dict[str, Any]:
    provenance: dict[str, Any] = {}
    if paraphrased:
        provenance["paraphrase"] = _card(proposer.drafter.paraphraser)
    if draft.refinement is not None:
        provenance[REFINED_NOTE] = _card(proposer.drafter.refiner)
    return provenance


def _card(generator: Paraphraser | Refiner) -> dict[str, Any]:
    card = generator.card
    return {"name": card.name, "version": card.version, "stand_in": card.stand_in, "settings": dict(card.settings)}


def _report(
    store: Store, proposer: Proposer, wanted: Mapping[str, str], *, done_before: int, gates: str
) -> ProposeReport:
    """Sum up over the wanted sources, given as done marks by source id, and the digest of the gates' settings."""
    outcomes = store.proposals.sources_done(proposer.drafter.settings_id)
    proposals = [
        proposal
        for proposal in store.proposals.proposals(source_ids=wanted, settings_id=proposer.drafter.settings_id)
        if wanted[proposal.source_id].startswith(proposal.oriented_id)
    ]
    failed = [each for each in store.proposals.failures(proposer.drafter.settings_id) if each.source_id in wanted]
    failures = Counter(f"{failure.generator}: {failure.reason}" for failure in failed)
    return ProposeReport(
        settings_id=proposer.drafter.settings_id,
        sources=len(wanted),
        done_before=done_before,
        refinements=dict(Counter(outcomes[mark] for mark in wanted.values() if mark in outcomes).most_common()),
        proposals=len(proposals),
        passed_gates=sum(not proposal.flags for proposal in proposals),
        faults=count_faults(proposals),
        judged_otherwise=sum(judged_by(proposal) != gates for proposal in proposals),
        failures=dict(failures.most_common()),
        failed=len(failed),
        retryable=sum(failure.retryable for failure in failed),
    )
