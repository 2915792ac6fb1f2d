"""Propose: for each source pair with a budget, sharpen the contrast where the gate asks for it, then paraphrase.

Chunk by chunk, each stored in one transaction with its failures; a chunk that is stored is never generated again.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mars_engine.maths.curvature import hessian, information_gains
from mars_engine.maths.gate import semantic_distance
from mars_engine.maths.text_facts import normalized
from mars_engine.words.config import MarsConfig, ProposeConfig
from mars_engine.words.protocols import (
    Encoder,
    Foresighted,
    Generation,
    LinearRewardModel,
    Paraphraser,
    ParaphraseRequest,
    Progress,
    Refiner,
    RefineRequest,
    RewardModel,
    Store,
)
from mars_engine.words.records import (
    FloatArray,
    Pair,
    Passage,
    Plan,
    PlanRow,
    Prompt,
    Proposal,
    ProposalFailure,
    ProposalMethod,
    Refinement,
    RefineTry,
    Side,
    Turn,
    content_id,
)
from mars_engine.workflows.plan import response_distances
from mars_engine.workflows.quality import (
    Candidate,
    Gatekeeper,
    QualityTools,
    count_faults,
    judged_by,
    last_turn,
    make_gatekeeper,
    settings_of_gates,
    stored_candidate,
    with_verdict,
)
from mars_engine.workflows.sources import Source, load_sources, standing_pairs, training_set, triage_of_plan
from mars_engine.workflows.trails import KEPT, REFINED_NOTE

PROMPT = "prompt"
JUDGE = "judge"
"""What was asked for where a judge could not judge."""
Retry = Literal["retryable", "all"]
"""Which failures are tried again: those that may pass by themselves, or also answers that could not be used."""
CHUNKS_AHEAD = 3
"""With how many chunks a generator begins before it is asked for them, where it can: the steps of a chunk wait for each
other, and a chunk is measured and judged in between."""
REFINE_ORDER: tuple[Side, Side] = ("rejected", "chosen")
"""The rejected side first: rewriting it cannot make the better answer worse."""


@dataclass(frozen=True, slots=True)
class ProposeReport:
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


@dataclass(frozen=True, slots=True)
class Draft:
    """A source pair on its way to proposals."""

    source_id: str
    base: Pair
    """Oriented, and refined where that succeeded: the base of the paraphrases."""
    original: Pair
    row: PlanRow
    refinement: Refinement | None
    """None where the gate did not ask for refining."""
    is_postponed: bool = False
    """Whether refining failed for a reason that may pass: nothing is written for the pair until it is tried again."""

    @property
    def outcome(self) -> str:
        if self.is_postponed:
            return "postponed"
        if self.refinement is None:
            return "not_needed"
        return f"refined_{self.refinement.side}" if self.refinement.side else "unrefined"


@dataclass(frozen=True)
class Proposer:
    """The generators and models that turn source pairs into proposals."""

    paraphraser: Paraphraser
    refiner: Refiner
    encoder: Encoder
    model: RewardModel
    config: ProposeConfig
    progress: Progress
    plan: Plan
    summed_hessian: FloatArray | None
    """Of the loss of the pairs that the model was trained on; None where it is not linear and has no exact one."""
    ask_again: frozenset[tuple[str, str]] = frozenset()
    """Source and target of what was answered, could not be used, and is to be asked for anew."""

    @property
    def settings_id(self) -> str:
        """Digest of everything that the generated texts depend on beside the source pair."""
        return settings_of_generation(self.config, self.paraphraser, self.refiner, self.encoder)


def settings_of_generation(config: ProposeConfig, paraphraser: Paraphraser, refiner: Refiner, encoder: Encoder) -> str:
    """Return the digest of everything that generated texts depend on beside the source pair."""
    wanted = config.model_dump(include={"variants", "refine_tries", "refine_epsilon", "seed"})
    cards = [paraphraser.card.fingerprint, refiner.card.fingerprint]
    return content_id(cards, encoder.fingerprint, wanted)


def propose(
    store: Store,
    plan: Plan,
    model: RewardModel,
    encoder: Encoder,
    paraphraser: Paraphraser,
    refiner: Refiner,
    *,
    tools: QualityTools,
    config: MarsConfig,
    progress: Progress,
    retry: Retry | None = None,
) -> ProposeReport:
    """Store proposals for every source pair to which the plan gives a budget and which has none yet.

    Killed and started again, it goes on where it stopped and ends with the same proposals. Those that fail a quality
    gate are stored with its reasons.

    With `retry`, only source pairs for which something could not be done are tried again, "all" of them or those for
    which that may help. What was proposed for them stays; what still fails takes the place of the earlier failures.
    """
    sources = load_sources(store, triage_of_plan(plan))
    proposer = _prepare(store, plan, sources, model, encoder, paraphraser, refiner, config, progress)
    oriented = {source.pair.id: source.oriented for source in sources}
    rows = [row for row in store.proposals.plan_rows(plan.id) if row.budget > 0]
    done = store.proposals.sources_done(proposer.settings_id)
    if retry is None:
        to_do = [row for row in rows if done_mark(row, oriented[row.pair_id]) not in done]
    else:
        failures = _failures_to_retry(store, proposer.settings_id, retry)
        proposer = replace(proposer, ask_again=_to_ask_again(failures))
        failed = {failure.source_id for failure in failures}
        to_do = [row for row in rows if row.pair_id in failed]
    chunks = [[(row, oriented[row.pair_id]) for row in chunk] for chunk in _chunks(to_do, config.propose.chunk)]
    keeper: Gatekeeper | None = None
    with progress.task("propose", len(rows)) as task:
        task.advance(len(rows) - len(to_do))
        for written in _write(proposer, chunks):
            keeper = keeper or make_gatekeeper(store, encoder, tools, config=config, progress=progress)
            _judge_and_store(store, proposer, keeper, written)
            task.advance(len(written.drafted))
    wanted = {row.pair_id: done_mark(row, oriented[row.pair_id]) for row in rows}
    done_before = sum(each in done for each in wanted.values())
    return _report(store, proposer, wanted, done_before=done_before, gates=settings_of_gates(config.quality))


def _failures_to_retry(store: Store, settings_id: str, retry: Retry) -> list[ProposalFailure]:
    return [each for each in store.proposals.failures(settings_id) if each.retryable or retry == "all"]


def _to_ask_again(failures: Sequence[ProposalFailure]) -> frozenset[tuple[str, str]]:
    """Return what was answered already: without being asked for anew, the answer would be the same."""
    return frozenset((each.source_id, each.target) for each in failures if not each.retryable)


def done_mark(row: PlanRow, oriented: Pair) -> str:
    """What a source is marked done by: another verdict of the gate or another orientation asks for new proposals."""
    return f"{oriented.id}:{row.gate}"


def _prepare(
    store: Store,
    plan: Plan,
    sources: Sequence[Source],
    model: RewardModel,
    encoder: Encoder,
    paraphraser: Paraphraser,
    refiner: Refiner,
    config: MarsConfig,
    progress: Progress,
) -> Proposer:
    return Proposer(
        paraphraser=paraphraser,
        refiner=refiner,
        encoder=encoder,
        model=model,
        config=config.propose,
        progress=progress,
        plan=plan,
        summed_hessian=_summed_hessian(store, plan, sources, model, progress),
    )


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
    differences = model.feature_differences(pairs, progress=proposer.progress)
    gains = information_gains(differences, margins, summed_hessian=proposer.summed_hessian, ridge=model.ridge)
    return [float(gain) for gain in gains]


def _chunks(rows: Sequence[PlanRow], size: int) -> Iterator[Sequence[PlanRow]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@dataclass(frozen=True, slots=True)
class _Written:
    """A chunk whose texts are all generated."""

    drafted: list[Draft]
    variants: list[list["Variant"]]
    """Of those that are not postponed."""
    failures: list[ProposalFailure]

    @property
    def drafts(self) -> list[Draft]:
        return _not_postponed(self.drafted)


def _not_postponed(drafted: Sequence[Draft]) -> list[Draft]:
    return [draft for draft in drafted if not draft.is_postponed]


def _write(proposer: Proposer, chunks: Sequence[Sequence[tuple[PlanRow, Pair]]]) -> Iterator[_Written]:
    """Yield each chunk when its texts are written; generators that can write the following ones while it is judged."""
    is_ahead = isinstance(proposer.paraphraser, Foresighted)
    for chunk in chunks[:CHUNKS_AHEAD]:
        _expect(proposer, chunk)
    following = _refine_ahead(proposer, chunks, 0) if chunks else None
    for number in range(len(chunks)):
        drafted, refine_failures = following or _refine_where_close(proposer, chunks[number])
        variants, paraphrase_failures = _paraphrase(proposer, _not_postponed(drafted))
        following = _refine_ahead(proposer, chunks, number + 1) if is_ahead and number + 1 < len(chunks) else None
        yield _Written(drafted, variants, [*refine_failures, *paraphrase_failures])


def _refine_ahead(
    proposer: Proposer, chunks: Sequence[Sequence[tuple[PlanRow, Pair]]], number: int
) -> tuple[list[Draft], list[ProposalFailure]]:
    """Refine a chunk, and let the paraphraser begin with it, and all with a later one."""
    for chunk in chunks[number + CHUNKS_AHEAD : number + CHUNKS_AHEAD + 1]:
        _expect(proposer, chunk)
    drafted, failures = _refine_where_close(proposer, chunks[number])
    if isinstance(proposer.paraphraser, Foresighted):
        texts = [text for draft in _not_postponed(drafted) for text in texts_of(draft.source_id, draft.base)]
        proposer.paraphraser.expect(paraphrase_requests(proposer.config, texts), soon=True)
    return drafted, failures


def _judge_and_store(store: Store, proposer: Proposer, keeper: Gatekeeper, written: _Written) -> None:
    """Measure and judge what was written for a chunk, and store it with what failed in one transaction."""
    drafts = written.drafts
    proposals = _judge(store, proposer, keeper, drafts, _as_proposals(proposer, drafts, written.variants))
    judge_failures = [
        ProposalFailure(each.source_id, proposer.settings_id, each.judge, JUDGE, each.reason, each.retryable)
        for each in keeper.take_judge_failures()
    ]
    store.proposals.add_proposals(
        proposer.settings_id,
        {done_mark(draft.row, draft.original): draft.outcome for draft in written.drafted},
        proposals,
        [*written.failures, *judge_failures],
        [each for draft in written.drafted if draft.refinement is not None for each in draft.refinement.trail],
        tried=[draft.source_id for draft in written.drafted],
    )
    if proposer.ask_again or judge_failures:
        store.proposals.replace_verdicts(proposals)  # a judge may say more of what was proposed before


def _expect(proposer: Proposer, chunk: Sequence[tuple[PlanRow, Pair]]) -> None:
    """Let the generators begin with what they will be asked for a chunk in any case."""
    if isinstance(proposer.refiner, Foresighted):
        low = [(row, pair) for row, pair in chunk if row.gate == "low"]
        proposer.refiner.expect(refine_requests(proposer.config, low, "rejected"))
    if isinstance(proposer.paraphraser, Foresighted):
        texts = [text for row, pair in chunk if row.gate == "high" for text in texts_of(row.pair_id, pair)]
        proposer.paraphraser.expect(paraphrase_requests(proposer.config, texts))


# --------------------------------------------------------------------------------------------------------- refine


def _refine_where_close(
    proposer: Proposer, chunk: Sequence[tuple[PlanRow, Pair]]
) -> tuple[list[Draft], list[ProposalFailure]]:
    """Rewrite the rejected side of every low pair; where that does not help, its chosen side; else leave it."""
    failures: list[ProposalFailure] = []
    refinements: dict[str, Refinement] = {}
    trails: dict[str, list[RefineTry]] = {row.pair_id: [] for row, _ in chunk}
    waiting = [(row, pair) for row, pair in chunk if row.gate == "low"]
    for side in REFINE_ORDER:
        refined = _try_side(proposer, waiting, side, trails, failures)
        refinements |= refined
        postponed = {failure.source_id for failure in failures if failure.retryable} - refinements.keys()
        waiting = [(row, pair) for row, pair in waiting if row.pair_id not in {*refined, *postponed}]
    for row, _ in chunk:
        if row.gate == "low" and row.pair_id not in refinements:
            refinements[row.pair_id] = Refinement(None, "", row.distance, row.distance, tuple(trails[row.pair_id]))
    drafts = [_draft(row, pair, refinements.get(row.pair_id)) for row, pair in chunk]
    return [replace(draft, is_postponed=draft.source_id in postponed) for draft in drafts], failures


def _try_side(
    proposer: Proposer,
    waiting: Sequence[tuple[PlanRow, Pair]],
    side: Side,
    trails: dict[str, list[RefineTry]],
    failures: list[ProposalFailure],
) -> dict[str, Refinement]:
    """Keep each pair's first rewrite of `side` whose distance exceeds the old one by more than ε; go on its trail."""
    if not waiting:
        return {}
    most = proposer.config.refine_tries
    generations = proposer.refiner.refine(refine_requests(proposer.config, waiting, side, proposer.ask_again))
    failures += [
        _failure(proposer, proposer.refiner, row.pair_id, f"refine {side}", generation)
        for (row, _), generation in zip(waiting, generations, strict=True)
        if generation.failure
    ]
    offers = [generation.candidates[:most] for generation in generations]
    others = [pair.chosen if side == "rejected" else pair.rejected for _, pair in waiting]
    distances = _distances_of_offers(proposer, offers, others)
    kept: dict[str, Refinement] = {}
    for (row, pair), generation, texts, reached in zip(waiting, generations, offers, distances, strict=True):
        trail = trails[row.pair_id]
        for text, distance in zip(texts, reached, strict=True):
            verdict = _verdict_on_try(proposer, row, getattr(pair, side), text, distance)
            trail.append(_refine_try(proposer, row, pair, len(trail), side, verdict, text, distance))
            if verdict == KEPT:
                kept[row.pair_id] = Refinement(side, text, row.distance, distance, tuple(trail))
                break
        else:
            if generation.failure or not texts:
                reason = f"no rewrite: {generation.failure or 'none was offered'}"
                trail.append(_refine_try(proposer, row, pair, len(trail), side, reason))
    return kept


def refine_requests(
    config: ProposeConfig,
    pairs: Sequence[tuple[PlanRow, Pair]],
    side: Side,
    ask_again: Collection[tuple[str, str]] = (),
) -> list[RefineRequest]:
    """Return what a refiner is asked for one side of some pairs."""
    return [
        RefineRequest(
            row.pair_id,
            pair.prompt,
            pair.chosen,
            pair.rejected,
            side,
            config.refine_tries,
            config.seed,
            source_id=row.pair_id,
            ask_again=(row.pair_id, f"refine {side}") in ask_again,
        )
        for row, pair in pairs
    ]


def _verdict_on_try(proposer: Proposer, row: PlanRow, before: str, text: str, distance: float) -> str:
    if not text.strip():
        return "empty"
    if normalized(text) == normalized(before):
        return "as it was"
    return KEPT if distance > row.distance + proposer.config.refine_epsilon else "too close still"


def _refine_try(
    proposer: Proposer,
    row: PlanRow,
    pair: Pair,
    position: int,
    side: Side,
    verdict: str,
    text: str | None = None,
    distance: float | None = None,
) -> RefineTry:
    card = proposer.refiner.card
    return RefineTry(
        source_id=row.pair_id,
        oriented_id=pair.id,
        settings_id=proposer.settings_id,
        position=position,
        side=side,
        generator=f"{card.name} {card.version}",
        text=text,
        distance=distance,
        verdict=verdict,
    )


def _distances_of_offers(
    proposer: Proposer, offers: Sequence[Sequence[str]], others: Sequence[str]
) -> list[list[float]]:
    """Return the distance of each offered text from its pair's other side, by pair."""
    texts = [text for offered in offers for text in offered]
    if not texts:
        return [[] for _ in offers]
    against = [other for offered, other in zip(offers, others, strict=True) for _ in offered]
    passages = [Passage(text) for text in [*texts, *against]]
    vectors = proposer.encoder.encode(passages, progress=proposer.progress).vectors
    found = iter(semantic_distance(vectors[: len(texts)], vectors[len(texts) :]).tolist())
    return [[next(found) for _ in offered] for offered in offers]


def _failure(
    proposer: Proposer, generator: Paraphraser | Refiner, source_id: str, target: str, generation: Generation
) -> ProposalFailure:
    return ProposalFailure(
        source_id, proposer.settings_id, generator.card.name, target, generation.failure, generation.retryable
    )


def _draft(row: PlanRow, pair: Pair, refinement: Refinement | None) -> Draft:
    base = pair
    if refinement is not None and refinement.side is not None:
        chosen = refinement.text if refinement.side == "chosen" else pair.chosen
        rejected = refinement.text if refinement.side == "rejected" else pair.rejected
        base = Pair.of(pair.prompt, chosen, rejected)
    return Draft(row.pair_id, base, pair, row, refinement)


# ----------------------------------------------------------------------------------------------------- paraphrase


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of a draft: the k-th paraphrase of each of its texts, where there is one."""

    prompt: Prompt
    chosen: str
    rejected: str
    paraphrased: bool


def _paraphrase(proposer: Proposer, drafts: Sequence[Draft]) -> tuple[list[list[Variant]], list[ProposalFailure]]:
    """Return each draft's variants: the refined pair itself where there is one, then its paraphrases."""
    wanted = [text for draft in drafts for text in texts_of(draft.source_id, draft.base)]
    generations = proposer.paraphraser.paraphrase(paraphrase_requests(proposer.config, wanted, proposer.ask_again))
    failures = [
        _failure(proposer, proposer.paraphraser, source_id, target, generation)
        for (source_id, target, _), generation in zip(wanted, generations, strict=True)
        if generation.failure
    ]
    texts = {
        (source_id, target): generation.candidates
        for (source_id, target, _), generation in zip(wanted, generations, strict=True)
    }
    return [_variants(draft, texts) for draft in drafts], failures


def texts_of(source_id: str, base: Pair) -> list[tuple[str, str, str]]:
    """Return what is paraphrased of a pair: source, target, and the text."""
    texts = ((PROMPT, last_turn(base)), ("chosen", base.chosen), ("rejected", base.rejected))
    return [(source_id, target, text) for target, text in texts if text]


def paraphrase_requests(
    config: ProposeConfig, texts: Sequence[tuple[str, str, str]], ask_again: Collection[tuple[str, str]] = ()
) -> list[ParaphraseRequest]:
    """Return what a paraphraser is asked for some texts, given with their source and target."""
    return [
        ParaphraseRequest(
            f"{source_id}/{target}",
            text,
            config.variants,
            config.seed,
            source_id=source_id,
            ask_again=(source_id, target) in ask_again,
        )
        for source_id, target, text in texts
    ]


def _variants(draft: Draft, texts: dict[tuple[str, str], tuple[str, ...]]) -> list[Variant]:
    prompts, chosen, rejected = (texts.get((draft.source_id, target), ()) for target in (PROMPT, "chosen", "rejected"))
    base = draft.base
    variants = [] if base == draft.original else [Variant(base.prompt, base.chosen, base.rejected, paraphrased=False)]
    for index in range(max(len(chosen), len(rejected))):
        prompt = base.prompt
        if index < len(prompts):
            prompt = (*base.prompt[:-1], Turn(base.prompt[-1].role, prompts[index]))
        variants.append(
            Variant(
                prompt,
                chosen[index] if index < len(chosen) else base.chosen,
                rejected[index] if index < len(rejected) else base.rejected,
                paraphrased=True,
            )
        )
    return variants


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
    distances = response_distances(proposer.encoder, pairs, progress=proposer.progress)
    margins = proposer.model.score(pairs, progress=proposer.progress).margins
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
        id=content_id(draft.source_id, proposer.settings_id, method, texts),
        source_id=draft.source_id,
        oriented_id=draft.original.id,
        plan_id=proposer.plan.id,
        model_id=proposer.plan.model_id,
        settings_id=proposer.settings_id,
        method=method,
        variant=number,
        prompt=variant.prompt,
        chosen=variant.chosen,
        rejected=variant.rejected,
        unchanged_sides=_unchanged(draft.original, variant),
        generators=_provenance(proposer, draft, paraphrased=variant.paraphrased),
        seed=proposer.config.seed,
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
        _candidate(each, drafted[each.source_id], judge_again=(each.source_id, JUDGE) in proposer.ask_again)
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
        provenance["paraphrase"] = _card(proposer.paraphraser)
    if draft.refinement is not None:
        provenance[REFINED_NOTE] = _card(proposer.refiner)
    return provenance


def _card(generator: Paraphraser | Refiner) -> dict[str, Any]:
    card = generator.card
    return {"name": card.name, "version": card.version, "stand_in": card.stand_in, "settings": dict(card.settings)}


def _report(
    store: Store, proposer: Proposer, wanted: Mapping[str, str], *, done_before: int, gates: str
) -> ProposeReport:
    """Sum up over the wanted sources, given as done marks by source id, and the digest of the gates' settings."""
    outcomes = store.proposals.sources_done(proposer.settings_id)
    proposals = [
        proposal
        for proposal in store.proposals.proposals(source_ids=wanted, settings_id=proposer.settings_id)
        if wanted[proposal.source_id].startswith(proposal.oriented_id)
    ]
    failed = [each for each in store.proposals.failures(proposer.settings_id) if each.source_id in wanted]
    failures = Counter(f"{failure.generator}: {failure.reason}" for failure in failed)
    return ProposeReport(
        settings_id=proposer.settings_id,
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
