"""Drafting: for each source pair with a budget, sharpen the contrast where the gate asks for it, then paraphrase.

Chunk by chunk. A generator that answers from elsewhere is at work on the following chunks while one is judged.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from mars_engine.augment.generators.protocols import (
    Generation,
    Paraphraser,
    ParaphraseRequest,
    Prefetching,
    Refiner,
    RefineRequest,
)
from mars_engine.augment.quality.gatekeeper import last_turn
from mars_engine.augment.quality.text_facts import normalized
from mars_engine.core.config import ProposeConfig
from mars_engine.core.progress import Progress
from mars_engine.core.records import (
    Pair,
    Passage,
    PlanRow,
    Prompt,
    ProposalFailure,
    Refinement,
    RefineTry,
    Side,
    Turn,
    content_id,
)
from mars_engine.data.trails import KEPT
from mars_engine.embeddings.distances import semantic_distance
from mars_engine.embeddings.protocols import Encoder

PROMPT = "prompt"
CHUNKS_AHEAD = 3
"""Chunks to prefetch, where a generator can: while one chunk is measured and judged, it works on the next ones."""
REFINE_ORDER: tuple[Side, Side] = ("rejected", "chosen")
"""The rejected side first: rewriting it cannot make the better answer worse."""


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
    """Whether refining or paraphrasing failed for a reason that may pass: nothing is proposed for the pair until it is
    tried again, or what came of the rest of it would stand beside the whole for good."""

    @property
    def outcome(self) -> str:
        if self.is_postponed:
            return "postponed"
        if self.refinement is None:
            return "not_needed"
        return f"refined_{self.refinement.side}" if self.refinement.side else "unrefined"


@dataclass(frozen=True)
class Drafter:
    """The generators, and what they are asked."""

    paraphraser: Paraphraser
    refiner: Refiner
    encoder: Encoder
    config: ProposeConfig
    progress: Progress
    ask_again: frozenset[tuple[str, str]] = frozenset()
    """Source and target of what was answered, could not be used, and is to be asked for anew."""

    @property
    def settings_id(self) -> str:
        """Digest of everything that drafted paraphrases and refined sides depend on beside the source pair."""
        return settings_of_generation(self.config, self.paraphraser, self.refiner, self.encoder)


def settings_of_generation(config: ProposeConfig, paraphraser: Paraphraser, refiner: Refiner, encoder: Encoder) -> str:
    """Return the digest of everything that generated texts depend on beside the source pair."""
    wanted = config.model_dump(include={"variants", "refine_tries", "refine_epsilon", "seed"})
    cards = [paraphraser.card.fingerprint, refiner.card.fingerprint]
    return content_id(cards, encoder.fingerprint, wanted)


@dataclass(frozen=True, slots=True)
class Written:
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


def write_chunks(drafter: Drafter, chunks: Sequence[Sequence[tuple[PlanRow, Pair]]]) -> Iterator[Written]:
    """Yield each chunk when its texts are written; generators that can write the following ones while it is judged."""
    is_ahead = isinstance(drafter.paraphraser, Prefetching)
    for chunk in chunks[:CHUNKS_AHEAD]:
        _prefetch(drafter, chunk)
    following = _refine_ahead(drafter, chunks, 0) if chunks else None
    for number in range(len(chunks)):
        drafted, refine_failures = following or _refine_where_close(drafter, chunks[number])
        drafts = _not_postponed(drafted)
        written, paraphrase_failures = _paraphrase(drafter, drafts)
        incomplete = {failure.source_id for failure in paraphrase_failures if failure.retryable}
        drafted = [
            replace(draft, is_postponed=draft.is_postponed or draft.source_id in incomplete) for draft in drafted
        ]
        variants = [some for draft, some in zip(drafts, written, strict=True) if draft.source_id not in incomplete]
        following = _refine_ahead(drafter, chunks, number + 1) if is_ahead and number + 1 < len(chunks) else None
        yield Written(drafted, variants, [*refine_failures, *paraphrase_failures])


def _refine_ahead(
    drafter: Drafter, chunks: Sequence[Sequence[tuple[PlanRow, Pair]]], number: int
) -> tuple[list[Draft], list[ProposalFailure]]:
    """Refine a chunk, and let the paraphraser begin with it, and all with a later one."""
    for chunk in chunks[number + CHUNKS_AHEAD : number + CHUNKS_AHEAD + 1]:
        _prefetch(drafter, chunk)
    drafted, failures = _refine_where_close(drafter, chunks[number])
    if isinstance(drafter.paraphraser, Prefetching):
        texts = [text for draft in _not_postponed(drafted) for text in texts_of(draft.source_id, draft.base)]
        drafter.paraphraser.prefetch(paraphrase_requests(drafter.config, texts), soon=True)
    return drafted, failures


def _prefetch(drafter: Drafter, chunk: Sequence[tuple[PlanRow, Pair]]) -> None:
    """Let the generators prefetch what a chunk will need in any case."""
    if isinstance(drafter.refiner, Prefetching):
        low = [(row, pair) for row, pair in chunk if row.gate == "low"]
        drafter.refiner.prefetch(refine_requests(drafter.config, low, "rejected"))
    if isinstance(drafter.paraphraser, Prefetching):
        texts = [text for row, pair in chunk if row.gate == "high" for text in texts_of(row.pair_id, pair)]
        drafter.paraphraser.prefetch(paraphrase_requests(drafter.config, texts))


# --------------------------------------------------------------------------------------------------------- refine


def _refine_where_close(
    drafter: Drafter, chunk: Sequence[tuple[PlanRow, Pair]]
) -> tuple[list[Draft], list[ProposalFailure]]:
    """Rewrite the rejected side of every low pair; where that does not help, its chosen side; else leave it."""
    failures: list[ProposalFailure] = []
    refinements: dict[str, Refinement] = {}
    trails: dict[str, list[RefineTry]] = {row.pair_id: [] for row, _ in chunk}
    waiting = [(row, pair) for row, pair in chunk if row.gate == "low"]
    for side in REFINE_ORDER:
        refined = _try_side(drafter, waiting, side, trails, failures)
        refinements |= refined
        postponed = {failure.source_id for failure in failures if failure.retryable} - refinements.keys()
        waiting = [(row, pair) for row, pair in waiting if row.pair_id not in {*refined, *postponed}]
    for row, _ in chunk:
        if row.gate == "low" and row.pair_id not in refinements:
            refinements[row.pair_id] = Refinement(None, "", row.distance, row.distance, tuple(trails[row.pair_id]))
    drafts = [_draft(row, pair, refinements.get(row.pair_id)) for row, pair in chunk]
    return [replace(draft, is_postponed=draft.source_id in postponed) for draft in drafts], failures


def _try_side(
    drafter: Drafter,
    waiting: Sequence[tuple[PlanRow, Pair]],
    side: Side,
    trails: dict[str, list[RefineTry]],
    failures: list[ProposalFailure],
) -> dict[str, Refinement]:
    """Keep each pair's first rewrite of `side` whose distance exceeds the old one by more than ε; go on its trail."""
    if not waiting:
        return {}
    most = drafter.config.refine_tries
    generations = drafter.refiner.refine(refine_requests(drafter.config, waiting, side, drafter.ask_again))
    failures += [
        _failure(drafter, drafter.refiner, row.pair_id, f"refine {side}", generation)
        for (row, _), generation in zip(waiting, generations, strict=True)
        if generation.failure
    ]
    offers = [generation.candidates[:most] for generation in generations]
    others = [pair.chosen if side == "rejected" else pair.rejected for _, pair in waiting]
    distances = _distances_of_offers(drafter, offers, others)
    kept: dict[str, Refinement] = {}
    for (row, pair), generation, texts, reached in zip(waiting, generations, offers, distances, strict=True):
        trail = trails[row.pair_id]
        for text, distance in zip(texts, reached, strict=True):
            verdict = _verdict_on_try(drafter, row, getattr(pair, side), text, distance)
            trail.append(_refine_try(drafter, row, pair, len(trail), side, verdict, text, distance))
            if verdict == KEPT:
                kept[row.pair_id] = Refinement(side, text, row.distance, distance, tuple(trail))
                break
        else:
            if generation.failure or not texts:
                reason = f"no rewrite: {generation.failure or 'none was offered'}"
                trail.append(_refine_try(drafter, row, pair, len(trail), side, reason))
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


def _verdict_on_try(drafter: Drafter, row: PlanRow, before: str, text: str, distance: float) -> str:
    if not text.strip():
        return "empty"
    if normalized(text) == normalized(before):
        return "as it was"
    return KEPT if distance > row.distance + drafter.config.refine_epsilon else "too close still"


def _refine_try(
    drafter: Drafter,
    row: PlanRow,
    pair: Pair,
    position: int,
    side: Side,
    verdict: str,
    text: str | None = None,
    distance: float | None = None,
) -> RefineTry:
    card = drafter.refiner.card
    return RefineTry(
        source_id=row.pair_id,
        oriented_id=pair.id,
        settings_id=drafter.settings_id,
        position=position,
        side=side,
        generator=f"{card.name} {card.version}",
        text=text,
        distance=distance,
        verdict=verdict,
    )


def _distances_of_offers(drafter: Drafter, offers: Sequence[Sequence[str]], others: Sequence[str]) -> list[list[float]]:
    """Return the distance of each offered text from its pair's other side, by pair."""
    texts = [text for offered in offers for text in offered]
    if not texts:
        return [[] for _ in offers]
    against = [other for offered, other in zip(offers, others, strict=True) for _ in offered]
    passages = [Passage(text) for text in [*texts, *against]]
    vectors = drafter.encoder.encode(passages, progress=drafter.progress).vectors
    found = iter(semantic_distance(vectors[: len(texts)], vectors[len(texts) :]).tolist())
    return [[next(found) for _ in offered] for offered in offers]


def _failure(
    drafter: Drafter, generator: Paraphraser | Refiner, source_id: str, target: str, generation: Generation
) -> ProposalFailure:
    return ProposalFailure(
        source_id, drafter.settings_id, generator.card.name, target, generation.failure, generation.retryable
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


def _paraphrase(drafter: Drafter, drafts: Sequence[Draft]) -> tuple[list[list[Variant]], list[ProposalFailure]]:
    """Return each draft's variants: the refined pair itself where there is one, then its paraphrases."""
    wanted = [text for draft in drafts for text in texts_of(draft.source_id, draft.base)]
    generations = drafter.paraphraser.paraphrase(paraphrase_requests(drafter.config, wanted, drafter.ask_again))
    failures = [
        _failure(drafter, drafter.paraphraser, source_id, target, generation)
        for (source_id, target, _), generation in zip(wanted, generations, strict=True)
        if generation.failure
    ]
    texts = {
        (source_id, target): generation.candidates
        for (source_id, target, _), generation in zip(wanted, generations, strict=True)
    }
    return [_variants(draft, texts) for draft in drafts], failures


def texts_of(source_id: str, base: Pair) -> list[tuple[str, str, str]]:
    """Return the texts of a source pair that are to be paraphrased, as (source id, target, text)."""
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
